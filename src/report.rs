//! Why does a client's report that the token is bad end without a verdict? Facts; only `http` words them.

use serde::{Deserialize, Serialize};

use crate::issuer::{IssueError, NoVerdict};

/// Why is a token said to be bad? In the order of their weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grounds {
    /// A client of a drop-in route asks again long before what it was given runs out: SDKs do so when WeChat refuses the
    /// token, and nothing in their request tells it.
    EarlyFetch,
    /// It does so again and again within seconds.
    Burst,
    /// A client says so.
    #[default]
    Report,
    /// An operator revokes it: it is to die, whatever WeChat says of it.
    Revocation,
}

/// What forbids a probe for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportLimit {
    /// The token was probed or rotated within `refresh.report_cooldown`; an early fetch: it was accepted of late.
    Cooldown,
    /// The token is dead, and the day's calls are spent.
    Calls,
    /// The day's probes are spent.
    Probes,
}

/// Why a report brought neither a verdict nor a new token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportFailure {
    /// The relay is shutting down.
    ShuttingDown,
    /// The token is dead, and the issuer's last answer forbids a call so soon.
    TooSoon,
    /// The relay cannot store its record, so no call is made.
    NotStored,
    /// The relay cannot store a revocation. It keeps it in mind, and stores it when it can.
    RevocationNotStored,
    /// The issuer gives the same token until its end, whatever is asked of it.
    CannotRevoke,
    /// The store is away, so the report cannot be passed on to the relay that calls.
    StoreAway,
    /// The probe was inconclusive.
    NoVerdict(NoVerdict),
    /// The token was refused, and no new one came.
    RefreshFailed(IssueError),
    /// A failure that an earlier version of the relay stored as a sentence.
    #[serde(untagged)]
    Worded(String),
}
