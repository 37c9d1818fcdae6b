//! What should be done next? The one place where the rules of a credential are decided.
//!
//! The machine does no I/O and reads no clock: [`Machine::step`] takes the time and an event and answers with actions. The
//! same machine runs behind the keeper's shell and in the simulation. It does one thing at a time (`Phase`); every rule
//! is a moment that it computes anew from the [`Record`] (`promise`, `plan`), never a timer that it would have to cancel.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    record::{CLOCK_TOLERANCE, CallId, Debit, Decoded, Identity, Intent, Record, ReplicaId, SecretMark, UnknownCall},
    schedule::{ATTEMPT_GAP, Policy},
};
use crate::{
    clock::{BootId, Now, Timestamp},
    credential::{Generation, Promise, Token},
    issuer::{Cause, IssueError, Issued, NoVerdict, Remedy, RotationMode, Verdict},
    report::{ReportFailure, ReportLimit},
    status::{Failure, Offer, Status, StoreTrouble},
    store::{Sealed, StoreError, Swap},
};

mod calls;
mod cluster;
mod messages;
mod plan;
mod probes;
mod promise;
mod reports;
mod storing;

#[cfg(test)]
mod tests;

pub use messages::{Action, Event, NotRestored, Note, ReportAnswer, ReportId};

/// A relay that never could write calls, without a living token, only from so long after its start: a crash loop on a
/// broken disk must not become a loop of calls (I6).
const NEVER_STORED_GRACE: Duration = Duration::from_secs(60);
/// How often a record is offered again to a store that did not take it.
const STORE_RETRY: Duration = Duration::from_secs(5);
/// How often a record is asked for again from a store that did not answer.
const LOAD_RETRY: Duration = Duration::from_secs(1);

/// What is under way. One thing at a time: that is I1 within a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The record has not been read yet; ask for it (again) at this moment, or it is being read.
    Loading { ask_at: Option<Timestamp> },
    /// Nothing.
    Idle,
    /// Waiting for a permit to call.
    Reserving,
    /// The record is being written.
    Recording(Then),
    /// A call is under way.
    Calling(Intent),
    /// A probe is under way.
    Probing(ProbeSent),
    /// The end.
    Stopped,
}

/// What the record is being written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Call(Intent),
    Probe(ProbeSent),
    /// To keep what was learnt.
    Keep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ProbeSent {
    at: Timestamp,
    generation: Generation,
    /// It is the candidate that is probed.
    is_candidate: bool,
}

/// How writing goes.
#[derive(Debug, Default)]
struct Storing {
    /// What the store is believed to hold.
    held: Option<Sealed>,
    /// The bytes being written.
    writing: Option<Sealed>,
    /// Something was learnt that is not written yet.
    is_dirty: bool,
    /// Not offered again before.
    retry_at: Option<Timestamp>,
    /// Whether this process ever wrote.
    has_stored: bool,
    /// The generation whose credential is durable.
    durable: Generation,
    /// The generation whose credential was offered to the store and not taken.
    untaken: Generation,
    /// Failures in a row, and the last one.
    failures: u32,
    trouble: Option<StoreTrouble>,
}

/// What probes have found of the current credential.
#[derive(Debug, Default)]
struct Probes {
    /// When the last one was sent.
    last_at: Option<Timestamp>,
    /// No probe of our own accord before.
    retry_at: Option<Timestamp>,
    /// The clock offset up to which the credential was checked.
    checked_offset_ms: i64,
}

/// The decisions of one keeper.
pub struct Machine {
    policy: Policy,
    identity: Identity,
    secret_mark: SecretMark,
    boot: BootId,
    rng: fastrand::Rng,
    started_at: Timestamp,
    /// How far the wall clock was ahead of the boot clock when that was last told.
    seen_offset_ms: i64,
    /// No generation below this is served: a keeper that was started again does not go back (I4).
    min_generation: Generation,
    record: Record,
    /// The record was looked at, so there is something to publish.
    is_loaded: bool,
    phase: Phase,
    storing: Storing,
    probes: Probes,
    /// The last rotation of this process that replaced a token, for the report's cooldown.
    rotated_at: Option<Timestamp>,
    /// A sticky issuer answered with the refused token: force it.
    must_force: bool,
    last_failure: Option<Arc<Failure>>,
    reports: Vec<(ReportId, Generation)>,
    published: Option<Status>,
    is_stopping: bool,
    /// What is known of the other relays on the store, if there can be any.
    replica: Option<cluster::Replica>,
    actions: Vec<Action>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("phase", &self.phase).field("record", &self.record).finish_non_exhaustive()
    }
}

impl Machine {
    /// A machine that has not read its record yet. `min_generation` is the last generation that this process has served, `seed`
    /// fixes its jitter.
    pub fn new(
        policy: Policy,
        identity: Identity,
        boot: BootId,
        started: Now,
        min_generation: Generation,
        seed: u64,
    ) -> Self {
        Self {
            policy,
            identity,
            secret_mark: SecretMark::default(),
            boot,
            rng: fastrand::Rng::with_seed(seed),
            started_at: started.boot,
            seen_offset_ms: started.offset_ms(),
            min_generation,
            record: Record { generation: min_generation, ..Record::default() },
            is_loaded: false,
            phase: Phase::Loading { ask_at: Some(started.boot) },
            storing: Storing::default(),
            probes: Probes { checked_offset_ms: started.offset_ms(), ..Probes::default() },
            rotated_at: None,
            must_force: false,
            last_failure: None,
            reports: Vec::new(),
            published: None,
            is_stopping: false,
            replica: None,
            actions: Vec::new(),
        }
    }

    /// The same machine as one of several relays on one store.
    #[must_use]
    pub fn as_replica(mut self, me: ReplicaId) -> Self {
        self.replica = Some(cluster::Replica::new(me, self.started_at));
        self
    }

    /// The same machine, with the mark of the AppSecret that its calls are made with.
    #[must_use]
    pub fn asking_with(mut self, secret_mark: SecretMark) -> Self {
        self.secret_mark = secret_mark;
        self
    }

    /// Takes in what happened and answers what to do, in this order.
    pub fn step(&mut self, now: Now, event: Event) -> Vec<Action> {
        self.note_clock(now);
        match event {
            Event::Tick => {}
            Event::Loaded(loaded) => self.loaded(now, loaded),
            Event::Stored(swap) => self.stored(now, swap),
            Event::Reserved => self.reserved(now),
            Event::Reply(reply) => self.replied(now, reply),
            Event::Probed(verdict) => self.probed(now, verdict),
            Event::Report(id, generation) => self.reports.push((id, generation)),
            Event::Hint => self.poll_now(now),
            Event::Shutdown => {
                self.is_stopping = true;
                if self.phase == Phase::Reserving {
                    self.give_up_permit();
                }
            }
        }
        self.advance(now);
        self.publish(now);
        self.actions.push(Action::WakeAt(self.wake_at(now)));
        std::mem::take(&mut self.actions)
    }

    /// Logs once that a clock was set; what follows from it is computed from the credential's own offset.
    fn note_clock(&mut self, now: Now) {
        let by_ms = now.offset_ms().saturating_sub(self.seen_offset_ms);
        if Duration::from_millis(by_ms.unsigned_abs()) > CLOCK_TOLERANCE {
            self.seen_offset_ms = now.offset_ms();
            self.note(Note::ClockSet(by_ms));
        }
    }

    fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    fn note(&mut self, note: Note) {
        self.act(Action::Note(note));
    }

    /// Begins what is due, if nothing is under way.
    fn advance(&mut self, now: Now) {
        match self.phase {
            Phase::Loading { .. } if self.is_stopping && !self.is_loaded => self.stop(now),
            Phase::Loading { ask_at: Some(at) } if at <= now.boot => self.begin_look(now),
            // the wait for a permit has no bound, and must not cost the lease
            Phase::Reserving if self.is_renewal_due(now) => {
                self.give_up_permit();
                self.write(now, Then::Keep);
            }
            Phase::Idle if self.must_store(now) => self.write(now, Then::Keep),
            Phase::Idle if self.is_stopping && self.must_leave() => self.leave(now),
            Phase::Idle if self.is_stopping => self.stop(now),
            Phase::Idle if self.should_yield() => self.yield_lease(now),
            Phase::Idle if self.poll_at() <= now.boot => self.begin_look(now),
            Phase::Idle if self.may_call(now) => self.begin_what_is_due(now),
            Phase::Idle => self.follow(now),
            _ => {}
        }
    }

    fn begin_what_is_due(&mut self, now: Now) {
        self.take_forwarded(now);
        if self.decide_at() <= now.boot {
            self.begin_probe(now, true);
        } else if self.call_at(now) <= now.boot {
            self.phase = Phase::Reserving;
            self.act(Action::Reserve { is_urgent: self.living(now.boot).is_none() });
        } else if self.take_reports(now) || self.probe_at(now) <= now.boot {
            self.begin_probe(now, false);
        }
    }

    fn must_store(&self, now: Now) -> bool {
        let may_try = self.storing.retry_at.is_none_or(|at| at <= now.boot);
        may_try && !self.is_foreign() && (self.storing.is_dirty || self.is_renewal_due(now))
    }

    fn stop(&mut self, now: Now) {
        self.answer_all(&ReportAnswer::Failed { again_at: now.boot, failure: ReportFailure::ShuttingDown });
        self.phase = Phase::Stopped;
        self.act(Action::Stop);
    }

    /// The permit is ours: the call is debited and its intent recorded before its first byte (I6, I8).
    fn reserved(&mut self, now: Now) {
        if self.phase != Phase::Reserving {
            // it was given up before it was granted
            return self.act(Action::Release);
        }
        if !self.may_call(now) || self.call_at(now) > now.boot {
            return self.give_up_permit();
        }
        let intent =
            Intent { id: self.new_call(now), sent_at: now.boot, sent_by: now.boot, is_forced: self.must_force };
        self.record.debits.debit(now.boot, Debit::Call { is_forced: intent.is_forced });
        self.record.last_attempt_at = Some(now.boot);
        self.record.asked_with = self.secret_mark.clone();
        if intent.is_forced {
            self.record.forced_at = Some(now.boot);
        }
        self.record.intent = Some(intent);
        self.write(now, Then::Call(intent));
    }

    /// A name for a call. Among several relays it is random; for one alone the moment is name enough.
    fn new_call(&mut self, now: Now) -> CallId {
        CallId(if self.replica.is_some() { self.rng.u64(..) } else { now.boot.as_micros().unsigned_abs() })
    }

    fn give_up_permit(&mut self) {
        self.phase = Phase::Idle;
        self.act(Action::Release);
    }

    fn begin_probe(&mut self, now: Now, is_candidate: bool) {
        let Some(generation) = self.record.credential.as_ref().map(|credential| credential.generation) else { return };
        self.record.debits.debit(now.boot, Debit::Probe);
        self.write(now, Then::Probe(ProbeSent { at: now.boot, generation, is_candidate }));
    }

    fn write(&mut self, now: Now, then: Then) {
        self.number(now);
        let next = self.record.encode(&self.identity, &self.boot, now);
        self.storing.writing = Some(next.clone());
        self.phase = Phase::Recording(then);
        self.act(Action::Store { expected: self.storing.held.clone(), next });
    }

    fn is_rotating(&self) -> bool {
        self.policy.issuer.rotation == RotationMode::Rotating
    }
}
