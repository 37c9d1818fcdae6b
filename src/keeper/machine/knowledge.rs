//! What does a keeper know of its credential: the record, how it reaches the store, and what the other relays do?
//!
//! The machine decides what is begun; what is learnt from its outcome changes only this.

use std::sync::Arc;

use super::{
    BootId, Failure, Generation, Identity, Note, Now, Policy, Probes, Record, Replica, SecretMark, Situation,
    Timestamp, Writer,
};

/// What a machine is made for, and never changes.
#[derive(Debug)]
pub(super) struct Charge {
    pub(super) policy: Policy,
    pub(super) identity: Identity,
    pub(super) secret_mark: SecretMark,
    pub(super) boot_id: BootId,
    pub(super) started_at: Timestamp,
    /// No generation below this is served: a keeper that was started again does not go back (I4).
    pub(super) min_generation: Generation,
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
    pub(super) last_failure: Option<Arc<Failure>>,
    /// What is known of the other relays on the store, if there can be any.
    pub(super) replica: Option<Replica>,
    /// What is to be logged and counted.
    pub(super) notes: Vec<Note>,
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
            last_failure: None,
            replica: None,
            notes: Vec::new(),
            charge,
        }
    }

    pub(super) fn note(&mut self, note: impl Into<Option<Note>>) {
        self.notes.extend(note.into());
    }

    /// What the promise and the plan follow from.
    pub(super) fn situation(&self) -> Situation<'_> {
        Situation {
            record: &self.record,
            policy: &self.charge.policy,
            probes: &self.probes,
            durable: self.writer.durable,
            watch: self.watch(),
            is_replica: self.replica.is_some(),
            must_force: self.must_force,
        }
    }
}
