//! What is known of an account?
//!
//! In memory a record holds moments of this machine's boot clock; [`layout`] writes and reads it, [`debits`] counts what was
//! spent.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    clock::{Timestamp, WallTime},
    credential::{Generation, Token},
    issuer::IssueError,
};

pub mod debits;
pub mod layout;

pub use debits::{DAY, Debit, Debits, FORCED_PER_DAY, PROBES_PER_DAY, Spent};
pub use layout::{CLOCK_TOLERANCE, Decoded, Unreadable};

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
}

/// A credential and the moments that its life is judged by.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The value.
    pub token: Token,
    /// Its rotation.
    pub generation: Generation,
    /// s: the moment before the first byte of the call that brought it.
    pub asked_at: Timestamp,
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

/// A call on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intent {
    /// s: the moment before its first byte, or the earliest that it can have been.
    pub sent_at: Timestamp,
    /// The latest that s can have been: the same, unless a record of another boot was judged by the wall clock.
    pub sent_by: Timestamp,
    /// Whether a sticky issuer is asked to rotate.
    pub is_forced: bool,
}

/// A call that may have minted a token that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownCall {
    /// The earliest that s can have been: what is promised counts from here.
    pub sent_at: Timestamp,
    /// The latest that s can have been: what must wait until every promise has run out counts from here.
    pub sent_by: Timestamp,
    /// When it was given up, at the latest.
    pub ended_at: Timestamp,
}
