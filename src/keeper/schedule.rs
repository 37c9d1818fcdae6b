//! When is what due? Pure arithmetic on the letters of the design: D the deadline, L the whole life, R the planned
//! rotation, s the moment before a call's first byte, O the overlap, r the reserve.

use std::time::Duration;

pub(crate) use crate::timing::{LEASE, SUCCESSION};
use crate::{
    clock::Timestamp,
    issuer::{Profile, RotationMode},
};

/// Two attempts are never less than this apart (I10).
pub const ATTEMPT_GAP: Duration = Duration::from_secs(1);
/// Jitter takes up to this share of a credential's life off its planned rotation, so that a fleet of accounts does not
/// call at one moment.
const ROTATION_JITTER: f64 = 0.03;
/// How long a probe may take, and its debit before it: an accepted probe is good for its pace and this much more, so that
/// the next one's verdict arrives before the last one's runs out.
const PROBE_SLACK: Duration = Duration::from_secs(4);
/// An end that is watched for is asked about so often while it may come, to learn when the next life began.
const SIGHTINGS_OF_AN_END: u32 = 30;
/// A credential whose life is over may be given for so long after: an issuer counts whole seconds, by a clock of its own.
pub const LATE_END: Duration = Duration::from_secs(3);
/// After the latest moment at which an invalidated token dies, this much passes before a probe is believed: WeChat's servers
/// need not agree to the millisecond.
pub const DEATH_MARGIN: Duration = Duration::from_secs(1);

/// See [`Policy::early_margin`].
const EARLY_MARGIN: Duration = Duration::from_secs(1600);
/// A token that lives for less has no room for that margin.
const SHORT_LIFE: Duration = Duration::from_secs(3600);
/// What stands for the overlap where an issuer promises none: a measure for what is checked, and for what is promised at a time,
/// while something is uncertain.
const WITHOUT_OVERLAP: Duration = Duration::from_secs(300);

/// What an account's timing follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// What the issuer says of itself; O is its overlap.
    pub issuer: Profile,
    /// A rotating token is replaced this long before its deadline, or at half its life, whichever leaves less.
    pub before_expiry: Duration,
    /// A report is not probed within this of the last probe or rotation.
    pub report_cooldown: Duration,
    /// How often a token is probed of which nobody complains; zero: never.
    pub probe_every: Duration,
    /// The first back-off.
    pub retry_min: Duration,
    /// The longest back-off.
    pub retry_max: Duration,
    /// Calls in a rolling day, of both kinds.
    pub calls_per_day: u32,
    /// The longest that a call takes (`wechat.timeout`). What a call may take that nobody waits for any more, because its
    /// process was killed: until then WeChat may still mint.
    pub longest_call: Duration,
}

impl Policy {
    /// r: a fifth of the overlap, kept back for latency, clock error and a client's last request.
    pub fn reserve(&self) -> Duration {
        self.measure() / 5
    }

    /// O − r: what a rotation that begins now leaves of the previous token, less the reserve. Where there is no overlap, only what
    /// is promised at a time while something is uncertain: a sticky issuer ends no token by a call.
    pub fn window(&self) -> Duration {
        self.measure().saturating_sub(self.reserve())
    }

    fn measure(&self) -> Duration {
        if self.issuer.overlap.is_zero() { WITHOUT_OVERLAP } else { self.issuer.overlap }
    }

    /// How often a sticky issuer is asked for a new token inside its last overlap.
    pub fn sticky_pace(&self) -> Duration {
        (self.issuer.overlap / 20).max(ATTEMPT_GAP)
    }

    /// How often a token is probed that can be promised no longer.
    pub fn probe_pace(&self) -> Duration {
        self.reserve().max(ATTEMPT_GAP)
    }

    /// The least time between two forced calls; sooner WeChat silently does not refresh.
    pub fn forced_pace(&self) -> Duration {
        (self.issuer.overlap / 5).max(Duration::from_secs(2))
    }

    /// How often an issuer is asked that returns a refused token again and cannot be forced.
    pub fn insisting_pace(&self) -> Duration {
        self.report_cooldown.max(self.sticky_pace())
    }

    /// With more than this left of what it was given, a client of a token of this `life` fetches early. The most that an SDK
    /// keeps back is silenceper's 1500 s.
    pub fn early_margin(life: Duration) -> Duration {
        if life < SHORT_LIFE { life / 5 } else { EARLY_MARGIN }
    }

    /// What is promised of a credential of which nobody knows what is left of its `life`: two of the paces at which it is asked
    /// for again, so that a failed call can be repeated. That is how often the issuer says: of WeChat's tickets, which live for two
    /// hours, every 30 s, and when another one takes its place, the beginning of that one's life is known to half a minute. It lasts
    /// for one life at most, and takes a quarter of the day's calls; once half of them are spent, calls keep the pace of
    /// [`Policy::thrift`], so that even a record that is lost again and again leaves no gap.
    pub fn moment(&self, life: Duration, is_thrifty: bool) -> Duration {
        let pace = (life / self.issuer.sightings_per_life.max(1)).max(ATTEMPT_GAP);
        let pace = if is_thrifty { pace.max(self.thrift()) } else { pace };
        (2 * pace).min(life)
    }

    /// How often a credential is asked for whose end is known to within `uncertainty` and may have come.
    pub fn end_pace(uncertainty: Duration) -> Duration {
        (uncertainty / SIGHTINGS_OF_AN_END).max(ATTEMPT_GAP)
    }

    /// R for a credential asked for at `asked_at` that lives for `life`.
    pub fn rotation_at(&self, asked_at: Timestamp, life: Duration, rng: &mut fastrand::Rng) -> Timestamp {
        let deadline = asked_at.plus(life);
        match self.issuer.rotation {
            RotationMode::Sticky => deadline.minus(self.issuer.overlap),
            RotationMode::Rotating => {
                let lead = self.before_expiry.min(life / 2);
                let jitter = life.mul_f64(ROTATION_JITTER * rng.f64());
                let planned = deadline.minus(lead).minus(jitter);
                // not before the promises made of the token before this one have run out
                deadline.min(planned.max(asked_at.plus(self.window())))
            }
        }
    }

    /// The back-off after the `failures`th failure in a row; `life_left` of a token that still lives.
    pub fn back_off(&self, failures: u32, life_left: Option<Duration>, rng: &mut fastrand::Rng) -> Duration {
        let doubled = self.retry_min.saturating_mul(1 << failures.saturating_sub(1).min(16));
        let jittered = doubled.saturating_add(doubled.mul_f64(0.25 * rng.f64()));
        let most = life_left.map_or(self.issuer.retry_max_without_any, |left| left / 4);
        jittered.min(self.retry_max).min(most).max(ATTEMPT_GAP)
    }

    /// The least time after a failed call once half the day's calls are spent, so that the rest of the day is never
    /// silent: 24 h ÷ (cap ÷ 2).
    pub fn thrift(&self) -> Duration {
        super::record::DAY / (self.calls_per_day / 2).max(1)
    }
}

/// The span in which a token dies if a call that began and ended then has minted another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RiskWindow {
    /// The token works up to here.
    pub from: Timestamp,
    /// If it works past here, the call has not minted.
    pub to: Timestamp,
}

impl RiskWindow {
    /// Of a call whose first byte may have left at `sent_at` and that was given up at `ended_at`; the token dies `after`
    /// its mint.
    pub fn of_call(sent_at: Timestamp, ended_at: Timestamp, after: Duration) -> Self {
        Self { from: sent_at.plus(after), to: ended_at.plus(after).plus(DEATH_MARGIN) }
    }

    /// Up to when a probe sent at `probed_at` speaks for a token with these risk windows and this `deadline`.
    pub fn verified_until(
        probed_at: Timestamp,
        pace: Duration,
        deadline: Timestamp,
        risk_windows: &[Self],
    ) -> Timestamp {
        let lapse = deadline.min(probed_at.plus(pace).plus(PROBE_SLACK));
        // "expires_in 1" needs a second more than the moment it is said
        risk_windows
            .iter()
            .filter(|risk_window| probed_at < risk_window.to)
            .map(|risk_window| risk_window.from)
            .fold(lapse, Timestamp::min)
            .minus(ATTEMPT_GAP)
    }

    /// When to probe again after an accepted probe sent at `probed_at`: at its pace, or as soon as the next span is over.
    pub fn next_probe(probed_at: Timestamp, pace: Duration, risk_windows: &[Self]) -> Timestamp {
        let ahead = risk_windows.iter().filter(|risk_window| probed_at < risk_window.to);
        let at = ahead.map(|risk_window| risk_window.to).fold(probed_at.plus(pace), Timestamp::min);
        Self::next_safe(at, risk_windows)
    }

    /// The first moment from `at` on that lies in none of `risk_windows`: where a probe is worth its debit.
    pub fn next_safe(at: Timestamp, risk_windows: &[Self]) -> Timestamp {
        let mut safe = at;
        // spans may touch: at most one pass per span moves the moment on
        for _ in risk_windows {
            safe = risk_windows
                .iter()
                .filter(|risk_window| risk_window.from <= safe && safe < risk_window.to)
                .map(|risk_window| risk_window.to)
                .fold(safe, Timestamp::max);
        }
        safe
    }
}
