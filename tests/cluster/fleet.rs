//! Three relays on one Redis, and somebody who reads from each of them all the time.

use std::{collections::BTreeSet, env, net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    client::{self, Answer},
    house::Server,
    ledger::{Ledger, Seen},
    process::{KEY, PATIENCE, Relay},
    wire::{Way, Wire},
    world::{World, eventually},
};

pub(crate) const REPLICAS: usize = 3;
/// A relay says this when it has taken the lease.
const TAKEN: &str = "this relay calls WeChat for the account from now on";
const READ_EVERY: Duration = Duration::from_millis(150);

pub(crate) struct Fleet {
    pub(crate) world: World,
    pub(crate) redis: Server,
    wires: Vec<Wire>,
    relays: Vec<Option<Relay>>,
    ledgers: Vec<Ledger>,
    accounts: Vec<String>,
}

/// Who had taken the lease how often when a blow began.
pub(crate) struct Watch {
    begun: Instant,
    taken: Vec<usize>,
}

/// How often a loop runs: the variable's number, else a modest one.
pub(crate) fn count(variable: &str, modest: u64) -> u64 {
    env::var(variable).ok().map_or(modest, |count| count.parse().unwrap())
}

impl Fleet {
    /// One account, `main`, on `/cgi-bin/token`.
    pub(crate) async fn new(lifetime: u64, overlap: u64) -> Self {
        Self::of(World::new(lifetime, overlap).await, &["main"]).await
    }

    /// Three relays that all serve a token of each account. The first one was started first: it holds the leases.
    pub(crate) async fn of(mut world: World, accounts: &[&str]) -> Self {
        for account in accounts {
            world.set(&format!("accounts.{account}.calls_per_day"), "10000");
        }
        let redis = Server::start();
        let mut wires = Vec::new();
        for _ in 0..REPLICAS {
            wires.push(Wire::to(redis.port).await);
        }
        let accounts = accounts.iter().map(|&account| account.to_owned()).collect();
        let mut fleet = Self { world, redis, wires, relays: Vec::new(), ledgers: Vec::new(), accounts };
        for index in 0..REPLICAS {
            fleet.relays.push(None);
            fleet.start(index).await;
        }
        eventually("somebody says that it holds the lease", async || fleet.last_taken().is_some()).await;
        fleet
    }

    /// Starts a relay and reads from it, with a ledger of its own: a new process remembers nothing.
    pub(crate) async fn start(&mut self, index: usize) {
        self.world.set("state.url", &format!("redis://127.0.0.1:{}/0", self.wires[index].port));
        let relay = self.world.start().await;
        for account in &self.accounts {
            let target = format!("/token?account={account}");
            eventually("a new relay serves", async || relay.get(&target).await.status == 200).await;
        }
        let accounts: Vec<&str> = self.accounts.iter().map(String::as_str).collect();
        let ledger = Ledger::keep(&self.world.sim, &accounts, READ_EVERY);
        ledger.read_from(&relay);
        self.relays[index] = Some(relay);
        if index < self.ledgers.len() {
            self.ledgers[index].pause();
            let earlier = std::mem::replace(&mut self.ledgers[index], ledger);
            self.ledgers.push(earlier);
        } else {
            self.ledgers.push(ledger);
        }
    }

    pub(crate) fn relay(&self, index: usize) -> &Relay {
        self.relays[index].as_ref().unwrap()
    }

    /// Those that run, by their numbers.
    pub(crate) fn running(&self) -> Vec<usize> {
        (0..REPLICAS).filter(|&index| self.relays[index].is_some()).collect()
    }

    pub(crate) fn put(&self, index: usize, way: Way) {
        self.wires[index].put(way);
    }

    /// No requests any more: what comes next would leave them without an answer.
    pub(crate) async fn spare(&self, index: usize) {
        self.ledgers[index].rest().await;
    }

    pub(crate) fn read_again(&self, index: usize) {
        self.ledgers[index].read_from(self.relay(index));
    }

    /// Ends it with SIGKILL.
    pub(crate) async fn kill(&mut self, index: usize) {
        self.spare(index).await;
        self.relays[index].take().unwrap().kill();
    }

    /// Ends it with SIGTERM; the lease is given back when this returns.
    pub(crate) async fn stop(&mut self, index: usize) {
        self.spare(index).await;
        let mut relay = self.relays[index].take().unwrap();
        relay.signal(Signal::TERM);
        assert_eq!(relay.ended().await, Some(0));
    }

    pub(crate) async fn freeze(&self, index: usize) {
        self.spare(index).await;
        self.relay(index).signal(Signal::STOP);
    }

    /// As [`Fleet::freeze`], at once: a read that waits for the call under way would let it end first. It is answered or
    /// lost when the relay goes on.
    pub(crate) fn freeze_in_a_call(&self, index: usize) {
        self.relay(index).signal(Signal::STOP);
        self.ledgers[index].pause();
    }

    pub(crate) fn thaw(&self, index: usize) {
        self.relay(index).signal(Signal::CONT);
        self.read_again(index);
    }

    /// Who took the lease of `main` last, and when by its own clock.
    fn last_taken(&self) -> Option<(String, usize)> {
        let taken = |index: usize| {
            let events = self.relays[index].as_ref()?.events(TAKEN);
            let of_main = events.iter().filter(|event| event["account"] == "main").map(moment);
            Some((of_main.max()?, index))
        };
        (0..REPLICAS).filter_map(taken).max()
    }

    pub(crate) fn holder(&self) -> usize {
        self.last_taken().unwrap().1
    }

    /// What [`Fleet::new_holder`] must know of the time before the blow.
    pub(crate) fn watch(&self) -> Watch {
        Watch { begun: Instant::now(), taken: (0..REPLICAS).map(|index| self.times_taken(index)).collect() }
    }

    /// Waits until somebody else than `old` has taken the lease: who, and how long it took since the blow began.
    pub(crate) async fn new_holder(&self, old: usize, watch: &Watch) -> (usize, Duration) {
        loop {
            let has_taken = |&index: &usize| index != old && self.times_taken(index) > watch.taken[index];
            if let Some(index) = (0..REPLICAS).find(has_taken) {
                return (index, watch.begun.elapsed());
            }
            assert!(watch.begun.elapsed() < Duration::from_secs(90), "nobody takes the lease");
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn times_taken(&self, index: usize) -> usize {
        let events = self.relays[index].as_ref().map(|relay| relay.events(TAKEN)).unwrap_or_default();
        events.iter().filter(|event| event["account"] == "main").count()
    }

    /// Whether all that run serve one generation of `main`.
    pub(crate) async fn agrees(&self) -> bool {
        let mut generations = BTreeSet::new();
        for index in self.running() {
            let answer = self.relay(index).get("/token?account=main").await;
            generations.insert(if answer.status == 200 { answer.generation() } else { 0 });
        }
        generations.len() == 1 && !generations.contains(&0)
    }

    /// Who says "degraded" in `/readyz`, and who shows the store's trouble in the metrics.
    pub(crate) async fn troubled(&self) -> (Vec<usize>, Vec<usize>) {
        let (mut degraded, mut shown) = (Vec::new(), Vec::new());
        for index in self.running() {
            let relay = self.relay(index);
            if relay.look("/readyz").await.json()["status"] == "degraded" {
                degraded.push(index);
            }
            if relay.metric("token_relay_store_ok{account=\"main\"}").await == 0 {
                shown.push(index);
            }
        }
        (degraded, shown)
    }

    /// A report to one relay. It waits 10 s at most, which a busy machine may need: then it is made again.
    pub(crate) async fn report(&self, index: usize, token: &str) -> Answer {
        report(self.relay(index).public, token).await
    }

    /// Ends all relays with SIGTERM, and so every call: what is counted afterwards stays so.
    pub(crate) async fn end(&mut self) {
        for relay in self.relays.iter().flatten() {
            relay.signal(Signal::TERM);
        }
        for mut relay in self.relays.iter_mut().filter_map(Option::take) {
            assert_eq!(relay.ended().await, Some(0));
        }
    }

    pub(crate) fn forgive(&self, token: &str) {
        self.ledgers.iter().for_each(|ledger| ledger.forgive(token));
    }

    /// Ends the reading, and panics if a promise was broken: what was seen by each reader.
    pub(crate) async fn close(&mut self) -> Vec<Seen> {
        // all at one moment: a reader that goes on would see what the others do not
        join_all(std::mem::take(&mut self.ledgers).into_iter().map(Ledger::close)).await
    }

    /// As [`Fleet::close`], and every request had its token. How many there were.
    pub(crate) async fn close_served(&mut self, what: &str) -> u64 {
        let seen = self.close().await;
        let waited: usize = seen.iter().flat_map(|seen| seen.unavailable.values()).map(Vec::len).sum();
        let lost: u64 = seen.iter().map(|seen| seen.lost).sum();
        let excused: usize = seen.iter().map(|seen| seen.excused).sum();
        let served = seen.iter().map(|seen| seen.served).sum();
        let failed = lost + waited as u64;
        println!("{what}: {served} reads, {failed} failed, {excused} excused, {} calls", self.world.calls().len());
        assert_eq!(failed, 0, "{what}: {seen:?}");
        served
    }
}

/// See [`Fleet::report`].
pub(crate) async fn report(at: SocketAddr, token: &str) -> Answer {
    let asked = Instant::now();
    loop {
        let answer = client::report(at, KEY, "", token).await.unwrap();
        if answer.status != 503 || asked.elapsed() > PATIENCE {
            return answer;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// How long something promised within `time` may take. A machine that others use too may stand still for seconds, so only
/// a run with `CLUSTER_STRICT` takes the promise by its word.
pub(crate) fn promised(time: Duration) -> Duration {
    if env::var_os("CLUSTER_STRICT").is_some() { time } else { time + Duration::from_secs(30) }
}

fn moment(event: &Value) -> String {
    event["timestamp"].as_str().unwrap().to_owned()
}
