//! What should be done next? The one place where the rules of a credential are decided.
//!
//! The machine does no I/O and reads no clock: [`Machine::step`] takes the time and an event and answers with actions. The
//! same machine runs behind the keeper's shell and in the simulation. It does one thing at a time (`Phase`); every rule
//! is a moment that it computes anew from the [`Record`] (`promise`, `plan`), never a timer that it would have to cancel.

use std::{mem, sync::Arc, time::Duration};

use super::{
    record::{CLOCK_TOLERANCE, Call, CallId, Debit, Identity, Outcome, Record, SecretMark},
    schedule::{ATTEMPT_GAP, Policy},
};
use crate::{
    clock::{BootId, Now, Timestamp},
    credential::{Generation, Promise, Token},
    group::{Found, peers::Peers},
    issuer::{Cause, IssueError, Issued, NoVerdict, Remedy, RotationMode, Verdict},
    report::{Grounds, ReportFailure, ReportLimit},
    status::{Failure, Offer, Status, StoreTrouble},
    store::{Sealed, StoreError, Swap},
};

mod calls;
mod current;
mod forwarded;
mod knowledge;
mod late;
mod learning;
mod lease;
mod lifetime;
mod loading;
mod messages;
mod phase;
mod plan;
mod probes;
mod promise;
mod publish;
mod replica;
mod reports;
mod revoking;
mod role;
mod storing;
mod writer;

#[cfg(test)]
mod tests;

pub use knowledge::Meanwhile;
use knowledge::{Charge, Knowledge};
pub use messages::{Action, Decision, Event, NotRestored, Note, ReportAnswer, ReportId};
use phase::{Phase, ProbeReason, ProbeSent, Sent, Then, Waiting};
use replica::Replica;
use writer::Writer;

/// A relay that never could write calls, without a living token, only from so long after its start: a crash loop on a
/// broken disk must not become a loop of calls (I6).
const NEVER_STORED_GRACE: Duration = Duration::from_secs(60);
/// When a record is offered again to a store that did not take it: after so long, or up to half as much more. The keepers of a
/// process find at the same moment that their store is away, and must not come back to it in step.
const STORE_RETRY: Duration = Duration::from_secs(5);
/// How often a record is asked for again from a store that did not answer.
const LOAD_RETRY: Duration = Duration::from_secs(1);

/// The decisions of one keeper.
#[derive(Debug)]
pub struct Machine {
    known: Knowledge,
    /// How far the wall clock was ahead of the boot clock when that was last told.
    seen_offset_ms: i64,
    /// The record was looked at, so there is something to publish.
    is_loaded: bool,
    phase: Phase,
    reports: Vec<Waiting>,
    /// Revocations that wait until what is under way has ended, and those in the record, which wait until that is stored.
    revoking: Vec<ReportId>,
    recorded: Vec<ReportId>,
    published: Option<Status>,
    is_stopping: bool,
    actions: Vec<Action>,
}

impl Machine {
    /// A machine that has not read its record yet. `min_generation` is the last generation that this process has served, `seed`
    /// fixes its jitter.
    pub fn new(
        policy: Policy,
        identity: impl Into<Arc<Identity>>,
        boot_id: BootId,
        started: Now,
        min_generation: Generation,
        seed: u64,
    ) -> Self {
        let secret_mark = SecretMark::default();
        let identity = identity.into();
        let (started_at, meanwhile) = (started.boot, None);
        let charge = Charge { policy, identity, secret_mark, boot_id, started_at, min_generation, meanwhile };
        Self {
            known: Knowledge::new(charge, started, seed),
            seen_offset_ms: started.offset_ms(),
            is_loaded: false,
            phase: Phase::Loading { ask_at: Some(started.boot) },
            reports: Vec::new(),
            revoking: Vec::new(),
            recorded: Vec::new(),
            published: None,
            is_stopping: false,
            actions: Vec::new(),
        }
    }

    /// The same machine as one of several relays on one store, of which so much is known.
    #[must_use]
    pub fn as_replica(mut self, peers: Arc<Peers>) -> Self {
        self.known.replica = Some(Replica::new(peers, self.known.charge.started_at));
        self
    }

    /// The same machine, with the mark of the AppSecret that its calls are made with.
    #[must_use]
    pub fn asking_with(mut self, secret_mark: SecretMark) -> Self {
        self.known.charge.secret_mark = secret_mark;
        self
    }

    /// The same machine, of a credential that another account of this process kept meanwhile.
    #[must_use]
    pub const fn expecting_calls(mut self, meanwhile: Option<Meanwhile>) -> Self {
        self.known.charge.meanwhile = meanwhile;
        self
    }

    /// Takes in what is known of the other relays by now, and what was found of the record: before every step.
    pub fn see(&mut self, peers: Arc<Peers>, found: Option<Found>) {
        if let Some(replica) = &mut self.known.replica {
            replica.see(peers, found);
        }
    }

    /// Takes in what happened and answers what to do.
    pub fn step(&mut self, now: Now, event: Event) -> Decision {
        self.note_clock(now);
        match event {
            Event::Tick => {}
            Event::Loaded(loaded) => self.loaded(now, loaded),
            Event::Stored(swap) => self.stored(now, swap),
            Event::Reserved => self.reserved(now),
            Event::Reply(reply) => self.replied(now, reply),
            Event::Probed(verdict) => self.probed(now, verdict),
            Event::Report(id, _, Grounds::Revocation) => self.revoke(id),
            Event::Report(id, generation, grounds) => self.hear(now, Waiting { id: Some(id), generation, grounds }),
            Event::Reconfigured(policy, secret_mark) => self.known.reconfigured(now, policy, secret_mark),
            Event::Shutdown => {
                self.is_stopping = true;
                if self.phase == Phase::Reserving {
                    self.give_up_permit();
                }
            }
        }
        self.advance(now);
        self.publish(now);
        self.actions.extend(mem::take(&mut self.known.notes).into_iter().map(Action::Note));
        Decision { actions: mem::take(&mut self.actions), wake_at: self.wake_at(now) }
    }

    /// Logs once that a clock was set; what follows from it is computed from the credential's own offset.
    fn note_clock(&mut self, now: Now) {
        let by_ms = now.offset_ms().saturating_sub(self.seen_offset_ms);
        if Duration::from_millis(by_ms.unsigned_abs()) > CLOCK_TOLERANCE {
            self.seen_offset_ms = now.offset_ms();
            self.known.note(Note::ClockSet(by_ms));
        }
    }

    fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Begins what is due, if nothing is under way.
    fn advance(&mut self, now: Now) {
        self.take_news(now);
        if self.phase == Phase::Idle && !self.known.awaits_clock() {
            self.take_revocations(now);
        }
        match self.phase {
            Phase::Loading { .. } if self.is_stopping => self.stop(now),
            Phase::Loading { ask_at: Some(at) } if at <= now.boot => {
                self.phase = Phase::Loading { ask_at: None };
                self.act(Action::Load);
            }
            // what the store holds is not known until then
            Phase::Idle if self.known.awaits_clock() && !self.is_stopping => {}
            Phase::Idle if self.is_write_due(now) => self.write(now, Then::Keep),
            // again where another write is found in its place, and not again where the store does not answer
            Phase::Idle if self.is_stopping && self.known.is_holder() => self.give_lease_back(now),
            Phase::Idle if self.is_stopping => self.stop(now),
            Phase::Idle if self.known.should_yield() => self.yield_lease(now),
            Phase::Idle => {
                if self.known.may_call(now) {
                    self.begin_what_is_due(now);
                } else {
                    self.follow(now);
                }
                // a report is passed on, or its answer, without waiting for the next step
                if self.phase == Phase::Idle && self.is_write_due(now) {
                    self.write(now, Then::Keep);
                }
            }
            _ => {}
        }
    }

    fn is_write_due(&self, now: Now) -> bool {
        self.known.writer.is_due(now.boot) && !self.known.is_blocked()
    }

    fn begin_what_is_due(&mut self, now: Now) {
        self.take_forwarded(now);
        if self.known.decide_at(now) <= now.boot {
            self.begin_probe(now, ProbeReason::Candidate);
        } else if self.known.call_at(now) <= now.boot {
            let is_urgent = self.known.living(now.boot).is_none();
            self.phase = Phase::Reserving;
            self.act(Action::Reserve { is_urgent });
        } else if self.take_reports(now) || self.known.probe_at(now) <= now.boot {
            self.begin_probe(now, ProbeReason::Needed);
        } else if self.known.regular_probe_at(now) <= now.boot {
            self.begin_probe(now, ProbeReason::Regular);
        }
    }

    fn stop(&mut self, now: Now) {
        let ending = ReportAnswer::Failed { again_at: now.boot, failure: ReportFailure::ShuttingDown };
        self.answer_all(&ending);
        self.recorded.append(&mut self.revoking);
        self.answer_revocations(&ending);
        self.phase = Phase::Stopped;
        self.act(Action::Stop);
    }

    /// The permit is ours: the call is debited and its intent recorded before its first byte (I6, I8).
    fn reserved(&mut self, now: Now) {
        if self.phase != Phase::Reserving {
            return;
        }
        if !self.known.may_call(now) || self.known.call_at(now) > now.boot {
            return self.give_up_permit();
        }
        // a name for the call: random among several relays, for one alone the moment is name enough
        let name =
            if self.known.replica.is_some() { self.known.rng.u64(..) } else { now.boot.as_micros().unsigned_abs() };
        let sent = Sent { id: CallId(name), at: now.boot, is_forced: self.known.forces(now) };
        let record = &mut self.known.record;
        record.debits.debit(now.boot, Debit::Call { is_forced: sent.is_forced });
        record.last_attempt_at = Some(now.boot.into());
        record.asked_with = self.known.charge.secret_mark.clone();
        if sent.is_forced {
            record.forced_at = Some(now.boot.into());
        }
        record.calls.reserve_exact(1); // it is nearly always the only one, of ten thousand records
        record.calls.push(sent.call(Outcome::Open { is_forced: sent.is_forced }));
        self.write(now, Then::Call { sent, until: self.known.may_call_until() });
    }

    fn give_up_permit(&mut self) {
        self.phase = Phase::Idle;
        self.act(Action::Release);
    }

    fn begin_probe(&mut self, now: Now, reason: ProbeReason) {
        let Some(generation) = self.known.record.credential.as_ref().map(|credential| credential.generation) else {
            return;
        };
        self.known.record.debits.debit(now.boot, Debit::Probe);
        self.known.record.probed_at = Some(now.boot.into());
        self.write(now, Then::Probe(ProbeSent { at: now.boot, generation, reason }));
    }

    fn write(&mut self, now: Now, then: Then) {
        if let Some(replica) = &mut self.known.replica {
            self.known.record.revision = replica.number_write(now.boot, self.known.record.revision);
        }
        let next = self.known.record.encode(&self.known.charge.identity, &self.known.charge.boot_id, now);
        self.phase = Phase::Recording(then);
        let store = self.known.writer.write(next);
        self.act(store);
    }

    /// When to step again if nothing happens.
    fn wake_at(&self, now: Now) -> Timestamp {
        match self.phase {
            Phase::Loading { ask_at: Some(at) } => at,
            Phase::Loading { ask_at: None } => self.known.look_again_at(now),
            Phase::Idle if self.known.awaits_clock() => self.known.look_again_at(now),
            Phase::Idle => {
                let store_at = self
                    .known
                    .writer
                    .retry_at
                    .filter(|_| self.known.writer.is_dirty && !self.known.is_blocked())
                    .unwrap_or(Timestamp::NEVER);
                let lapse = self.known.run_out_at(now).unwrap_or(Timestamp::NEVER);
                let due = if self.known.may_call(now) {
                    let probe_at = self.known.probe_at(now).min(self.known.regular_probe_at(now));
                    self.known.call_at(now).min(probe_at).min(self.known.decide_at(now))
                } else {
                    Timestamp::NEVER
                };
                due.min(store_at).min(lapse).min(self.known.follow_at(now))
            }
            _ => Timestamp::NEVER,
        }
    }
}
