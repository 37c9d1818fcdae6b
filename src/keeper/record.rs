//! What is known of a credential, and stored?
//!
//! A record is written as it is, with all moments on its writer's boot clock; [`codec`] says what that clock showed then. Who
//! reads it moves them to the own clock, and knows them only so far ([`Bounds`]).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    clock::{Bounds, ClockOffset, Timestamp, WallTime},
    credential::{Generation, Token},
    issuer::IssueError,
    presence::ReplicaId,
};

mod calls;
mod calm;
pub mod codec;
mod debits;
mod forwarded;
mod handed_out;
mod reconcile;
mod revocation;
#[cfg(test)]
mod tests;
mod token_text;

pub use calls::{Call, CallId, LateToken, Outcome};
pub use calm::{Calm, SHORT_CALM};
pub use codec::{CLOCK_TOLERANCE, ClockBasis, Stored, Unreadable};
pub use debits::{DAY, Debit, Debits, FORCED_PER_DAY, PROBES_PER_DAY, UNASKED_PROBES_PER_DAY};
pub use forwarded::{ForwardedAnswer, ForwardedReport};
pub use handed_out::HandedOut;
pub use reconcile::Precedence;
pub use revocation::Revocation;

/// Whose record it is: one that differs in any part is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// `wechat.base_url`, or `wecom.base_url`.
    pub base_url: String,
    /// The account's appid, or corpid.
    pub appid: String,
    /// The account's endpoint: the two kinds of token look alike and do not mix. Of a ticket its kind as well.
    pub endpoint: String,
}

/// A short mark of the AppSecret in use, to notice that it was changed; it tells nothing about the secret. Waits that an
/// old secret has earned do not bind a new one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretMark(String);

impl SecretMark {
    /// The mark of `secret`: 32 bits of its hash, far too few to search for a random secret.
    pub fn of(appid: &str, secret: &str) -> Self {
        let digest = Sha256::new().chain_update(appid).chain_update([0]).chain_update(secret).finalize();
        Self(hex::encode(&digest[..4]))
    }
}

/// What is known of a credential.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The last generation ever published, also when its credential is gone.
    pub generation: Generation,
    /// Which relay may call WeChat, of several on one store.
    pub holder: Option<ReplicaId>,
    /// Grows with every write of several relays, whoever makes it: a record with a revision that was seen before is one
    /// that the store has gone back to.
    pub revision: u64,
    /// The current credential, dead or alive.
    pub credential: Option<Credential>,
    /// The tokens before it that live, oldest first.
    pub handed_out: Vec<HandedOut>,
    /// The calls that may have minted, or may yet, since the current credential (I8), oldest first.
    pub calls: Vec<Call>,
    /// When the first call was sent, since one was answered, of which nobody knows whether it has minted. Only of an issuer that
    /// does not say what is left of a life, and that nobody else asks: what the next call brings may be what that one minted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unanswered_at: Option<Bounds>,
    /// The calls that lost relays have announced and may still send.
    pub orphans: Vec<Orphan>,
    /// When the last accepted probe of the current credential was sent, if nothing since could have killed it (I8).
    pub verified_at: Option<Bounds>,
    /// When the last probe began, or ended.
    pub probed_at: Option<Bounds>,
    /// What the early fetches of late have shown.
    pub calm: Calm,
    /// When a probe last found a token dead that no call of ours had ended.
    pub ended_by_others_at: Option<WallTime>,
    /// What an operator has revoked.
    pub revocation: Revocation,
    /// A report that reached a relay without the lease.
    pub forwarded: Option<ForwardedReport>,
    /// Failures since the last success.
    pub failures: u32,
    /// When the last call began, or ended.
    pub last_attempt_at: Option<Bounds>,
    /// No call before this moment: the last failure's remedy.
    pub retry_at: Option<Bounds>,
    /// When the last forced call began.
    pub forced_at: Option<Bounds>,
    /// What was spent of the budgets.
    pub debits: Debits,
    /// With which AppSecret the last call was made.
    pub asked_with: SecretMark,
    /// Why the last call failed, for the operator, until one succeeds.
    pub last_error: Option<LastError>,
}

/// A credential and the moments that its life is judged by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Credential {
    /// The value.
    #[serde(with = "token_text")]
    pub token: Token,
    /// Its rotation.
    pub generation: Generation,
    /// Which call brought it: another relay may have taken that one for lost.
    pub call: Option<CallId>,
    /// s: the moment before the first byte of the call that brought it.
    pub asked_at: Bounds,
    /// The same of the last call that brought it again, as what is left of its life told: it was the newest one then, or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_again_at: Option<Bounds>,
    /// When the reply had come: it was minted before.
    pub came_at: Bounds,
    /// D: it never moves later.
    pub deadline: Bounds,
    /// R: rolled once.
    pub rotation_at: Bounds,
    /// WeChat refused it in a probe: it is served no more, whatever its deadline says.
    pub is_refused: bool,
    /// How far the wall clock was ahead of the boot clock when it came, in milliseconds.
    pub clock_offset_ms: i64,
    /// Of an issuer that does not say what is left of a life: what is known of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sighting: Option<Sighting>,
}

/// What is known of the life of a credential whose issuer does not say what is left of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// When the last call was sent that brought it: it was the current one at that moment, or later.
    pub seen_at: Bounds,
    /// When its life ends, if it is known when it began; the earliest is D until that has passed.
    pub ends: Option<Bounds>,
}

/// A call that its sender had announced when it was lost: frozen, it may send it whenever it wakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    /// Which call.
    pub call: CallId,
    /// From here on its sender is taken for dead.
    pub until: Bounds,
    /// A sticky issuer is asked to rotate: only such a call of its ends a token.
    #[serde(default)]
    pub is_forced: bool,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// What was answered, or what happened.
    pub error: IssueError,
    /// When.
    #[serde(rename = "wall_ms")]
    pub at: WallTime,
}

/// See [`Credential::is_much_clearer_than`].
const CLEARER: Duration = Duration::from_secs(30);

impl Record {
    /// The same record with its moments on our boot clock, which is so far ahead of its writer's.
    #[must_use]
    pub fn shifted(self, by: ClockOffset) -> Self {
        let moved = |moment: Option<Bounds>| moment.map(|moment| moment.shifted(by));
        Self {
            orphans: self.orphans_shifted(by),
            credential: self.credential.map(|credential| credential.shifted(by)),
            handed_out: self.handed_out.into_iter().map(|handed_out| handed_out.shifted(by)).collect(),
            calls: self.calls.into_iter().map(|call| call.shifted(by)).collect(),
            unanswered_at: moved(self.unanswered_at),
            verified_at: moved(self.verified_at),
            probed_at: moved(self.probed_at),
            calm: self.calm.shifted(by),
            forwarded: self.forwarded.map(|report| report.shifted(by)),
            last_attempt_at: moved(self.last_attempt_at),
            retry_at: moved(self.retry_at),
            forced_at: moved(self.forced_at),
            debits: self.debits.shifted(by),
            ..self
        }
    }

    /// Its orphans by that clock.
    pub fn orphans_shifted(&self, by: ClockOffset) -> Vec<Orphan> {
        self.orphans.iter().map(|orphan| Orphan { until: orphan.until.shifted(by), ..*orphan }).collect()
    }

    /// What is left of a record of which nobody knows how old it is: nothing can be promised of its credential, and no call
    /// be reckoned with but those that are announced; what was spent and what failed stays.
    #[must_use]
    pub fn without_moments(self) -> Self {
        let calls = self.calls.into_iter().filter(Call::is_open).collect();
        Self {
            credential: None,
            handed_out: Vec::new(),
            calls,
            unanswered_at: None,
            verified_at: None,
            probed_at: None,
            calm: Calm::default(),
            forwarded: None,
            forced_at: None,
            ..self
        }
    }
}

impl Credential {
    fn shifted(self, by: ClockOffset) -> Self {
        Self {
            asked_at: self.asked_at.shifted(by),
            asked_again_at: self.asked_again_at.map(|at| at.shifted(by)),
            came_at: self.came_at.shifted(by),
            deadline: self.deadline.shifted(by),
            rotation_at: self.rotation_at.shifted(by),
            sighting: self.sighting.map(|Sighting { seen_at, ends }| Sighting {
                seen_at: seen_at.shifted(by),
                ends: ends.map(|ends| ends.shifted(by)),
            }),
            ..self
        }
    }

    /// L: from the call to the deadline.
    pub fn life(&self) -> Duration {
        self.deadline.earliest.since(self.asked_at.earliest)
    }

    /// No call that had ended by then has ended it.
    pub fn newest_at(&self) -> Timestamp {
        self.asked_again_at.unwrap_or(self.asked_at).earliest
    }

    /// A call or probe of `sent_at` was answered with it.
    pub fn seen(&mut self, sent_at: Timestamp) {
        if let Some(sighting) = &mut self.sighting {
            sighting.seen_at = sent_at.into();
        }
    }

    /// Whether its moments are known so much better than those of `other`, the same one as another relay tells it, that it
    /// is worth a write. Each look adds some seconds.
    pub fn is_much_clearer_than(&self, other: &Self) -> bool {
        self.deadline.uncertainty().saturating_add(CLEARER) < other.deadline.uncertainty()
    }

    /// max(R, D − O): a call made from here on leaves this credential alive until its deadline comes near.
    pub fn last_chance(&self, overlap: Duration) -> Bounds {
        let Bounds { earliest, latest } = self.deadline;
        let before = Bounds::between(earliest.minus(overlap), latest.minus(overlap));
        Bounds::between(before.earliest.max(self.rotation_at.earliest), before.latest.max(self.rotation_at.latest))
    }
}
