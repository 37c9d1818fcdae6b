//! How is a record written so that another process, boot or machine can judge its age?
//!
//! As bytes a record holds only durations, before or after the moment of writing, and that moment on both clocks of its writer:
//! `age` turns it into an age.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    CallId, Identity, Intent, Lease, Record, SecretMark, Shared, UnknownCall, Unreadable,
    age::{Age, ClockBasis, Stamp},
    debits::{DebitSpan, Debits, Spent},
    parts::{CandidateLayout, CredentialLayout, ForwardedReportLayout, Moments, Offset},
};
use crate::{
    clock::{BootId, Now, Timestamp, WallTime},
    credential::Generation,
    issuer::IssueError,
    store::Sealed,
};

/// The layout written here. A greater one is of a newer relay, and not read.
const VERSION: u32 = 1;

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
struct ErrorLayout {
    error: IssueError,
    wall_ms: i64,
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
        let layout = Layout {
            version: VERSION,
            identity: identity.clone(),
            written: Stamp {
                boot_id: boot.as_str().to_owned(),
                boot_us: now.boot.as_micros(),
                wall_ms: now.wall.as_millis(),
            },
            generation: self.generation,
            credential: self.credential.as_ref().map(|credential| CredentialLayout::of(credential, offset)),
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
            candidate: self.shared.candidate.as_ref().map(|candidate| CandidateLayout::of(candidate, offset)),
            forwarded: self.shared.forwarded.clone().map(|report| ForwardedReportLayout::of(report, offset)),
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
        let record = Box::new(layout.into_record(Moments { now, age, clock_basis })?);
        Ok(Decoded::Ours { record, uncertainty: age.uncertainty() })
    }
}

impl Layout {
    fn into_record(self, moments: Moments) -> Result<Record, Unreadable> {
        let (earliest, latest) = (|offset| moments.earliest(offset), |offset| moments.latest(offset));
        let now = moments.now;
        let spans = self.debits.iter().map(|&(since, calls, forced, probes)| DebitSpan {
            since: latest(since).min(now.boot),
            spent: Spent { calls, forced, probes },
        });
        let debits = Debits { spans: spans.collect() };
        let (lease, orphan_rotations, revision) = (self.lease, self.orphan_rotations, self.revision);
        let remembered = Record {
            generation: self.generation,
            failures: self.failures,
            last_attempt_at: self.last_attempt_us.map(|offset| latest(offset).min(now.boot)),
            retry_at: self.retry_us.map(latest),
            debits,
            asked_with: self.asked_with,
            shared: Shared { lease, orphan_rotations, revision, ..Shared::default() },
            last_error: self.last_error.map(|last| (last.error, WallTime::from_millis(last.wall_ms))),
            ..Record::default()
        };
        if moments.age == Age::Unknown {
            return Ok(remembered);
        }
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
        let credential = self.credential.map(|layout| layout.read(self.generation, moments)).transpose()?;
        let candidate = self.candidate.map(|layout| layout.read(moments)).transpose()?;
        let forwarded = self.forwarded.map(|layout| layout.read(moments));
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
