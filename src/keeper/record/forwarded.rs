//! How does a report that reached a relay without the lease stand in the record, and its answer?

use serde::{Deserialize, Serialize};

use crate::{
    clock::{Bounds, ClockOffset},
    credential::Generation,
    report::{Grounds, ReportFailure},
};

/// A report for the lease's holder to probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardedReport {
    /// Random, so that an answer is known by it.
    pub id: u64,
    /// Which generation is said to be bad.
    pub generation: Generation,
    /// Why.
    #[serde(default)]
    pub grounds: Grounds,
    /// What the holder found, once it has; a new generation answers as well.
    pub answer: Option<ForwardedAnswer>,
}

/// The holder's answer to a [`ForwardedReport`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardedAnswer {
    /// WeChat accepts the token.
    Accepted,
    /// The cool-down or a budget forbids a probe before this moment.
    TooMany(Bounds),
    /// No verdict or no new token: when to ask again, and why.
    Failed(Bounds, ReportFailure),
}

impl ForwardedReport {
    pub(super) fn shifted(self, by: ClockOffset) -> Self {
        let answer = self.answer.map(|answer| match answer {
            ForwardedAnswer::Accepted => ForwardedAnswer::Accepted,
            ForwardedAnswer::TooMany(again_at) => ForwardedAnswer::TooMany(again_at.shifted(by)),
            ForwardedAnswer::Failed(again_at, why) => ForwardedAnswer::Failed(again_at.shifted(by), why),
        });
        Self { answer, ..self }
    }
}
