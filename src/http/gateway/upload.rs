//! How does a request's body reach WeChat, and may it be sent once more?

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};

/// How long the rest of a body may take whose answer has come.
const LINGER: Duration = Duration::from_secs(5);

/// The longest body of which a copy is kept while it is sent.
const LONGEST_COPY: usize = 1024 * 1024;
/// As much room is taken at a time for a copy that grows.
const STEP_KIB: usize = 16;

/// The body of a request on its way. A clone is the same body: where no connection was made nothing of it has been read, and
/// the next host gets it.
#[derive(Clone)]
pub(super) struct Upload(Arc<Mutex<State>>);

struct State {
    body: Body,
    copy: Option<Kept>,
    progress: Progress,
    /// When the last of it came.
    moved_at: Option<Instant>,
    /// When it is given up, if its answer has come already.
    end: Option<Pin<Box<Sleep>>>,
    /// Who waits for more of it.
    waiting: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Nobody has asked for it yet.
    Untouched,
    /// WeChat's connection is to take what came.
    Sending,
    /// The client owes more.
    Waiting,
    /// All of it was sent.
    Ended,
    /// It ended before it was complete, or was given up.
    Cut,
}

/// A copy that grows with what is sent.
struct Kept {
    bytes: Vec<u8>,
    /// The room of all copies, in KiB.
    room: Arc<Semaphore>,
    /// Its part of that.
    taken: Option<OwnedSemaphorePermit>,
}

impl Kept {
    /// Whether there was room for them.
    fn add(&mut self, bytes: &[u8]) -> bool {
        let length = self.bytes.len() + bytes.len();
        let taken = self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let lacking = length.div_ceil(1024).saturating_sub(taken).next_multiple_of(STEP_KIB);
        if length > LONGEST_COPY || lacking > 0 && !self.take(lacking) {
            return false;
        }
        self.bytes.extend_from_slice(bytes);
        true
    }

    fn take(&mut self, kib: usize) -> bool {
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        let Ok(more) = self.room.clone().try_acquire_many_owned(kib) else { return false };
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        true
    }
}

impl Upload {
    /// A body of which no copy is kept.
    pub(super) fn new(body: Body) -> Self {
        let progress = if body.is_end_stream() { Progress::Ended } else { Progress::Untouched };
        Self(Arc::new(Mutex::new(State { body, copy: None, progress, moved_at: None, end: None, waiting: None })))
    }

    /// Keeps a copy of what comes, for as long as it is short enough and `room`, in KiB, is left for it.
    pub(super) fn keep_copy(&self, room: &Arc<Semaphore>) {
        let mut state = self.state();
        if state.body.size_hint().lower() <= LONGEST_COPY as u64 {
            state.copy = Some(Kept { bytes: Vec::new(), room: room.clone(), taken: None });
        }
    }

    /// Keeps none any more.
    pub(super) fn forget_copy(&self) {
        self.state().copy = None;
    }

    /// The whole body, if it was sent to its end and kept.
    pub(super) fn copy(&self) -> Option<Bytes> {
        let mut state = self.state();
        if state.progress != Progress::Ended {
            return None;
        }
        state.copy.take().map(|copy| copy.bytes.into())
    }

    /// When the last of it came.
    pub(super) fn moved_at(&self) -> Option<Instant> {
        self.state().moved_at
    }

    /// Whether the client owes more of it.
    pub(super) fn is_waiting(&self) -> bool {
        self.state().progress == Progress::Waiting
    }

    /// Whether it ended before it was complete.
    pub(super) fn is_cut(&self) -> bool {
        self.state().progress == Progress::Cut
    }

    /// Its answer has come: gives it up some seconds later. Not at once, for many clients read the answer only when they have sent
    /// all, and would find their connection reset; but one that owes the rest for ever holds two connections.
    pub(super) fn end_soon(&self) {
        let mut state = self.state();
        if state.progress != Progress::Ended {
            state.end = Some(Box::pin(sleep(LINGER)));
            state.waiting.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Lets go of what was not sent, and returns it, and whether anybody had asked for it. A connection to a WeChat that reads no
    /// further holds this body as long as it stands, and the client's own connection could not end before.
    pub(super) fn give_up(&self) -> (Body, bool) {
        let mut state = self.state();
        let begun = state.progress != Progress::Untouched;
        (state.progress, state.copy) = (Progress::Cut, None);
        (std::mem::take(&mut state.body), begun)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut state = self.state();
        if state.progress == Progress::Cut {
            return Poll::Ready(Some(Err(axum::Error::new("the body was given up"))));
        }
        loop {
            if state.end.as_mut().is_some_and(|end| end.as_mut().poll(context).is_ready()) {
                state.progress = Progress::Cut;
                return Poll::Ready(Some(Err(axum::Error::new("it was answered, and did not end"))));
            }
            state.progress = Progress::Waiting;
            let Poll::Ready(frame) = Pin::new(&mut state.body).poll_frame(context) else {
                state.waiting = Some(context.waker().clone());
                return Poll::Pending;
            };
            state.progress = Progress::Sending;
            state.moved_at = Some(Instant::now());
            match frame {
                None => {
                    state.progress = Progress::Ended;
                    return Poll::Ready(None);
                }
                Some(Err(error)) => {
                    state.progress = Progress::Cut;
                    return Poll::Ready(Some(Err(error)));
                }
                // Trailers are announced by a header that is not passed on.
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        state.add(&bytes);
                        return Poll::Ready(Some(Ok(Frame::data(bytes))));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let state = self.state();
        state.progress != Progress::Cut && state.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.state().body.size_hint()
    }
}

impl State {
    fn add(&mut self, bytes: &[u8]) {
        if self.copy.as_mut().is_some_and(|copy| !copy.add(bytes)) {
            self.copy = None;
        }
        // hyper asks no more once all of an announced length has come.
        if self.body.is_end_stream() {
            self.progress = Progress::Ended;
        }
    }
}
