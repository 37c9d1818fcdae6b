//! When did the relay attempt its calls? Each attempt is on the disk before its first byte leaves (I6), with its moment on
//! the relay's own clock: nothing that holds the machine up between that and the arrival at WeChat blurs it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use token_relay::clock::{Clock, SystemClock};
use tokio::{task::JoinSet, time::sleep};
use wechat_sim::Sim;

/// Two attempts are never less than this apart (I10).
const GAP_US: i64 = 1_000_000;

/// What a record tells of the last attempt.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// When it began, or later when it ended: on the boot clock, in microseconds.
    at_us: i64,
    /// The calls debited so far, this one included.
    count: i64,
    /// It had not ended.
    is_open: bool,
}

/// Reads a record all the time.
pub(crate) struct Attempts {
    known: Arc<Mutex<Vec<Known>>>,
    record: PathBuf,
    tasks: JoinSet<()>,
}

impl Attempts {
    pub(crate) fn watch(record: PathBuf) -> Self {
        let mut attempts = Self { known: Arc::default(), record: record.clone(), tasks: JoinSet::new() };
        let known = attempts.known.clone();
        attempts.tasks.spawn(async move {
            loop {
                note(&record, &known);
                sleep(Duration::from_millis(5)).await;
            }
        });
        attempts
    }

    /// Panics if attempts came too soon after each other, or if more calls arrived than were attempted. Answers with the
    /// moments at which they began, on the simulator's clock: those that came while this test stood still are missing.
    pub(crate) async fn close(mut self, sim: &Sim, calls: usize) -> Vec<Duration> {
        self.tasks.shutdown().await;
        note(&self.record, &self.known);
        let known = self.known.lock().unwrap();
        for two in known.windows(2) {
            let (span_us, more) = (two[1].at_us - two[0].at_us, two[1].count - two[0].count);
            assert!(span_us >= more * GAP_US, "I10: {more} attempts in {span_us} µs: {two:?}");
        }
        let count = known.last().map_or(0, |last| last.count);
        assert!(usize::try_from(count).unwrap() >= calls, "{calls} calls, {count} of them debited (I6)");
        let zero_us = zero_us(sim);
        let moment = |known: &Known| Duration::from_micros(u64::try_from(known.at_us - zero_us).unwrap_or(0));
        known.iter().filter(|known| known.is_open).map(moment).collect()
    }
}

/// Where the simulator's clock began, on the boot clock.
fn zero_us(sim: &Sim) -> i64 {
    let boot_us = || SystemClock.boot_now().as_micros();
    loop {
        let (before, now, after) = (boot_us(), sim.now(), boot_us());
        if after - before < 500 {
            return before - i64::try_from(now.as_micros()).unwrap();
        }
    }
}

fn note(record: &Path, known: &Mutex<Vec<Known>>) {
    let Some(now) = fs::read(record).ok().and_then(|bytes| last_attempt(&bytes)) else { return };
    let mut known = known.lock().unwrap();
    if known.last().is_none_or(|last| (last.at_us, last.count) != (now.at_us, now.count)) {
        known.push(now);
    }
}

fn last_attempt(record: &[u8]) -> Option<Known> {
    let stored: Value = serde_json::from_slice(record).ok()?;
    let record = &stored["record"];
    let at_us = record["last_attempt_at"][1].as_i64()?;
    let count = record["debits"].as_array()?.iter().filter_map(|span| span[1].as_i64()).sum();
    let is_open = record["calls"].as_array()?.iter().any(|call| !call["outcome"]["open"].is_null());
    Some(Known { at_us, count, is_open })
}
