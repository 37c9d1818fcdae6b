//! How long does a credential live whose issuer does not say what is left of its life?
//!
//! Such an issuer names a whole life with every reply. When that life began is known only where the text has changed under our
//! eyes: between the last call that brought the old text and the one that brought the new; where nobody else asks, with a call of
//! ours. Before, as after a lost record, the credential may end at any moment: little is promised of it, and it is asked for again
//! before that has run out.

use super::{Issued, Knowledge, Note, Now, Sent, Timestamp, calls::Lifetime};
use crate::{
    clock::Bounds,
    keeper::{
        record::{Credential, Sighting},
        schedule::{ATTEMPT_GAP, LATE_END, Policy},
    },
};

impl Knowledge {
    /// The issuer gave a credential, and did not say what is left of its life.
    pub(super) fn sighted(&mut self, now: Now, sent: Sent, issued: Issued) {
        let Some(current) = &self.record.credential else {
            return self.take_for_a_moment(now, sent, issued, None);
        };
        if current.token != issued.token {
            // it was the current one when it was last seen, or later
            let began = Bounds::between(self.minted_from(now, sent, current).min(sent.at), now.boot);
            return self.take_until(now, sent, issued, began);
        }
        // of one that outlives what was said nobody knows the end any more
        let ends =
            current.sighting.and_then(|sighting| sighting.ends).filter(|end| sent.at < end.latest.plus(LATE_END));
        let moment = self.policy().moment(issued.life, self.is_thrifty(now));
        match ends {
            Some(end) if now.boot < end.earliest => {
                let at_the_end = end.earliest.max(now.boot.plus(ATTEMPT_GAP));
                self.seen_again(sent, now.boot.plus(self.policy().sticky_pace()).min(at_the_end));
            }
            // It ends within a moment, and nothing more is promised. To know when the next one began, that end is watched closely.
            Some(end) if end.latest.since(sent.at) <= moment => {
                self.seen_again(sent, now.boot.plus(Policy::end_pace(end.uncertainty().min(moment))));
            }
            Some(_) | None => self.take_for_a_moment(now, sent, issued, ends),
        }
    }

    /// From when on a text can have been minted that took the place of one that was `seen_at`. Where nobody else asks, a call of ours
    /// has minted it: this one, or an earlier one that was not answered. Of several relays, one that the store does not answer asks
    /// without a record: from the end of the one before, where that is known, else at any time.
    fn minted_from(&self, now: Now, sent: Sent, current: &Credential) -> Timestamp {
        let seen_at = current.sighting.map_or(current.asked_at, |sighting| sighting.seen_at).earliest;
        // while the store is away, the relays of a group ask without hearing of one another
        let is_alone = self.replica.is_none() || self.writer.trouble.is_none();
        if !self.issuer().is_asked_by_us_alone || !is_alone {
            return seen_at;
        }
        let end = current.sighting.and_then(|sighting| sighting.ends).map_or(seen_at, |ends| ends.earliest);
        let unrecorded_from = self.replica.as_ref().map_or(sent.at, |_| end);
        let unanswered_from = self.record.unanswered_at.map_or(sent.at, |at| at.earliest);
        unanswered_from.min(unrecorded_from).max(seen_at).min(now.boot)
    }

    /// A call was sent then, and nobody knows what came of it.
    pub(super) fn may_have_minted(&mut self, sent: Bounds) {
        if self.issuer().is_asked_by_us_alone && !self.issuer().tells_remaining_life {
            self.record.unanswered_at.get_or_insert(sent);
        }
    }

    /// It is the current one still, and its end stays.
    fn seen_again(&mut self, sent: Sent, again_at: Timestamp) {
        if let Some(current) = &mut self.record.credential {
            current.seen(sent.at);
        }
        self.same_token();
        self.record.retry_at = Some(again_at.into());
    }

    /// It is a new one, whose life began so: the earliest counts.
    fn take_until(&mut self, now: Now, sent: Sent, issued: Issued, began: Bounds) {
        let ends = began.plus(issued.life);
        if ends.earliest <= now.boot {
            return self.take_for_a_moment(now, sent, issued, Some(ends));
        }
        self.note_rotated(now, ends.earliest.since(now.boot));
        let rotation_at = ends.earliest.minus(self.issuer().overlap);
        let sighting = Some(Sighting { seen_at: sent.at.into(), ends: Some(ends) });
        self.take_new(now, sent, issued.token, Lifetime { deadline: ends.earliest, rotation_at, sighting });
    }

    /// Nobody knows what is left of it, but at most that it `ends`. It is a new generation each time that it comes, for of one
    /// generation the deadline never moves later (I3).
    fn take_for_a_moment(&mut self, now: Now, sent: Sent, issued: Issued, ends: Option<Bounds>) {
        let moment = self.policy().moment(issued.life, self.is_thrifty(now));
        match &self.record.credential {
            Some(current) if current.token == issued.token => {
                self.note(Note::SameToken { after_failures: self.record.failures });
            }
            _ => self.note_rotated(now, moment),
        }
        let sighting = Some(Sighting { seen_at: sent.at.into(), ends });
        let (deadline, rotation_at) = (sent.at.plus(moment), sent.at.plus(moment / 2));
        self.take_new(now, sent, issued.token, Lifetime { deadline, rotation_at, sighting });
    }
}
