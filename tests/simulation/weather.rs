//! What goes wrong, how often, and for how long?

use super::{
    dice::{DAY, Dice, HOUR, MINUTE, SECOND},
    host::Fate,
    setup::trouble_span,
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

/// What happens to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskFault {
    Full,
    /// An error is told, and the record may be there all the same.
    Ambiguous,
    LoadFails,
    Slow,
    Everything,
}

/// What a disturbance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    CallTrouble,
    ProbeTrouble,
    DiskTrouble,
    SlotTrouble,
    Outsider,
    Revocation,
    Reports,
    WallJump,
    Freeze,
    FreezeAtAction,
    Suspend,
    Kill,
    KillAtAction,
    KillLoop,
    Panic,
    Reboot,
    DamagedRecord,
    Shutdown,
}

const EVERY_KIND: [Kind; 18] = [
    Kind::CallTrouble,
    Kind::ProbeTrouble,
    Kind::DiskTrouble,
    Kind::SlotTrouble,
    Kind::Outsider,
    Kind::Revocation,
    Kind::Reports,
    Kind::WallJump,
    Kind::Freeze,
    Kind::FreezeAtAction,
    Kind::Suspend,
    Kind::Kill,
    Kind::KillAtAction,
    Kind::KillLoop,
    Kind::Panic,
    Kind::Reboot,
    Kind::DamagedRecord,
    Kind::Shutdown,
];
const WIRE_KINDS: [Kind; 4] = [Kind::CallTrouble, Kind::ProbeTrouble, Kind::SlotTrouble, Kind::Reports];

/// Of every remedy of WECHAT.md's table, and one that nobody knows.
const CODES: [i64; 16] =
    [-1, -1000, -1, 45011, 45009, 40001, 40125, 40013, 40164, 40243, 50004, 89503, 89507, 89506, 45501, 12345];

/// The troubles that are on, each until a moment.
#[derive(Default)]
pub(crate) struct Weather {
    calls: Option<(Option<CallFault>, i64)>,
    probes: Option<(ProbeFault, i64)>,
    disk: Option<(DiskFault, i64)>,
    slots: i64,
    /// So many actions from now, the process is killed or frozen.
    pub kill_in: Option<i64>,
    pub freeze_in: Option<i64>,
    /// Kill it again soon after its start, so many times.
    pub kills_to_come: i64,
}

impl Weather {
    pub(crate) fn kind(dice: &mut Dice, is_wire_only: bool) -> Kind {
        // calls fail more often than everything else, so that everything else meets failing calls
        match () {
            () if is_wire_only => dice.pick(&WIRE_KINDS),
            () if dice.percent(30) => Kind::CallTrouble,
            () => dice.pick(&EVERY_KIND),
        }
    }

    pub(crate) fn calls_fail(&mut self, now: i64, dice: &mut Dice) {
        // one kind in a row, or a mixture
        let fault = if dice.percent(70) { Some(any_call_fault(dice)) } else { None };
        self.calls = Some((fault, now + trouble_span(dice)));
    }

    pub(crate) fn probes_fail(&mut self, now: i64, dice: &mut Dice) {
        let fault = dice.pick(&[ProbeFault::FalseRefusal, ProbeFault::Inconclusive, ProbeFault::Slow]);
        let span =
            if fault == ProbeFault::FalseRefusal { dice.spread(SECOND, 20 * MINUTE) } else { trouble_span(dice) };
        self.probes = Some((fault, now + span));
    }

    pub(crate) fn disk_fails(&mut self, now: i64, dice: &mut Dice) {
        use DiskFault::{Ambiguous, Everything, Full, LoadFails, Slow};
        let fault = dice.pick(&[Full, Ambiguous, Everything, LoadFails, Slow]);
        self.disk = Some((fault, now + trouble_span(dice)));
    }

    pub(crate) fn slots_fill(&mut self, now: i64, dice: &mut Dice) {
        self.slots = now + trouble_span(dice);
    }

    /// The sky clears at once.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn call(&mut self, now: i64, dice: &mut Dice) -> Option<CallFault> {
        match self.calls {
            Some((fault, until)) if now < until => Some(fault.unwrap_or_else(|| any_call_fault(dice))),
            _ => None,
        }
    }

    pub(crate) fn probe(&self, now: i64) -> Option<ProbeFault> {
        self.probes.filter(|&(_, until)| now < until).map(|(fault, _)| fault)
    }

    fn disk(&self, now: i64) -> Option<DiskFault> {
        self.disk.filter(|&(_, until)| now < until).map(|(fault, _)| fault)
    }

    pub(crate) fn write_fate(&self, now: i64, dice: &mut Dice) -> Fate {
        match self.disk(now) {
            Some(DiskFault::Full | DiskFault::Everything) => Fate::NotDone,
            Some(DiskFault::Ambiguous) => dice.pick(&[Fate::Told, Fate::NotDone, Fate::DoneButUnknown]),
            Some(DiskFault::LoadFails | DiskFault::Slow) | None => Fate::Told,
        }
    }

    pub(crate) fn load_fails(&self, now: i64) -> bool {
        matches!(self.disk(now), Some(DiskFault::LoadFails | DiskFault::Everything))
    }

    pub(crate) fn store_takes(&self, now: i64, dice: &mut Dice) -> i64 {
        match self.disk(now) {
            Some(DiskFault::Slow) => dice.spread(20_000, 5 * SECOND),
            Some(_) if dice.coin() => dice.spread(1000, 5 * SECOND),
            _ => dice.between(200, 20_000),
        }
    }

    pub(crate) fn slot_takes(&self, now: i64, dice: &mut Dice) -> i64 {
        if now < self.slots { dice.spread(10_000, 30 * SECOND) } else { dice.between(0, 500) }
    }
}

fn any_call_fault(dice: &mut Dice) -> CallFault {
    match dice.between(0, 9) {
        0 | 1 => CallFault::NotSent,
        2 | 3 => CallFault::LostReply,
        4 => CallFault::Gateway,
        5 | 6 => CallFault::Hang,
        7 => CallFault::Odd,
        _ => CallFault::Code(dice.pick(&CODES)),
    }
}

/// How far somebody sets the wall clock, in milliseconds.
pub(crate) fn wall_jump_ms(dice: &mut Dice) -> i64 {
    let far = dice.spread(1000, 10 * 366 * DAY / 1000);
    if dice.coin() { far } else { -far }
}

/// How long a machine is away.
pub(crate) fn absence(dice: &mut Dice) -> i64 {
    if dice.coin() { dice.spread(50_000, 20 * SECOND) } else { dice.spread(MINUTE, 12 * HOUR) }
}
