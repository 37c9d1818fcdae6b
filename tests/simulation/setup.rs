//! Who runs, under which policy, how often does something go wrong, and how long does a run last?

use std::time::Duration;

use token_relay::{heartbeat::BEAT, issuer::wechat::Endpoint, keeper::schedule::Policy};

use super::{
    rng::{DAY, HOUR, MINUTE, Rng, SECOND},
    wechat_link::CALL_LIMIT,
};

/// What is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One relay with a directory of its own, through months or years.
    Alone,
    /// So many relays on one store, for two hours.
    Replica(usize),
}

pub(crate) struct Setup {
    pub replicas: usize,
    pub is_shared: bool,
    pub policy: Policy,
    pub lives_s: Vec<i64>,
    pub quota: u32,
    /// The mean time between two faults.
    pub unrest: i64,
    pub length: i64,
    /// How long one storm takes.
    pub storm: i64,
    /// The shell's heartbeat, or one that is only as frequent as it must be to notice a clock that was set.
    pub heartbeat: i64,
    /// The day's calls do not suffice for the day's rotations: gaps are to be expected.
    pub is_starved: bool,
    /// Nothing but calls and probes goes wrong: no outsider, crash, or broken disk.
    pub is_wire_only: bool,
    /// The longest time between two looks of the clients, in a storm and in a calm.
    pub clients: (i64, i64),
}

impl Setup {
    pub(crate) fn of(shape: Shape, rng: &mut Rng) -> Self {
        match shape {
            Shape::Alone => Self::alone(rng),
            Shape::Replica(replicas) => Self::replica(replicas, rng),
        }
    }

    fn replica(replicas: usize, rng: &mut Rng) -> Self {
        let endpoint = if rng.percent(75) { Endpoint::Token } else { Endpoint::StableToken };
        Self {
            replicas,
            is_shared: true,
            policy: Policy {
                probe_every: seconds(rng.pick(&[600, 600, 60, 0])),
                ..policy(endpoint, 300, 3600, 30, endpoint.default_calls_per_day())
            },
            lives_s: vec![rng.pick(&[7200, 7200, 1800, 1200, 900])],
            quota: 20_000,
            unrest: rng.spread(8 * SECOND, 10 * MINUTE),
            length: 2 * HOUR,
            storm: 80 * MINUTE,
            heartbeat: micros(BEAT),
            is_starved: false,
            is_wire_only: false,
            clients: (5 * MINUTE, 20 * SECOND),
        }
    }

    fn alone(rng: &mut Rng) -> Self {
        let endpoint = if rng.percent(65) { Endpoint::Token } else { Endpoint::StableToken };
        let is_common = rng.percent(65);
        let overlap_s = if is_common { 300 } else { rng.pick(&[300, 60, 10, 5]) };
        let mut lives_s = if is_common { vec![7200] } else { odd_lives(rng) };
        if endpoint == Endpoint::StableToken {
            // a sticky issuer mints only inside the last overlap, so its tokens outlive it
            for life in &mut lives_s {
                *life = (*life).max(2 * overlap_s + 7);
            }
        }
        let before_expiry_s = if is_common { 3600 } else { rng.pick(&[3600, 600, 60]) };
        let shortest = *lives_s.iter().min().expect("some life");
        let calls_per_day = match (is_common, shortest >= 3600) {
            (true, _) if endpoint == Endpoint::Token => 400,
            (true, _) => 1500,
            (false, true) => rng.pick(&[400, 1500, 60, 20]),
            (false, false) => rng.pick(&[400, 1500, 20_000, 100_000]),
        };
        let period = (shortest - before_expiry_s.min(shortest / 2)).max(1);
        let is_full_beat = rng.percent(6);
        let is_quiet = is_common && !is_full_beat && rng.percent(20);
        // wild runs show the faults, quiet ones show what years of them do; a run of short lives costs as much as one of
        // long lives, so that both get their share
        let (storm, unrest) = match () {
            () if is_quiet => (rng.spread(1000 * DAY, 4000 * DAY), rng.spread(5 * DAY, 120 * DAY)),
            () if is_full_beat => (rng.spread(DAY, 3 * DAY), rng.spread(HOUR, 12 * HOUR)),
            () if shortest >= 3600 => (rng.spread(2 * DAY, 20 * DAY), rng.spread(HOUR, 2 * DAY)),
            () => (shortest * rng.between(50, 400) * SECOND, shortest * rng.between(1, 20) * SECOND),
        };
        Self {
            replicas: 1,
            is_shared: false,
            policy: Policy {
                // years of regular probes show no more than a day of them
                probe_every: seconds(if is_quiet { 6 * 3600 } else { rng.pick(&[600, 60, 7, 0]) }),
                ..policy(endpoint, overlap_s, before_expiry_s, rng.pick(&[30, 30, 0]), calls_per_day)
            },
            lives_s,
            quota: if is_common { 2000 } else { rng.pick(&[2000, 200, 500_000]) },
            unrest,
            length: 3 * storm,
            storm,
            heartbeat: if is_full_beat { micros(BEAT) } else { 12 * HOUR },
            is_starved: 86_400 / period + 10 > i64::from(calls_per_day / 2),
            is_wire_only: rng.percent(15),
            clients: (2 * HOUR, MINUTE),
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

fn policy(endpoint: Endpoint, overlap_s: i64, before_expiry_s: i64, cooldown_s: i64, calls_per_day: u32) -> Policy {
    Policy {
        issuer: endpoint.profile(seconds(overlap_s)),
        before_expiry: seconds(before_expiry_s),
        report_cooldown: seconds(cooldown_s),
        probe_every: Duration::ZERO,
        retry_min: seconds(1),
        retry_max: seconds(60),
        calls_per_day,
        longest_call: seconds(CALL_LIMIT / SECOND),
    }
}

fn odd_lives(rng: &mut Rng) -> Vec<i64> {
    match rng.between(0, 5) {
        0 => vec![7200, 7199, 6543, 3601],
        1 => vec![600],
        2 => vec![300, 299, 60],
        3 => vec![30],
        4 => vec![7200, 61, 1800],
        _ => vec![rng.between(1, 7200)],
    }
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds.unsigned_abs())
}

pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
