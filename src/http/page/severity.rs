//! How bad is it?

use serde::Serialize;

use crate::status::Failure;

/// From the best to the worst, which is shown first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// Nothing is wrong.
    #[default]
    Fine,
    /// Something fails, and the relay goes on by itself.
    Watch,
    /// Served still, but only the operator can mend what is wrong.
    Act,
    /// Clients get none.
    Bad,
}

impl Severity {
    pub(super) const ALL: [Self; 4] = [Self::Bad, Self::Act, Self::Watch, Self::Fine];

    /// Its class in the style sheet.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Watch => "watch",
            Self::Act => "act",
            Self::Bad => "bad",
        }
    }

    /// Of a failure while the credential is served.
    pub(super) fn of_failure(failure: &Failure) -> Self {
        if failure.needs_operator() { Self::Act } else { Self::Watch }
    }
}
