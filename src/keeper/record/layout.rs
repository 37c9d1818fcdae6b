//! How is a record written so that another process, boot or machine can judge its age?
//!
//! As bytes a record holds only durations, before or after the moment of writing, and that moment on both clocks: of the
//! same boot the boot clock tells the age; of another one the wall clock does, and an age that cannot be is "unknown". On a
//! store of several relays the wall clock of another machine tells nothing: there the age lies between two looks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    CallId, Candidate, Credential, ForwardedAnswer, ForwardedReport, Identity, Intent, Lease, Record, SecretMark,
    Shared, UnknownCall,
    debits::{DebitSpan, Debits, Spent},
};
use crate::{
    clock::{BootId, Now, Timestamp, WallTime},
    credential::{Generation, Token},
    issuer::IssueError,
    report::ReportFailure,
    store::Sealed,
};

/// How far two clocks may disagree before it means something, and what an age told by the wall clock may be wrong by.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(5);
/// A relay that has not looked at the record for longer, frozen or cut off, knows as little of its age as one that starts:
/// twice what it takes another one to hold the lease.
const LONG_ABSENCE: Duration = Duration::from_secs(30);
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
        /// How far its moments may be off: nothing where the boot clock told its age.
        uncertainty: Duration,
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
    unknown_calls: Vec<(CallId, Offset, Offset, Offset)>,
    failures: u32,
    last_attempt_us: Option<Offset>,
    retry_us: Option<Offset>,
    forced_us: Option<Offset>,
    /// Since when, and how many calls, forced calls and probes.
    debits: Vec<(Offset, u32, u32, u32)>,
    asked_with: SecretMark,
    last_error: Option<ErrorLayout>,
    #[serde(rename = "vouched_us", default, skip_serializing_if = "Option::is_none")]
    verified_us: Option<Offset>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease: Option<Lease>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    candidate: Option<CandidateLayout>,
    #[serde(rename = "wish", default, skip_serializing_if = "Option::is_none")]
    forwarded: Option<ForwardedReportLayout>,
    #[serde(rename = "strays", default)]
    orphan_rotations: u8,
    #[serde(default)]
    revision: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CandidateLayout {
    call: CallId,
    access_token: String,
    asked_us: Offset,
    came_us: Offset,
    deadline_us: Offset,
    decided_us: Offset,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ForwardedReportLayout {
    id: u64,
    generation: Generation,
    answer: Option<ForwardedAnswerLayout>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ForwardedAnswerLayout {
    Accepted,
    TooMany(Offset),
    Failed(Offset, ReportFailure),
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    call: Option<CallId>,
    asked_us: Offset,
    came_us: Offset,
    deadline_us: Offset,
    expired_by_us: Offset,
    rotation_us: Offset,
    is_refused: bool,
    clock_offset_ms: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IntentLayout {
    id: CallId,
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
            call: credential.call,
            asked_us: offset(credential.asked_at),
            came_us: offset(credential.came_at),
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
                id: intent.id,
                sent_us: offset(intent.sent_at),
                sent_by_us: offset(intent.sent_by),
                is_forced: intent.is_forced,
            }),
            unknown_calls: self
                .unknown_calls
                .iter()
                .map(|call| (call.id, offset(call.sent_at), offset(call.sent_by), offset(call.ended_at)))
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
            verified_us: self.verified_at.map(offset),
            lease: self.shared.lease,
            candidate: self.shared.candidate.as_ref().map(|candidate| CandidateLayout {
                call: candidate.call,
                access_token: candidate.token.expose().to_owned(),
                asked_us: offset(candidate.asked_at),
                came_us: offset(candidate.came_at),
                deadline_us: offset(candidate.deadline),
                decided_us: offset(candidate.decided_at),
            }),
            forwarded: self.shared.forwarded.clone().map(|forwarded| ForwardedReportLayout {
                id: forwarded.id,
                generation: forwarded.generation,
                answer: forwarded.answer.map(|answer| match answer {
                    ForwardedAnswer::Accepted => ForwardedAnswerLayout::Accepted,
                    ForwardedAnswer::TooMany(again_at) => ForwardedAnswerLayout::TooMany(offset(again_at)),
                    ForwardedAnswer::Failed(again_at, failure) => {
                        ForwardedAnswerLayout::Failed(offset(again_at), failure)
                    }
                }),
            }),
            orphan_rotations: self.shared.orphan_rotations,
            revision: self.shared.revision,
        };
        Sealed::new(serde_json::to_vec(&layout).expect("a record of numbers and strings is JSON"))
    }

    /// Reads what [`Record::encode`] wrote, on the clocks of `now`. Of a record whose age is unknown only the generation
    /// and the debits are taken: nothing can be promised of its credential.
    ///
    /// # Errors
    /// [`Unreadable`], and then the bytes are somebody else's: they are set aside, never overwritten.
    pub fn decode(
        bytes: &Sealed,
        identity: &Identity,
        boot: &BootId,
        now: Now,
        clock_basis: ClockBasis,
    ) -> Result<Decoded, Unreadable> {
        let found: VersionOnly = serde_json::from_slice(bytes.expose()).map_err(|_| Unreadable::Foreign)?;
        if found.version > VERSION {
            return Err(Unreadable::Newer(found.version));
        }
        let layout: Layout = serde_json::from_slice(bytes.expose()).map_err(|_| Unreadable::Foreign)?;
        if layout.identity != *identity {
            return Ok(Decoded::AnothersRecord);
        }
        let age = layout.written.age(boot, now, clock_basis);
        let record = Box::new(layout.into_record(now, age, clock_basis)?);
        Ok(Decoded::Ours { record, uncertainty: age.uncertainty() })
    }
}

/// What is known of the time at which bytes were written, beside what they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockBasis {
    /// By this relay, or one that ran before it on this machine.
    Alone,
    /// Perhaps by another machine, whose clocks tell nothing: so long ago at the most, if two looks told them apart.
    Shared(Option<Duration>),
}

/// How old a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    /// Told by the boot clock.
    Exact(Duration),
    /// Told by the wall clock, give or take its tolerance.
    ByWall(Duration),
    /// At most this: it was not there at the look before.
    Within(Duration),
    Unknown,
}

impl Age {
    /// The most that it can be: by this, nothing is promised too long.
    fn most(self) -> Duration {
        match self {
            Self::Exact(age) | Self::Within(age) => age,
            Self::ByWall(age) => age.saturating_add(CLOCK_TOLERANCE),
            Self::Unknown => Duration::ZERO,
        }
    }

    fn uncertainty(self) -> Duration {
        if self == Self::Unknown { Duration::MAX } else { self.most().saturating_sub(self.least()) }
    }

    /// The least that it can be: by this, nothing is done too early.
    fn least(self) -> Duration {
        match self {
            Self::Exact(age) => age,
            Self::ByWall(age) => age.saturating_sub(CLOCK_TOLERANCE),
            Self::Within(_) | Self::Unknown => Duration::ZERO,
        }
    }
}

impl Stamp {
    fn age(&self, boot: &BootId, now: Now, clock_basis: ClockBasis) -> Age {
        if boot.is_same(&BootId::from_text(&self.boot_id)) {
            let written = Timestamp::from_micros(self.boot_us);
            return if written <= now.boot { Age::Exact(now.boot.since(written)) } else { Age::Unknown };
        }
        let millis = now.wall.as_millis().saturating_sub(WallTime::from_millis(self.wall_ms).as_millis());
        let by_wall = |millis: i64| u64::try_from(millis).ok().map(Duration::from_millis);
        match clock_basis {
            // after a long absence the wall clocks tell more, if they agree with what was seen
            ClockBasis::Shared(Some(within)) if within > LONG_ABSENCE => by_wall(millis)
                .filter(|age| *age <= within.saturating_add(CLOCK_TOLERANCE))
                .map_or(Age::Within(within), Age::ByWall),
            ClockBasis::Shared(Some(within)) => Age::Within(within),
            // the first look of a relay: nothing but the wall clocks tells how long the record has lain there
            ClockBasis::Shared(None) => {
                let is_possible = millis > -i64::try_from(CLOCK_TOLERANCE.as_millis()).unwrap_or(i64::MAX);
                if is_possible { Age::ByWall(by_wall(millis).unwrap_or_default()) } else { Age::Unknown }
            }
            // written before this boot, so an age shorter than the uptime is a clock that was set
            ClockBasis::Alone => by_wall(millis)
                .filter(|age| *age >= now.boot.since(Timestamp::default()))
                .map_or(Age::Unknown, Age::ByWall),
        }
    }
}

impl Layout {
    fn into_record(self, now: Now, age: Age, clock_basis: ClockBasis) -> Result<Record, Unreadable> {
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
            shared: Shared {
                lease: self.lease,
                orphan_rotations: self.orphan_rotations,
                revision: self.revision,
                ..Shared::default()
            },
            last_error: self.last_error.map(|last| (last.error, WallTime::from_millis(last.wall_ms))),
            ..Record::default()
        };
        if age == Age::Unknown {
            return Ok(remembered);
        }
        let clock_offset_ms = |layout: &CredentialLayout| match age {
            Age::Exact(_) => layout.clock_offset_ms,
            Age::ByWall(_) | Age::Within(_) | Age::Unknown => now.offset_ms(),
        };
        let credential = match self.credential {
            None => None,
            Some(layout) => Some(Credential {
                clock_offset_ms: clock_offset_ms(&layout),
                token: Token::try_from(layout.access_token).map_err(|_| Unreadable::Foreign)?,
                generation: self.generation,
                call: layout.call,
                asked_at: earliest(layout.asked_us),
                came_at: latest(layout.came_us),
                deadline: earliest(layout.deadline_us),
                expired_by: latest(layout.expired_by_us),
                // alone, a promise reaches past it only as far as no call is made before it, so the latest serves both; of
                // several relays another one may make that call
                rotation_at: match clock_basis {
                    ClockBasis::Shared(_) => earliest(layout.rotation_us),
                    ClockBasis::Alone => latest(layout.rotation_us),
                },
                is_refused: layout.is_refused,
            }),
        };
        let unknown = |&(id, sent, sent_by, ended): &(CallId, Offset, Offset, Offset)| UnknownCall {
            id,
            sent_at: earliest(sent),
            sent_by: latest(sent_by),
            ended_at: latest(ended),
        };
        let intent = |layout: IntentLayout| Intent {
            id: layout.id,
            sent_at: earliest(layout.sent_us),
            sent_by: latest(layout.sent_by_us),
            is_forced: layout.is_forced,
        };
        let candidate = match self.candidate {
            None => None,
            Some(layout) => Some(Candidate {
                call: layout.call,
                token: Token::try_from(layout.access_token).map_err(|_| Unreadable::Foreign)?,
                asked_at: earliest(layout.asked_us),
                came_at: latest(layout.came_us),
                deadline: earliest(layout.deadline_us),
                decided_at: latest(layout.decided_us),
            }),
        };
        let forwarded = self.forwarded.map(|forwarded| ForwardedReport {
            id: forwarded.id,
            generation: forwarded.generation,
            answer: forwarded.answer.map(|answer| match answer {
                ForwardedAnswerLayout::Accepted => ForwardedAnswer::Accepted,
                ForwardedAnswerLayout::TooMany(again) => ForwardedAnswer::TooMany(latest(again)),
                ForwardedAnswerLayout::Failed(again, failure) => ForwardedAnswer::Failed(latest(again), failure),
            }),
        });
        Ok(Record {
            credential,
            verified_at: self.verified_us.map(earliest),
            shared: Shared { candidate, forwarded, ..remembered.shared },
            intent: self.intent.map(intent),
            unknown_calls: self.unknown_calls.iter().map(unknown).collect(),
            forced_at: self.forced_us.map(latest),
            ..remembered
        })
    }
}
