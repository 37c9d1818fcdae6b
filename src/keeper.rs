//! How does what happens become steps of the machine, and what it decides become I/O?
//!
//! One task per credential, the only writer of its credential. Every I/O runs in a task of its own, to its end (I13), and
//! comes back as an event; the keeper's loop never waits for anything but the next event.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    sync::Arc,
    time::Duration,
};

use futures_channel::mpsc;
use futures_util::{FutureExt, future::OptionFuture};
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock::{Clock, Now},
    credential::{CredentialId, Generation, log_credential},
    group::{Group, Member},
    heartbeat::{BEAT, next_beat_in},
    issuer::Issuer,
    keeper::{
        log::KeeperLog,
        machine::{Action, Event, Machine, Meanwhile, ReportAnswer, ReportId},
        permits::{Permits, Reservation},
        record::{Identity, SecretMark},
        run::{Run, Waiting},
        schedule::Policy,
    },
    metrics::{CallTimer, ReportOutcome},
    registry::{KeeperEnd, Publisher, Report, Reported},
    status::Status,
    store::{Store, StoreError},
};

pub mod log;
pub mod machine;
pub mod permits;
pub mod record;
mod run;
pub mod schedule;

#[cfg(test)]
mod tests;

/// The first and the longest pause before a keeper that panicked is started again. One that ran for longer than the longest
/// pause begins with the first again.
const RESTART_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What a keeper is made of.
#[derive(Clone)]
pub struct Parts {
    /// Which credential it keeps.
    pub id: CredentialId,
    /// Whose record it is.
    pub identity: Arc<Identity>,
    /// How it asks for the credential, and when.
    pub setup: Setup,
    /// Where the record is kept.
    pub store: Arc<dyn Store>,
    /// The relays on that store, if it is one that others share.
    pub group: Option<Arc<Group>>,
    /// What times its calls.
    pub timer: CallTimer,
    /// The permits to call WeChat, shared by all keepers.
    pub permits: Arc<Permits>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// How a keeper asks for its credential, and when: what may be changed while it runs.
#[derive(Clone)]
pub struct Setup {
    /// What its timing follows from.
    pub policy: Policy,
    /// Which AppSecret its calls are made with.
    pub secret_mark: SecretMark,
    /// What hands out the credential.
    pub issuer: Arc<dyn Issuer>,
}

/// The task that owns one credential.
pub struct Keeper {
    parts: Parts,
    /// What the settings were changed to.
    changes: mpsc::UnboundedReceiver<Box<Setup>>,
    /// Its end of the group of relays on the store.
    member: Option<Member>,
    log: KeeperLog,
    publisher: Publisher,
    reports: mpsc::UnboundedReceiver<Report>,
    /// The last generation that was published.
    min_generation: Generation,
    /// When another account kept the same credential.
    meanwhile: Option<Meanwhile>,
}

impl Keeper {
    /// A keeper that publishes at its `end` of a handle, and takes `changes` of its setup.
    pub fn new(parts: Parts, end: KeeperEnd, changes: mpsc::UnboundedReceiver<Box<Setup>>) -> Self {
        Self {
            changes,
            member: parts.group.as_ref().map(|group| group.join(parts.id.clone())),
            log: KeeperLog::new(end.publisher.handle().clone()),
            publisher: end.publisher,
            reports: end.reports,
            min_generation: Generation::default(),
            meanwhile: None,
            parts,
        }
    }

    /// Another account of this process has kept the same credential since this one's keeper ended.
    pub const fn expect_calls(&mut self, meanwhile: Meanwhile) {
        self.meanwhile = Some(meanwhile);
    }

    /// Keeps the credential until `stop`, then finishes what is under way. A panic is counted and logged, and the keeper
    /// starts again from the record; what it published is served meanwhile (I12).
    // Boxed: an async fn holds what it is given twice.
    pub async fn keep(mut self: Box<Self>, stop: CancellationToken) {
        let mut pause = RESTART_PAUSE.0;
        loop {
            let started = self.parts.clock.awake();
            let io = TaskTracker::new();
            let end = AssertUnwindSafe(self.run(&stop, io.clone())).catch_unwind().await;
            io.close();
            self.beating(io.wait()).await; // I1: a call that the last run has sent ends before another one begins
            if end.is_ok() {
                return;
            }
            if self.parts.clock.awake().saturating_sub(started) > RESTART_PAUSE.1 {
                pause = RESTART_PAUSE.0;
            }
            self.log.metrics().keeper_restarted();
            log_credential!(
                error,
                &self.parts.id,
                ?pause,
                "the keeper panicked and is started again; what it published is served on"
            );
            tokio::select! {
                () = self.beating(sleep(pause)) => pause = (pause * 2).min(RESTART_PAUSE.1),
                () = stop.cancelled() => return,
            }
        }
    }

    fn beat(&self) {
        self.publisher.handle().heartbeat.beat(self.parts.clock.awake());
    }

    /// Waits for `work` and beats meanwhile: a keeper that pauses is not dead, and a restart of the process would not help it.
    async fn beating(&self, work: impl Future<Output = ()>) {
        let mut work = std::pin::pin!(work);
        loop {
            self.beat();
            tokio::select! {
                () = &mut work => return,
                () = sleep(BEAT) => {}
            }
        }
    }

    /// The loop wakes at least every [`BEAT`] and reads the clocks anew: a suspend or a set clock is noticed within it.
    async fn run(&mut self, stop: &CancellationToken, io: TaskTracker) {
        let started = self.parts.clock.now();
        let mut machine = self.machine(started);
        let (arrivals, mut arriving) = mpsc::unbounded();
        let mut run = Run::new(arrivals, io);
        let mut event = Event::Tick;
        let mut is_stopping = false;
        loop {
            self.beat();
            if let Some(member) = &self.member {
                let (peers, found) = member.news();
                machine.see(peers, found);
            }
            let now = self.parts.clock.now();
            let decision = machine.step(now, event);
            for action in decision.actions {
                self.perform(&mut run, now, action);
            }
            if run.is_over {
                return;
            }
            let now = self.parts.clock.boot_now();
            let next_wake_in = decision.wake_at.since(now).min(next_beat_in(now));
            event = tokio::select! {
                biased;
                // no event will ever come of what panicked: so does the keeper
                Ok(arrival) = arriving.recv() => arrival.unwrap_or_else(|panic| resume_unwind(panic)),
                () = stop.cancelled(), if !is_stopping => {
                    is_stopping = true;
                    Event::Shutdown
                }
                () = run.reservation.granted() => Event::Reserved,
                Ok(report) = self.reports.recv() => run.reported(report),
                Ok(setup) = self.changes.recv() => self.changed(*setup),
                // another relay may have written the record
                Some(()) = OptionFuture::from(self.member.as_ref().map(Member::changed)) => Event::Tick,
                () = sleep(next_wake_in) => Event::Tick,
            };
        }
    }

    fn machine(&self, started: Now) -> Machine {
        let Parts { identity, clock, setup: Setup { policy, secret_mark, .. }, .. } = &self.parts;
        let seed = fastrand::u64(..);
        let machine = Machine::new(*policy, identity.clone(), clock.boot_id(), started, self.min_generation, seed)
            .asking_with(secret_mark.clone());
        let machine = machine.expecting_calls(self.meanwhile);
        match &self.member {
            Some(member) => machine.as_replica(member.peers()),
            None => machine,
        }
    }

    /// Calls that are under way end as they were begun (I13).
    fn changed(&mut self, setup: Setup) -> Event {
        let event = Event::Reconfigured(setup.policy, setup.secret_mark.clone());
        self.parts.setup = setup;
        event
    }

    fn perform(&mut self, run: &mut Run, now: Now, action: Action) {
        match action {
            Action::Load => {
                if let Some(member) = &self.member {
                    return member.want();
                }
                let (store, id) = (self.parts.store.clone(), self.parts.id.clone());
                run.start(async move { Event::Loaded(store.load(&id).await) });
            }
            Action::SetAside => self.set_aside(run),
            Action::Store { expected, next } => {
                let (store, id) = (self.parts.store.clone(), self.parts.id.clone());
                let aside = run.setting_aside.take();
                run.start(async move {
                    if let Some(aside) = aside {
                        aside.await.ok();
                    }
                    Event::Stored(store.swap(&id, expected, next).await)
                });
            }
            Action::Reserve { is_urgent } => {
                let (issuer, permits) = (self.parts.setup.issuer.clone(), self.parts.permits.clone());
                run.reservation = Reservation::begin(async move {
                    issuer.ready().await; // holds no permit: what it waits for may need one
                    permits.acquire(is_urgent).await
                });
            }
            Action::Release => run.reservation = Reservation::None,
            Action::Send { is_forced } => {
                let (issuer, permit) = (self.parts.setup.issuer.clone(), run.reservation.take());
                let (timer, clock) = (self.parts.timer.clone(), self.parts.clock.clone());
                run.start(async move {
                    let started = clock.awake();
                    let reply = issuer.issue(is_forced).await;
                    timer.ended(log::result_of(&reply), clock.awake().saturating_sub(started));
                    drop(permit);
                    Event::Reply(reply)
                });
            }
            Action::Probe(token) => {
                let (issuer, permits) = (self.parts.setup.issuer.clone(), self.parts.permits.clone());
                run.start(async move {
                    let _permit = permits.acquire(true).await;
                    Event::Probed(issuer.probe(&token).await)
                });
            }
            Action::Publish(status) => self.publish(status),
            Action::Answer(id, answer) => self.answer(run, now, id, answer),
            Action::Note(note) => self.log.note(now.wall, &note),
            Action::Stop => run.is_over = true,
        }
    }

    fn set_aside(&self, run: &mut Run) {
        let (store, id) = (self.parts.store.clone(), self.parts.id.clone());
        run.setting_aside = Some(run.io.spawn(async move {
            match store.set_aside(&id).await {
                Ok(place) => log_credential!(warn, &id, place, "the unreadable record was kept"),
                Err(StoreError(reason)) => {
                    log_credential!(warn, &id, reason, "the unreadable record could not be set aside");
                }
            }
        }));
    }

    fn publish(&mut self, status: Status) {
        if let Some(offer) = &status.offer {
            self.min_generation = self.min_generation.max(offer.generation);
        }
        self.publisher.publish(status);
    }

    fn answer(&self, run: &mut Run, now: Now, id: ReportId, answer: ReportAnswer) {
        let (outcome, reported) = match answer {
            ReportAnswer::Superseded => (ReportOutcome::Renewed, Reported::Settled),
            ReportAnswer::Accepted => (ReportOutcome::Accepted, Reported::Settled),
            ReportAnswer::TooMany { again_at, limit } => {
                (ReportOutcome::TooMany, Reported::TooMany { retry_in: again_at.since(now.boot), limit })
            }
            ReportAnswer::Failed { again_at, failure } => {
                (ReportOutcome::Failed, Reported::Failed { retry_in: again_at.since(now.boot), failure })
            }
        };
        let Some(Waiting { grounds, client }) = run.waiting.remove(&id) else { return };
        self.log.metrics().report(grounds, outcome);
        client.send(reported).ok(); // the client may have gone
    }
}
