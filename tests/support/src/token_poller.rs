//! Does every token that was served live as long as was promised? A poller reads tokens all the time and records every
//! promise; the simulated WeChat knows whether it is kept.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{task::JoinSet, time::sleep};
use wechat_sim::Sim;

use crate::{
    client::{self, Answer},
    relay_process::{CLIENT_KEY, Relay},
    setup::appid,
    wait::eventually,
};

mod load;

/// A promise that reaches further is checked up to here: what kills a token early does so within an overlap.
const LAST_LOOK: Duration = Duration::from_secs(6);

/// This much late, and the machine stands still.
const STALL: Duration = Duration::from_millis(300);
/// For so long after that, a relay may still be catching up.
const AFTER_A_STALL: Duration = Duration::from_secs(5);

static ALL_SERVED: AtomicU64 = AtomicU64::new(0);

/// What was seen up to now, and what was promised.
#[derive(Debug, Default)]
pub struct Seen {
    /// Answers with a token.
    pub served: u64,
    /// When each was asked for and had arrived, by account.
    pub served_at: BTreeMap<String, Vec<(Duration, Duration)>>,
    /// When each generation was served first, by account and generation.
    pub first_served: BTreeMap<(String, u64), Duration>,
    /// Answers under a load that promised no more than the one before. A token that is dead by then was promised too long by
    /// that one.
    pub repeated: u64,
    /// Requests that got no answer at all.
    pub lost: u64,
    /// When what was answered with 503 was asked, by account; not while the machine stood still.
    pub unavailable: BTreeMap<String, Vec<Duration>>,
    /// The moments up to which the machine had stood still.
    stalls: Vec<Duration>,
    /// Answers 503 that the machine's stalls excuse.
    pub excused: usize,
    /// Broken promises, one message each.
    broken: Vec<String>,
    /// The highest generation of each account, and when it was first here.
    generations: BTreeMap<String, (u64, Duration)>,
    /// The furthest promise made of each token.
    promises: BTreeMap<String, Promised>,
    /// Tokens that another caller killed: the relay can't have known, up to the moment at which that was reported.
    forgiven: BTreeMap<String, Duration>,
}

impl Seen {
    /// A relay that does not run cannot serve: what was asked before it had caught up is not its fault.
    fn forgive_stalls(&mut self) {
        let stalls = std::mem::take(&mut self.stalls);
        let is_excused = |asked: &Duration| stalls.iter().any(|end| asked.abs_diff(*end) < AFTER_A_STALL);
        for asked in self.unavailable.values_mut() {
            let all = asked.len();
            asked.retain(|asked| !is_excused(asked));
            self.excused += all - asked.len();
        }
        self.unavailable.retain(|_, asked| !asked.is_empty());
    }
}

/// A token was said to live until a moment on the simulator's clock.
#[derive(Debug, Clone)]
struct Promised {
    until: Duration,
    asked: Duration,
    account: String,
}

/// Reads tokens until it is closed.
#[derive(Debug)]
pub struct TokenPoller {
    sim: Arc<Sim>,
    seen: Arc<Mutex<Seen>>,
    at: Arc<Mutex<Option<SocketAddr>>>,
    /// Cloned by every read that is under way.
    reading: Arc<()>,
    over: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl TokenPoller {
    /// Reads the tokens of `accounts` in turn, about every `pause` each.
    pub fn start(sim: &Arc<Sim>, accounts: &[&str], pause: Duration) -> Self {
        let mut poller = Self {
            sim: sim.clone(),
            seen: Arc::default(),
            at: Arc::default(),
            reading: Arc::default(),
            over: Arc::default(),
            tasks: JoinSet::new(),
        };
        let (sim_too, seen) = (sim.clone(), poller.seen.clone());
        let over = poller.over.clone();
        poller.tasks.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let began = sim_too.now();
                sleep(Duration::from_millis(20)).await;
                let now = sim_too.now();
                if now > began + STALL {
                    seen.lock().unwrap().stalls.push(now);
                }
            }
        });
        for account in accounts {
            let (sim, seen, at, over) = (sim.clone(), poller.seen.clone(), poller.at.clone(), poller.over.clone());
            let (account, reading) = ((*account).to_owned(), Arc::downgrade(&poller.reading));
            poller.tasks.spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let target = at.lock().unwrap().map(|at| (at, reading.upgrade()));
                    if let Some((at, _under_way)) = target {
                        read(&sim, &seen, at, &account).await;
                    }
                    sleep(pause).await;
                }
            });
        }
        poller
    }

    /// Reads from this relay from now on.
    pub fn read_from(&self, relay: &Relay) {
        *self.at.lock().unwrap() = Some(relay.public);
    }

    /// There is no relay for the moment.
    pub fn pause(&self) {
        *self.at.lock().unwrap() = None;
    }

    /// As [`TokenPoller::pause`], and no read is under way any more: none is left without an answer by what comes next. A read
    /// may wait for a token, so this takes as long as one may.
    pub async fn drain(&self) {
        self.pause();
        eventually("no read is under way", async || Arc::strong_count(&self.reading) == 1).await;
    }

    /// Somebody else is about to kill this token.
    pub fn forgive(&self, token: &str) {
        self.seen.lock().unwrap().forgiven.insert(token.to_owned(), Duration::MAX);
    }

    /// The relay knows that this token is dead: serving it to who asks from here on is its fault.
    pub fn hold_to_account(&self, token: &str) {
        self.seen.lock().unwrap().forgiven.insert(token.to_owned(), self.sim.now());
    }

    /// Records an answer that a test got by itself, asked for at `asked` on the simulator's clock.
    pub fn record(&self, account: &str, asked: Duration, answer: &Answer) {
        record(&self.sim, &mut self.seen.lock().unwrap(), account, asked, answer);
    }

    /// Reads on until `moment` on the simulator's clock.
    pub async fn until(&self, moment: Duration) {
        sleep(moment.saturating_sub(self.sim.now())).await;
    }

    /// Ends, waits until the last promise has run out, and panics if one was broken.
    pub async fn close(mut self) -> Seen {
        let last = self.seen.lock().unwrap().promises.values().map(|promised| promised.until).max();
        let last = last.map(|until| until.min(self.sim.now() + LAST_LOOK));
        self.over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        while self.sim.now() < last.unwrap_or_default() {
            check(&self.sim, &mut self.seen.lock().unwrap());
            sleep(Duration::from_millis(10)).await;
        }
        let mut seen = std::mem::take(&mut *self.seen.lock().unwrap());
        seen.forgive_stalls();
        let all = ALL_SERVED.fetch_add(seen.served, Ordering::Relaxed) + seen.served;
        println!("{} tokens checked here, {all} so far in this process", seen.served);
        assert!(seen.broken.is_empty(), "{} broken promises:\n{}", seen.broken.len(), seen.broken.join("\n"));
        seen
    }
}

async fn read(sim: &Sim, seen: &Mutex<Seen>, at: SocketAddr, account: &str) {
    let asked = sim.now();
    // A relay that is gone answers nothing: no promise either.
    match client::get(at, &format!("/token?account={account}"), Some(CLIENT_KEY)).await {
        Ok(answer) => record(sim, &mut seen.lock().unwrap(), account, asked, &answer),
        Err(_) => seen.lock().unwrap().lost += 1,
    }
    check(sim, &mut seen.lock().unwrap());
}

fn record(sim: &Sim, seen: &mut Seen, account: &str, asked: Duration, answer: &Answer) {
    if answer.status == 503 {
        seen.unavailable.entry(account.to_owned()).or_default().push(asked);
        return;
    }
    if answer.status != 200 {
        seen.broken.push(format!("{account}: {answer:?}"));
        return;
    }
    let (token, generation) = (answer.token(), answer.generation());
    seen.served += 1;
    seen.served_at.entry(account.to_owned()).or_default().push((asked, sim.now()));
    seen.first_served.entry((account.to_owned(), generation)).or_insert_with(|| sim.now());
    // the relay counts from a moment after this one, so a kept promise reaches at least this far
    let until = asked + Duration::from_secs(answer.seconds());
    let promised = Promised { until, asked, account: account.to_owned() };
    let furthest = seen.promises.entry(token.clone()).or_insert_with(|| promised.clone());
    if furthest.until < until {
        *furthest = promised;
    }
    let (highest, since) = *seen.generations.entry(account.to_owned()).or_insert((generation, sim.now()));
    // an answer that was under way when the higher one came may arrive after it
    if generation < highest && since < asked {
        seen.broken.push(format!("{account}: generation {generation} after {highest} at {asked:?} (I4)"));
    }
    if highest < generation {
        seen.generations.insert(account.to_owned(), (generation, sim.now()));
    }
    if sim.now() < until && !sim.token_alive(&appid(account), &token) && sim.now() < until {
        let message = format!("{account}: a dead token was served at {asked:?} for {} s (I3)", answer.seconds());
        blame(seen, &token, asked, message);
    }
}

/// Looks at every promise that still stands.
fn check(sim: &Sim, seen: &mut Seen) {
    let mut broken = Vec::new();
    seen.promises.retain(|token, Promised { until, asked, account }| {
        let dead = sim.alive_for(token).is_none();
        let now = sim.now();
        if dead && now < *until {
            let (said, early) = (until.saturating_sub(*asked), until.saturating_sub(now));
            let message = format!("{account}: {said:?} promised at {asked:?}; dead at {now:?}, {early:?} early (I3)");
            broken.push((token.clone(), *asked, message));
        }
        now < *until && !dead
    });
    for (token, asked, message) in broken {
        blame(seen, &token, asked, message);
    }
}

fn blame(seen: &mut Seen, token: &str, asked: Duration, message: String) {
    if seen.forgiven.get(token).is_none_or(|known| known < &asked) {
        seen.broken.push(message);
    }
}
