//! How are the parts of a record written: the credential, the candidate, a forwarded report?

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    CallId, Candidate, Credential, ForwardedAnswer, ForwardedReport, Unreadable,
    age::{Age, ClockBasis},
};
use crate::{
    clock::{Now, Timestamp},
    credential::{Generation, Token},
    report::ReportFailure,
};

/// Micros relative to the moment of writing; negative lies before it.
pub(super) type Offset = i64;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CredentialLayout {
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
pub(super) struct CandidateLayout {
    call: CallId,
    access_token: String,
    asked_us: Offset,
    came_us: Offset,
    deadline_us: Offset,
    decided_us: Offset,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ForwardedReportLayout {
    id: u64,
    generation: Generation,
    answer: Option<ForwardedAnswerLayout>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ForwardedAnswerLayout {
    Accepted,
    TooMany(Offset),
    Failed(Offset, ReportFailure),
}

/// Turns moments of a record into moments of this boot's clock.
#[derive(Clone, Copy)]
pub(super) struct Moments {
    pub(super) now: Now,
    pub(super) age: Age,
    pub(super) clock_basis: ClockBasis,
}

impl Moments {
    pub(super) fn earliest(self, offset: Offset) -> Timestamp {
        self.after(self.age.most(), offset)
    }

    pub(super) fn latest(self, offset: Offset) -> Timestamp {
        self.after(self.age.least(), offset)
    }

    fn after(self, age: Duration, offset: Offset) -> Timestamp {
        Timestamp::from_micros(self.now.boot.minus(age).as_micros().saturating_add(offset))
    }
}

impl CredentialLayout {
    pub(super) fn of(credential: &Credential, offset: impl Fn(Timestamp) -> Offset) -> Self {
        Self {
            access_token: credential.token.expose().to_owned(),
            call: credential.call,
            asked_us: offset(credential.asked_at),
            came_us: offset(credential.came_at),
            deadline_us: offset(credential.deadline),
            expired_by_us: offset(credential.expired_by),
            rotation_us: offset(credential.rotation_at),
            is_refused: credential.is_refused,
            clock_offset_ms: credential.clock_offset_ms,
        }
    }

    pub(super) fn read(self, generation: Generation, moments: Moments) -> Result<Credential, Unreadable> {
        Ok(Credential {
            token: Token::try_from(self.access_token).map_err(|_| Unreadable::Foreign)?,
            generation,
            call: self.call,
            asked_at: moments.earliest(self.asked_us),
            came_at: moments.latest(self.came_us),
            deadline: moments.earliest(self.deadline_us),
            expired_by: moments.latest(self.expired_by_us),
            // alone, a promise reaches past it only as far as no call is made before it, so the latest serves both; of
            // several relays another one may make that call
            rotation_at: match moments.clock_basis {
                ClockBasis::Shared(_) => moments.earliest(self.rotation_us),
                ClockBasis::Alone => moments.latest(self.rotation_us),
            },
            is_refused: self.is_refused,
            clock_offset_ms: match moments.age {
                Age::Exact(_) => self.clock_offset_ms,
                Age::ByWall(_) | Age::Within(_) | Age::Unknown => moments.now.offset_ms(),
            },
        })
    }
}

impl CandidateLayout {
    pub(super) fn of(candidate: &Candidate, offset: impl Fn(Timestamp) -> Offset) -> Self {
        Self {
            call: candidate.call,
            access_token: candidate.token.expose().to_owned(),
            asked_us: offset(candidate.asked_at),
            came_us: offset(candidate.came_at),
            deadline_us: offset(candidate.deadline),
            decided_us: offset(candidate.decided_at),
        }
    }

    pub(super) fn read(self, moments: Moments) -> Result<Candidate, Unreadable> {
        Ok(Candidate {
            call: self.call,
            token: Token::try_from(self.access_token).map_err(|_| Unreadable::Foreign)?,
            asked_at: moments.earliest(self.asked_us),
            came_at: moments.latest(self.came_us),
            deadline: moments.earliest(self.deadline_us),
            decided_at: moments.latest(self.decided_us),
        })
    }
}

impl ForwardedReportLayout {
    pub(super) fn of(report: ForwardedReport, offset: impl Fn(Timestamp) -> Offset) -> Self {
        let answer = report.answer.map(|answer| match answer {
            ForwardedAnswer::Accepted => ForwardedAnswerLayout::Accepted,
            ForwardedAnswer::TooMany(again_at) => ForwardedAnswerLayout::TooMany(offset(again_at)),
            ForwardedAnswer::Failed(again_at, failure) => ForwardedAnswerLayout::Failed(offset(again_at), failure),
        });
        Self { id: report.id, generation: report.generation, answer }
    }

    pub(super) fn read(self, moments: Moments) -> ForwardedReport {
        let answer = self.answer.map(|answer| match answer {
            ForwardedAnswerLayout::Accepted => ForwardedAnswer::Accepted,
            ForwardedAnswerLayout::TooMany(again) => ForwardedAnswer::TooMany(moments.latest(again)),
            ForwardedAnswerLayout::Failed(again, failure) => ForwardedAnswer::Failed(moments.latest(again), failure),
        });
        ForwardedReport { id: self.id, generation: self.generation, answer }
    }
}
