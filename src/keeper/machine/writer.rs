//! How does the record reach the store, and what is known of what the store holds?

use super::{Action, Note};
use crate::{clock::Timestamp, credential::Generation, status::StoreTrouble, store::Sealed};

/// What is written, was written, and could not be.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// What the store is believed to hold.
    pub(super) held: Option<Sealed>,
    /// The bytes being written.
    writing: Option<Sealed>,
    /// Something was learnt that is not written yet.
    pub(super) is_dirty: bool,
    /// Not offered again before.
    pub(super) retry_at: Option<Timestamp>,
    /// Whether this process ever wrote.
    pub(super) has_stored: bool,
    /// When the last write was answered, whatever came of it: a read that was asked before may show what was there before it.
    pub(super) answered_at: Option<Timestamp>,
    /// The generation whose credential is durable.
    pub(super) durable: Generation,
    /// The generation whose credential was offered to the store and not taken.
    untaken: Generation,
    /// Failures in a row, and the last one.
    failures: u32,
    pub(super) trouble: Option<StoreTrouble>,
}

impl Writer {
    /// Writes `next` in place of what the store is believed to hold.
    pub(super) fn write(&mut self, next: Sealed) -> Action {
        self.writing = Some(next.clone());
        Action::Store { expected: self.held.clone(), next }
    }

    /// The store holds what was written, with the credential of this generation.
    pub(super) fn won(&mut self, now: Timestamp, generation: Generation) -> Option<Note> {
        self.held = self.writing.take();
        self.has_stored = true;
        self.is_dirty = false;
        self.durable = generation;
        self.answered_at = Some(now);
        self.recovered()
    }

    /// The store does not hold it, or nobody knows.
    pub(super) fn not_stored(&mut self, now: Timestamp, generation: Generation) {
        self.writing = None;
        self.is_dirty = true;
        self.untaken = generation;
        self.answered_at = Some(now);
    }

    /// Another relay has written before.
    pub(super) fn lost(&mut self, now: Timestamp) {
        self.writing = None;
        self.answered_at = Some(now);
    }

    /// The store failed, to read or to write, and is given until then.
    pub(super) fn failed(&mut self, retry_at: Timestamp, trouble: StoreTrouble) -> Note {
        self.retry_at = Some(retry_at);
        self.failures = self.failures.saturating_add(1);
        self.trouble = Some(trouble.clone());
        Note::StoreFailed { trouble, repeated: self.failures }
    }

    /// The store still fails, and this is why.
    pub(super) fn now_fails_by(&mut self, trouble: StoreTrouble) {
        if let Some(before) = &mut self.trouble {
            *before = trouble;
        }
    }

    /// The store answers; what to log where it did not before.
    pub(super) fn recovered(&mut self) -> Option<Note> {
        self.retry_at = None;
        self.trouble = None;
        let failures = std::mem::take(&mut self.failures);
        (failures > 0).then_some(Note::StoreRecovered(failures))
    }

    /// Whether something is to be written, and may be tried.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.is_dirty && self.retry_at.is_none_or(|at| at <= now)
    }

    /// Whether the credential of this generation is stored, or could not be.
    pub(super) fn is_settled(&self, generation: Generation) -> bool {
        [self.durable, self.untaken].contains(&generation)
    }
}
