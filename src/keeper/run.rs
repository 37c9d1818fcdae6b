//! What is under way between a start of the keeper, or a start after a panic, and the next?

use std::{any::Any, collections::HashMap, panic::AssertUnwindSafe, panic::resume_unwind, time::Duration};

use futures_channel::mpsc;
use futures_util::FutureExt;
use tokio::{sync::oneshot, task::JoinHandle};
use tokio_util::task::TaskTracker;

use crate::{
    clock::Timestamp,
    heartbeat::next_beat_in,
    keeper::{
        machine::{Event, ReportId},
        permits::Reservation,
    },
    registry::{Report, Reported},
    report::Grounds,
};

/// What comes back from the keeper's I/O.
pub(super) enum Arrival {
    Event(Event),
    /// The I/O panicked: so does the keeper, for no event will ever come of it.
    Panicked(Box<dyn Any + Send>),
}

impl Arrival {
    pub(super) fn event(self) -> Event {
        match self {
            Self::Event(event) => event,
            Self::Panicked(panic) => resume_unwind(panic),
        }
    }
}

/// One run of the loop: from a start, or a start after a panic, to the next.
pub(super) struct Run {
    arrivals: mpsc::UnboundedSender<Box<Arrival>>,
    pub(super) io: TaskTracker,
    pub(super) reservation: Reservation,
    pub(super) setting_aside: Option<JoinHandle<()>>,
    pub(super) waiting: HashMap<ReportId, Waiting>,
    reports_taken: u64,
    pub(super) wake_at: Timestamp,
    pub(super) is_over: bool,
}

/// A report that waits for its answer.
pub(super) struct Waiting {
    pub(super) grounds: Grounds,
    pub(super) client: oneshot::Sender<Reported>,
}

impl Run {
    pub(super) fn new(arrivals: mpsc::UnboundedSender<Box<Arrival>>, io: TaskTracker, now: Timestamp) -> Self {
        Self {
            arrivals,
            io,
            reservation: Reservation::None,
            setting_aside: None,
            waiting: HashMap::new(),
            reports_taken: 0,
            wake_at: now,
            is_over: false,
        }
    }

    pub(super) fn next_wake_in(&self, now: Timestamp) -> Duration {
        self.wake_at.since(now).min(next_beat_in(now))
    }

    /// Runs `work` in a task of its own, to its end; what it brings is the next event.
    pub(super) fn start(&self, work: impl Future<Output = Event> + Send + 'static) {
        let arrivals = self.arrivals.clone();
        self.io.spawn(async move {
            let arrival = match AssertUnwindSafe(work).catch_unwind().await {
                Ok(event) => Arrival::Event(event),
                Err(panic) => Arrival::Panicked(panic),
            };
            arrivals.unbounded_send(Box::new(arrival)).ok(); // the run may have ended in a panic
        });
    }

    pub(super) fn reported(&mut self, report: Report) -> Event {
        self.reports_taken += 1;
        let id = ReportId(self.reports_taken);
        let Report { generation, grounds, answer: client } = report;
        self.waiting.insert(id, Waiting { grounds, client });
        Event::Report(id, generation, grounds)
    }
}
