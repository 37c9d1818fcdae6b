//! How is a record written so that another process, or another boot, can judge its age?
//!
//! As bytes it holds only durations, before or after the moment of writing, and that moment on both clocks: of the same boot
//! the boot clock tells the age; of another one the wall clock does, and an age that cannot be is "unknown".

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Credential, Identity, Intent, Record, SecretMark, UnknownCall,
    debits::{DebitSpan, Debits, Spent},
};
use crate::{
    clock::{BootId, Now, Timestamp, WallTime},
    credential::{Generation, Token},
    issuer::IssueError,
    store::Sealed,
};

/// How far two clocks may disagree before it means something, and what an age told by the wall clock may be wrong by.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);
/// The layout written here. A greater one is of a newer relay, and not read.
const VERSION: u32 = 1;

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

/// What bytes turned out to be.
#[derive(Debug)]
pub enum Decoded {
    /// A record of this account.
    Ours {
        /// What it says, on this boot's clock.
        record: Box<Record>,
        /// Its age was told by the boot clock, not by the wall clock or by nothing.
        is_exact: bool,
    },
    /// A record of another base URL, appid or endpoint.
    AnothersRecord,
}

/// Micros relative to the moment of writing; negative lies before it.
type Offset = i64;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Layout {
    version: u32,
    identity: Identity,
    written: Stamp,
    generation: Generation,
    credential: Option<CredentialLayout>,
    intent: Option<IntentLayout>,
    unknown_calls: Vec<(Offset, Offset, Offset)>,
    failures: u32,
    last_attempt_us: Option<Offset>,
    retry_us: Option<Offset>,
    forced_us: Option<Offset>,
    /// Since when, and how many calls, forced calls and probes.
    debits: Vec<(Offset, u32, u32, u32)>,
    asked_with: SecretMark,
    last_error: Option<ErrorLayout>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorLayout {
    error: IssueError,
    wall_ms: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stamp {
    boot_id: String,
    boot_us: i64,
    wall_ms: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialLayout {
    access_token: String,
    asked_us: Offset,
    deadline_us: Offset,
    expired_by_us: Offset,
    rotation_us: Offset,
    is_refused: bool,
    clock_offset_ms: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IntentLayout {
    sent_us: Offset,
    sent_by_us: Offset,
    is_forced: bool,
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

impl Record {
    /// The bytes of this record, written at `now`.
    pub fn encode(&self, identity: &Identity, boot: &BootId, now: Now) -> Sealed {
        let offset = |moment: Timestamp| moment.as_micros().saturating_sub(now.boot.as_micros());
        let credential = self.credential.as_ref().map(|credential| CredentialLayout {
            access_token: credential.token.expose().to_owned(),
            asked_us: offset(credential.asked_at),
            deadline_us: offset(credential.deadline),
            expired_by_us: offset(credential.expired_by),
            rotation_us: offset(credential.rotation_at),
            is_refused: credential.is_refused,
            clock_offset_ms: credential.clock_offset_ms,
        });
        let layout = Layout {
            version: VERSION,
            identity: identity.clone(),
            written: Stamp {
                boot_id: boot.as_str().to_owned(),
                boot_us: now.boot.as_micros(),
                wall_ms: now.wall.as_millis(),
            },
            generation: self.generation,
            credential,
            intent: self.intent.map(|intent| IntentLayout {
                sent_us: offset(intent.sent_at),
                sent_by_us: offset(intent.sent_by),
                is_forced: intent.is_forced,
            }),
            unknown_calls: self
                .unknown_calls
                .iter()
                .map(|call| (offset(call.sent_at), offset(call.sent_by), offset(call.ended_at)))
                .collect(),
            failures: self.failures,
            last_attempt_us: self.last_attempt_at.map(offset),
            retry_us: self.retry_at.map(offset),
            forced_us: self.forced_at.map(offset),
            debits: self
                .debits
                .spans
                .iter()
                .map(|&DebitSpan { since, spent }| (offset(since), spent.calls, spent.forced, spent.probes))
                .collect(),
            asked_with: self.asked_with.clone(),
            last_error: self.last_error.clone().map(|(error, at)| ErrorLayout { error, wall_ms: at.as_millis() }),
        };
        Sealed::new(serde_json::to_vec(&layout).expect("a record of numbers and strings is JSON"))
    }

    /// Reads what [`Record::encode`] wrote, on the clocks of `now`. Of a record whose age is unknown only the generation
    /// and the debits are taken: nothing can be promised of its credential.
    ///
    /// # Errors
    /// [`Unreadable`], and then the bytes are somebody else's: they are set aside, never overwritten.
    pub fn decode(bytes: &Sealed, identity: &Identity, boot: &BootId, now: Now) -> Result<Decoded, Unreadable> {
        let found: VersionOnly = serde_json::from_slice(bytes.expose()).map_err(|_| Unreadable::Foreign)?;
        if found.version > VERSION {
            return Err(Unreadable::Newer(found.version));
        }
        let layout: Layout = serde_json::from_slice(bytes.expose()).map_err(|_| Unreadable::Foreign)?;
        if layout.identity != *identity {
            return Ok(Decoded::AnothersRecord);
        }
        let age = layout.written.age(boot, now);
        let record = Box::new(layout.into_record(now, age)?);
        Ok(Decoded::Ours { record, is_exact: matches!(age, Age::Exact(_)) })
    }
}

/// How old a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    /// Told by the boot clock.
    Exact(Duration),
    /// Told by the wall clock, give or take its tolerance.
    ByWall(Duration),
    Unknown,
}

impl Age {
    /// The most that it can be: by this, nothing is promised too long.
    fn most(self) -> Duration {
        match self {
            Self::Exact(age) => age,
            Self::ByWall(age) => age.saturating_add(CLOCK_TOLERANCE),
            Self::Unknown => Duration::ZERO,
        }
    }

    /// The least that it can be: by this, nothing is done too early.
    fn least(self) -> Duration {
        match self {
            Self::Exact(age) => age,
            Self::ByWall(age) => age.saturating_sub(CLOCK_TOLERANCE),
            Self::Unknown => Duration::ZERO,
        }
    }
}

impl Stamp {
    fn age(&self, boot: &BootId, now: Now) -> Age {
        if boot.is_same(&BootId::from_text(&self.boot_id)) {
            let written = Timestamp::from_micros(self.boot_us);
            return if written <= now.boot { Age::Exact(now.boot.since(written)) } else { Age::Unknown };
        }
        let millis = now.wall.as_millis().saturating_sub(WallTime::from_millis(self.wall_ms).as_millis());
        let uptime = now.boot.since(Timestamp::default());
        match u64::try_from(millis).map(Duration::from_millis) {
            // written before this boot, so an age shorter than the uptime is a clock that was set
            Ok(age) if age >= uptime => Age::ByWall(age),
            _ => Age::Unknown,
        }
    }
}

impl Layout {
    fn into_record(self, now: Now, age: Age) -> Result<Record, Unreadable> {
        let after = |age: Duration, offset: Offset| {
            Timestamp::from_micros(now.boot.minus(age).as_micros().saturating_add(offset))
        };
        let earliest = |offset: Offset| after(age.most(), offset);
        let latest = |offset: Offset| after(age.least(), offset);
        let spans = self.debits.iter().map(|&(since, calls, forced, probes)| DebitSpan {
            since: latest(since).min(now.boot),
            spent: Spent { calls, forced, probes },
        });
        let debits = Debits { spans: spans.collect() };
        let remembered = Record {
            generation: self.generation,
            failures: self.failures,
            last_attempt_at: self.last_attempt_us.map(|offset| latest(offset).min(now.boot)),
            retry_at: self.retry_us.map(latest),
            debits,
            asked_with: self.asked_with,
            last_error: self.last_error.map(|last| (last.error, WallTime::from_millis(last.wall_ms))),
            ..Record::default()
        };
        if age == Age::Unknown {
            return Ok(remembered);
        }
        let clock_offset_ms = |layout: &CredentialLayout| match age {
            Age::Exact(_) => layout.clock_offset_ms,
            Age::ByWall(_) | Age::Unknown => now.offset_ms(),
        };
        let credential = match self.credential {
            None => None,
            Some(layout) => Some(Credential {
                clock_offset_ms: clock_offset_ms(&layout),
                token: Token::try_from(layout.access_token).map_err(|_| Unreadable::Foreign)?,
                generation: self.generation,
                asked_at: earliest(layout.asked_us),
                deadline: earliest(layout.deadline_us),
                expired_by: latest(layout.expired_by_us),
                // a promise reaches past it only as far as no call is made before it, so the latest serves both
                rotation_at: latest(layout.rotation_us),
                is_refused: layout.is_refused,
            }),
        };
        let unknown = |&(sent, sent_by, ended): &(Offset, Offset, Offset)| UnknownCall {
            sent_at: earliest(sent),
            sent_by: latest(sent_by),
            ended_at: latest(ended),
        };
        let intent = |layout: IntentLayout| Intent {
            sent_at: earliest(layout.sent_us),
            sent_by: latest(layout.sent_by_us),
            is_forced: layout.is_forced,
        };
        Ok(Record {
            credential,
            intent: self.intent.map(intent),
            unknown_calls: self.unknown_calls.iter().map(unknown).collect(),
            forced_at: self.forced_us.map(latest),
            ..remembered
        })
    }
}
