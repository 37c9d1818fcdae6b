//! What goes wrong, how often, and for how long?

use token_relay::store::StoreError;

use super::{
    rng::{DAY, HOUR, MINUTE, Rng, SECOND},
    setup::Setup,
    world::{What, World},
};

/// What happens to a call on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallFault {
    /// No connection.
    NotSent,
    /// WeChat mints and the reply is lost.
    LostReply,
    /// A gateway answers: nothing was minted.
    Gateway,
    /// The time-out; WeChat mints at some moment of it, or does not.
    Hang,
    /// WeChat mints and its reply cannot be read.
    Odd,
    /// WeChat refuses with this code.
    Code(i64),
}

/// What happens to a probe on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProbeFault {
    /// 40001 for a token that works.
    FalseRefusal,
    Inconclusive,
    /// It takes its 3 s, and the verdict is of its beginning.
    Slow,
}

/// What happens to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreFault {
    /// Full, or read-only.
    Full,
    /// An error is answered, and the record may be there all the same; with a shared store also later.
    Ambiguous,
    LoadFails,
    Slow,
    /// A disk that fails in everything, a server that nobody reaches.
    Away,
}

/// What becomes of a request to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Answered,
    /// It is not done, and an error is answered.
    NotDone,
    /// It is done, and nobody learns it.
    DoneUnseen,
    /// Nobody learns it, and it is done later, if it still can be.
    DoneLater,
}

/// What a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Calls,
    Probes,
    Store,
    Slots,
    Outsider,
    /// WeChat drops a token.
    Revocation,
    /// An operator revokes a token.
    KillSwitch,
    Reports,
    WallJump,
    Freeze,
    FreezeAtAction,
    FreezeBeforeSend,
    Suspend,
    Kill,
    KillAtAction,
    KillLoop,
    Panic,
    Reboot,
    NewSecret,
    DamagedRecord,
    Shutdown,
    Cut,
    /// A relay's calls do not get out, and those of the others do.
    NoEgress,
    LostWrites,
    /// Another primary is elected, and the one before answers on for a while.
    Failover,
}

use Kind::{
    Calls, Cut, DamagedRecord, Failover, Freeze, FreezeAtAction, FreezeBeforeSend, Kill, KillAtAction, KillLoop,
    KillSwitch, LostWrites, NewSecret, NoEgress, Outsider, Panic, Probes, Reboot, Reports, Revocation, Shutdown, Slots,
    Suspend, WallJump,
};

/// Of a relay alone. Its directory is no network that cuts it off, and what it was told to be durable is: it was synced.
const ALONE: [Kind; 21] = [
    Calls,
    Probes,
    Kind::Store,
    Slots,
    Outsider,
    Revocation,
    KillSwitch,
    Reports,
    WallJump,
    Freeze,
    FreezeAtAction,
    FreezeBeforeSend,
    Suspend,
    Kill,
    KillAtAction,
    KillLoop,
    Panic,
    Reboot,
    NewSecret,
    DamagedRecord,
    Shutdown,
];
const ON_THE_WIRE: [Kind; 4] = [Calls, Probes, Slots, Reports];
/// Of several relays: what meets the lease often, the rest at times. Damaged bytes are for the operator (`LostWrites`).
const SHARING: [Kind; 19] = [
    Kill,
    Kill,
    KillAtAction,
    KillAtAction,
    Freeze,
    FreezeAtAction,
    FreezeAtAction,
    FreezeBeforeSend,
    FreezeBeforeSend,
    Shutdown,
    Cut,
    Cut,
    Kind::Store,
    Kind::Store,
    Calls,
    Calls,
    Probes,
    Panic,
    Panic,
];
const SHARING_AT_TIMES: [Kind; 19] = [
    NoEgress, NoEgress, Outsider, Revocation, KillSwitch, Reports, WallJump, Reboot, LostWrites, LostWrites,
    LostWrites, Failover, Failover, Failover, Failover, Suspend, KillLoop, NewSecret, Slots,
];

/// Of every remedy of WECHAT.md's table, and one that nobody knows.
const CODES: [i64; 16] =
    [-1, -1000, -1, 45011, 45009, 40001, 40125, 40013, 40164, 40243, 50004, 89503, 89507, 89506, 45501, 12345];

/// Those whose wait is over before healing is judged.
const BRIEF_CODES: [i64; 6] = [-1, -1000, -1, 45011, 40164, 40001];

/// The troubles that are on, each until a moment.
pub(crate) struct Troubles {
    calls: Option<(Option<CallFault>, i64)>,
    /// The errcodes that WeChat refuses calls with.
    codes: &'static [i64],
    probes: Option<(ProbeFault, i64)>,
    store: Option<(StoreFault, i64)>,
    permits: i64,
}

impl World {
    /// Chooses when the next faults come: often where it hurts, near the next call or the end of the token.
    pub(crate) fn plan_faults(&mut self) {
        if !self.is_storm {
            return;
        }
        let (unrest, is_shared) = (self.setup.unrest, self.setup.is_shared);
        let mut at = self.now + self.rng.spread(unrest / 10 + 1, 2 * unrest);
        let (aimed, burst) = if is_shared { (10, 1) } else { (60, self.rng.pick(&[1, 1, 2, 3, 5])) };
        let spot = if self.rng.percent(aimed) { self.sore_spot_after(at).unwrap_or(at) } else { at };
        for _ in 0..burst {
            let kind = kind(&self.setup, &mut self.rng);
            let apart = if burst == 1 { 0 } else { self.rng.pick(&[0, 1, SECOND, 10 * SECOND, 5 * MINUTE]) };
            let when = spot + self.rng.between(0, apart);
            self.push(when, What::Fault(kind));
        }
        if !is_shared {
            at = spot; // rotations are far between in years
        }
        self.push(at + 1, What::PlanFaults);
    }

    /// A moment at which something is due, a rotation or an end, as of now: a rotation later if it has passed by then.
    fn sore_spot_after(&mut self, at: i64) -> Option<i64> {
        let replica = &self.replicas[self.holder().unwrap_or(0)];
        let status = replica.status.as_ref()?;
        let rotation_at = replica.host.at(status.rotation_at?);
        let end = status.offer.as_ref().map(|offer| replica.host.at(offer.promise.until));
        let spot = self.rng.pick(&[Some(rotation_at), Some(rotation_at), end])?;
        let period = (rotation_at - self.now).max(MINUTE);
        let rounds = ((at - spot).max(0) + period - 1) / period;
        let shift = self.rng.pick(&[-10 * SECOND, -SECOND, 0, 0, SECOND, 100 * SECOND]);
        Some((spot + rounds * period + shift).max(self.now + 1))
    }

    /// How long a trouble lasts: often a single call, at times a day; with several relays less, for a run is short.
    pub(crate) fn trouble_span(&mut self) -> i64 {
        if self.setup.is_shared {
            return self.rng.spread(SECOND, 20 * MINUTE);
        }
        match self.rng.between(0, 9) {
            0..=3 => self.rng.spread(SECOND, 20 * SECOND),
            4..=7 => self.rng.spread(MINUTE, 2 * HOUR),
            8 => self.rng.spread(HOUR, 8 * HOUR),
            _ => self.rng.spread(8 * HOUR, 30 * HOUR),
        }
    }

    /// How long a process, frozen or gone, is away.
    pub(crate) fn absence(&mut self) -> i64 {
        if !self.setup.is_shared {
            let is_short = self.rng.coin();
            return if is_short { self.rng.spread(50_000, 20 * SECOND) } else { self.rng.spread(MINUTE, 12 * HOUR) };
        }
        match self.rng.between(0, 5) {
            0..=1 => self.rng.spread(SECOND, 20 * SECOND),
            2..=4 => self.rng.spread(15 * SECOND, 12 * MINUTE),
            _ => self.rng.spread(10 * MINUTE, 2 * HOUR),
        }
    }

    /// Calls, probes, the store or the permits fail for a while.
    pub(crate) fn trouble(&mut self, kind: Kind) {
        let until = self.now + self.trouble_span();
        let (troubles, rng) = (&mut self.troubles, &mut self.rng);
        match kind {
            Kind::Calls => {
                // one kind in a row, or a mixture
                let fault = if rng.percent(70) { Some(any_call_fault(troubles.codes, rng)) } else { None };
                let until = if self.setup.is_shared { self.now + rng.spread(20 * SECOND, HOUR) } else { until };
                troubles.calls = Some((fault, until));
            }
            Kind::Probes => {
                let fault = rng.pick(&[ProbeFault::FalseRefusal, ProbeFault::Inconclusive, ProbeFault::Slow]);
                let is_false = fault == ProbeFault::FalseRefusal;
                troubles.probes =
                    Some((fault, if is_false { self.now + rng.spread(SECOND, 20 * MINUTE) } else { until }));
            }
            Kind::Store => {
                use StoreFault::{Ambiguous, Away, Full, LoadFails, Slow};
                let fault = rng.pick(&[Full, Ambiguous, Ambiguous, Away, LoadFails, Slow]);
                self.tally.count(match fault {
                    Full => "full store",
                    Ambiguous => "unknown swaps",
                    Away => "store away",
                    LoadFails => "store that cannot be read",
                    Slow => "slow store",
                });
                troubles.store = Some((fault, until));
            }
            _ => troubles.permits = until,
        }
    }
}

fn kind(setup: &Setup, rng: &mut Rng) -> Kind {
    match () {
        () if setup.is_wire_only => rng.pick(&ON_THE_WIRE),
        () if setup.is_shared && rng.percent(12) => rng.pick(&SHARING_AT_TIMES),
        () if setup.is_shared => rng.pick(&SHARING),
        // calls fail more often than everything else, so that everything else meets failing calls
        () if rng.percent(30) => Kind::Calls,
        () => rng.pick(&ALONE),
    }
}

impl Troubles {
    pub(crate) fn none(setup: &Setup) -> Self {
        let codes: &[i64] = if setup.is_shared { &BRIEF_CODES } else { &CODES };
        Self { calls: None, codes, probes: None, store: None, permits: 0 }
    }

    pub(crate) fn call(&self, now: i64, rng: &mut Rng) -> Option<CallFault> {
        self.calls
            .filter(|&(_, until)| now < until)
            .map(|(fault, _)| fault.unwrap_or_else(|| any_call_fault(self.codes, rng)))
    }

    pub(crate) fn probe(&self, now: i64) -> Option<ProbeFault> {
        self.probes.filter(|&(_, until)| now < until).map(|(fault, _)| fault)
    }

    pub(crate) fn store(&self, now: i64) -> Option<StoreFault> {
        self.store.filter(|&(_, until)| now < until).map(|(fault, _)| fault)
    }

    pub(crate) fn swap_fate(&self, now: i64, is_shared: bool, rng: &mut Rng) -> Fate {
        match self.store(now) {
            Some(StoreFault::Full | StoreFault::Away) => Fate::NotDone,
            Some(StoreFault::Ambiguous) => match rng.between(0, if is_shared { 3 } else { 2 }) {
                0 => Fate::Answered,
                1 => Fate::NotDone,
                2 => Fate::DoneUnseen,
                _ => Fate::DoneLater,
            },
            Some(StoreFault::LoadFails | StoreFault::Slow) | None => Fate::Answered,
        }
    }

    pub(crate) fn load_fate(&self, now: i64) -> Fate {
        match self.store(now) {
            Some(StoreFault::LoadFails | StoreFault::Away) => Fate::NotDone,
            _ => Fate::Answered,
        }
    }

    /// Why the store does not do it.
    pub(crate) fn store_error(&self, now: i64) -> StoreError {
        let is_full = self.store(now) == Some(StoreFault::Full);
        StoreError(if is_full { "no space left on device" } else { "input/output error" }.to_owned())
    }

    pub(crate) fn slot_takes(&self, now: i64, rng: &mut Rng) -> i64 {
        match () {
            () if now < self.permits => rng.spread(10_000, 30 * SECOND),
            () if rng.percent(2) => rng.between(0, 20 * SECOND),
            () => rng.between(0, 500),
        }
    }
}

fn any_call_fault(codes: &[i64], rng: &mut Rng) -> CallFault {
    match rng.between(0, 9) {
        0 | 1 => CallFault::NotSent,
        2 | 3 => CallFault::LostReply,
        4 => CallFault::Gateway,
        5 | 6 => CallFault::Hang,
        7 => CallFault::Odd,
        _ => CallFault::Code(rng.pick(codes)),
    }
}

/// How far somebody sets the wall clock, in milliseconds.
pub(crate) fn wall_jump_ms(rng: &mut Rng) -> i64 {
    let far = rng.spread(1000, 10 * 366 * DAY / 1000);
    if rng.coin() { far } else { -far }
}
