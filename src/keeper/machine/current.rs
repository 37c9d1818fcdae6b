//! What is the current credential, and what may have ended it? From this `promise` and `plan` follow, anew at every step.

use super::{Call, Knowledge, Outcome, RotationMode, Timestamp};
use crate::{clock::Bounds, keeper::record::Credential};

impl Knowledge {
    pub(super) fn is_rotating(&self) -> bool {
        self.issuer().rotation == RotationMode::Rotating
    }

    /// Whether a call, of this relay or of somebody else, ends the token: not where the same one comes until its end.
    pub(super) fn can_be_ended(&self) -> bool {
        self.is_rotating() || self.issuer().can_be_forced
    }

    /// The current credential, if it is not known to be dead at `now`.
    pub(super) fn living(&self, now: Timestamp) -> Option<&Credential> {
        self.unless_refused().filter(|credential| now < credential.deadline.earliest)
    }

    /// The same, and up to the latest moment that its deadline can be.
    pub(super) fn perhaps_living(&self, now: Timestamp) -> Option<&Credential> {
        self.unless_refused().filter(|credential| now < credential.deadline.latest)
    }

    fn unless_refused(&self) -> Option<&Credential> {
        self.record.credential.as_ref().filter(|credential| !credential.is_refused)
    }

    /// R: by our own clock where nobody else calls, else the earliest that another relay may take it to be.
    pub(super) fn rotation_at(&self, credential: &Credential) -> Timestamp {
        let Bounds { earliest, latest } = self.planned(credential);
        if self.replica.is_some() { earliest } else { latest }
    }

    /// The remembered calls of which any may have minted another credential than the current one, or may yet. A sticky issuer's does
    /// so where it is forced, and those that are not are remembered only where they brought another token than the current one.
    pub(super) fn ending_calls(&self) -> impl Iterator<Item = &Call> {
        let can_be_ended = self.can_be_ended();
        self.record.calls.iter().filter(move |call| match call.outcome {
            _ if !can_be_ended => false,
            Outcome::Open { is_forced } => self.issuer().ends_the_living(is_forced),
            Outcome::Unknown { .. } | Outcome::Late(_) => true,
            Outcome::Void => false,
        })
    }

    /// Between which moments they may have left.
    pub(super) fn invalidated(&self) -> Option<Bounds> {
        self.ending_calls().map(|call| call.sent).reduce(Bounds::or)
    }
}
