//! What is said between the machine and its shell?

use std::{sync::Arc, time::Duration};

use super::{
    super::record::Unreadable, Failure, Generation, Grounds, IssueError, Issued, Policy, ReportFailure, ReportLimit,
    Sealed, SecretMark, Status, StoreError, StoreTrouble, Swap, Timestamp, Token, Verdict,
};

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// Nothing but time passed.
    Tick,
    /// The store answered [`Action::Load`].
    Loaded(Result<Option<Sealed>, StoreError>),
    /// The store answered [`Action::Store`].
    Stored(Swap),
    /// The permit asked for by [`Action::Reserve`] is ours.
    Reserved,
    /// The call of [`Action::Send`] ended.
    Reply(Result<Issued, IssueError>),
    /// The probe of [`Action::Probe`] ended.
    Probed(Verdict),
    /// A client says, or lets us guess, that a generation is bad.
    Report(ReportId, Generation, Grounds),
    /// The settings were changed: from now on these count.
    Reconfigured(Policy, SecretMark),
    /// The relay is to stop: finish what is under way, begin nothing.
    Shutdown,
}

/// What follows from an event.
#[derive(Debug)]
pub struct Decision {
    /// What to do, in this order: most often nothing.
    pub actions: Vec<Action>,
    /// Step again at this moment, or sooner.
    pub wake_at: Timestamp,
}

/// What to do about it.
#[derive(Debug)]
pub enum Action {
    /// Read the record; answered by [`Event::Loaded`], and of several relays by [`super::Machine::see`].
    Load,
    /// Keep the stored bytes for the operator: they are no record.
    SetAside,
    /// Compare-and-set the record; answered by [`Event::Stored`].
    Store {
        /// What the store is believed to hold.
        expected: Option<Sealed>,
        /// What it shall hold.
        next: Sealed,
    },
    /// Wait for one of the process's permits to call; answered by [`Event::Reserved`].
    Reserve {
        /// No token lives: go before those that have one.
        is_urgent: bool,
    },
    /// Give the permit back, or stop waiting for it: the call is not made. After this no [`Event::Reserved`] comes before the
    /// next [`Action::Reserve`].
    Release,
    /// Call the issuer, with the permit; answered by [`Event::Reply`].
    Send {
        /// Ask a sticky issuer to rotate.
        is_forced: bool,
    },
    /// Ask whether the token is accepted; answered by [`Event::Probed`].
    Probe(Token),
    /// Let readers see this.
    Publish(Status),
    /// Answer a report.
    Answer(ReportId, ReportAnswer),
    /// Tell the operator and the metrics.
    Note(Note),
    /// Everything is done: the keeper may end.
    Stop,
}

/// Why a stored record is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotRestored {
    /// It is of another base URL, appid or endpoint.
    AnothersRecord,
    /// The same, on a store that others share: another relay may be writing it.
    AnothersSharedRecord,
    /// It holds no token, or one of unknown age.
    NoToken,
}

/// Something worth a log line or a count.
#[derive(Debug)]
pub enum Note {
    /// The stored record was taken.
    Restored {
        /// Its generation.
        generation: Generation,
        /// What may be promised of its credential.
        seconds_left: u64,
    },
    /// The stored record was not taken.
    NotRestored(NotRestored),
    /// Only the wall clocks told how old the record of several relays is: its writer is gone, and nobody knew its clock.
    AgedByWall,
    /// The stored bytes are no record.
    Unreadable(Unreadable),
    /// A new credential came.
    Rotated {
        /// Its rotation.
        generation: Generation,
        /// What it lives.
        life: Duration,
        /// The failures that this success ends.
        after_failures: u32,
    },
    /// A sticky issuer answered with the token that we have.
    SameToken {
        /// How many calls in a row had failed before.
        after_failures: u32,
    },
    /// Another relay has rotated.
    Followed(Generation),
    /// This relay calls from now on.
    LeaseTaken,
    /// This relay has given the lease back, because its address is refused.
    LeaseYielded,
    /// A token came after the lease was lost, and was handed over.
    HandedOver {
        /// It is not known whether it is the newer one.
        is_candidate: bool,
    },
    /// A call failed.
    CallFailed {
        /// Why, and how often.
        failure: Arc<Failure>,
        /// Until the next one.
        retry_in: Duration,
    },
    /// A probe ended.
    Probed(Verdict),
    /// A regular probe was refused: another one follows, for WeChat refuses a good token at times.
    RefusedOnce,
    /// A token is dead that no call of ours has ended.
    EndedByOthers,
    /// An operator has revoked everything up to this generation.
    Revoking(Generation),
    /// It is dead.
    Revoked,
    /// The wall clock and the boot clock disagree by this many milliseconds more than before.
    ClockSet(i64),
    /// The store did not take the record.
    StoreFailed {
        /// Why.
        trouble: StoreTrouble,
        /// How often in a row.
        repeated: u32,
    },
    /// The store took the record again, after so many failures.
    StoreRecovered(u32),
}

/// Which report, in the shell's counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReportId(pub u64);

/// The answer to a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportAnswer {
    /// Another token stands than the reported one.
    Superseded,
    /// WeChat accepts the reported token.
    Accepted,
    /// Too soon after the last probe or rotation, or a budget is spent.
    TooMany {
        /// When a report may be heard again.
        again_at: Timestamp,
        /// Why.
        limit: ReportLimit,
    },
    /// The probe was inconclusive, or the refresh failed.
    Failed {
        /// When it makes sense to ask again.
        again_at: Timestamp,
        /// Why.
        failure: ReportFailure,
    },
}
