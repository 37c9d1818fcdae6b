//! One relay: its host's clocks, its process, its machine, and what its readers see.

use token_relay::{
    clock::{BootId, Now, Timestamp, WallTime},
    credential::{Generation, Promise},
    issuer::Issued,
    keeper::machine::Machine,
    status::Status,
};

use super::{group::Group, setup::micros, wechat::TokenId};

/// 2025-01-01, in Unix milliseconds: where a run begins.
const BEGIN_MS: i64 = 1_735_689_600_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offer {
    pub id: TokenId,
    pub generation: Generation,
    pub promise: Promise,
}

/// The clocks of the host that a relay runs on.
#[derive(Clone, Default)]
pub(crate) struct Host {
    pub boot_name: String,
    pub booted_at: i64,
    /// How far the wall clock is off.
    pub wall_error_ms: i64,
    /// Somebody ever set it.
    pub was_set: bool,
    /// Somebody set it since WeChat last confirmed the token, or since the process began.
    pub is_in_doubt: bool,
}

impl Host {
    pub(crate) fn boot(&self, at: i64) -> Timestamp {
        Timestamp::from_micros(at - self.booted_at)
    }

    /// When, in the time of the run, the boot clock shows `moment`.
    pub(crate) fn at(&self, moment: Timestamp) -> i64 {
        moment.as_micros().saturating_add(self.booted_at)
    }

    pub(crate) fn wall_ms(&self, at: i64) -> i64 {
        BEGIN_MS + at.div_euclid(1000) + self.wall_error_ms
    }

    pub(crate) fn now(&self, at: i64) -> Now {
        Now { boot: self.boot(at), wall: WallTime::from_millis(self.wall_ms(at)) }
    }

    pub(crate) fn boot_id(&self) -> BootId {
        BootId::from_text(&self.boot_name)
    }
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
pub(crate) struct Replica {
    pub host: Host,
    /// How many times its AppSecret was changed.
    pub secret: u32,
    /// The process runs, if its keeper does not: readers are served.
    pub is_up: bool,
    /// Which process, and which keeper in it.
    pub process: u64,
    pub life: u64,
    pub machine: Option<Machine>,
    pub status: Option<Status>,
    pub offer: Option<Offer>,
    /// The greatest generation that the process has published.
    pub min_generation: Generation,
    /// Up to here its readers were judged.
    pub read_to: i64,
    pub started_at: i64,
    /// Since when its readers get nothing.
    pub unserved_since: Option<i64>,
    pub frozen_until: i64,
    /// A call or a probe is under way, at most until then: what others write is taken in after it.
    pub busy_until: i64,
    pub is_stopping: bool,
    pub timer: u64,
    /// How many reservations were begun or given up: the permit of an earlier one does not come.
    pub reservations: u64,
    pub has_permit: bool,
    /// It is killed or frozen so many actions from now; frozen right before a call's first byte.
    pub kill_in: Option<i64>,
    pub freeze_in: Option<i64>,
    pub freeze_before_send: bool,
    /// Kill it again soon after its start, so many times.
    pub kills_to_come: i64,
    /// Its requests do not reach the store, its answers do not reach it.
    pub cut_out_until: i64,
    pub cut_in_until: i64,
    /// Its calls to WeChat do not get out.
    pub no_egress_until: i64,
    /// Its requests reach a primary that is cut off, whose writes no replica confirms.
    pub minority_until: i64,
    /// It was frozen in the midst of a step, the rest of which comes before anything else.
    pub has_rest: bool,
    /// The step that decided what is being done was then.
    pub stepped_at: i64,
    /// When that was of its last write.
    pub wrote_at: i64,
    /// Which token it probed last.
    pub probed: TokenId,
    /// Its keeper was given a record that another relay wrote.
    pub has_news: bool,
    /// What its process knows of the others.
    pub group: Group,
    /// The last load failed.
    pub load_failed: bool,
}

impl Replica {
    /// It knows that an operator has revoked tokens, and that rotations are still to come.
    pub(crate) fn is_revoking(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.rotations_to_revoke > 0)
    }

    pub(crate) fn runs(&self, at: i64) -> bool {
        self.machine.is_some() && self.frozen_until <= at
    }

    /// What was reserved before is neither waited for nor held any more.
    pub(crate) fn drop_reservation(&mut self) {
        self.reservations += 1;
        self.has_permit = false;
    }

    /// Until then the others know nothing new of it, or it of them: behind a primary that is cut off, so is the relay.
    pub(crate) fn cut_until(&self) -> i64 {
        self.cut_in_until.max(self.cut_out_until).max(self.minority_until)
    }

    /// Whether a rotating issuer's reply to a call of `sent_at` may replace the shown token: not one that expires while the
    /// shown one is promised, for the next call would kill that one; unless an operator has revoked it, and wants it dead.
    pub(crate) fn may_take(&self, at: i64, sent_at: i64, issued: &Issued) -> bool {
        let is_revoked = self.status.as_ref().is_some_and(|status| status.is_revoked);
        let offer = self.offer.filter(|_| !is_revoked);
        let promised = offer.filter(|offer| offer.promise.seconds_left(self.host.boot(at)) > 0);
        let verified = |offer: &Offer| offer.promise.until <= self.host.boot(at);
        promised.filter(|offer| !verified(offer)).is_none_or(|offer| {
            let lives_until = sent_at + micros(issued.life);
            lives_until >= self.host.at(offer.promise.until)
        })
    }

    /// What a reader is given at `at`.
    pub(crate) fn seconds(&self, at: i64) -> u64 {
        self.offer.map_or(0, |offer| offer.promise.seconds_left(self.host.boot(at)))
    }
}
