//! How do two relays' records of one credential become one?
//!
//! A store without faults tells one history: what is found there comes after what is known here, and at most a relay
//! without the lease has added to it. Only a store that went back makes both incomplete. All three cases are one join: one
//! of the two is taken whole, and of the other what the first cannot know.

use super::{Call, Credential, HandedOut, Record};
use crate::clock::Timestamp;

/// Which of two records is taken whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precedence {
    /// Ours: we have the lease in both. Theirs may hold what a relay without it has added: calls that ended, a token that was
    /// handed over, a forwarded report.
    Ours,
    /// Theirs: it comes after ours.
    Theirs,
    /// The one of the later generation, then of the later revision: the store went back, and each may know what the other
    /// does not. The lease, and the call that its holder may be making, are theirs.
    Neither,
}

impl Record {
    /// The join of our record with the one that the store holds, both on our clock.
    #[must_use]
    pub fn reconcile(self, theirs: Self, precedence: Precedence) -> Self {
        let (holder, revision) = (theirs.holder, self.revision.max(theirs.revision));
        let open = theirs.open_call().filter(|_| precedence == Precedence::Neither).cloned();
        let is_theirs = match precedence {
            Precedence::Ours => false,
            Precedence::Theirs => true,
            Precedence::Neither => (self.generation, self.revision) < (theirs.generation, theirs.revision),
        };
        let revocation = self.revocation.join(theirs.revocation);
        let (mut main, other) = if is_theirs { (theirs, self) } else { (self, theirs) };
        match precedence {
            Precedence::Theirs => {}
            // what a relay without the lease adds and clears
            Precedence::Ours => {
                (main.forwarded, main.orphans) = (other.forwarded.clone(), other.orphans.clone());
            }
            Precedence::Neither => {
                main.debits = std::mem::take(&mut main.debits).join(other.debits.clone());
                main.forwarded = main.forwarded.or_else(|| other.forwarded.clone());
                for orphan in &other.orphans {
                    main.add_orphan(Timestamp::LONG_AGO, *orphan);
                }
            }
        }
        main.take_credential_of(&other, precedence);
        if precedence != Precedence::Theirs {
            main.take_calls_of(&other, open);
            let current = other.credential.as_ref().map(HandedOut::from);
            for known in other.handed_out.into_iter().chain(current) {
                main.remember_handed_out(known);
            }
        }
        (main.holder, main.revision, main.revocation) = (holder, revision, revocation);
        main.forget_earlier_calls();
        main
    }

    /// The credential of the later generation is current; of one that both know, each knows something.
    fn take_credential_of(&mut self, other: &Self, precedence: Precedence) {
        match (&mut self.credential, &other.credential) {
            (Some(ours), Some(theirs)) if ours.token == theirs.token => {
                ours.take_from(theirs);
                self.generation = ours.generation;
            }
            (_, theirs) if precedence != Precedence::Theirs && self.generation < other.generation => {
                (self.generation, self.verified_at) = (other.generation, None);
                let before = std::mem::replace(&mut self.credential, theirs.clone());
                if let Some(before) = &before {
                    self.remember_handed_out(before.into());
                }
            }
            // one that is older than a generation that was served is not taken
            _ => {}
        }
    }

    /// Calls that ended, and the one that the lease's holder may be making.
    fn take_calls_of(&mut self, other: &Self, open: Option<Call>) {
        let has_candidate = self.candidate().is_some();
        for call in other.calls.iter().filter(|call| !call.is_open()) {
            let call = call.clone();
            match call.ended() {
                Some(ended) if has_candidate && call.late().is_some() && self.knows_not(&call) => {
                    self.remember(call.given_up(ended));
                }
                _ => self.remember(call),
            }
        }
        if let Some(open) = open.filter(|open| self.knows_not(open)) {
            self.remember(open);
        }
    }

    fn knows_not(&self, call: &Call) -> bool {
        self.calls.iter().all(|known| known.id != call.id)
    }

    /// Whether it says something that the store's record does not, so that it is worth a write. That a moment is known a
    /// little better is not.
    pub fn is_news_to(&self, stored: &Self) -> bool {
        let mut told = self.clone();
        told.revision = stored.revision;
        if let (Some(ours), Some(theirs)) = (&mut told.credential, &stored.credential)
            && ours.token == theirs.token
            && !ours.is_much_clearer_than(theirs)
        {
            let (generation, is_refused) = (ours.generation, ours.is_refused);
            *ours = Credential { generation, is_refused, ..theirs.clone() };
        }
        told != *stored
    }
}

impl Credential {
    /// The same credential as another relay tells of it: what is known better, or what a later generation of it was given, for
    /// a sticky issuer may tell a longer life.
    fn take_from(&mut self, other: &Self) {
        let is_refused = self.is_refused || other.is_refused;
        let is_clearer = other.deadline.uncertainty() < self.deadline.uncertainty();
        if self.generation < other.generation || (self.generation == other.generation && is_clearer) {
            self.clone_from(other);
        }
        self.is_refused = is_refused;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::{collection::vec, option::of, prelude::*};

    use super::*;
    use crate::{
        clock::Bounds,
        credential::{Generation, Token},
        keeper::record::{CallId, LateToken, Outcome},
        presence::ReplicaId,
    };

    /// A call ends when it ends, whoever tells of it; what became of it they may not know.
    fn call() -> impl Strategy<Value = Call> {
        (1..8_u64, 0..3_u64, any::<bool>()).prop_map(|(id, width, is_late)| {
            let sent = Timestamp::from_micros(i64::try_from(id).unwrap() * 1_700_000_000);
            let sent = Bounds::between(sent, sent.plus(Duration::from_secs(width)));
            let ended = sent.plus(Duration::from_secs(8));
            let late = LateToken {
                token: Token::try_from(format!("late-{id}")).unwrap(),
                came_at: ended,
                deadline: sent.plus(Duration::from_secs(7200)),
            };
            let outcome = if is_late { Outcome::Late(late) } else { Outcome::Unknown { ended } };
            Call { id: CallId(id), sent, outcome }
        })
    }

    /// Within one history a generation names one credential.
    fn credential() -> impl Strategy<Value = Credential> {
        (1..5_u64, any::<bool>()).prop_map(|(generation, is_refused)| {
            let at = Timestamp::from_micros(i64::try_from(generation).unwrap() * 3_600_000_000);
            Credential {
                token: Token::try_from(format!("token-{generation}")).unwrap(),
                generation: Generation(generation),
                call: None,
                asked_at: at.into(),
                asked_again_at: None,
                came_at: at.into(),
                deadline: at.plus(Duration::from_secs(7200)).into(),
                rotation_at: at.plus(Duration::from_secs(3600)).into(),
                is_refused,
                clock_offset_ms: 0,
                sighting: None,
            }
        })
    }

    prop_compose! {
        fn record()(
            credential in of(credential()),
            generation in 0..5_u64,
            calls in vec(call(), 0..4),
            holder in of(1..4_u64),
            revision in 0..100_u64,
        ) -> Record {
            let mut record = Record { holder: holder.map(ReplicaId), revision, ..Record::default() };
            record.generation = credential.as_ref().map_or(Generation(generation), |credential| credential.generation);
            record.credential = credential;
            for call in calls {
                let is_one_too_many = call.late().is_some() && record.candidate().is_some();
                let ended = call.ended().unwrap();
                record.remember(if is_one_too_many { call.given_up(ended) } else { call });
            }
            record.forget_earlier_calls();
            record
        }
    }

    const ALL: [Precedence; 3] = [Precedence::Ours, Precedence::Theirs, Precedence::Neither];

    /// What two joins must agree on, whichever relay makes them: all but the lease. Calls have no order.
    fn shown(record: Record) -> (Generation, Option<Credential>, Vec<CallId>) {
        let mut calls: Vec<_> = record.calls.iter().map(|call| call.id).collect();
        calls.sort_unstable();
        (record.generation, record.credential, calls)
    }

    proptest! {
        #[test]
        fn a_record_joined_with_itself_is_itself(record in record()) {
            for precedence in ALL {
                prop_assert_eq!(record.clone().reconcile(record.clone(), precedence), record.clone());
            }
        }

        #[test]
        fn joining_again_adds_nothing(ours in record(), theirs in record()) {
            for precedence in ALL {
                let joined = ours.clone().reconcile(theirs.clone(), precedence);
                let again = joined.clone().reconcile(theirs.clone(), precedence);
                prop_assert_eq!(shown(again), shown(joined));
            }
        }

        #[test]
        fn after_a_store_went_back_it_does_not_matter_who_joins_but_for_the_lease(one in record(), other in record()) {
            prop_assume!((one.generation, one.revision) != (other.generation, other.revision));
            let here = one.clone().reconcile(other.clone(), Precedence::Neither);
            let there = other.clone().reconcile(one.clone(), Precedence::Neither);
            prop_assert_eq!((here.holder, there.holder), (other.holder, one.holder));
            prop_assert_eq!(shown(here), shown(there));
        }

        #[test]
        fn no_generation_and_no_call_that_may_invalidate_is_lost(ours in record(), theirs in record()) {
            for precedence in ALL {
                let joined = ours.clone().reconcile(theirs.clone(), precedence);
                let is_later = ours.generation > theirs.generation && precedence == Precedence::Theirs;
                prop_assert!(is_later || joined.generation >= ours.generation.max(theirs.generation));
                let current = joined.credential.as_ref().map(|current| current.generation);
                prop_assert!(current.is_none_or(|current| current == joined.generation));
                let told = match precedence {
                    Precedence::Theirs => vec![&theirs],
                    Precedence::Ours | Precedence::Neither => vec![&ours, &theirs],
                };
                for call in told.into_iter().flat_map(|record| &record.calls) {
                    let matters = joined.credential.as_ref().is_none_or(|current| call.may_invalidate(current));
                    prop_assert!(!matters || !joined.knows_not(call), "{call:?} is missing in {joined:?}");
                }
            }
        }
    }
}
