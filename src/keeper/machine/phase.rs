//! What is under way, and what waits for its end?

use super::{Call, CallId, Generation, Grounds, Outcome, ReportId, Timestamp};
use crate::clock::Bounds;

/// What is under way. One thing at a time: that is I1 within a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The record has not been read yet; ask for it (again) at this moment, or it is being read.
    Loading { ask_at: Option<Timestamp> },
    /// Nothing.
    Idle,
    /// Waiting for a permit to call.
    Reserving,
    /// The record is being written.
    Recording(Then),
    /// This call is under way, open in the record.
    Calling(Sent),
    /// A probe is under way.
    Probing(ProbeSent),
    /// The end.
    Stopped,
}

/// What the record is being written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// To call, if it is still before `until`: the lease in which it was decided.
    Call {
        sent: Sent,
        until: Timestamp,
    },
    Probe(ProbeSent),
    /// To keep what was learnt.
    Keep,
}

/// A call of this relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) id: CallId,
    /// s.
    pub(super) at: Timestamp,
    pub(super) is_forced: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProbeSent {
    pub(super) at: Timestamp,
    pub(super) generation: Generation,
    pub(super) reason: ProbeReason,
}

/// Why a probe is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeReason {
    /// To decide between two tokens: it is the candidate that is probed.
    Candidate,
    /// A client waits for the verdict, nothing can be promised without it, or a clock was set.
    Needed,
    /// Its time has come: somebody else may have rotated.
    Regular,
}

/// A report that waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    /// `None`: a follower's, which came through the store.
    pub(super) id: Option<ReportId>,
    pub(super) generation: Generation,
    pub(super) grounds: Grounds,
}

impl Sent {
    pub(super) const fn call(self, outcome: Outcome) -> Call {
        Call { id: self.id, sent: Bounds::between(self.at, self.at), outcome }
    }
}
