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
    time::{Sleep, sleep},
};

/// How long the rest of a body may take whose answer has come.
const LINGER: Duration = Duration::from_secs(5);

/// The longest body of which a copy is kept while it is sent.
const LONGEST_COPY: u64 = 1024 * 1024;

/// The body of a request on its way. A clone is the same body: where no connection was made nothing of it has been read, and
/// the next host gets it.
#[derive(Clone)]
pub(super) struct Upload(Arc<Mutex<State>>);

struct State {
    body: Body,
    copy: Option<Kept>,
    progress: Progress,
    /// Whether something came since it was asked last.
    moved: bool,
    /// When it is given up, if its answer has come already.
    end: Option<Pin<Box<Sleep>>>,
    /// Who waits for more of it.
    waiting: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// WeChat's connection is to take what came, or nothing was asked for yet.
    Sending,
    /// The client owes more.
    Waiting,
    /// All of it was sent.
    Ended,
    /// It ended before it was complete, or was given up.
    Cut,
}

struct Kept {
    bytes: Vec<u8>,
    /// Its part of all copies' memory, in KiB.
    _room: Option<OwnedSemaphorePermit>,
}

impl Upload {
    /// A body of which no copy is kept.
    pub(super) fn new(body: Body) -> Self {
        let progress = if body.is_end_stream() { Progress::Ended } else { Progress::Sending };
        Self(Arc::new(Mutex::new(State { body, copy: None, progress, moved: false, end: None, waiting: None })))
    }

    /// Keeps a copy, if the body is short enough and `room`, in KiB, is left for it.
    pub(super) fn keep_copy(&self, room: &Arc<Semaphore>) {
        let mut state = self.state();
        let hint = state.body.size_hint();
        if hint.lower() > LONGEST_COPY {
            return;
        }
        let most = hint.upper().unwrap_or(LONGEST_COPY).min(LONGEST_COPY);
        let room = match u32::try_from(most.div_ceil(1024)).unwrap_or(u32::MAX) {
            0 => None,
            kib => match room.clone().try_acquire_many_owned(kib) {
                Ok(room) => Some(room),
                Err(_) => return,
            },
        };
        state.copy = Some(Kept { bytes: Vec::new(), _room: room });
    }

    /// The whole body, if it was sent to its end and kept.
    pub(super) fn copy(&self) -> Option<Bytes> {
        let mut state = self.state();
        if state.progress != Progress::Ended {
            return None;
        }
        state.copy.take().map(|copy| copy.bytes.into())
    }

    /// Whether something of it was sent since the last time.
    pub(super) fn moved(&self) -> bool {
        std::mem::take(&mut self.state().moved)
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

    /// Lets go of what was not sent. A connection to a WeChat that reads no further holds this body as long as it stands, and the
    /// client's own connection could not end before.
    pub(super) fn give_up(&self) {
        let mut state = self.state();
        state.body = Body::empty();
        state.progress = Progress::Cut;
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
            state.moved = true;
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
        if let Some(copy) = &mut self.copy {
            copy.bytes.extend_from_slice(bytes);
            if copy.bytes.len() as u64 > LONGEST_COPY {
                self.copy = None;
            }
        }
        // hyper asks no more once all of an announced length has come.
        if self.body.is_end_stream() {
            self.progress = Progress::Ended;
        }
    }
}
