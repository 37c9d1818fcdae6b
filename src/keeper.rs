//! Who turns what happens into steps of the machine, and what it decides into I/O?
//!
//! One task per account, the only writer of its credential. Every I/O runs in a task of its own, to its end (I13), and
//! comes back as an event; the keeper's loop never waits for anything but the next event.

use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, warn};

use crate::{
    account::AccountName,
    accounts::{Account, Offer, Report, Reported, Standing, Trouble},
    clock::{self, BootId, Now, Timestamp},
    credential::Generation,
    issuer::Issuer,
    keeper::{
        diary::Diary,
        machine::{Action, Event, Failure, Machine, Offered, Outlook, ReportAnswer, ReportId},
        record::{Identity, ReplicaId, SecretMark},
        schedule::Policy,
        slots::{Slot, Slots},
    },
    metrics::{AccountMetrics, ReportOutcome},
    pulse::Pulse,
    store::{Store, StoreError},
};

pub mod diary;
pub mod machine;
pub mod record;
pub mod schedule;
pub mod slots;

/// The loop wakes at least this often and asks the clocks anew: a suspend or a set clock is noticed within it.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Reports that may wait for the keeper's ear; more wait in the handlers.
const REPORTS_WAITING: usize = 1024;
/// The first and the longest pause before a keeper that panicked is started again.
const RESTART_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What a keeper is made of.
pub struct Parts {
    /// The account's local name.
    pub account: AccountName,
    /// What its timing follows from.
    pub policy: Policy,
    /// Whose record it is.
    pub identity: Identity,
    /// Which AppSecret its calls are made with.
    pub secret_mark: SecretMark,
    /// Where the record is kept.
    pub store: Arc<dyn Store>,
    /// Who hands out the credential.
    pub issuer: Arc<dyn Issuer>,
    /// The relay's upstream slots.
    pub slots: Arc<Slots>,
    /// What is counted.
    pub metrics: Arc<AccountMetrics>,
    /// The sign of life.
    pub pulse: Pulse,
}

/// The task that owns one credential.
pub struct Keeper {
    account: AccountName,
    policy: Policy,
    identity: Identity,
    secret_mark: SecretMark,
    store: Arc<dyn Store>,
    issuer: Arc<dyn Issuer>,
    slots: Arc<Slots>,
    /// This relay among several on one store.
    replica: Option<ReplicaId>,
    hints: Option<watch::Receiver<u64>>,
    diary: Diary,
    pulse: Pulse,
    boot: BootId,
    standing: watch::Sender<Arc<Standing>>,
    reports: mpsc::Receiver<Report>,
    /// The last generation that was published.
    floor: Generation,
}

/// What comes back from the keeper's I/O.
enum Arrival {
    Event(Event),
    Slot(Slot),
}

/// One run of the loop: from a start, or a start after a panic, to the next.
struct Run {
    arrivals: mpsc::UnboundedSender<Arrival>,
    io: TaskTracker,
    slot: Option<Slot>,
    setting_aside: Option<JoinHandle<()>>,
    waiting: HashMap<ReportId, oneshot::Sender<Reported>>,
    reports_heard: u64,
    wake_at: Timestamp,
    is_over: bool,
}

impl Keeper {
    /// A keeper, and its account as handlers see it.
    pub fn new(parts: Parts) -> (Self, Account) {
        let (standing, seen) = watch::channel(Arc::new(Standing::default()));
        let (reporter, reports) = mpsc::channel(REPORTS_WAITING);
        let account = Account::new(parts.account.clone(), seen, reporter);
        let replica = parts.store.is_shared().then(|| ReplicaId(fastrand::u64(1..)));
        let keeper = Self {
            replica,
            hints: parts.store.hints(&parts.account),
            diary: Diary::new(parts.account.clone(), parts.metrics),
            account: parts.account,
            policy: parts.policy,
            identity: parts.identity,
            secret_mark: parts.secret_mark,
            store: parts.store,
            issuer: parts.issuer,
            slots: parts.slots,
            pulse: parts.pulse,
            boot: BootId::read(),
            standing,
            reports,
            floor: Generation::default(),
        };
        (keeper, account)
    }

    /// Whose credential it keeps.
    pub fn account(&self) -> &AccountName {
        &self.account
    }

    /// Keeps the credential until `stop`, then finishes what is under way. A panic is counted and logged, and the keeper
    /// starts again from the record; what it published is served meanwhile (I12).
    pub async fn keep(mut self, stop: CancellationToken) {
        let mut pause = RESTART_PAUSE.0;
        loop {
            let io = TaskTracker::new();
            let end = AssertUnwindSafe(self.run(&stop, io.clone())).catch_unwind().await;
            io.close();
            io.wait().await; // I1: a call that the last run has sent ends before another one begins
            if end.is_ok() {
                return;
            }
            self.diary.metrics().keeper_restarted();
            error!(account = %self.account, ?pause, "the keeper panicked and is started again; its token is served on");
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(RESTART_PAUSE.1),
                () = stop.cancelled() => return,
            }
        }
    }

    async fn run(&mut self, stop: &CancellationToken, io: TaskTracker) {
        let started = clock::now();
        let seed = fastrand::u64(..);
        let mut machine =
            Machine::new(self.policy, self.identity.clone(), self.boot.clone(), started, self.floor, seed)
                .asking_with(self.secret_mark.clone());
        if let Some(replica) = self.replica {
            machine = machine.sharing_as(replica);
        }
        let (arrivals, mut arriving) = mpsc::unbounded_channel();
        let mut run = Run::new(arrivals, io, started.boot);
        let mut event = Event::Tick;
        let mut is_told = false;
        loop {
            self.pulse.beat();
            let now = clock::now();
            for action in machine.step(now, event) {
                self.perform(&mut run, now, action);
            }
            if run.is_over {
                return;
            }
            event = tokio::select! {
                biased;
                Some(arrival) = arriving.recv() => run.arrived(arrival),
                () = stop.cancelled(), if !is_told => {
                    is_told = true;
                    Event::Shutdown
                }
                Some(report) = self.reports.recv() => run.hear(report),
                () = hinted(&mut self.hints) => Event::Hint,
                () = sleep(run.wake_at.since(clock::boot_now()).min(HEARTBEAT)) => Event::Tick,
            };
        }
    }

    fn perform(&mut self, run: &mut Run, now: Now, action: Action) {
        match action {
            Action::Load => {
                let (store, account) = (self.store.clone(), self.account.clone());
                run.start(async move { Event::Loaded(store.load(&account).await) });
            }
            Action::SetAside => self.set_aside(run),
            Action::Store { expected, next } => {
                let (store, account) = (self.store.clone(), self.account.clone());
                let aside = run.setting_aside.take();
                run.start(async move {
                    if let Some(aside) = aside {
                        aside.await.ok();
                    }
                    Event::Stored(store.swap(&account, expected, next).await)
                });
            }
            Action::Reserve { is_urgent } => {
                let (slots, arrivals) = (self.slots.clone(), run.arrivals.clone());
                run.io.spawn(async move {
                    arrivals.send(Arrival::Slot(slots.acquire(is_urgent).await)).ok();
                });
            }
            Action::Release => run.slot = None,
            Action::Send { is_forced } => {
                let (issuer, slot) = (self.issuer.clone(), run.slot.take());
                run.start(async move {
                    let reply = issuer.issue(is_forced).await;
                    drop(slot);
                    Event::Reply(reply)
                });
            }
            Action::Probe(token) => {
                let (issuer, slots) = (self.issuer.clone(), self.slots.clone());
                run.start(async move {
                    let _slot = slots.acquire(true).await;
                    Event::Probed(issuer.probe(&token).await)
                });
            }
            Action::Publish(outlook) => self.publish(outlook),
            Action::Answer(id, answer) => self.answer(run, now, id, answer),
            Action::Note(note) => self.diary.note(&note),
            Action::WakeAt(at) => run.wake_at = at,
            Action::Stop => run.is_over = true,
        }
    }

    fn set_aside(&self, run: &mut Run) {
        let (store, account) = (self.store.clone(), self.account.clone());
        run.setting_aside = Some(run.io.spawn(async move {
            match store.set_aside(&account).await {
                Ok(place) => warn!(%account, place, "the unreadable record was kept"),
                Err(StoreError(reason)) => warn!(%account, reason, "the unreadable record could not be set aside"),
            }
        }));
    }

    fn publish(&mut self, outlook: Outlook) {
        let last = self.standing.borrow().clone();
        if let Some(offer) = &outlook.offer {
            self.floor = self.floor.max(offer.generation);
        }
        self.standing.send_replace(Arc::new(Standing {
            offer: outlook.offer.map(|offered| self.offer(&last, offered)),
            rotation_at: outlook.rotation_at,
            next_attempt_at: outlook.next_attempt_at,
            failures: outlook.failures,
            trouble: outlook.trouble.map(|failure| Arc::new(trouble(&failure))),
            store_trouble: outlook.store_trouble,
            holds_lease: outlook.holds_lease,
            budget: outlook.budget,
        }));
    }

    /// The answer's bytes are made once per rotation.
    fn offer(&self, last: &Standing, offered: Offered) -> Offer {
        match &last.offer {
            Some(offer) if offer.generation == offered.generation => offer.promised(offered.promise),
            _ => Offer::new(&self.account, offered.generation, offered.token, offered.promise),
        }
    }

    fn answer(&self, run: &mut Run, now: Now, id: ReportId, answer: ReportAnswer) {
        let (outcome, reported) = match answer {
            ReportAnswer::Superseded => (ReportOutcome::Renewed, Reported::Settled),
            ReportAnswer::Accepted => (ReportOutcome::Accepted, Reported::Settled),
            ReportAnswer::TooMany { again_at, reason } => {
                (ReportOutcome::TooMany, Reported::TooMany { retry_in: again_at.since(now.boot), reason })
            }
            ReportAnswer::Failed { again_at, reason } => {
                let retry_in = again_at.since(now.boot);
                (ReportOutcome::Failed, Reported::Failed { retry_in, reason: reason.to_string() })
            }
        };
        self.diary.metrics().report(outcome);
        if let Some(client) = run.waiting.remove(&id) {
            client.send(reported).ok(); // the client may have gone
        }
    }
}

impl Run {
    fn new(arrivals: mpsc::UnboundedSender<Arrival>, io: TaskTracker, now: Timestamp) -> Self {
        Self {
            arrivals,
            io,
            slot: None,
            setting_aside: None,
            waiting: HashMap::new(),
            reports_heard: 0,
            wake_at: now,
            is_over: false,
        }
    }

    /// Runs `work` in a task of its own, to its end; what it brings is the next event.
    fn start(&self, work: impl Future<Output = Event> + Send + 'static) {
        let arrivals = self.arrivals.clone();
        self.io.spawn(async move {
            arrivals.send(Arrival::Event(work.await)).ok(); // the run may have ended in a panic
        });
    }

    fn arrived(&mut self, arrival: Arrival) -> Event {
        match arrival {
            Arrival::Event(event) => event,
            Arrival::Slot(slot) => {
                self.slot = Some(slot);
                Event::Reserved
            }
        }
    }

    fn hear(&mut self, report: Report) -> Event {
        self.reports_heard += 1;
        let id = ReportId(self.reports_heard);
        self.waiting.insert(id, report.answer);
        Event::Report(id, report.generation)
    }
}

/// Until somebody has written the record, perhaps; for ever where no store would say so.
async fn hinted(hints: &mut Option<watch::Receiver<u64>>) {
    if let Some(receiver) = hints
        && receiver.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

fn trouble(failure: &Failure) -> Trouble {
    Trouble {
        errcode: failure.error.errcode(),
        message: failure.error.to_string(),
        hint: failure.error.hint(),
        at: failure.at,
    }
}
