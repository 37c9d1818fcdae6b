//! What does a keeper know of its credential: the record, how it reaches the store, and what the other relays do?
//!
//! The machine decides what is begun; what is learnt from its outcome changes only this.

use std::sync::Arc;

use super::{BootId, Failure, Generation, Identity, Note, Now, Policy, Record, Replica, SecretMark, Timestamp, Writer};
use crate::{
    issuer::Profile,
    keeper::schedule::{ATTEMPT_GAP, SUCCESSION},
};

/// What a machine is made for. Only a change of the settings changes it.
#[derive(Debug)]
pub(super) struct Charge {
    pub(super) policy: Policy,
    pub(super) identity: Arc<Identity>,
    pub(super) secret_mark: SecretMark,
    pub(super) boot_id: BootId,
    pub(super) started_at: Timestamp,
    /// No generation below this is served: a keeper that was started again does not go back (I4).
    pub(super) min_generation: Generation,
    /// When another account of this process kept the same credential.
    pub(super) meanwhile: Option<Meanwhile>,
}

/// When another account of this process kept the same credential: its calls are in no record of this one.
#[derive(Debug, Clone, Copy)]
pub struct Meanwhile {
    /// From when this account was not served, if it was before.
    pub since: Option<Timestamp>,
    /// To when it was served again.
    pub until: Timestamp,
}

/// All that is known.
#[derive(Debug)]
pub(super) struct Knowledge {
    pub(super) charge: Charge,
    pub(super) rng: fastrand::Rng,
    pub(super) record: Record,
    pub(super) writer: Writer,
    pub(super) probes: Probes,
    /// A sticky issuer answered with the refused token: force it.
    pub(super) must_force: bool,
    /// The AppSecret was changed while the process lives. At a start it counts from the next call on: a restart is free (I7).
    was_given_secret: bool,
    pub(super) last_failure: Option<Arc<Failure>>,
    /// What is known of the other relays on the store, if there can be any.
    pub(super) replica: Option<Replica>,
    /// What is to be logged and counted.
    pub(super) notes: Vec<Note>,
}

/// What probes have found of the current credential.
#[derive(Debug, Default)]
pub(super) struct Probes {
    /// When the last one was sent.
    pub(super) last_at: Option<Timestamp>,
    /// The last rotation of this process that replaced a token: the report's cool-down counts from it too.
    pub(super) rotated_at: Option<Timestamp>,
    /// The last one that was refused: it is served no more, not even until the one after it is stored.
    pub(super) refused: Option<Generation>,
    /// No probe of our own accord before.
    pub(super) retry_at: Option<Timestamp>,
    /// A regular probe was refused then, and a second one is to say whether that is so.
    pub(super) refused_once_at: Option<Timestamp>,
    /// Where between 0 and 1 this keeper stands among those that probe as often: they must not come in step.
    pub(super) jitter: f64,
    /// The clock offset up to which the credential was checked.
    pub(super) checked_offset_ms: i64,
}

impl Knowledge {
    /// Nothing yet.
    pub(super) fn new(charge: Charge, started: Now, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let jitter = rng.f64();
        Self {
            rng,
            record: Record { generation: charge.min_generation, ..Record::default() },
            writer: Writer::default(),
            probes: Probes { checked_offset_ms: started.offset_ms(), jitter, ..Probes::default() },
            must_force: false,
            was_given_secret: false,
            last_failure: None,
            replica: None,
            notes: Vec::new(),
            charge,
        }
    }

    pub(super) fn note(&mut self, note: impl Into<Option<Note>>) {
        self.notes.extend(note.into());
    }

    pub(super) const fn policy(&self) -> &Policy {
        &self.charge.policy
    }

    pub(super) const fn issuer(&self) -> &Profile {
        &self.charge.policy.issuer
    }

    /// The settings were changed.
    pub(super) fn reconfigured(&mut self, now: Now, policy: Policy, secret_mark: SecretMark) {
        self.charge.policy = policy;
        self.was_given_secret |= self.charge.secret_mark != secret_mark;
        self.charge.secret_mark = secret_mark;
        // a relay without the lease does so when it takes it
        if self.may_call(now) {
            self.end_waits_of_old_secret(now);
        }
    }

    /// What WeChat said of another AppSecret does not bind this relay's own: the next call comes as soon as any may.
    pub(super) fn end_waits_of_old_secret(&mut self, now: Now) {
        if !self.has_another_secret() {
            return;
        }
        let was_put_off = self.record.retry_at.is_some_and(|at| now.boot < at.latest);
        self.forget_old_secret();
        self.writer.is_dirty = true;
        if was_put_off {
            // the others have verified the token up to the call that they expect: they see first that it comes sooner
            self.put_off(now.boot.plus(if self.replica.is_some() { SUCCESSION } else { ATTEMPT_GAP }));
        }
    }

    /// Whether the AppSecret was changed while the process lives, and no call was made with it.
    pub(super) fn has_untried_secret(&self) -> bool {
        self.was_given_secret && self.has_another_secret()
    }

    /// Whether the last call was made with another AppSecret than this relay's own.
    pub(super) fn has_another_secret(&self) -> bool {
        self.record.asked_with != self.charge.secret_mark
    }
}
