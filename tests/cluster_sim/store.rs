//! What does the store of several relays do: compare-and-set of bytes, and everything that can go wrong with it?

use token_relay::store::{Sealed, Swap};

/// A request on its way to the store.
pub(crate) enum Ask {
    Load,
    Swap { expected: Option<Sealed>, next: Sealed },
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Answered,
    /// It never arrives.
    Lost,
    /// It is done, and nobody is told.
    DoneUnseen,
    /// Nobody is told, and it is done later, if it still can be.
    DoneLater,
}

/// A request of one life of one relay.
pub(crate) struct Errand {
    pub who: usize,
    pub life: u64,
    pub ask: Ask,
    pub fate: Fate,
    pub answer_takes: i64,
}

/// The store of all.
#[derive(Default)]
pub(crate) struct Store {
    pub bytes: Option<Sealed>,
    /// What it held before, oldest first.
    pub before: Vec<Option<Sealed>>,
    /// Nobody reaches it until then.
    pub away_until: i64,
    pub slow_until: i64,
    pub vague_until: i64,
    /// How often writes were lost that somebody was told of.
    pub losses: u64,
    /// Who wrote last, in which life.
    pub written_by: (usize, u64),
}

impl Store {
    pub(crate) fn swap(&mut self, expected: Option<&Sealed>, next: Sealed) -> Swap {
        if self.bytes.as_ref() != expected {
            return Swap::Lost(self.bytes.clone());
        }
        self.put(Some(next));
        Swap::Won
    }

    fn put(&mut self, bytes: Option<Sealed>) {
        self.before.push(std::mem::replace(&mut self.bytes, bytes));
        if self.before.len() > 400 {
            self.before.drain(..200);
        }
    }

    /// A fail-over: the last writes are gone.
    pub(crate) fn go_back(&mut self, writes: usize) {
        self.losses += 1;
        let older = self.before.len().checked_sub(writes).and_then(|at| self.before.get(at).cloned());
        self.put(older.unwrap_or_default());
    }

    pub(crate) fn place(&mut self, bytes: Option<Sealed>) {
        self.losses += 1;
        self.put(bytes);
    }

    pub(crate) fn has_unknown_calls(&self) -> bool {
        let text = self.bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes.expose()).into_owned());
        text.is_some_and(|text| text.contains("\"unknown_calls\":[["))
    }

    /// The number after `field` in the stored record.
    pub(crate) fn number(&self, field: &str) -> Option<u64> {
        let text = String::from_utf8_lossy(self.bytes.as_ref()?.expose()).into_owned();
        let digits = text.split(&format!("\"{field}\":")).nth(1)?;
        digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }
}
