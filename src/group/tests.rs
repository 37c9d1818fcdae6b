//! The group on paused time: several processes' polls on one store in memory.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{sync::watch, task::JoinSet, time::sleep};

use super::*;
use crate::{
    clock::FixedClock,
    presence::Presence,
    store::{Changed, Cursor, Poll, READ_AT_ONCE, Store, Swap, memory::MemoryStore},
    timing::LEASE,
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
    /// When the last poll came, and the longest time between two.
    polled_at: Option<Instant>,
    longest_gap: Duration,
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
            let gap = state.polled_at.replace(Instant::now()).map_or(Duration::ZERO, |at| at.elapsed());
            state.longest_gap = state.longest_gap.max(gap);
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
            assert!((1..=READ_AT_ONCE).contains(&ids.len()));
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

/// The moment that a keeper counts on, and the record that it is given.
fn given(member: &Member) -> (Option<Timestamp>, Option<String>) {
    let (peers, found) = member.news();
    (peers.contact_at(), text(found))
}

#[tokio::test(start_paused = true)]
async fn while_ten_thousand_records_are_read_slowly_the_relay_shows_itself_and_each_batch_of_keepers_begins() {
    let store = Arc::<FakeStore>::default();
    let name = |number| id(&format!("a{number:04}"));
    store.write(&name(0), "first").await;
    store.write(&name(9999), "last").await;
    lock(&store.state).reads_take = Duration::from_millis(1900);
    let (group, _stop, _task) = group(&store);
    let members: Vec<_> = (0..10_000).map(|number| group.join(name(number))).collect();
    let batches = u32::try_from(members.len().div_ceil(READ_AT_ONCE)).unwrap();
    millis(4000).await;
    let (first, last) = (given(&members[0]), given(&members[9999]));
    assert!(first.0.is_some() && first.1.as_deref() == Some("first"), "{first:?}");
    assert_eq!(last, (None, None), "it counts on nothing that it was not given");
    let mut known = first.0;
    for _ in 1..batches {
        millis(1900).await;
        let counts_on = given(&members[0]).0;
        assert!(known <= counts_on && counts_on.unwrap().plus(LEASE) > group.clock.boot_now(), "it keeps its lease");
        known = counts_on;
    }
    millis(4000).await;
    let last = given(&members[9999]);
    assert!(last.0.is_some() && last.1.as_deref() == Some("last"), "{last:?}");
    let longest = lock(&store.state).longest_gap;
    assert!(longest < LEASE / 3, "{longest:?} between two polls");
    assert!(store.counts().1 >= batches as usize);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_was_delivered_is_not_read_again_when_a_later_one_fails() {
    let store = Arc::<FakeStore>::default();
    let (group, _stop, _task) = group(&store);
    let members: Vec<_> = (0..3 * READ_AT_ONCE).map(|number| group.join(id(&format!("a{number:04}")))).collect();
    lock(&store.state).reads_take = Duration::from_millis(300);
    millis(500).await;
    lock(&store.state).reads_fail = true;
    millis(5000).await;
    let reached = members.iter().filter(|member| member.news().1.is_some()).count();
    assert!((READ_AT_ONCE..3 * READ_AT_ONCE).contains(&reached), "{reached}");
    lock(&store.state).reads_fail = false;
    let (_, before) = store.counts();
    millis(500).await;
    while members.iter().any(|member| member.peers().trouble().is_some()) {
        millis(100).await;
    }
    millis(1000).await;
    assert!(store.counts().1 - before <= 4, "{} batches", store.counts().1 - before);
    let others = members.iter().skip(reached).filter(|member| member.news().1.is_some()).count();
    assert_eq!(others, members.len() - reached);
}

#[tokio::test(start_paused = true)]
async fn a_keeper_that_leaves_before_the_first_poll_is_not_followed() {
    let store = Arc::<FakeStore>::default();
    let (group, _stop, _task) = group(&store);
    drop(group.join(id("main")));
    millis(3000).await;
    assert!(store.counts().0 > 0 && store.counts().1 == 0, "{:?}", store.counts());
}

#[tokio::test(start_paused = true)]
async fn two_keepers_of_one_credential_hear_the_same_until_each_has_left() {
    let store = Arc::<FakeStore>::default();
    let (group, stop, mut tasks) = group(&store);
    let old = group.join(id("main"));
    millis(1500).await;
    drop(old.news());
    let new = group.join(id("main"));
    for next in ["one", "two"] {
        store.write(&id("main"), next).await;
        millis(1500).await;
        assert_eq!([&old, &new].map(|member| text(member.news().1)), [Some(next.to_owned()), Some(next.to_owned())]);
    }
    drop(old);
    store.write(&id("main"), "three").await;
    millis(1500).await;
    assert_eq!(text(new.news().1).as_deref(), Some("three"));
    stop.cancel();
    millis(1500).await;
    assert!(tasks.try_join_next().is_none(), "one is left");
    drop(new);
    millis(100).await;
    assert!(tasks.try_join_next().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_keeper_counts_on_no_poll_that_named_its_record_until_that_is_read_and_the_others_count_on_it() {
    let store = Arc::<FakeStore>::default();
    store.write(&id("main"), "one").await;
    let (group, _stop, _task) = group(&store);
    let (member, other) = (group.join(id("main")), group.join(id("shop")));
    millis(100).await;
    let before = member.news().0.contact_at().expect("it was read");
    store.write(&id("main"), "two").await;
    lock(&store.state).reads_fail = true;
    millis(5000).await;
    let (peers, found) = member.news();
    assert_eq!((peers.contact_at(), found.is_none()), (Some(before), true));
    assert!(peers.trouble().is_some());
    assert!(given(&other).0 >= Some(before.plus(Duration::from_secs(3))), "its own record is as it was");
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
