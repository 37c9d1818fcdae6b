//! How do lines reach a slow writer without anybody waiting for it?
//!
//! They are put one behind the other into one buffer, and a thread writes what has gathered: it is woken once for many lines, and
//! writes them with one system call. tracing-appender, which writes the log, does both for each line, and that cost a request more
//! than a third of its CPU (docs/PERFORMANCE.md).

use std::{
    io::{self, Write},
    mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{self, Receiver},
    },
    thread,
    time::Duration,
};

/// Bytes that may wait: some 20,000 lines.
const MOST: usize = 4 * 1024 * 1024;
/// For so long lines gather after the first of them.
const GATHER: Duration = Duration::from_millis(20);
/// For so long the end of the process waits for what is left to be written.
const LAST: Duration = Duration::from_secs(1);

/// Lines that wait to be written. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct LineQueue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    lost: AtomicUsize,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    is_last: bool,
}

/// What is left is written when it is dropped.
#[derive(Debug)]
pub(crate) struct QueueGuard {
    queue: LineQueue,
    written: Receiver<()>,
}

impl LineQueue {
    /// A queue, and a thread of this name that writes it to `to`, and goes on where that fails.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn start(name: &str, to: impl Write + Send + 'static) -> io::Result<(Self, QueueGuard)> {
        let queue = Self::default();
        let (has_written, written) = mpsc::channel();
        let lines = queue.clone();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            lines.write_all(to);
            drop(has_written);
        })?;
        Ok((queue.clone(), QueueGuard { queue, written }))
    }

    /// Lets `line` append a line, if there is room, and counts it as lost if not.
    pub(crate) fn add(&self, line: impl FnOnce(&mut Vec<u8>)) {
        let mut waiting = self.lock();
        if waiting.bytes.len() >= MOST {
            self.0.lost.fetch_add(1, Relaxed);
            return;
        }
        let is_first = waiting.bytes.is_empty();
        line(&mut waiting.bytes);
        drop(waiting);
        if is_first {
            self.0.changed.notify_one();
        }
    }

    /// Lines that found no room.
    pub(crate) fn lost(&self) -> usize {
        self.0.lost.load(Relaxed)
    }

    fn write_all(&self, mut to: impl Write) {
        let mut writing = Vec::new();
        loop {
            let is_last = self.take(&mut writing);
            // where its reader has gone away, nobody is left to be told
            let _ = to.write_all(&writing);
            writing.clear();
            if is_last {
                return;
            }
        }
    }

    /// Waits for lines, and changes places with them. Whether they are the last ones.
    fn take(&self, lines: &mut Vec<u8>) -> bool {
        let Shared { changed, .. } = &*self.0;
        let is_idle = |waiting: &mut Waiting| waiting.bytes.is_empty() && !waiting.is_last;
        let first = changed.wait_while(self.lock(), is_idle).unwrap_or_else(PoisonError::into_inner);
        let gathered = changed.wait_timeout_while(first, GATHER, |waiting| !waiting.is_last);
        let (mut waiting, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut waiting.bytes, lines);
        waiting.is_last
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for QueueGuard {
    fn drop(&mut self) {
        self.queue.lock().is_last = true;
        self.queue.0.changed.notify_one();
        // a reader that has stopped must not hold the process
        let _ = self.written.recv_timeout(LAST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes when it is told to.
    struct Slow(Receiver<()>, Arc<Mutex<Vec<Vec<u8>>>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.lock().unwrap().push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_wait_for_a_slow_writer_and_those_without_room_are_counted() {
        let ((go_on, gate), written) = (mpsc::channel(), Arc::default());
        let (queue, guard) = LineQueue::start("lines", Slow(gate, Arc::clone(&written))).unwrap();
        let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
        // one buffer's worth may be on its way to the writer, and another one waits
        let added = 3 * MOST / line.len();
        for _ in 0..added {
            queue.add(|lines| lines.extend_from_slice(&line));
        }
        let lost = queue.lost();
        assert!(lost >= MOST / line.len(), "{lost}");
        drop(go_on);
        drop(guard);
        let written: Vec<u8> = written.lock().unwrap().concat();
        assert_eq!(written.len(), (added - lost) * line.len());
        assert!(written.chunks(line.len()).all(|written| written == line));
    }

    #[test]
    fn lines_of_one_moment_are_written_at_once() {
        let written = Arc::default();
        let (queue, guard) = LineQueue::start("lines", Slow(mpsc::channel().1, Arc::clone(&written))).unwrap();
        for line in ["one\n", "two\n"] {
            queue.add(|lines| lines.extend_from_slice(line.as_bytes()));
        }
        drop(guard);
        assert_eq!(*written.lock().unwrap(), [b"one\ntwo\n".to_vec()]);
    }
}
