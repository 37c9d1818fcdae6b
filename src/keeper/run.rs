//! What is under way between a start of the keeper, or a start after a panic, and the next?

use std::{collections::HashMap, panic::AssertUnwindSafe, thread};

use futures_channel::mpsc;
use futures_util::FutureExt;
use tokio::{sync::oneshot, task::JoinHandle};
use tokio_util::task::TaskTracker;

use crate::{
    keeper::{
        machine::{Event, ReportId},
        permits::Reservation,
    },
    registry::{Report, Reported},
    report::Grounds,
};

/// What comes back from the keeper's I/O, or that it panicked. Boxed, so that the queue stays small.
pub(super) type Arrival = Box<thread::Result<Event>>;

/// One run of the loop: from a start, or a start after a panic, to the next.
pub(super) struct Run {
    arrivals: mpsc::UnboundedSender<Arrival>,
    pub(super) io: TaskTracker,
    pub(super) reservation: Reservation,
    pub(super) setting_aside: Option<JoinHandle<()>>,
    pub(super) waiting: HashMap<ReportId, Waiting>,
    reports_taken: u64,
    pub(super) is_over: bool,
}

/// A report that waits for its answer.
pub(super) struct Waiting {
    pub(super) grounds: Grounds,
    pub(super) client: oneshot::Sender<Reported>,
}

impl Run {
    pub(super) fn new(arrivals: mpsc::UnboundedSender<Arrival>, io: TaskTracker) -> Self {
        Self {
            arrivals,
            io,
            reservation: Reservation::None,
            setting_aside: None,
            waiting: HashMap::new(),
            reports_taken: 0,
            is_over: false,
        }
    }

    /// Runs `work` in a task of its own, to its end; what it brings is the next event.
    pub(super) fn start(&self, work: impl Future<Output = Event> + Send + 'static) {
        let arrivals = self.arrivals.clone();
        self.io.spawn(async move {
            let arrival = AssertUnwindSafe(work).catch_unwind().await;
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
