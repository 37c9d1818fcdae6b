use std::collections::{BTreeSet, HashSet};

use stateright::Representative;

use crate::{
    setup::{Faults, Setup},
    store::Cursor,
    timing::LONG_AGO,
    world::{Action, World},
};

/// All that goes wrong, with so few calls that every setup is explored twice in seconds.
const SETUPS: [(usize, u8, Faults); 6] = [
    (2, 3, Faults::NONE),
    (2, 3, Faults::CRASH),
    (2, 3, Faults::LOSS),
    (2, 2, Faults::FREEZE),
    (2, 2, Faults { cuts: 1, unknowns: 1, ..Faults::NONE }),
    (3, 2, Faults::CRASH),
];

/// What can happen next.
type Possible = fn(&World, &Setup, &mut Vec<Action>);

/// How many states are reached, and what `look` makes of each.
fn explored(
    setup: &Setup,
    possible: Possible,
    normalize: fn(&mut World),
    look: impl Fn(World) -> Option<World>,
) -> (usize, BTreeSet<World>) {
    let mut new = vec![World::new(setup)];
    let (mut known, mut looks) = (HashSet::new(), BTreeSet::new());
    let mut actions = Vec::new();
    while let Some(world) = new.pop() {
        possible(&world, setup, &mut actions);
        for action in actions.drain(..) {
            let mut next = world.clone();
            next.step(setup, action);
            normalize(&mut next);
            if known.insert(next.representative()) {
                new.push(next);
            }
        }
        looks.extend(look(world).map(|world| world.by_any_name()));
    }
    (known.len(), looks)
}

impl World {
    /// What else can be seen of it once all is forgotten.
    fn without_forgettable(mut self) -> Self {
        self.normalize();
        for relay in &mut self.relays {
            (relay.gone, relay.learned_at) = (0, LONG_AGO);
            (relay.cursor, relay.latest) = (Cursor::NONE, Cursor::NONE);
        }
        self.store.cursor = Cursor::NONE;
        if let Some(last) = &mut self.store.last {
            last.before.1 = Cursor::NONE;
        }
        self.wechat.tokens.iter_mut().for_each(|token| token.born_at = LONG_AGO);
        self
    }

    /// The least of all that differ only in the relays' names.
    fn by_any_name(&self) -> Self {
        let orders = orders(self.relays.len());
        orders.iter().map(|order| self.in_order(order)).min().expect("there is an order of any relays")
    }
}

/// Every order of so many relays.
fn orders(relays: usize) -> Vec<Vec<usize>> {
    let Some(last) = relays.checked_sub(1) else { return vec![Vec::new()] };
    let with_last = |order: Vec<usize>| {
        (0..=order.len()).map(move |at| {
            let mut order = order.clone();
            order.insert(at, last);
            order
        })
    };
    orders(last).into_iter().flat_map(with_last).collect()
}

/// How a setup is explored: what can happen, and what is done to each state.
type Way = (Possible, fn(&mut World));

/// Explores each setup both ways: the second reaches fewer states, and the same is seen of both.
fn same_is_seen(all: Way, fewer: Way, look: fn(&Setup, World) -> Option<World>) {
    for (relays, calls, faults) in SETUPS {
        let setup = Setup { relays, calls, faults, without: &[] };
        let explored = |(possible, normalize): Way| explored(&setup, possible, normalize, |world| look(&setup, world));
        let ((all, seen_of_all), (fewer, seen_of_fewer)) = (explored(all), explored(fewer));
        assert!(fewer < all, "{setup:?}");
        assert!(seen_of_all == seen_of_fewer, "{setup:?}: {} and {}", seen_of_all.len(), seen_of_fewer.len());
    }
}

const IN_ANY_ORDER: Possible = |world, setup, actions| world.possible(setup, false, actions);
const IN_ONE_ORDER: Possible = |world, setup, actions| world.possible(setup, world.is_quiet(setup), actions);

#[test]
fn what_is_forgotten_changes_nothing_else() {
    let look = |_: &Setup, world: World| Some(world.without_forgettable());
    same_is_seen((IN_ANY_ORDER, World::number), (IN_ANY_ORDER, World::normalize), look);
}

#[test]
fn the_order_of_polls_while_it_is_quiet_changes_nothing() {
    let end_of_tick = |setup: &Setup, world: World| world.may_time_pass(setup).then(|| world.without_forgettable());
    same_is_seen((IN_ANY_ORDER, World::normalize), (IN_ONE_ORDER, World::normalize), end_of_tick);
}

#[test]
fn a_run_that_is_over_would_break_nothing() {
    for (relays, calls, faults) in SETUPS {
        let setup = Setup { relays, calls, faults, without: &[] };
        let is_broken = |world: World| (world.went_back || world.wechat.is_broken).then_some(world);
        assert_eq!(explored(&setup, IN_ONE_ORDER, World::normalize, is_broken).1, BTreeSet::new(), "{setup:?}");
    }
}
