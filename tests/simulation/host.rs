//! What do the clocks of the machine say that the relay runs on, and what does its disk hold?

use token_relay::{
    clock::{BootId, Now, Timestamp, WallTime},
    store::{Sealed, StoreError, Swap},
};

use super::dice::{Dice, SECOND};

/// 2025-01-01, in Unix milliseconds: where a run begins.
const BEGIN_MS: i64 = 1_735_689_600_000;
/// How far a wall clock that is right may be off.
pub(crate) const RIGHT_WITHIN_MS: i64 = 2000;

/// The relay's tolerance on top of what a right wall clock tells, and that clock's error.
pub(crate) const AGED_BY: i64 = 7 * SECOND + 5000;

pub(crate) struct Host {
    pub boot_number: u64,
    pub booted_at: i64,
    /// How far the wall clock is off.
    pub wall_error_ms: i64,
    /// Somebody ever set it.
    pub was_set: bool,
    /// Somebody set it since WeChat last told that the token works, or since the process began.
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
        BootId::from_text(&format!("boot-{}", self.boot_number))
    }
}

/// What is on the disk, and what is known here of how it came there.
pub(crate) struct Kept {
    pub bytes: Sealed,
    pub boot_number: u64,
    pub written_at: i64,
    pub written_wall_ms: i64,
    /// Torn, foreign or newer: the relay cannot or must not read it.
    pub is_damaged: bool,
}

impl Kept {
    /// The generation that the bytes tell, 0 if they tell none.
    pub(crate) fn generation(&self) -> u64 {
        let text = String::from_utf8_lossy(self.bytes.expose());
        let digits = text.split("\"generation\":").nth(1).unwrap_or_default();
        digits.split(|character: char| !character.is_ascii_digit()).next().and_then(|d| d.parse().ok()).unwrap_or(0)
    }
}

/// A write on its way.
pub(crate) struct Write {
    pub expected: Option<Sealed>,
    pub next: Kept,
    pub fate: Fate,
}

/// What becomes of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is done and told.
    Told,
    /// It is done, and an error is told.
    DoneButUnknown,
    /// It is not done, and an error is told.
    NotDone,
}

#[derive(Default)]
pub(crate) struct Disk {
    pub kept: Option<Kept>,
    pub writing: Option<Write>,
}

/// How a record's age can be judged, seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// By the boot clock.
    Right,
    /// By a wall clock that is right: it seems up to [`AGED_BY`] older than it is.
    RightByWall,
    /// The wall clock makes it negative or shorter than the uptime: the relay must notice.
    Unknown,
    /// The wall clock was set between two boots to something that is possible: nobody can notice.
    Deceived,
}

impl Disk {
    /// The moment at which a write takes effect, or does not.
    pub(crate) fn settle(&mut self) -> Option<Swap> {
        let write = self.writing.take()?;
        let held = self.kept.as_ref().map(|kept| &kept.bytes);
        let full = || Swap::Unknown(StoreError("no space left on device".to_owned()));
        if write.fate == Fate::NotDone {
            return Some(full());
        }
        if held != write.expected.as_ref() {
            return Some(Swap::Lost(held.cloned()));
        }
        self.kept = Some(write.next);
        Some(if write.fate == Fate::Told { Swap::Won } else { full() })
    }

    pub(crate) fn judgement(&self, host: &Host, at: i64) -> Judgement {
        let Some(kept) = &self.kept else { return Judgement::Right };
        if kept.boot_number == host.boot_number {
            return Judgement::Right;
        }
        let told_ms = host.wall_ms(at) - kept.written_wall_ms;
        let true_ms = (at - kept.written_at) / 1000;
        if told_ms < 0 || told_ms * 1000 < at - host.booted_at {
            Judgement::Unknown
        } else if (told_ms - true_ms).abs() <= RIGHT_WITHIN_MS + 1 {
            Judgement::RightByWall
        } else {
            Judgement::Deceived
        }
    }

    /// Spoils the bytes in a way that leaves no record.
    pub(crate) fn damage(&mut self, dice: &mut Dice) -> &'static str {
        let Some(kept) = &mut self.kept else { return "nothing to damage" };
        let mut bytes = kept.bytes.expose().to_vec();
        let length = i64::try_from(bytes.len()).expect("a record is small");
        let how = match dice.between(0, 3) {
            0 => {
                bytes.truncate(usize::try_from(dice.between(0, length - 1)).expect("not negative"));
                "torn"
            }
            1 => {
                // a block that was never written: zeroes are no JSON wherever they stand
                let from = usize::try_from(dice.between(0, length - 1)).expect("not negative");
                bytes[from..].iter_mut().take(512).for_each(|byte| *byte = 0);
                "zeroed"
            }
            2 => {
                bytes = br#"{"version":99,"what":"ever"}"#.to_vec();
                "newer"
            }
            _ => {
                bytes = String::from_utf8_lossy(&bytes).replace("wxsimulated", "wxanother").into_bytes();
                "another's"
            }
        };
        kept.bytes = Sealed::new(bytes);
        kept.is_damaged = true;
        how
    }
}

/// A store answers within this.
pub(crate) const STORE_LIMIT: i64 = 5 * SECOND;
