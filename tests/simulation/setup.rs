//! Under which policy does a run live, how wild is its weather, and how long does it last?

use std::time::Duration;

use token_relay::{issuer::wechat::Endpoint, keeper::schedule::Policy};

use super::{
    dice::{DAY, Dice, HOUR, MINUTE, SECOND},
    wire::CALL_LIMIT,
};

pub(crate) struct Setup {
    pub policy: Policy,
    pub lives_s: Vec<i64>,
    pub quota: u32,
    /// The mean time between two disturbances.
    pub unrest: i64,
    /// How long storms and calms take together.
    pub length: i64,
    /// How long one storm takes.
    pub storm: i64,
    /// The shell's heartbeat, or one that is only as frequent as it must be to notice a clock that was set.
    pub heartbeat: i64,
    /// The day's calls do not suffice for the day's rotations: gaps are to be expected.
    pub is_starved: bool,
    /// Nothing but calls and probes goes wrong: no outsider, crash, or broken disk.
    pub is_wire_only: bool,
}

pub(crate) const HEARTBEAT: i64 = 5 * SECOND;

impl Setup {
    pub(crate) fn of(dice: &mut Dice) -> Self {
        let endpoint = if dice.percent(65) { Endpoint::Token } else { Endpoint::StableToken };
        let is_common = dice.percent(65);
        let overlap_s = if is_common { 300 } else { dice.pick(&[300, 60, 10, 5]) };
        let mut lives_s = if is_common { vec![7200] } else { odd_lives(dice) };
        if endpoint == Endpoint::StableToken {
            // a sticky issuer mints only inside the last overlap, so its tokens outlive it
            for life in &mut lives_s {
                *life = (*life).max(2 * overlap_s + 7);
            }
        }
        let before_expiry_s = if is_common { 3600 } else { dice.pick(&[3600, 600, 60]) };
        let shortest = *lives_s.iter().min().expect("some life");
        let calls_per_day = match (is_common, shortest >= 3600) {
            (true, _) => {
                if endpoint == Endpoint::Token {
                    400
                } else {
                    1500
                }
            }
            (false, true) => dice.pick(&[400, 1500, 60, 20]),
            (false, false) => dice.pick(&[400, 1500, 20_000, 100_000]),
        };
        let period = (shortest - before_expiry_s.min(shortest / 2)).max(1);
        let policy = Policy {
            issuer: endpoint.profile(seconds(overlap_s)),
            before_expiry: seconds(before_expiry_s),
            report_cooldown: seconds(dice.pick(&[30, 30, 0])),
            retry_min: seconds(1),
            retry_max: seconds(60),
            calls_per_day,
            longest_call: seconds(CALL_LIMIT / SECOND),
        };
        // a run of short lives costs as much as one of long lives, so that both get their share
        let is_full_beat = dice.percent(6);
        let is_quiet = is_common && !is_full_beat && dice.percent(20);
        // wild runs show the faults, quiet ones show what years of them do; a run of short lives costs as much as one of
        // long lives, so that both get their share
        let (storm, unrest) = match () {
            () if is_quiet => (dice.spread(1000 * DAY, 4000 * DAY), dice.spread(5 * DAY, 120 * DAY)),
            () if is_full_beat => (dice.spread(DAY, 3 * DAY), dice.spread(HOUR, 12 * HOUR)),
            () if shortest >= 3600 => (dice.spread(2 * DAY, 20 * DAY), dice.spread(HOUR, 2 * DAY)),
            () => (shortest * dice.between(50, 400) * SECOND, shortest * dice.between(1, 20) * SECOND),
        };
        Self {
            policy,
            lives_s,
            quota: if is_common { 2000 } else { dice.pick(&[2000, 200, 500_000]) },
            unrest,
            length: 3 * storm,
            storm,
            heartbeat: if is_full_beat { HEARTBEAT } else { 12 * HOUR },
            is_starved: 86_400 / period + 10 > i64::from(calls_per_day / 2),
            is_wire_only: dice.percent(15),
        }
    }

    pub(crate) fn overlap(&self) -> i64 {
        micros(self.policy.issuer.overlap)
    }

    /// O − r.
    pub(crate) fn window(&self) -> i64 {
        self.overlap() - self.overlap() / 5
    }
}

fn odd_lives(dice: &mut Dice) -> Vec<i64> {
    match dice.between(0, 5) {
        0 => vec![7200, 7199, 6543, 3601],
        1 => vec![600],
        2 => vec![300, 299, 60],
        3 => vec![30],
        4 => vec![7200, 61, 1800],
        _ => vec![dice.between(1, 7200)],
    }
}

pub(crate) fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds.unsigned_abs())
}

pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// How long a trouble lasts: often a single call, at times a day.
pub(crate) fn trouble_span(dice: &mut Dice) -> i64 {
    match dice.between(0, 9) {
        0..=3 => dice.spread(SECOND, 20 * SECOND),
        4..=7 => dice.spread(MINUTE, 2 * HOUR),
        8 => dice.spread(HOUR, 8 * HOUR),
        _ => dice.spread(8 * HOUR, 30 * HOUR),
    }
}
