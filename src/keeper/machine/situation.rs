//! From what does it follow how long a credential may be promised, and when what is due? `promise` and `plan` compute both
//! anew at every step.

use std::time::Duration;

use super::{Policy, RotationMode};
use crate::{
    clock::{Bounds, Timestamp},
    credential::Generation,
    keeper::{
        record::{Call, Credential, Outcome, Record},
        schedule::{LEASE, SUCCESSION},
    },
};

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

/// Which calls could go unrecorded (I3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// None: nobody else calls, or no call ends the token.
    Always,
    /// None before the last contact with the store that other relays share. That this one has the lease, until [`LEASE`] later, does
    /// not say more for certain: the store may have lost that it has it.
    Contact { at: Timestamp, is_leased: bool },
}

impl Watch {
    /// Another relay calls for the first time after this moment, if the store has lost nothing.
    pub(super) fn another_calls_after(self) -> Timestamp {
        match self {
            Self::Always => Timestamp::NEVER,
            Self::Contact { at, is_leased: true } => at.plus(LEASE).plus(SUCCESSION),
            Self::Contact { at, is_leased: false } => at.plus(SUCCESSION),
        }
    }
}

/// All that the two questions are answered from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation<'a> {
    pub(super) record: &'a Record,
    pub(super) policy: &'a Policy,
    pub(super) probes: &'a Probes,
    /// The generation whose credential is durable.
    pub(super) durable: Generation,
    pub(super) watch: Watch,
    /// When this keeper began.
    pub(super) started_at: Timestamp,
    /// Other relays may call.
    pub(super) is_replica: bool,
    /// A sticky issuer answered with the refused token.
    pub(super) must_force: bool,
    /// The AppSecret was changed since the last call, while the process lives.
    pub(super) has_untried_secret: bool,
}

impl<'a> Situation<'a> {
    pub(super) fn is_rotating(&self) -> bool {
        self.policy.issuer.rotation == RotationMode::Rotating
    }

    /// The current credential, if it is not known to be dead at `now`.
    pub(super) fn living(&self, now: Timestamp) -> Option<&'a Credential> {
        self.unless_refused().filter(|credential| now < credential.deadline.earliest)
    }

    /// The same, and up to the latest moment that its deadline can be.
    pub(super) fn perhaps_living(&self, now: Timestamp) -> Option<&'a Credential> {
        self.unless_refused().filter(|credential| now < credential.deadline.latest)
    }

    fn unless_refused(&self) -> Option<&'a Credential> {
        self.record.credential.as_ref().filter(|credential| !credential.is_refused)
    }

    /// R: by our own clock where nobody else calls, else the earliest that another relay may take it to be.
    pub(super) fn rotation_at(&self, credential: &Credential) -> Timestamp {
        let Bounds { earliest, latest } = self.planned(credential);
        if self.is_replica { earliest } else { latest }
    }

    /// Whether a call, of this relay or of somebody else, ends the token: not where the same one comes until its end.
    pub(super) fn can_be_ended(&self) -> bool {
        self.is_rotating() || self.policy.issuer.can_be_forced
    }

    /// The remembered calls of which any may have minted another credential than the current one, or may yet. A sticky issuer's does
    /// so where it is forced, and those that are not are remembered only where they brought another token than the current one.
    pub(super) fn ending_calls(&self) -> impl Iterator<Item = &'a Call> {
        let (issuer, can_be_ended) = (self.policy.issuer, self.can_be_ended());
        self.record.calls.iter().filter(move |call| match call.outcome {
            _ if !can_be_ended => false,
            Outcome::Open { is_forced } => issuer.ends_the_living(is_forced),
            Outcome::Unknown { .. } | Outcome::Late(_) => true,
            Outcome::Void => false,
        })
    }

    /// Between which moments they may have left.
    pub(super) fn invalidated(&self) -> Option<Bounds> {
        self.ending_calls().map(|call| call.sent).reduce(Bounds::or)
    }

    /// O − r.
    pub(super) fn window(&self) -> Duration {
        self.policy.window()
    }
}
