//! What hands out a credential, what does it say of itself, and how can a call to it fail?
//!
//! Nothing here belongs to one issuer. An issuer is a file of its own: its calls, its [`Profile`], its table of errors
//! and its probe.

use std::{fmt, future::ready, time::Duration};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::credential::{Generation, Token};

mod cause;
mod errors;
pub mod greeting;
mod platform;
mod probe;
pub mod reply;
pub mod ticket;
pub mod upstream;
pub mod wechat;
pub mod wecom;

pub use cause::{Cause, NoVerdict, ReplyDefect};
pub use errors::{ErrorTable, Hint, Remedy, Rule};
pub use platform::{NotAPlatform, Platform};

/// What an issuer does when it is called again while its last credential lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationMode {
    /// Each call mints a new credential and ends the old one.
    Rotating,
    /// A call returns the same credential, until its last overlap; without one until its end.
    Sticky,
}

/// What an issuer says of itself. The keeper's rules follow from it, whoever the issuer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
pub struct Profile {
    /// What a further call does.
    pub rotation: RotationMode,
    /// O: how long the previous credential works after a rotation; zero where nothing is promised.
    pub overlap: Duration,
    /// Whether a credential that is returned again comes with the time that it has left. If not, it comes with a whole life each
    /// time.
    pub tells_remaining_life: bool,
    /// Whether nobody but the relay asks for it, as with access tokens. Then another credential than the last one was minted by a
    /// call of the relay. Counts only where the rest of a life is not told.
    pub is_asked_by_us_alone: bool,
    /// How often in a whole life it is asked for while nobody knows what is left of that. Counts only where the rest of a life is
    /// not told.
    pub sightings_per_life: u32,
    /// Whether a sticky issuer rotates on demand.
    pub can_be_forced: bool,
    /// The longest that a stored wait still binds a relay that starts: an operator who restarts it expects an attempt.
    /// Longer where each attempt does harm.
    pub wait_after_restart: Duration,
    /// The longest back-off while none of its credentials lives: a reader may be waiting. Longer where few calls are allowed.
    pub retry_max_without_any: Duration,
    /// Whether the account's secret alone says whose the credential is: a stored one that was asked for with another secret is not
    /// taken.
    pub secret_names_owner: bool,
    /// What its errors mean.
    pub errors: &'static ErrorTable,
}

impl Profile {
    /// Whether a call may end a credential that lives: of a sticky issuer only one that is forced.
    pub const fn ends_the_living(&self, is_forced: bool) -> bool {
        matches!(self.rotation, RotationMode::Rotating) || is_forced
    }

    /// Whether the answer to a call is the newest credential, with what is left of its life, and the call ends none.
    pub const fn tells_the_newest(&self, is_forced: bool) -> bool {
        self.tells_remaining_life && !self.ends_the_living(is_forced)
    }
}

/// What hands out one kind of credential for one account. It neither retries nor remembers: the keeper does.
pub trait Issuer: Send + Sync + 'static {
    /// What it is; the same as long as it lives.
    fn profile(&self) -> Profile;

    /// Until a call makes sense. An issuer whose calls need another credential waits for that one here, before its keeper counts
    /// and announces a call; the wait may end too soon.
    fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }

    /// Asks for a credential. `force` asks for a rotation, only of an issuer that can be forced. The future must be run
    /// to its end: dropping it makes the call an unknown one (I13).
    fn issue(&self, force: bool) -> BoxFuture<'_, Result<Issued, IssueError>>;

    /// Asks whether `token` is accepted, with a harmless call.
    fn probe<'a>(&'a self, token: &'a Token) -> BoxFuture<'a, Verdict>;
}

/// The account's access token, for an issuer whose calls need one: the one that readers are served.
pub trait AccessToken: fmt::Debug + Send + Sync + 'static {
    /// The token that may be used now, if there is one.
    fn living(&self) -> Option<(Generation, Token)>;

    /// Until there is one.
    fn until_living(&self) -> BoxFuture<'_, ()>;

    /// Reports to its keeper that the platform has refused this generation, and does not wait for what comes of it: the keeper may
    /// need the permit that the caller holds.
    fn refused(&self, generation: Generation);
}

/// A credential fresh from its issuer.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The value.
    pub token: Token,
    /// How long it lives, counted from the moment before the call's first byte; positive, at most two hours.
    pub life: Duration,
}

/// The result of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The call was answered: the token works.
    Accepted,
    /// The token was named invalid.
    Refused {
        /// By this code.
        errcode: i64,
    },
    /// Another credential was given in its place.
    Replaced,
    /// Anything else: it says nothing about the token.
    Inconclusive {
        /// Why.
        cause: NoVerdict,
    },
}

/// Why a call brought no credential.
///
/// Its text does not say who answered: [`ErrorTable::describe`] does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssueError {
    /// No name, no connection: provably nothing was sent, so the debit is given back.
    #[error("not sent: {cause}")]
    NotSent {
        /// What happened. Earlier records call it `reason`.
        #[serde(alias = "reason")]
        cause: Cause,
    },
    /// The first byte may have left and the outcome is not known: with a rotating issuer the call may have minted (I8).
    #[error("outcome unknown: {cause}")]
    Unknown {
        /// What happened. Earlier records call it `reason`.
        #[serde(alias = "reason")]
        cause: Cause,
    },
    /// The issuer answered with an `errcode` other than 0: it minted nothing.
    #[error("errcode {errcode}: {errmsg}")]
    Refused {
        /// The issuer's code.
        errcode: i64,
        /// The issuer's text: printable, at most 256 characters, without a secret.
        errmsg: String,
    },
}

impl IssueError {
    /// The issuer's code, where it gave one.
    pub fn errcode(&self) -> Option<i64> {
        match self {
            Self::Refused { errcode, .. } => Some(*errcode),
            Self::NotSent { .. } | Self::Unknown { .. } => None,
        }
    }

    /// Whether both are the same kind of failure: repeated ones are logged less.
    pub fn is_same_kind(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::NotSent { .. }, Self::NotSent { .. }) | (Self::Unknown { .. }, Self::Unknown { .. }) => true,
            (Self::Refused { errcode: one, .. }, Self::Refused { errcode: other, .. }) => one == other,
            (Self::NotSent { .. } | Self::Unknown { .. } | Self::Refused { .. }, _) => false,
        }
    }
}
