//! How does a test hold three relays on one Redis, and what does a client of each see all the time?

use std::{collections::BTreeSet, env, net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use rustix::process::Signal;
use serde_json::Value;
use test_support::{
    CLIENT_KEY, Link, LinkState, PATIENCE, RedisServer, Relay, Seen, Setup, TokenPoller,
    client::{self, Answer},
    eventually,
};
use tokio::time::{Instant, sleep};

use crate::RELAY;

pub(crate) const REPLICAS: usize = 3;
/// A relay says this when it has taken the lease.
const TAKEN: &str = "this relay calls WeChat for this credential from now on";
const READ_EVERY: Duration = Duration::from_millis(150);

pub(crate) struct Cluster {
    pub(crate) setup: Setup,
    store: Store,
    relays: Vec<Option<Relay>>,
    pollers: Vec<TokenPoller>,
    accounts: Vec<String>,
}

/// Where the relays keep their records.
enum Store {
    /// One Redis, with a link between it and each relay.
    One(RedisServer, Vec<Link>),
    /// Servers of the test's own, by the `state.url` of each relay.
    At([String; REPLICAS]),
}

/// How often each relay had taken the lease when a fault began.
pub(crate) struct Watch {
    begun: Instant,
    taken: Vec<usize>,
}

/// How often a loop runs: the variable's number, else a modest one.
pub(crate) fn count(variable: &str, modest: u64) -> u64 {
    env::var(variable).ok().map_or(modest, |count| count.parse().unwrap())
}

impl Cluster {
    /// One account, `main`, on `/cgi-bin/token`.
    pub(crate) async fn new(lifetime: u64, overlap: u64) -> Self {
        Self::of(Setup::new(RELAY, lifetime, overlap).await, &["main"]).await
    }

    /// Three relays that all serve a token of each account. The first one was started first: it holds the leases.
    pub(crate) async fn of(setup: Setup, accounts: &[&str]) -> Self {
        let redis = RedisServer::start();
        let mut links = Vec::new();
        for _ in 0..REPLICAS {
            links.push(Link::to(redis.port).await);
        }
        Self::with(setup, accounts, Store::One(redis, links)).await
    }

    /// The same with a `state.url` for each relay.
    pub(crate) async fn at(setup: Setup, accounts: &[&str], urls: [String; REPLICAS]) -> Self {
        Self::with(setup, accounts, Store::At(urls)).await
    }

    async fn with(mut setup: Setup, accounts: &[&str], store: Store) -> Self {
        for account in accounts {
            setup.set(&format!("accounts.{account}.calls_per_day"), "10000");
        }
        let accounts = accounts.iter().map(|&account| account.to_owned()).collect();
        let mut cluster = Self { setup, store, relays: Vec::new(), pollers: Vec::new(), accounts };
        for index in 0..REPLICAS {
            cluster.relays.push(None);
            cluster.start(index).await;
        }
        eventually("a relay says that it holds the lease", async || cluster.last_taken().is_some()).await;
        cluster
    }

    /// Starts a relay and reads from it, with a poller of its own: a new process remembers nothing.
    pub(crate) async fn start(&mut self, index: usize) {
        let url = match &self.store {
            Store::One(_, links) => format!("redis://127.0.0.1:{}/0", links[index].port),
            Store::At(urls) => urls[index].clone(),
        };
        self.setup.set("state.url", &url);
        let relay = self.setup.start().await;
        for account in &self.accounts {
            let target = format!("/token?account={account}");
            eventually("a new relay serves", async || relay.get(&target).await.status == 200).await;
        }
        let accounts: Vec<&str> = self.accounts.iter().map(String::as_str).collect();
        let poller = TokenPoller::start(&self.setup.sim, &accounts, READ_EVERY);
        poller.read_from(&relay);
        self.relays[index] = Some(relay);
        if index < self.pollers.len() {
            self.pollers[index].pause();
            let earlier = std::mem::replace(&mut self.pollers[index], poller);
            self.pollers.push(earlier);
        } else {
            self.pollers.push(poller);
        }
    }

    pub(crate) fn relay(&self, index: usize) -> &Relay {
        self.relays[index].as_ref().unwrap()
    }

    /// Reads far more from each relay, until the reading ends.
    pub(crate) fn load(&mut self, accounts: &[&str]) {
        for (poller, relay) in self.pollers.iter_mut().zip(&self.relays) {
            for account in accounts {
                poller.load(relay.as_ref().unwrap(), account);
            }
        }
    }

    /// Those that run, by their numbers.
    pub(crate) fn running(&self) -> Vec<usize> {
        (0..REPLICAS).filter(|&index| self.relays[index].is_some()).collect()
    }

    /// The one Redis.
    pub(crate) fn redis(&self) -> &RedisServer {
        match &self.store {
            Store::One(redis, _) => redis,
            Store::At(_) => panic!("the test has the servers"),
        }
    }

    /// As [`Cluster::redis`], to end and start it.
    pub(crate) fn redis_mut(&mut self) -> &mut RedisServer {
        match &mut self.store {
            Store::One(redis, _) => redis,
            Store::At(_) => panic!("the test has the servers"),
        }
    }

    pub(crate) fn set_link(&self, index: usize, state: LinkState) {
        match &self.store {
            Store::One(_, links) => links[index].set(state),
            Store::At(_) => panic!("there is no link"),
        }
    }

    /// No requests any more: what comes next would leave them without an answer.
    pub(crate) async fn stop_reading(&self, index: usize) {
        self.pollers[index].drain().await;
    }

    pub(crate) fn read_again(&self, index: usize) {
        self.pollers[index].read_from(self.relay(index));
    }

    /// Ends it with SIGKILL.
    pub(crate) async fn kill(&mut self, index: usize) {
        self.stop_reading(index).await;
        self.relays[index].take().unwrap().kill();
    }

    /// Ends it with SIGTERM; the lease is given back when this returns.
    pub(crate) async fn stop(&mut self, index: usize) {
        self.stop_reading(index).await;
        let mut relay = self.relays[index].take().unwrap();
        relay.signal(Signal::TERM);
        assert_eq!(relay.ended().await, Some(0));
    }

    pub(crate) async fn freeze(&self, index: usize) {
        self.stop_reading(index).await;
        self.relay(index).signal(Signal::STOP);
    }

    /// As [`Cluster::freeze`], at once: a read that waits for the call under way would let it end first. It is answered or
    /// lost when the relay goes on.
    pub(crate) fn freeze_in_a_call(&self, index: usize) {
        self.relay(index).signal(Signal::STOP);
        self.pollers[index].pause();
    }

    pub(crate) fn thaw(&self, index: usize) {
        self.relay(index).signal(Signal::CONT);
        self.read_again(index);
    }

    /// Who took the lease of `main` last, and when by its own clock.
    fn last_taken(&self) -> Option<(String, usize)> {
        let taken = |index: usize| {
            let events = self.relays[index].as_ref()?.events(TAKEN);
            let of_main = events.iter().filter(|event| is_of_main(event)).map(moment);
            Some((of_main.max()?, index))
        };
        (0..REPLICAS).filter_map(taken).max()
    }

    pub(crate) fn holder(&self) -> usize {
        self.last_taken().unwrap().1
    }

    /// What [`Cluster::new_holder`] must know of the time before the fault.
    pub(crate) fn watch(&self) -> Watch {
        Watch { begun: Instant::now(), taken: (0..REPLICAS).map(|index| self.times_taken(index)).collect() }
    }

    /// Waits until another relay than `old` has taken the lease: which one, and how long it took since the fault began.
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
        events.iter().filter(|event| is_of_main(event)).count()
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
        self.pollers.iter().for_each(|poller| poller.forgive(token));
    }

    /// Ends the reading, and panics if a promise was broken: what was seen by each reader.
    pub(crate) async fn close(&mut self) -> Vec<Seen> {
        // all at one moment: a reader that goes on would see what the others do not
        join_all(std::mem::take(&mut self.pollers).into_iter().map(TokenPoller::close)).await
    }

    /// As [`Cluster::close`], and every request had its token. How many there were.
    pub(crate) async fn close_served(&mut self, what: &str) -> u64 {
        let seen = self.close().await;
        let waited: usize = seen.iter().flat_map(|seen| seen.unavailable.values()).map(Vec::len).sum();
        let lost: u64 = seen.iter().map(|seen| seen.lost).sum();
        let excused: usize = seen.iter().map(|seen| seen.excused).sum();
        let served = seen.iter().map(|seen| seen.served).sum();
        let failed = lost + waited as u64;
        println!("{what}: {served} reads, {failed} failed, {excused} excused, {} calls", self.setup.calls().len());
        assert_eq!(failed, 0, "{what}: {seen:?}");
        served
    }
}

/// See [`Cluster::report`].
pub(crate) async fn report(at: SocketAddr, token: &str) -> Answer {
    let asked = Instant::now();
    loop {
        let answer = client::report(at, CLIENT_KEY, "", token).await.unwrap();
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

/// Whether it is about the access token of `main`.
fn is_of_main(event: &Value) -> bool {
    event["account"] == "main" && event["credential"] == "access_token"
}
