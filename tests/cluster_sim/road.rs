//! What happens to requests on their way to the store and back, and to its hints?

use token_relay::{
    keeper::machine::Event,
    store::{StoreError, Swap},
};

use super::{
    dice::SECOND,
    store::{Ask, Errand, Fate},
    world::{Message, REPLICAS, What, World},
};

/// The client of the store gives up after this.
const STORE_LIMIT: i64 = 2 * SECOND;

impl World {
    pub(super) fn ask_store(&mut self, who: usize, ask: Ask) {
        let now = self.now;
        if let (true, Ask::Swap { next, .. }) = (self.is_told, &ask) {
            let text = String::from_utf8_lossy(next.expose()).into_owned();
            let from = text.find("\"generation\"").unwrap_or(0);
            self.tell(format_args!("[{who}]   writes {}", &text[from..]));
        }
        let is_slow = now < self.store.slow_until;
        let mut way = || if is_slow { self.dice.spread(50_000, 4 * SECOND) } else { self.dice.between(200, 25_000) };
        let (there, back) = (way(), way());
        let fate = match () {
            () if there + back > STORE_LIMIT => Fate::DoneUnseen,
            () if now < self.store.vague_until => {
                self.dice.pick(&[Fate::Answered, Fate::Lost, Fate::DoneUnseen, Fate::DoneLater])
            }
            () => Fate::Answered,
        };
        let life = self.replicas[who].life;
        let errand = Errand { who, life, ask, fate, answer_takes: back };
        self.push(now + there, What::StoreArrives(errand));
    }

    pub(super) fn store_arrives(&mut self, mut errand: Errand) {
        let now = self.now;
        let replica = &self.replicas[errand.who];
        let is_cut = now < self.store.away_until || now < replica.cut_out_until;
        let no_answer_at = now + STORE_LIMIT;
        if is_cut || errand.fate == Fate::Lost {
            return self.no_answer(&errand, no_answer_at);
        }
        if errand.fate == Fate::DoneLater {
            self.no_answer(&errand, no_answer_at);
            let later = now + self.dice.spread(SECOND, 8 * SECOND);
            errand.fate = Fate::DoneUnseen;
            return self.push(later, What::LateWrite(errand));
        }
        let is_unseen = errand.fate == Fate::DoneUnseen || now < replica.cut_in_until;
        let event = match errand.ask {
            Ask::Load => Event::Loaded(Ok(self.store.bytes.clone())),
            Ask::Swap { ref expected, ref next } => {
                let swap = self.store.swap(expected.as_ref(), next.clone());
                if swap == Swap::Won {
                    self.store.written_by = (errand.who, errand.life);
                    self.hint();
                }
                Event::Stored(swap)
            }
        };
        if is_unseen {
            return self.no_answer(&errand, no_answer_at);
        }
        let at = now + errand.answer_takes;
        self.push(at, What::ToReplica(errand.who, errand.life, Message::Event(event)));
    }

    fn no_answer(&mut self, errand: &Errand, at: i64) {
        let error = StoreError("no answer".to_owned());
        let event = match errand.ask {
            Ask::Load => Event::Loaded(Err(error)),
            Ask::Swap { .. } => Event::Stored(Swap::Unknown(error)),
        };
        self.push(at, What::ToReplica(errand.who, errand.life, Message::Event(event)));
    }

    pub(super) fn late_write(&mut self, errand: Errand) {
        if let Ask::Swap { expected, next } = errand.ask {
            self.store.written_by = (errand.who, 0); // it does not know
            let swap = self.store.swap(expected.as_ref(), next);
            if swap == Swap::Won {
                self.tally.count("swap written after its answer");
                self.tell(format_args!("[{}] a write of its is done late", errand.who));
            }
        }
    }

    fn hint(&mut self) {
        for who in 0..REPLICAS {
            let replica = &self.replicas[who];
            if self.now < replica.cut_in_until || self.dice.percent(15) {
                continue;
            }
            let takes =
                if self.dice.percent(10) { self.dice.between(0, 3 * SECOND) } else { self.dice.between(300, 9000) };
            let at = self.now + takes;
            self.send_event(who, at, Event::Hint);
        }
    }
}
