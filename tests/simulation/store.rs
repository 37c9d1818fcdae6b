//! What does the store do, a directory of one relay's own or one that several share: compare-and-set of bytes; and what is
//! known here of how they came there?

use std::borrow::Cow;

use memchr::memmem;
use token_relay::store::{Sealed, Swap};

use super::{
    history::History,
    replica::Host,
    rng::{Rng, SECOND},
};

/// How far a wall clock that is right may be off.
pub(crate) const RIGHT_WITHIN_MS: i64 = 2000;
/// The relay's tolerance on top of what a right wall clock tells, and that clock's error.
pub(crate) const AGED_BY: i64 = 7 * SECOND + 5000;

/// A record, and what is known here of how it came to be written.
#[derive(Clone)]
pub(crate) struct Kept {
    pub bytes: Sealed,
    pub boot_name: String,
    pub written_at: i64,
    pub written_wall_ms: i64,
    /// Torn, foreign or newer: the relay cannot or must not read it.
    pub is_damaged: bool,
}

impl Kept {
    pub(crate) fn by(host: &Host, at: i64, bytes: Sealed) -> Self {
        // by the wall clock of then: it may have been set since
        let written_wall_ms = number(bytes.expose(), "wall_ms").and_then(|ms| i64::try_from(ms).ok());
        let written_wall_ms = written_wall_ms.unwrap_or_else(|| host.wall_ms(at));
        Self { bytes, boot_name: host.boot_name.clone(), written_at: at, written_wall_ms, is_damaged: false }
    }

    pub(crate) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes.expose())
    }
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

#[derive(Default, Clone)]
pub(crate) struct Store {
    pub kept: Option<Kept>,
    /// How often a shared one was written, and what relays have shown of themselves.
    pub history: History,
    /// What a shared one held before, oldest first.
    pub before: Vec<(Option<Kept>, History)>,
    /// Which keeper wrote last.
    pub written_by: (usize, u64),
}

impl Store {
    pub(crate) fn bytes(&self) -> Option<&Sealed> {
        self.kept.as_ref().map(|kept| &kept.bytes)
    }

    pub(crate) fn swap(&mut self, expected: Option<&Sealed>, next: Kept, remembers: bool) -> Swap {
        if self.bytes() != expected {
            return Swap::Lost(self.bytes().cloned());
        }
        if remembers {
            self.place(Some(next));
            self.history.written();
        } else {
            self.kept = Some(next);
        }
        Swap::Won
    }

    pub(crate) fn place(&mut self, next: Option<Kept>) {
        self.before.push((std::mem::replace(&mut self.kept, next), self.history.clone()));
        if self.before.len() > 400 {
            self.before.drain(..200);
        }
    }

    /// A fail-over: the last writes are gone.
    pub(crate) fn go_back(&mut self, writes: usize) {
        let older = self.before.len().checked_sub(writes).and_then(|at| self.before.get(at).cloned());
        let (kept, history) = older.unwrap_or_default();
        self.place(kept);
        self.history = history;
    }

    /// All is gone.
    pub(crate) fn flush(&mut self) {
        self.place(None);
        self.history = History::default();
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| !kept.is_damaged)
    }

    pub(crate) fn contains(&self, text: &str) -> bool {
        self.bytes().is_some_and(|bytes| memmem::find(bytes.expose(), text.as_bytes()).is_some())
    }

    /// The number after `field` in the stored record.
    pub(crate) fn number(&self, field: &str) -> Option<u64> {
        number(self.bytes()?.expose(), field)
    }

    pub(crate) fn judgement(&self, host: &Host, at: i64) -> Judgement {
        let Some(kept) = self.kept.as_ref().filter(|kept| kept.boot_name != host.boot_name) else {
            return Judgement::Right;
        };
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
    pub(crate) fn damage(&mut self, rng: &mut Rng) -> &'static str {
        let Some(kept) = &mut self.kept else { return "nothing to damage" };
        let mut bytes = kept.bytes.expose().to_vec();
        let length = i64::try_from(bytes.len()).expect("a record is small");
        let how = match rng.between(0, 3) {
            0 => {
                bytes.truncate(usize::try_from(rng.between(0, length - 1)).expect("not negative"));
                "torn"
            }
            1 => {
                // a block that was never written: zeroes are no JSON wherever they stand
                let from = usize::try_from(rng.between(0, length - 1)).expect("not negative");
                bytes[from..].iter_mut().take(512).for_each(|byte| *byte = 0);
                "zeroed"
            }
            2 => {
                bytes = br#"{"version":99,"what":"ever"}"#.to_vec();
                "newer"
            }
            _ => {
                bytes = kept.text().replace("wxsimulated", "wxanother").into_bytes();
                "another's"
            }
        };
        kept.bytes = Sealed::new(bytes);
        kept.is_damaged = true;
        how
    }
}

fn number(bytes: &[u8], field: &str) -> Option<u64> {
    let name = format!("\"{field}\":");
    let digits = &bytes[memmem::find(bytes, name.as_bytes())? + name.len()..];
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}
