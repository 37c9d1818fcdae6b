//! What is known of an account, and how is it written so that another process, or another boot, can judge its age?
//!
//! In memory a record holds moments of this machine's boot clock. As bytes it holds only durations, before or after the
//! moment of writing, and that moment on both clocks: of the same boot the boot clock tells the age; of another one the
//! wall clock does, and an age that cannot be is "unknown".

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    accounts::BudgetLeft,
    clock::{BootId, Now, Timestamp, WallTime},
    credential::{Generation, Token},
    issuer::IssueError,
    store::Sealed,
};

/// The rolling window of every budget.
pub const DAY: Duration = Duration::from_secs(24 * 3600);
/// Forced calls in a rolling day; WeChat allows 20.
pub const FORCED_PER_DAY: u32 = 6;
/// Probes in a rolling day.
pub const PROBES_PER_DAY: u32 = 300;
/// Debits are counted by the half hour: 49 small numbers instead of 1,800 moments, at the price of up to half an hour
/// more than a day.
const DEBIT_SPAN: Duration = Duration::from_secs(1800);
/// How far two clocks may disagree before it means something, and what an age told by the wall clock may be wrong by.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);
/// The layout written here. A greater one is of a newer relay, and not read.
const VERSION: u32 = 1;

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

/// What one debit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Debit {
    /// A call to the token API.
    Call {
        /// And a forced one.
        is_forced: bool,
    },
    /// A probe.
    Probe,
}

/// What was spent in the last 24 hours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Debits {
    spans: Vec<DebitSpan>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DebitSpan {
    since: Timestamp,
    spent: Spent,
}

/// Counts of one span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Calls to the token API, forced ones included.
    pub calls: u32,
    /// Forced calls.
    pub forced: u32,
    /// Probes.
    pub probes: u32,
}

impl Spent {
    fn count(&mut self, debit: Debit, change: impl Fn(u32) -> u32) {
        match debit {
            Debit::Call { is_forced } => {
                self.calls = change(self.calls);
                if is_forced {
                    self.forced = change(self.forced);
                }
            }
            Debit::Probe => self.probes = change(self.probes),
        }
    }
}

impl Debits {
    /// Writes a debit down, and forgets what is older than a day.
    pub fn debit(&mut self, now: Timestamp, debit: Debit) {
        self.spans.retain(|span| now < span.forgotten_at());
        let is_open = self.spans.last().is_some_and(|span| now.since(span.since) < DEBIT_SPAN);
        if !is_open {
            self.spans.push(DebitSpan { since: now, spent: Spent::default() });
        }
        if let Some(span) = self.spans.last_mut() {
            span.spent.count(debit, |spent| spent.saturating_add(1));
        }
    }

    /// Gives the latest debit of this kind back: what provably was not sent.
    pub fn refund(&mut self, debit: Debit) {
        if let Some(span) = self.spans.last_mut() {
            span.spent.count(debit, |spent| spent.saturating_sub(1));
        }
    }

    /// What was spent in the day before `now`.
    pub fn spent(&self, now: Timestamp) -> Spent {
        let live = self.spans.iter().filter(|span| now < span.forgotten_at());
        live.fold(Spent::default(), |sum, span| Spent {
            calls: sum.calls.saturating_add(span.spent.calls),
            forced: sum.forced.saturating_add(span.spent.forced),
            probes: sum.probes.saturating_add(span.spent.probes),
        })
    }

    /// What is left at `now`.
    pub fn left(&self, now: Timestamp, calls_per_day: u32) -> BudgetLeft {
        let spent = self.spent(now);
        BudgetLeft {
            calls: calls_per_day.saturating_sub(spent.calls),
            forced: FORCED_PER_DAY.saturating_sub(spent.forced),
            probes: PROBES_PER_DAY.saturating_sub(spent.probes),
        }
    }

    /// When the next span is forgotten that holds something for which `counts`.
    pub fn relief_at(&self, now: Timestamp, counts: impl Fn(&Spent) -> u32) -> Timestamp {
        let holding = self.spans.iter().filter(|span| now < span.forgotten_at() && counts(&span.spent) > 0);
        holding.map(DebitSpan::forgotten_at).min().unwrap_or(now)
    }
}

impl DebitSpan {
    fn forgotten_at(&self) -> Timestamp {
        self.since.plus(DEBIT_SPAN).plus(DAY)
    }
}

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
