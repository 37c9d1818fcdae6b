//! The group on paused time: several processes' polls on one store in memory.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{sync::watch, task::JoinSet, time::sleep};

use super::*;
use crate::{
    clock::FixedClock,
    presence::Presence,
    store::{Changed, Cursor, Poll, Store, Swap, memory::MemoryStore},
};

/// A store that several share: it counts what it is asked, and may be away.
#[derive(Default)]
struct FakeStore {
    records: MemoryStore,
    state: Mutex<State>,
    hints: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    change: u64,
    changes: BTreeMap<CredentialId, u64>,
    presences: BTreeMap<ReplicaId, Presence>,
    polls: usize,
    reads: usize,
    /// Reads take so long, and fail.
    reads_take: Duration,
    reads_fail: bool,
}

impl FakeStore {
    async fn write(&self, id: &CredentialId, text: &str) {
        let held = self.records.load(id).await.unwrap();
        assert_eq!(self.records.swap(id, held, Sealed::new(text.as_bytes().to_vec())).await, Swap::Won);
        let mut state = lock(&self.state);
        state.change += 1;
        let change = state.change;
        state.changes.insert(id.clone(), change);
    }

    fn counts(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.polls, state.reads)
    }
}

impl Store for FakeStore {
    fn load<'a>(&'a self, id: &'a CredentialId) -> BoxFuture<'a, Result<Option<Sealed>, StoreError>> {
        self.records.load(id)
    }

    fn swap<'a>(&'a self, id: &'a CredentialId, expected: Option<Sealed>, next: Sealed) -> BoxFuture<'a, Swap> {
        self.records.swap(id, expected, next)
    }

    fn set_aside<'a>(&'a self, id: &'a CredentialId) -> BoxFuture<'a, Result<String, StoreError>> {
        self.records.set_aside(id)
    }
}

impl SharedStore for FakeStore {
    fn poll(
        &self,
        me: ReplicaId,
        presence: Presence,
        cursor: Option<Cursor>,
    ) -> BoxFuture<'_, Result<Poll, StoreError>> {
        Box::pin(async move {
            sleep(Duration::from_millis(1)).await;
            let mut state = lock(&self.state);
            state.polls += 1;
            state.presences.insert(me, presence);
            let named = |cursor: Cursor| {
                let changed = state.changes.iter().filter(|(_, change)| cursor.change < **change);
                Changed::These(changed.map(|(id, _)| id.clone()).collect())
            };
            Ok(Poll {
                cursor: Cursor { nonce: 7, change: state.change },
                changed: cursor.map_or(Changed::All, named),
                presences: state.presences.iter().map(|(id, presence)| (*id, presence.clone())).collect(),
            })
        })
    }

    fn read<'a>(&'a self, ids: &'a [CredentialId]) -> BoxFuture<'a, Result<Vec<Option<Sealed>>, StoreError>> {
        Box::pin(async move {
            let (takes, fails) = {
                let mut state = lock(&self.state);
                state.reads += 1;
                (state.reads_take, state.reads_fail)
            };
            sleep(takes).await;
            if fails {
                return Err(StoreError("no answer".to_owned()));
            }
            let mut found = Vec::new();
            for id in ids {
                found.push(self.records.load(id).await?);
            }
            Ok(found)
        })
    }

    fn forget<'a>(&'a self, gone: &'a [ReplicaId]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            lock(&self.state).presences.retain(|id, _| !gone.contains(id));
            Ok(())
        })
    }

    fn hint(&self) -> watch::Receiver<u64> {
        self.hints.subscribe()
    }
}

fn id(name: &str) -> CredentialId {
    CredentialId::access_token(name.parse().unwrap())
}

/// A process's group, which polls until its tasks are dropped.
fn group(store: &Arc<FakeStore>) -> (Arc<Group>, CancellationToken, JoinSet<()>) {
    let group = Group::new(store.clone(), Arc::new(FixedClock::following_tokio()));
    let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
    tasks.spawn(group.clone().poll(stop.clone()));
    (group, stop, tasks)
}

/// What the member's keeper would be given.
fn text(found: Option<Found>) -> Option<String> {
    let record = found?.record?;
    Some(String::from_utf8(record.expose().to_vec()).unwrap())
}

async fn millis(millis: u64) {
    sleep(Duration::from_millis(millis)).await;
}

#[tokio::test(start_paused = true)]
async fn a_keeper_is_given_its_record_at_the_start_and_whenever_it_changes() {
    let store = Arc::<FakeStore>::default();
    store.write(&id("main"), "one").await;
    let (group, _stop, _task) = group(&store);
    let member = group.join(id("main"));
    millis(100).await;
    assert_eq!(text(member.news().1).as_deref(), Some("one"));
    store.write(&id("main"), "two").await;
    member.changed().await;
    millis(1100).await;
    assert_eq!(text(member.news().1).as_deref(), Some("two"));
}

#[tokio::test(start_paused = true)]
async fn no_view_counts_on_a_poll_of_which_something_was_not_read() {
    let store = Arc::<FakeStore>::default();
    store.write(&id("main"), "one").await;
    let (group, _stop, _task) = group(&store);
    let member = group.join(id("main"));
    millis(100).await;
    let before = member.news().0.contact_at().expect("it was read");
    store.write(&id("main"), "two").await;
    lock(&store.state).reads_fail = true;
    millis(5000).await;
    let (peers, found) = member.news();
    assert_eq!((peers.contact_at(), found.is_none()), (Some(before), true));
    assert!(peers.trouble().is_some());
    lock(&store.state).reads_fail = false;
    millis(2000).await;
    let (peers, found) = member.news();
    assert!(peers.contact_at() > Some(before) && peers.trouble().is_none());
    assert_eq!(text(found).as_deref(), Some("two"));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_credentials_at_rest_cost_two_commands_a_second() {
    let store = Arc::<FakeStore>::default();
    let (group, _stop, _task) = group(&store);
    let members: Vec<_> = (0..10_000).map(|number| group.join(id(&format!("a{number}")))).collect();
    millis(5000).await;
    for member in &members {
        drop(member.news());
    }
    let before = store.counts();
    millis(60_000).await;
    let (polls, reads) = store.counts();
    assert!((60..=68).contains(&(polls - before.0)), "{} polls in a minute", polls - before.0);
    assert!(reads - before.1 <= polls - before.0);
    // within that minute each was read once more
    assert!(members.iter().all(|member| member.news().1.is_some()));
}

#[tokio::test(start_paused = true)]
async fn a_hint_makes_it_poll_at_once_and_a_thousand_do_no_more_than_every_50_ms() {
    let store = Arc::<FakeStore>::default();
    let (group, _stop, _task) = group(&store);
    let _member = group.join(id("main"));
    millis(2500).await;
    let (before, _) = store.counts();
    for _ in 0..1000 {
        store.hints.send_modify(|hints| *hints += 1);
        millis(1).await;
    }
    let (after, _) = store.counts();
    assert!((10..=21).contains(&(after - before)), "{} polls in a second", after - before);
}

#[tokio::test(start_paused = true)]
async fn after_a_stop_it_polls_on_until_the_last_keeper_has_left() {
    let store = Arc::<FakeStore>::default();
    let (group, stop, mut tasks) = group(&store);
    let members = [group.join(id("main")), group.join(id("shop"))];
    millis(1500).await;
    stop.cancel();
    let (before, _) = store.counts();
    millis(5000).await;
    assert!(store.counts().0 >= before + 4 && tasks.try_join_next().is_none());
    drop(members);
    millis(100).await;
    assert!(tasks.try_join_next().is_some());
}

#[tokio::test(start_paused = true)]
async fn two_relays_know_each_others_clocks_within_a_second_and_that_one_is_gone_after_fifteen() {
    let store = Arc::<FakeStore>::default();
    let (here, _stop, _task) = group(&store);
    let (there, _there_stops, mut other) = group(&store);
    let (member, _other) = (here.join(id("main")), there.join(id("main")));
    millis(3000).await;
    let holder = there.view.load().me();
    let started = here.clock.boot_now();
    assert!(!member.peers().is_gone(holder, started));
    other.abort_all();
    millis(12_000).await;
    assert!(!member.peers().is_gone(holder, started));
    millis(6000).await;
    assert!(member.peers().is_gone(holder, started));
}
