//! What should an operator know of a credential?
//!
//! A further notice is a variant here, found in [`Notice::of`] and worded in `words`; one that is about the whole relay is added
//! in `lines`.

use super::{account::Credential, severity::Severity};
use crate::{
    credential::CredentialKind,
    status::{Failure, StoreTrouble},
};

/// Something that an operator should know.
#[derive(Debug, Clone, Copy)]
pub(super) enum Notice<'c> {
    /// The keeper gives no sign of life.
    Silent,
    /// Calls fail.
    Failing(&'c Failure),
    /// No call is left of the day's.
    CallsSpent,
    /// The record cannot be stored.
    NotStored(&'c StoreTrouble),
    /// Somebody else fetches tokens.
    AnotherCaller,
    /// An operator's revocation is on its way.
    Revoking,
}

impl Credential {
    /// As bad as the worst that an operator should know of it.
    pub(super) fn severity(&self) -> Severity {
        let of_the_lack = match self.kind() {
            _ if self.state().is_served() => Severity::Fine,
            CredentialKind::AccessToken => Severity::Bad,
            // between two of them there is none for a second or two, without a failure
            CredentialKind::Ticket(_) => Severity::Watch,
        };
        Notice::of(self).map(|(severity, _)| severity).fold(of_the_lack, Severity::max)
    }
}

impl<'c> Notice<'c> {
    /// All notices about a credential, each with its severity.
    pub(super) fn of(credential: &'c Credential) -> impl Iterator<Item = (Severity, Self)> {
        let (status, is_served) = (credential.status(), credential.state().is_served());
        let failing = status.trouble.as_deref().map(|failure| {
            let severity = if is_served { Severity::of_failure(failure) } else { Severity::Bad };
            (severity, Self::Failing(failure))
        });
        [
            credential.is_silent.then_some((Severity::Bad, Self::Silent)),
            failing,
            status
                .has_spent_calls()
                .then_some((if is_served { Severity::Act } else { Severity::Bad }, Self::CallsSpent)),
            status.store_trouble.as_ref().map(|trouble| (Severity::Act, Self::NotStored(trouble))),
            status.ended_by_others_at.map(|_| (Severity::Act, Self::AnotherCaller)),
            (status.rotations_to_revoke > 0).then_some((Severity::Watch, Self::Revoking)),
        ]
        .into_iter()
        .flatten()
    }
}
