//! The shell on paused time: what it does with the task, the I/O and the clock around the machine.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
};

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::*;
use crate::{
    clock::FixedClock,
    credential::{CredentialKind, Token},
    heartbeat::{BEAT, Heartbeat, STALE_AFTER},
    issuer::{IssueError, Issued, Platform, Profile, Verdict, wechat::Endpoint},
    keepers::{Changes, Keepers},
    lifecycle::{End, Lifecycle},
    metrics::Metrics,
    registry::{Handle, Registry},
    report::Grounds,
    store::{Sealed, Swap, memory::MemoryStore},
};

const GRACE: Duration = Duration::from_secs(20);

/// Hands out `token-1`, `token-2`, … for two hours each, after `takes`. A call makes sense `ready_after` somebody waits for that.
#[derive(Debug, Default)]
struct FakeIssuer {
    ready_after: Duration,
    takes: Duration,
    calls: AtomicU32,
}

impl Issuer for FakeIssuer {
    fn profile(&self) -> Profile {
        Endpoint::Token.profile(Duration::from_secs(300))
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(sleep(self.ready_after))
    }

    fn issue(&self, _force: bool) -> BoxFuture<'_, Result<Issued, IssueError>> {
        Box::pin(async {
            let number = self.calls.fetch_add(1, SeqCst) + 1;
            sleep(self.takes).await;
            let token = Token::try_from(format!("token-{number}")).unwrap();
            Ok(Issued { token, life: Duration::from_secs(7200) })
        })
    }

    fn probe<'a>(&'a self, _token: &'a Token) -> BoxFuture<'a, Verdict> {
        Box::pin(async { Verdict::Accepted })
    }
}

/// A store in memory that panics as often as it is told to.
#[derive(Debug)]
struct FakeStore {
    records: MemoryStore,
    panics: Mutex<VecDeque<Instant>>,
    loads: AtomicU32,
}

impl FakeStore {
    fn new() -> Arc<Self> {
        Arc::new(Self { records: MemoryStore::new(), panics: Mutex::default(), loads: AtomicU32::new(0) })
    }

    /// Panics once more, at the next load or swap.
    fn panic_next(&self) {
        self.panics.lock().unwrap().push_back(Instant::now());
    }

    fn panic_if_asked_to(&self) {
        let mut panics = self.panics.lock().unwrap();
        let is_due = panics.front().is_some_and(|at| *at <= Instant::now());
        if is_due {
            panics.pop_front();
            drop(panics);
            panic!("the store was asked to panic");
        }
    }
}

impl Store for FakeStore {
    fn load<'a>(&'a self, id: &'a CredentialId) -> BoxFuture<'a, Result<Option<Sealed>, StoreError>> {
        self.loads.fetch_add(1, SeqCst);
        Box::pin(async move {
            self.panic_if_asked_to();
            self.records.load(id).await
        })
    }

    fn swap<'a>(&'a self, id: &'a CredentialId, expected: Option<Sealed>, next: Sealed) -> BoxFuture<'a, Swap> {
        Box::pin(async move {
            self.panic_if_asked_to();
            self.records.swap(id, expected, next).await
        })
    }

    fn set_aside<'a>(&'a self, id: &'a CredentialId) -> BoxFuture<'a, Result<String, StoreError>> {
        self.records.set_aside(id)
    }
}

fn setup_with(issuer: Arc<FakeIssuer>) -> Setup {
    let policy = Policy {
        issuer: issuer.profile(),
        before_expiry: Duration::from_secs(3600),
        report_cooldown: Duration::from_secs(30),
        probe_every: Duration::ZERO,
        retry_min: Duration::from_secs(1),
        retry_max: Duration::from_secs(60),
        calls_per_day: 400,
        longest_call: Duration::from_secs(8),
    };
    Setup { policy, secret_mark: SecretMark::default(), issuer }
}

/// A process with one keeper of `main`.
struct Process {
    life: Lifecycle,
    keepers: Keepers,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    issuer: Arc<FakeIssuer>,
    store: Arc<FakeStore>,
    clock: Arc<FixedClock>,
}

impl Process {
    fn start(store: Arc<FakeStore>, issuer: FakeIssuer) -> Self {
        Self::start_at(Arc::new(FixedClock::following_tokio()), store, issuer)
    }

    fn start_at(clock: Arc<FixedClock>, store: Arc<FakeStore>, issuer: FakeIssuer) -> Self {
        let (life, registry, metrics) = (Lifecycle::new(), Arc::<Registry>::default(), Arc::<Metrics>::default());
        let keepers = Keepers::new(life.clone(), registry.clone(), metrics.clone());
        let mut process = Self { life, keepers, registry, metrics, issuer: Arc::new(issuer), store, clock };
        process.keepers.change(vec![process.parts("main")]);
        process.keepers.start();
        process
    }

    fn parts(&self, account: &str) -> Parts {
        self.parts_of(account, "wx1")
    }

    fn parts_of(&self, account: &str, appid: &str) -> Parts {
        Parts {
            id: id(account),
            identity: Arc::new(Identity {
                base_url: "http://wechat".to_owned(),
                appid: appid.to_owned(),
                endpoint: "token".to_owned(),
            }),
            setup: setup_with(self.issuer.clone()),
            store: self.store.clone(),
            group: None,
            timer: self.metrics.call_timer(Platform::WeChat, CredentialKind::AccessToken),
            permits: Permits::new(1),
            clock: self.clock.clone(),
        }
    }

    fn handle(&self) -> Arc<Handle> {
        self.registry.handles().access_token("main").unwrap().clone()
    }

    /// The token that a reader gets now.
    fn served(&self) -> Option<String> {
        let published = self.handle().published();
        let (offer, _) = published.status.servable(self.clock.boot_now())?;
        Some(offer.token.expose().to_owned())
    }

    async fn change_to(&mut self, parts: Vec<Parts>) -> Changes {
        let changes = self.keepers.change(parts);
        self.keepers.start();
        self.keepers.settle().await;
        changes
    }

    /// A client reports the token: before its probe the keeper writes a debit.
    async fn report(&self) {
        let handle = self.handle();
        let generation = handle.published().status.offer.as_ref().unwrap().generation;
        // nobody waits for the answer
        tokio::time::timeout(Duration::from_millis(1), handle.report(generation, Grounds::Report)).await.ok();
    }

    fn silence(&self) -> Option<Duration> {
        self.handle().heartbeat.silence(self.clock.awake())
    }

    fn restarts(&self) -> u32 {
        let page = self.metrics.render(Duration::ZERO);
        let line = page.lines().find(|line| line.starts_with("token_relay_keeper_restarts_total"));
        line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    }

    fn calls(&self) -> u32 {
        self.issuer.calls.load(SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_timed_from_its_start_to_its_reply() {
    let issuer = FakeIssuer { takes: Duration::from_secs(2), ..FakeIssuer::default() };
    let process = Process::start(FakeStore::new(), issuer);
    seconds(5).await;
    assert_eq!(process.served().as_deref(), Some("token-1"));
    let page = process.metrics.render(Duration::ZERO);
    let labels = r#"platform="wechat",call="token",result="answered""#;
    for (series, value) in [
        (format!("bucket{{le=\"1.0\",{labels}}}"), "0"),
        (format!("bucket{{le=\"3.0\",{labels}}}"), "1"),
        (format!("sum{{{labels}}}"), "2.0"),
    ] {
        let line = format!("token_relay_call_duration_seconds_{series} {value}");
        assert!(page.lines().any(|shown| shown == line), "{line} is missing in\n{page}");
    }
}

fn id(account: &str) -> CredentialId {
    CredentialId::access_token(account.parse().unwrap())
}

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_keeper_that_panics_is_started_again_and_its_token_is_served_meanwhile() {
    let store = FakeStore::new();
    let process = Process::start(store.clone(), FakeIssuer::default());
    seconds(2).await;
    assert_eq!(process.served().as_deref(), Some("token-1"));
    store.panic_next();
    process.report().await;
    for _ in 0..120 {
        seconds(1).await;
        assert_eq!(process.served().as_deref(), Some("token-1"));
    }
    assert_eq!((process.restarts(), process.calls()), (1, 1));
    assert_eq!(process.life.finish(GRACE).await, End::AsAsked);
}

/// The pauses grow to a minute, twice what a keeper may be silent.
#[tokio::test(start_paused = true)]
async fn a_keeper_that_panics_again_and_again_pauses_longer_and_is_never_silent() {
    let store = FakeStore::new();
    for _ in 0..9 {
        store.panic_next();
    }
    let began = Instant::now();
    let process = Process::start(store, FakeIssuer::default());
    while process.served().is_none() {
        assert_eq!(process.silence(), None, "after {:?}", began.elapsed());
        sleep(Duration::from_millis(500)).await;
    }
    // 1 + 2 + 4 + 8 + 16 + 32 + 60 + 60 + 60
    assert!((243..=245).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_eq!((process.restarts(), process.silence()), (9, None));
    assert_eq!(process.life.finish(GRACE).await, End::AsAsked);
}

#[tokio::test(start_paused = true)]
async fn after_a_long_run_the_pauses_begin_with_the_first_again() {
    let store = FakeStore::new();
    for _ in 0..5 {
        store.panic_next();
    }
    let process = Process::start(store.clone(), FakeIssuer::default());
    seconds(120).await;
    assert_eq!(process.restarts(), 5);
    store.panic_next();
    process.report().await;
    sleep(Duration::from_millis(10)).await;
    assert_eq!(process.restarts(), 6);
    let loads = store.loads.load(SeqCst);
    seconds(2).await; // 1 s of pause, where a sixth panic in a row would get 32
    assert!(store.loads.load(SeqCst) > loads);
    assert_eq!(process.life.finish(GRACE).await, End::AsAsked);
}

#[tokio::test(start_paused = true)]
async fn a_keeper_that_hangs_is_silent() {
    let store = FakeStore::new();
    let process = Process::start(store, FakeIssuer::default());
    seconds(1).await;
    assert_eq!(process.silence(), None);
    // the clock goes on and the task does not: no await lets it run
    process.clock.advance(STALE_AFTER + Duration::from_secs(1));
    assert!(process.silence().is_some());
    seconds(BEAT.as_secs() + 1).await;
    assert_eq!(process.silence(), None);
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_the_call_under_way_end_and_stores_its_token() {
    let store = FakeStore::new();
    let slow = FakeIssuer { takes: Duration::from_secs(7), ..FakeIssuer::default() };
    let process = Process::start(store.clone(), slow);
    seconds(2).await;
    assert_eq!((process.calls(), process.served()), (1, None));
    let asked = Instant::now();
    assert_eq!(process.life.finish(GRACE).await, End::AsAsked);
    assert_eq!(asked.elapsed().as_secs(), 5);
    let again = Process::start_at(process.clock, store, FakeIssuer::default());
    seconds(1).await;
    assert_eq!((again.calls(), again.served().as_deref()), (0, Some("token-1")));
}

#[tokio::test(start_paused = true)]
async fn one_keeper_is_ended_and_added_again_while_the_other_goes_on() {
    let mut process = Process::start(FakeStore::new(), FakeIssuer::default());
    let main = vec![process.parts("main")];
    let both = vec![process.parts("main"), process.parts_of("shop", "wx2")];
    process.change_to(both.clone()).await;
    assert_eq!(process.keepers.count(), 2);
    seconds(1).await;
    let handle = process.handle();
    assert_eq!(process.calls(), 2);
    process.change_to(main).await;
    assert!(process.registry.handles().access_token("shop").is_none());
    assert!(Arc::ptr_eq(&handle, &process.handle()));
    process.change_to(both).await;
    seconds(1).await;
    // from its record: a restart is free (I7)
    let shop = process.registry.handles().access_token("shop").unwrap().published();
    assert!(shop.status.servable(process.clock.boot_now()).is_some());
    assert_eq!((process.calls(), process.restarts()), (2, 0));
    assert!(!process.life.stop().is_cancelled());
    assert_eq!(process.life.finish(GRACE).await, End::AsAsked);
}

#[tokio::test(start_paused = true)]
async fn a_reservation_that_was_given_up_takes_no_permit_from_the_next_one() {
    let process = Process::start(FakeStore::new(), FakeIssuer::default());
    let permits = Permits::new(1);
    let parts = Parts { permits: permits.clone(), ..process.parts("shop") };
    let (_handle, end) =
        Handle::new(parts.id.clone(), process.metrics.credential(&parts.id), Heartbeat::starting(Duration::ZERO));
    let mut keeper = Keeper::new(parts, end, mpsc::unbounded().1);
    let now = process.clock.now();
    let mut run = Run::new(mpsc::unbounded().0, TaskTracker::new());
    let taken = permits.acquire(false).await;
    for action in [Action::Reserve { is_urgent: false }, Action::Release, Action::Reserve { is_urgent: false }] {
        keeper.perform(&mut run, now, action);
        assert!(run.reservation.granted().now_or_never().is_none());
    }
    drop(taken);
    assert!(run.reservation.granted().now_or_never().is_some());
    keeper.perform(&mut run, now, Action::Send { is_forced: false });
    assert!(permits.acquire(false).now_or_never().is_none(), "the call has it");
    seconds(1).await;
    assert_eq!(process.calls(), 2);
    assert!(permits.acquire(false).now_or_never().is_some(), "and nobody after the call");
    assert_eq!(process.life.finish(GRACE).await, End::AsAsked);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_makes_no_sense_yet_is_neither_made_nor_written_down_and_holds_no_permit() {
    let issuer = FakeIssuer { ready_after: Duration::from_secs(100), ..FakeIssuer::default() };
    let process = Process::start(FakeStore::new(), issuer);
    seconds(90).await;
    assert_eq!((process.calls(), process.silence()), (0, None));
    assert_eq!(process.store.records.load(&id("main")).await, Ok(None));
    let status = process.handle().published().status.clone();
    assert!(status.is_worth_waiting(process.clock.boot_now(), Duration::from_secs(1)) && status.failures == 0);
    seconds(20).await;
    assert_eq!((process.calls(), process.served().as_deref()), (1, Some("token-1")));
    assert_eq!(process.life.finish(GRACE).await, End::AsAsked);
}

#[tokio::test(start_paused = true)]
async fn a_keeper_that_is_ended_does_not_wait_for_a_permit() {
    let mut process = Process::start(FakeStore::new(), FakeIssuer::default());
    let permits = Permits::new(1);
    let _taken = permits.acquire(false).await;
    let shop = Parts { permits: permits.clone(), ..process.parts_of("shop", "wx2") };
    process.change_to(vec![process.parts("main"), shop]).await;
    seconds(1).await;
    let main = vec![process.parts("main")];
    tokio::time::timeout(GRACE, process.change_to(main)).await.expect("it has nothing to wait for");
    assert_eq!(process.calls(), 1);
    assert_eq!(process.life.finish(GRACE).await, End::AsAsked);
}

#[tokio::test(start_paused = true)]
async fn changed_settings_reach_a_keeper_that_runs_and_another_owner_of_the_record_begins_a_new_one() {
    let mut process = Process::start(FakeStore::new(), FakeIssuer::default());
    seconds(1).await;
    let (handle, next) = (process.handle(), Arc::new(FakeIssuer::default()));
    let same = Parts { setup: setup_with(next.clone()), ..process.parts("main") };
    let changes = process.change_to(vec![same.clone(), process.parts("shop")]).await;
    assert_eq!(changes, Changes { added: 1, ..Changes::default() });
    assert!(Arc::ptr_eq(&handle, &process.handle()), "it goes on");
    seconds(4000).await;
    assert_eq!(
        (process.served().as_deref(), next.calls.load(SeqCst) > 0),
        (Some("token-1"), true),
        "with the new issuer"
    );

    let identity = process.parts_of("main", "wx2").identity;
    let changes = process.change_to(vec![Parts { identity, ..same }]).await;
    assert_eq!(changes, Changes { replaced: 1, removed: 1, added: 0 });
    assert_eq!(process.keepers.count(), 1);
    assert!(process.registry.handles().access_token("shop").is_none());
    seconds(1).await;
    assert!(!Arc::ptr_eq(&handle, &process.handle()) && process.served().is_some());
    assert_eq!(process.life.finish(GRACE).await, End::AsAsked);
}

#[tokio::test(start_paused = true)]
async fn the_token_of_another_owner_is_served_no_more_though_its_keeper_ends_later() {
    let (store, issuer) = (FakeStore::new(), FakeIssuer { takes: Duration::from_secs(5), ..FakeIssuer::default() });
    let mut process = Process::start(store, issuer);
    seconds(10).await;
    let (handle, served) = (process.handle(), process.handle().published());
    assert!(process.served().is_some());
    seconds(3).await;
    let next = vec![process.parts_of("main", "wx2")];
    process.keepers.change(next);
    process.keepers.start();
    assert!(process.served().is_none() && !Arc::ptr_eq(&handle, &process.handle()));
    assert!(handle.is_retired() && !process.handle().is_retired());
    handle.changed_since(&served).now_or_never().expect("nobody waits for it any more");
    assert_eq!(process.keepers.count(), 0, "not before the one of the same credential has ended");
    process.keepers.settle().await;
    seconds(10).await;
    assert!(process.served().is_some());
    assert_eq!(process.life.finish(GRACE).await, End::AsAsked);
}

#[tokio::test(start_paused = true)]
async fn a_keeper_that_waits_for_the_end_of_the_one_before_it_is_not_silent() {
    let issuer = FakeIssuer { takes: Duration::from_secs(60), ..FakeIssuer::default() };
    let mut process = Process::start(FakeStore::new(), issuer);
    seconds(1).await;
    let (registry, clock) = (process.registry.clone(), process.clock.clone());
    let next = vec![process.parts_of("main", "wx2")];
    let changes = process.keepers.change(next);
    process.keepers.start();
    let looking = async {
        seconds(50).await;
        assert_eq!(registry.handles().silent(clock.awake()).count(), 0);
    };
    tokio::join!(process.keepers.settle(), looking);
    assert_eq!(changes.replaced, 1);
}

/// The same app under another name: its own keeper before may still mint, and kills what the next one has; and on the way back its
/// token may have been ended by the other one, at any time since.
#[tokio::test(start_paused = true)]
async fn an_account_with_another_name_calls_after_the_one_before_it_and_on_the_way_back_counts_the_calls_of_that_one() {
    for away in [10, 400] {
        let issuer = FakeIssuer { takes: Duration::from_secs(5), ..FakeIssuer::default() };
        let mut process = Process::start(FakeStore::new(), issuer);
        seconds(3).await;
        assert_eq!(process.calls(), 1);
        let other = vec![process.parts("other")];
        process.keepers.change(other);
        process.keepers.start();
        assert_eq!(process.keepers.count(), 0);
        tokio::join!(process.keepers.settle(), async {
            seconds(1).await;
            assert_eq!(process.issuer.calls.load(SeqCst), 1, "the call of the first is under way");
        });
        let ended = Instant::now();
        seconds(away).await;
        let other = process.registry.handles().access_token("other").unwrap().published();
        let (offer, _) = other.status.servable(process.clock.boot_now()).unwrap();
        assert_eq!((process.calls(), offer.token.expose()), (2, "token-2"));
        let main = vec![process.parts("main")];
        process.change_to(main).await;
        while process.calls() == 2 {
            if let Some((offer, left)) = process.handle().published().status.servable(process.clock.boot_now()) {
                let promised = Duration::from_secs(left) + ended.elapsed();
                assert!(offer.token.expose() == "token-1" && promised <= Duration::from_secs(241), "{promised:?}");
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let called_after = ended.elapsed().as_secs();
        assert!((240..250).contains(&called_after) || (away == 400 && called_after < 405), "{called_after}");
        seconds(10).await;
        assert_eq!(process.served().as_deref(), Some("token-3"));
        assert_eq!(process.life.finish(GRACE).await, End::AsAsked);
    }
}
