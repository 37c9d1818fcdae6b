//! What is known of an account?
//!
//! In memory a record holds moments of this machine's boot clock; [`layout`] writes and reads it, `debits` counts what was
//! spent.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    clock::{Timestamp, WallTime},
    credential::{Generation, Token},
    issuer::IssueError,
    report::ReportFailure,
};

mod age;
mod debits;
pub mod layout;
mod parts;
#[cfg(test)]
mod tests;

pub use age::{CLOCK_TOLERANCE, ClockBasis};
pub use debits::{DAY, Debit, Debits, FORCED_PER_DAY, PROBES_PER_DAY, Spent};
pub use layout::Decoded;

/// Why bytes are not a record. Never with a byte of them: they may hold a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Torn, or not ours.
    #[error("not a record of token-relay")]
    Foreign,
    /// Of a newer relay.
    #[error("written by a newer token-relay (layout {0})")]
    Newer(u32),
}

/// Whose record it is: one that differs in any part is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `wechat.base_url`.
    pub base_url: String,
    /// The account's appid.
    pub appid: String,
    /// The account's endpoint: the two kinds of token look alike and do not mix.
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

/// What is known of an account.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// The last generation ever published, also when its credential is gone.
    pub generation: Generation,
    /// The current credential, dead or alive.
    pub credential: Option<Credential>,
    /// The call that is about to be sent or under way.
    pub intent: Option<Intent>,
    /// With a rotating issuer: the calls since the current credential whose outcome is not known (I8), oldest first.
    pub unknown_calls: Vec<UnknownCall>,
    /// Failures since the last success.
    pub failures: u32,
    /// When the last call began, or ended.
    pub last_attempt_at: Option<Timestamp>,
    /// No call before this moment: the last failure's remedy.
    pub retry_at: Option<Timestamp>,
    /// When the last forced call began.
    pub forced_at: Option<Timestamp>,
    /// What was spent of the budgets.
    pub debits: Debits,
    /// With which AppSecret the last call was made.
    pub asked_with: SecretMark,
    /// Why the last call failed, for the operator, until one succeeds; and when.
    pub last_error: Option<(IssueError, WallTime)>,
    /// When the last accepted probe of the current credential was sent, if nothing since could have killed it (I8).
    pub verified_at: Option<Timestamp>,
    /// What several relays agree on.
    pub shared: Shared,
}

/// See [`Credential::is_much_clearer_than`].
const CLEARER: Duration = Duration::from_secs(30);
/// How many unknown calls are kept apart; with one more, the two oldest count as one.
const UNKNOWN_CALLS: usize = 8;

impl Record {
    /// Remembers that a call may have minted; of one that is known already both accounts count.
    pub fn remember(&mut self, call: UnknownCall) {
        if let Some(known) = self.unknown_calls.iter_mut().find(|known| known.id == call.id) {
            let both = known.or(call);
            if std::mem::replace(known, both) != both {
                self.verified_at = None;
            }
            return;
        }
        self.unknown_calls.push(call);
        if self.unknown_calls.len() > UNKNOWN_CALLS {
            let oldest = self.unknown_calls.remove(0);
            self.unknown_calls[0] = self.unknown_calls[0].or(oldest);
        }
        self.verified_at = None;
    }

    /// A call that another relay tells of may have ended, by what this one knows, before the current credential was asked for.
    pub fn forget_earlier_calls(&mut self) {
        if let Some(credential) = &self.credential {
            self.unknown_calls.retain(|call| call.may_invalidate(credential));
        }
    }
}

/// What several relays on one store agree on; all of it is empty with a store of one relay's own.
#[derive(Debug, Clone, Default)]
pub struct Shared {
    /// Who may call WeChat.
    pub lease: Option<Lease>,
    /// A token that was handed over by a relay that had lost the lease while its call was out, and whose order could not be
    /// proved.
    pub candidate: Option<Candidate>,
    /// A follower's report, and the holder's answer.
    pub forwarded: Option<ForwardedReport>,
    /// For how many more rotations a call may still come that a frozen relay had announced: as long, nothing is promised for
    /// more than O − r.
    pub orphan_rotations: u8,
    /// Grows with every write, whoever makes it: a record with a revision that was seen before is one that the store has gone
    /// back to.
    pub revision: u64,
}

/// One relay process among several on one store: random, new at every start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplicaId(pub u64);

/// The right to call WeChat. It expires when the record stops changing: its holder writes again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// Who holds it.
    pub holder: ReplicaId,
}

/// A token that may be the newer one.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Which call brought it.
    pub call: CallId,
    /// The value.
    pub token: Token,
    /// s of its call.
    pub asked_at: Timestamp,
    /// When the reply had come.
    pub came_at: Timestamp,
    /// D.
    pub deadline: Timestamp,
    /// From here on WeChat accepts it only if it is the newer one: the overlap after the stored token's mint is over.
    pub decided_at: Timestamp,
}

/// A report that reached a follower, for the holder to probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardedReport {
    /// Random, so that an answer is known by it.
    pub id: u64,
    /// Which generation is said to be bad.
    pub generation: Generation,
    /// What the holder found, once it has; a new generation answers as well.
    pub answer: Option<ForwardedAnswer>,
}

/// The holder's answer to a [`ForwardedReport`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardedAnswer {
    /// WeChat accepts the token.
    Accepted,
    /// The cool-down or a budget forbids a probe before this moment.
    TooMany(Timestamp),
    /// No verdict or no new token: when to ask again, and why.
    Failed(Timestamp, ReportFailure),
}

/// A credential and the moments that its life is judged by.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The value.
    pub token: Token,
    /// Its rotation.
    pub generation: Generation,
    /// Which call brought it: another relay may have taken that one for lost.
    pub call: Option<CallId>,
    /// s: the moment before the first byte of the call that brought it.
    pub asked_at: Timestamp,
    /// When the reply had come: it was minted before.
    pub came_at: Timestamp,
    /// D, or the earliest that it can be: it never moves later.
    pub deadline: Timestamp,
    /// The latest that D can be: until then promises of it may be open.
    pub expired_by: Timestamp,
    /// R: rolled once.
    pub rotation_at: Timestamp,
    /// WeChat refused it in a probe: it is served no more, whatever its deadline says.
    pub is_refused: bool,
    /// How far the wall clock was ahead of the boot clock when it came, in milliseconds.
    pub clock_offset_ms: i64,
}

impl Credential {
    /// How far its moments may be off.
    pub fn uncertainty(&self) -> Duration {
        self.expired_by.since(self.deadline)
    }

    /// Whether its moments are known so much better than those of `other`, the same one as another relay tells it, that it
    /// is worth a write. Each look adds some seconds.
    pub fn is_much_clearer_than(&self, other: &Self) -> bool {
        self.uncertainty().saturating_add(CLEARER) < other.uncertainty()
    }
}

/// One call among all relays' calls: random. By it a relay knows its own call among those that others took for lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub u64);

/// A call on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intent {
    /// Which call.
    pub id: CallId,
    /// s: the moment before its first byte, or the earliest that it can have been.
    pub sent_at: Timestamp,
    /// The latest that s can have been: the same, unless a record of another boot was judged by the wall clock.
    pub sent_by: Timestamp,
    /// Whether a sticky issuer is asked to rotate.
    pub is_forced: bool,
}

impl Intent {
    /// The same call, given up at `ended_at` at the latest.
    pub fn unknown(self, ended_at: Timestamp) -> UnknownCall {
        UnknownCall { id: self.id, sent_at: self.sent_at, sent_by: self.sent_by, ended_at }
    }
}

/// A call that may have minted a token that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownCall {
    /// Which call.
    pub id: CallId,
    /// The earliest that s can have been: what is promised counts from here.
    pub sent_at: Timestamp,
    /// The latest that s can have been: what must wait until every promise has run out counts from here.
    pub sent_by: Timestamp,
    /// When it was given up, at the latest.
    pub ended_at: Timestamp,
}

impl UnknownCall {
    /// One that may have been either, under the name of this one.
    #[must_use]
    fn or(self, other: Self) -> Self {
        Self {
            id: self.id,
            sent_at: self.sent_at.min(other.sent_at),
            sent_by: self.sent_by.max(other.sent_by),
            ended_at: self.ended_at.max(other.ended_at),
        }
    }

    /// Whether it may have minted after `credential` was.
    pub fn may_invalidate(&self, credential: &Credential) -> bool {
        credential.call != Some(self.id) && credential.asked_at < self.ended_at
    }
}
