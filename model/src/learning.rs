//! What does a record that was read change, and what becomes of a token that came too late? After
//! `src/keeper/machine/learning.rs` and `late.rs`.

use crate::{
    record::{Call, Credential, Generation, Outcome, Precedence, Record, RelayId, TokenId},
    relay::{Relay, Sent, Unstored},
    setup::{Rule, Setup},
    store::Version,
    timing::{CALL, NOW, SUCCESSION, Tick, WINDOW},
};

/// Where and when something is learnt.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) setup: &'a Setup,
    pub(crate) me: RelayId,
    /// The next generation, later than all: the milliseconds of the wall clock in the design.
    pub(crate) next: &'a mut Generation,
}

impl Context<'_> {
    fn has(&self, rule: Rule) -> bool {
        self.setup.has(rule)
    }

    pub(crate) fn next(&mut self) -> Generation {
        *self.next += 1;
        *self.next - 1
    }
}

impl Relay {
    /// Takes in what was found in the store.
    pub(crate) fn learn(&mut self, cx: &mut Context<'_>, theirs: &Record, version: Version) {
        (self.is_behind, self.contact_at) = (false, self.polled_at);
        if self.held == version && self.record.is_some() {
            return;
        }
        let is_stale = theirs.revision <= self.seen_revision;
        (self.held, self.learned_at) = (version, NOW);
        self.seen_revision = self.seen_revision.max(theirs.revision);
        self.is_confirmed = theirs.holder == Some(cx.me);
        match self.record.take() {
            None => {
                self.durable = theirs.generation;
                self.record = Some(theirs.clone());
            }
            Some(ours) => self.agree(cx, ours, theirs, is_stale),
        }
    }

    fn agree(&mut self, cx: &mut Context<'_>, mut ours: Record, theirs: &Record, is_stale: bool) {
        let unstored = self.unstored.take();
        let has_minted = matches!(unstored, Some(Unstored::Token(..)));
        let is_behind = theirs.generation < ours.generation || (is_stale && theirs.generation == ours.generation);
        let precedence = match () {
            () if !cx.has(Rule::Repair) && is_stale => Precedence::Theirs,
            () if ours.holder == Some(cx.me) && theirs.holder == Some(cx.me) => Precedence::Ours,
            () if has_minted && is_stale && cx.has(Rule::RepairWithToken) => Precedence::Neither,
            () if !has_minted && is_behind => Precedence::Neither,
            () => Precedence::Theirs,
        };
        if let Some(Unstored::Token(credential, after)) = unstored
            && (ours.credential.token == credential.token || !cx.has(Rule::RepairWithToken))
        {
            ours.before_token(after); // ours is taken in after theirs
        }
        if precedence == Precedence::Neither
            && let Some(open) = ours.take_open_call()
        {
            ours.remember(open.given_up(NOW + CALL));
        }
        let expected = ours.invalidated_latest();
        let mut record = ours.reconcile(theirs.clone(), precedence);
        self.add_own(cx, &mut record, theirs, unstored);
        if record.invalidated_latest() < expected && record.holder == Some(cx.me) {
            record.retry_at = record.retry_at.max(NOW + SUCCESSION);
        }
        if is_stale && cx.has(Rule::CountHearingAnew) {
            record.count_hearing_anew(theirs);
        }
        self.is_dirty = record.is_news_to(theirs);
        if !self.is_dirty {
            self.unstored = None;
        }
        if precedence == Precedence::Theirs {
            self.durable = theirs.generation;
        }
        self.record = Some(record);
    }

    /// What the others cannot know.
    fn add_own(&mut self, cx: &mut Context<'_>, record: &mut Record, theirs: &Record, unstored: Option<Unstored>) {
        if let Some((id, is_void)) = self.ended {
            record.orphans.retain(|orphan| *orphan != id);
            let known = record.calls.iter_mut().filter(|call| call.id == id && is_void);
            known.for_each(|call| call.outcome = Outcome::Void);
        }
        match unstored {
            Some(Unstored::Token(credential, after)) if cx.has(Rule::HandOver) => {
                record.hand_over(cx, credential, after);
            }
            Some(Unstored::Unknown(call)) => record.remember(match record.counted(call.id) {
                Some(known) => Call { outcome: call.outcome, ..known },
                None => Call { latest: call.latest.max(heard_at(cx, record)), ..call },
            }),
            Some(Unstored::Token(..)) | None => {}
        }
        if record.credential.is_none() {
            record.credential = theirs.credential; // of a late token that is dropped
        }
        record.forget_earlier_calls();
        self.unstored = unstored.map(|unstored| match unstored {
            Unstored::Token(credential, after) => {
                let generation = credential.generation.max(record.generation);
                Unstored::Token(Credential { generation, ..credential }, after)
            }
            unknown @ Unstored::Unknown(_) => unknown,
        });
    }

    /// The call has brought this token.
    pub(crate) fn issued(&mut self, cx: &mut Context<'_>, sent: Sent, token: TokenId) {
        self.ended = Some((sent.id, false));
        self.is_dirty = true;
        let record = self.record.as_mut().expect("a relay that calls has a record");
        let after = record.generation;
        let credential = Credential {
            token,
            generation: cx.next(),
            call: Some(sent.id),
            asked_at: sent.at,
            came_at: NOW,
            rotation_at: sent.at + WINDOW,
        };
        record.calls.clear();
        (record.credential, record.generation, record.retry_at) = (credential, credential.generation, NOW);
        self.unstored = Some(Unstored::Token(credential, after));
    }

    /// The call has no known outcome.
    pub(crate) fn given_up(&mut self, cx: &mut Context<'_>, sent: Sent) {
        self.ended = Some((sent.id, false));
        self.is_dirty = true;
        let record = self.record.as_mut().expect("a relay that calls has a record");
        let call = Call { id: sent.id, earliest: sent.at, latest: sent.at, outcome: Outcome::Open };
        record.calls.retain(|known| known.id != sent.id);
        record.remember(call.given_up(NOW));
        if cx.has(Rule::RememberUnknown) {
            let call = Call { earliest: sent.at.max(NOW - CALL), latest: NOW, ..call };
            self.unstored = Some(Unstored::Unknown(call.given_up(NOW)));
        }
    }
}

/// When the others have heard of what is stored now.
fn heard_at(cx: &Context<'_>, record: &Record) -> Tick {
    let is_heard = record.holder == Some(cx.me) || !cx.has(Rule::CountHearing);
    if is_heard { NOW } else { NOW + SUCCESSION }
}

impl Record {
    fn hand_over(&mut self, cx: &mut Context<'_>, mut credential: Credential, after: Generation) {
        let (stored, Credential { token, came_at, .. }) = (self.credential, credential);
        let has_rotated = !stored.is_none() && stored.generation != after && cx.has(Rule::KeepStored);
        // the second of two mints ends ours at once
        let is_overtaken = self.calls.iter().filter(|call| call.may_invalidate(credential)).count() > 1;
        if stored.token == token {
            self.relabel(cx, credential.generation);
        } else if has_rotated || is_overtaken {
            let call = Call {
                id: credential.call.expect("a call of ours brought it"),
                earliest: credential.asked_at.max(came_at - CALL),
                latest: came_at.max(heard_at(cx, self)),
                outcome: Outcome::Late { token, came_at },
            };
            self.relabel(cx, credential.generation);
            let is_candidate = has_rotated && self.candidate().is_none();
            self.remember(if is_candidate { call } else { call.given_up(came_at) });
        } else {
            let is_later = self.generation < credential.generation;
            credential.generation = if is_later { credential.generation } else { cx.next() };
            credential.rotation_at = credential.rotation_at.max(heard_at(cx, self) + WINDOW);
            (self.credential, self.generation) = (credential, credential.generation);
            self.forget_earlier_calls();
        }
    }

    /// The others promise without what the store has lost, until they hear of it again: at their next look.
    fn count_hearing_anew(&mut self, theirs: &Self) {
        for call in &mut self.calls {
            if !theirs.calls.iter().any(|told| told.id == call.id && told.is_open() == call.is_open()) {
                call.latest = call.latest.max(NOW + SUCCESSION);
            }
        }
    }

    /// What is served never goes back (I4).
    fn relabel(&mut self, cx: &mut Context<'_>, ours: Generation) {
        if self.generation < ours {
            self.generation = cx.next();
            self.credential.generation = self.generation;
        }
    }

    /// The candidate was probed when only the newer of the two can still be accepted.
    pub(crate) fn decided(&mut self, cx: &mut Context<'_>, is_accepted: bool) {
        let Some((call, token, came_at)) = self.candidate() else { return };
        if is_accepted {
            let generation = cx.next();
            self.credential = Credential {
                token,
                generation,
                call: Some(call.id),
                asked_at: call.earliest,
                came_at,
                rotation_at: (call.earliest + WINDOW).max(call.latest + WINDOW),
            };
            self.generation = generation;
            self.forget_earlier_calls();
        } else {
            self.calls.retain(|other| other.id != call.id);
            self.remember(call.given_up(came_at));
        }
        self.retry_at = self.retry_at.max(NOW + SUCCESSION);
    }
}
