//! What must always hold, what must happen in some run, lest the rest hold because nothing happens, and what does exploring
//! all of a setup show?

use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};

use crate::{
    relay::{Phase, Relay, Status},
    setup::Setup,
    timing::{CALL, NOW},
    world::{Action, Witness, World},
};

impl Model for Setup {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.actions(self, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        next.step(self, action);
        next.normalize();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("what is promised holds, or is excused (I3)", |_, world: &World| {
                !world.wechat.is_broken || world.store.is_beyond_repair
            }),
            Property::always("no relay goes back (I4)", |_, world: &World| {
                !world.went_back || world.store.is_beyond_repair
            }),
            Property::always("one call at a time, but for a frozen one (I1)", |_, world: &World| {
                calls_under_way(world) <= 1 || world.store.is_beyond_repair
            }),
            Property::sometimes("another relay takes over", |_, world: &World| world.has_seen(Witness::TakeOver)),
            Property::sometimes("a late token becomes current", |_, world: &World| world.has_seen(Witness::HandedOver)),
            Property::sometimes("a probe decides for the candidate", |_, world: &World| {
                world.has_seen(Witness::Settled)
            }),
            Property::sometimes("a probe decides against it", |_, world: &World| world.has_seen(Witness::Dismissed)),
            Property::sometimes("a lost write is repaired", |_, world: &World| world.has_seen(Witness::Repaired)),
            Property::sometimes("a frozen call is one more", |_, world: &World| world.has_seen(Witness::TwoCalls)),
            Property::sometimes("excused: a double stroke", |_, world: &World| world.wechat.excused.double_stroke),
            Property::sometimes("excused: a lost orphan", |_, world: &World| world.wechat.excused.lost_orphan),
            Property::sometimes("excused: a lost record", |_, world: &World| world.store.is_beyond_repair),
        ]
    }
}

/// Calls that may reach `WeChat`, but for those of relays that were frozen meanwhile.
fn calls_under_way(world: &World) -> usize {
    let is_under_way = |relay: &&Relay| match relay.phase {
        Phase::Cleared(sent) => !sent.was_frozen && !sent.is_unannounced,
        Phase::Out(sent, out_at) => {
            let is_over = relay.status == Status::Dead && out_at + CALL < NOW;
            !sent.was_frozen && !sent.is_unannounced && !is_over
        }
        Phase::Idle | Phase::Recorded(_) | Phase::Answered(..) => false,
    };
    world.relays.iter().filter(is_under_way).count()
}

/// What an exploration has found.
#[derive(Debug)]
pub struct Explored {
    /// Steps taken.
    pub steps: usize,
    /// Different states.
    pub states: usize,
    /// The longest way to a state.
    pub depth: usize,
    /// A property that does not always hold, and how it is broken.
    pub broken: Option<(&'static str, Vec<Action>)>,
    /// What happened in some run, of what must be possible.
    pub seen: Vec<&'static str>,
}

/// Explores every state but for the relays' names, until there is no other or a property is broken.
pub fn exhaust(setup: Setup, threads: usize) -> Explored {
    let checker = setup.checker().threads(threads).symmetry().finish_when(HasDiscoveries::AnyFailures);
    found(&checker.spawn_dfs().join())
}

fn found(checker: &impl Checker<Setup>) -> Explored {
    let mut explored = Explored {
        steps: checker.state_count(),
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        broken: None,
        seen: Vec::new(),
    };
    let discoveries: Vec<(_, stateright::Path<World, Action>)> = checker.discoveries().into_iter().collect();
    for (name, path) in discoveries {
        match checker.model().property(name).expectation {
            Expectation::Always => explored.broken = Some((name, path.into_actions())),
            Expectation::Sometimes | Expectation::Eventually => explored.seen.push(name),
        }
    }
    explored.seen.sort_unstable();
    explored
}
