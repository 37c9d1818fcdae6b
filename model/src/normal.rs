//! Which states are one and the same? What nobody looks at any more is forgotten, and numbers of which only the order counts
//! are counted anew, so that fewer states are explored. Which relay is which does not matter either.

use stateright::Representative;

use crate::{
    record::{Generation, Record, RelayId},
    relay::{Relay, Unstored},
    store::{Cursor, Store, Version},
    world::World,
};

impl World {
    /// One of all states that are the same.
    pub(crate) fn normalize(&mut self) {
        self.forget();
        self.number();
    }

    pub(crate) fn number(&mut self) {
        self.number_generations();
        self.number_versions();
        self.number_revisions();
        self.number_changes();
    }

    fn records(&mut self) -> impl Iterator<Item = &mut Record> {
        let ours = self.relays.iter_mut().filter_map(|relay| relay.record.as_mut());
        let last = self.store.last.as_mut().map(|last| &mut last.before.2);
        ours.chain(last).chain([&mut self.store.record])
    }

    fn number_generations(&mut self) {
        let mut known = vec![0];
        self.each_generation(|generation| known.push(*generation));
        known.sort_unstable();
        known.dedup();
        let rank = |generation: &Generation| known.binary_search(generation).expect("it was collected");
        self.each_generation(|generation| *generation = Generation::try_from(rank(generation)).expect("a few"));
        self.next = Generation::try_from(known.len()).expect("a few");
    }

    fn each_generation(&mut self, mut see: impl FnMut(&mut Generation)) {
        for record in self.records() {
            see(&mut record.generation);
            see(&mut record.credential.generation);
        }
        for relay in &mut self.relays {
            see(&mut relay.durable);
            see(&mut relay.untaken);
            if let Some((generation, _)) = &mut relay.served {
                see(generation);
            }
            if let Some(Unstored::Token(credential, after)) = &mut relay.unstored {
                see(&mut credential.generation);
                see(after);
            }
        }
    }

    fn number_versions(&mut self) {
        let mut known = vec![0];
        known.extend(self.versions());
        let rank = |version: Version| known.iter().position(|known| *known == version).unwrap_or(0);
        let rank = |version: Version| Version::try_from(rank(version)).expect("a few");
        for relay in &mut self.relays {
            relay.held = rank(relay.held);
        }
        self.store.version = rank(self.store.version);
        if let Some(last) = &mut self.store.last {
            last.before.0 = rank(last.before.0);
        }
    }

    fn number_revisions(&mut self) {
        let least = self.records().map(|record| record.revision).min().unwrap_or(1) - 1;
        self.records().for_each(|record| record.revision -= least);
        self.store.lost = self.store.lost.map(|(writer, revision)| (writer, revision.saturating_sub(least)));
        self.relays.iter_mut().for_each(|relay| relay.seen_revision = relay.seen_revision.saturating_sub(least));
    }

    /// Only whether a relay is behind the store counts, or the store behind a relay; and while a write can be lost, whether it is
    /// behind by one, for then it is not after the loss. One write is lost at most, and only then the history gets another name: a
    /// relay that knows the old name is behind.
    fn number_changes(&mut self) {
        let Self { store: Store { cursor, last, .. }, relays, faults, .. } = self;
        let behind = if faults.losses > 0 { 1 } else { 2 };
        let shift = |seen: Cursor| {
            let is_same = seen.nonce == cursor.nonce;
            let change = if is_same { (seen.change + 3).saturating_sub(cursor.change) } else { 0 };
            Cursor { nonce: 1, change: change.max(behind) }
        };
        for relay in relays {
            (relay.cursor, relay.latest) = (shift(relay.cursor), shift(relay.latest));
        }
        if let Some(last) = last {
            last.before.1 = shift(last.before.1);
        }
        *cursor = shift(*cursor);
    }
}

impl Representative for World {
    fn representative(&self) -> Self {
        let mut order: Vec<_> = (0..self.relays.len()).collect();
        let nameless: Vec<_> = (0..).zip(&self.relays).map(|(me, relay)| relay.without_names(me)).collect();
        order.sort_by(|one, other| nameless[*one].cmp(&nameless[*other]));
        self.in_order(&order)
    }
}

impl World {
    pub(crate) fn in_order(&self, order: &[usize]) -> Self {
        let mut names = vec![0; order.len()];
        for (name, place) in (0..).zip(order) {
            names[*place] = name;
        }
        let relays = order.iter().map(|place| self.relays[*place].renamed(&names)).collect();
        let mut world = Self { relays, ..self.clone() };
        world.store.record.rename(&names);
        if let Some(last) = &mut world.store.last {
            last.writer = names[usize::from(last.writer)];
            last.before.2.rename(&names);
        }
        world.store.lost = world.store.lost.map(|(writer, revision)| (names[usize::from(writer)], revision));
        world.wechat.tokens.iter_mut().for_each(|token| token.of = names[usize::from(token.of)]);
        world
    }
}

impl Relay {
    /// What can be compared without asking which relay is which.
    fn without_names(&self, me: RelayId) -> Self {
        let mut relay = Self { gone: 0, ..self.clone() };
        if let Some(record) = &mut relay.record {
            record.holder = record.holder.map(|holder| RelayId::from(holder == me));
        }
        relay
    }

    fn renamed(&self, names: &[RelayId]) -> Self {
        let gone = (0..names.len()).filter(|place| self.gone & (1 << place) != 0).map(|place| 1 << names[place]).sum();
        let mut relay = Self { gone, ..self.clone() };
        if let Some(record) = &mut relay.record {
            record.rename(names);
        }
        relay
    }
}

impl Record {
    fn rename(&mut self, names: &[RelayId]) {
        self.holder = self.holder.map(|holder| names[usize::from(holder)]);
    }
}
