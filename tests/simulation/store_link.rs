//! What happens to requests on their way to the store and back, and to its hints?

use token_relay::{
    keeper::machine::Event,
    store::{Sealed, StoreError, Swap},
};

use super::{
    fault_plan::{Fate, StoreFault},
    group::Step,
    replica::Replica,
    rng::SECOND,
    store::{Kept, Store},
    world::{Message, What, World},
};

/// A disk answers within this.
pub(crate) const DISK_LIMIT: i64 = 5 * SECOND;
/// The client of a shared store gives up after this.
pub(crate) const CLIENT_LIMIT: i64 = 2 * SECOND;

/// A request on its way to the store.
pub(crate) enum Ask {
    Load,
    Swap { expected: Option<Sealed>, next: Kept },
}

/// A request of one keeper.
pub(crate) struct Request {
    who: usize,
    process: u64,
    life: u64,
    ask: Ask,
    fate: Fate,
    answer_takes: i64,
}

impl World {
    pub(crate) fn ask_store(&mut self, who: usize, ask: Ask) {
        let (now, is_shared) = (self.now, self.setup.is_shared);
        let mut fate = match ask {
            Ask::Load => self.troubles.load_fate(now),
            Ask::Swap { .. } => self.troubles.swap_fate(now, is_shared, &mut self.rng),
        };
        if fate != Fate::Answered {
            self.tally.count(if matches!(ask, Ask::Load) { "failed load" } else { "failed write" });
        }
        let (there, back) = (self.way(), if is_shared { self.way() } else { self.rng.pick(&[0, 1, 500, 100_000]) });
        if is_shared && fate == Fate::Answered && there + back > CLIENT_LIMIT {
            fate = Fate::DoneUnseen;
        }
        self.requests_made += 1;
        let Replica { process, life, .. } = self.replicas[who];
        let request = Request { who, process, life, ask, fate, answer_takes: back };
        self.requests.insert(self.requests_made, request);
        self.push(now + there, What::Request(self.requests_made));
    }

    pub(crate) fn way(&mut self) -> i64 {
        let is_slow = self.troubles.store(self.now) == Some(StoreFault::Slow);
        match (self.setup.is_shared, self.troubles.store(self.now)) {
            (true, _) if is_slow => self.rng.spread(50_000, 4 * SECOND),
            (true, _) => self.rng.between(200, 25_000),
            (false, _) if is_slow => self.rng.spread(20_000, DISK_LIMIT),
            (false, Some(_)) if self.rng.coin() => self.rng.spread(1000, DISK_LIMIT),
            (false, _) => self.rng.between(200, 20_000),
        }
    }

    /// A request reaches the store: to a directory only while its process lives.
    pub(crate) fn request_arrives(&mut self, number: u64) {
        let Some(mut request) = self.requests.remove(&number) else { return };
        let now = self.now;
        let replica = &self.replicas[request.who];
        if now < replica.cut_out_until || (self.setup.is_shared && self.troubles.store(now) == Some(StoreFault::Away)) {
            request.fate = Fate::NotDone;
        }
        let is_unconfirmed = self.is_unconfirmed(request.who);
        if request.fate == Fate::DoneLater && !is_unconfirmed {
            self.no_answer(&request);
            let later = now + self.rng.spread(SECOND, 8 * SECOND);
            request.fate = Fate::DoneUnseen;
            self.requests_made += 1;
            self.requests.insert(self.requests_made, request);
            return self.push(later, What::LateWrite(self.requests_made));
        }
        if request.fate == Fate::NotDone {
            return self.no_answer(&request);
        }
        let is_unseen = request.fate != Fate::Answered || now < replica.cut_in_until || is_unconfirmed;
        let Request { who, process, life, answer_takes, .. } = request;
        if is_unseen {
            self.no_answer(&request);
        }
        let event = match request.ask {
            Ask::Load => Event::Loaded(Ok(self.store_of(who).bytes().cloned())),
            Ask::Swap { expected, next } => Event::Stored(self.swap(who, life, expected.as_ref(), next)),
        };
        if !is_unseen {
            if let Some(cursor) = self.store_of(who).history.cursor() {
                self.push(now + answer_takes, What::Group(who, process, Step::Saw(cursor)));
            }
            self.push(now + answer_takes, What::ToRelay(who, life, Message::Event(event)));
        }
    }

    /// Whether a relay's writes reach a primary that is cut off, and are confirmed by nobody.
    pub(crate) fn is_unconfirmed(&self, who: usize) -> bool {
        self.now < self.replicas[who].minority_until && super::confirms_writes()
    }

    /// Where the requests of a relay arrive: at the primary, or at one that is cut off and does not know it.
    pub(crate) fn store_of(&mut self, who: usize) -> &mut Store {
        if self.now < self.replicas[who].minority_until { &mut self.minority } else { &mut self.store }
    }

    fn swap(&mut self, who: usize, life: u64, expected: Option<&Sealed>, next: Kept) -> Swap {
        let is_shared = self.setup.is_shared;
        if is_shared {
            let (seen, fresh) = (self.replicas[who].group.latest, self.rng.seed());
            self.store_of(who).history.enter(seen, fresh);
        }
        let revoked = if is_shared { self.store.number("up_to") } else { None };
        let store = self.store_of(who);
        let swap = store.swap(expected, next, is_shared);
        if swap == Swap::Won && is_shared {
            store.written_by = (who, life);
            if !self.is_unconfirmed(who) {
                self.orphan_is_told(who, life);
            }
            self.hint(who);
        }
        if is_shared && revoked < self.store.number("up_to") {
            self.operator_revokes(); // until now only its writer has heard of it
        }
        swap
    }

    /// An error, at once from a disk, from a server after a while.
    fn no_answer(&mut self, request: &Request) {
        let is_slow = self.setup.is_shared && self.troubles.store(self.now) != Some(StoreFault::Full);
        let error = if is_slow { StoreError("no answer".to_owned()) } else { self.troubles.store_error(self.now) };
        let event = match request.ask {
            Ask::Load => Event::Loaded(Err(error)),
            Ask::Swap { .. } => Event::Stored(Swap::Unknown(error)),
        };
        let takes = if is_slow { CLIENT_LIMIT } else { request.answer_takes };
        self.push(self.now + takes, What::ToRelay(request.who, request.life, Message::Event(event)));
    }

    pub(crate) fn late_write(&mut self, number: u64) {
        let Some(Request { who, life, ask: Ask::Swap { expected, next }, .. }) = self.requests.remove(&number) else {
            return;
        };
        self.store.written_by = (who, 0); // it does not know
        if self.store.swap(expected.as_ref(), next, true) == Swap::Won {
            self.orphan_is_told(who, life);
            self.tally.count("swap written after its answer");
            self.trace.line(self.now, format_args!("[{who}] a write of its is done late"));
        }
    }

    /// The process, or its keeper, is gone in the midst of writing to its directory.
    pub(crate) fn settle_writes(&mut self, who: usize, is_done: bool) {
        for request in std::mem::take(&mut self.requests).into_values() {
            if let Ask::Swap { expected, next } = request.ask
                && is_done
                && request.fate != Fate::NotDone
            {
                self.swap(who, request.life, expected.as_ref(), next);
            }
        }
    }

    fn hint(&mut self, writer: usize) {
        for who in 0..self.setup.replicas {
            if who == writer || self.now < self.replicas[who].cut_in_until || self.rng.percent(15) {
                continue;
            }
            let is_late = self.rng.percent(10);
            let takes = if is_late { self.rng.between(0, 3 * SECOND) } else { self.rng.between(300, 9000) };
            self.poll_sooner(who, self.now + takes);
        }
    }
}
