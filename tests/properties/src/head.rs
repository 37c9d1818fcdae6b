//! Does a client see whether the fast path or hyper answers? It must not, and the counts must be the same.

use std::{cell::RefCell, collections::BTreeSet, time::Duration};

use token_relay::http::AppState;
use tokio::runtime::Runtime;

use super::relay::Relay;

/// As long as every HTTP date.
const DATE: usize = "Sun, 06 Nov 1994 08:49:37 GMT".len();
/// As long as every request id.
const REQUEST_ID: usize = "6b02d9bb-1543db6c-c89e5fba".len();

/// What the fast path reads at once. hyper says 400 to bytes that are no request, and come behind one and before the end, or says nothing to
/// them, as they come in one piece or in two: so none may be cut by this.
const READ: usize = 4096;

/// The counts are compared after so many inputs: a difference stays, and rendering them takes longer than an answer.
const COUNTED_EVERY: u32 = 500;

/// Two relays that differ in nothing but in their fast path.
struct Pair {
    relays: [(Runtime, Relay); 2],
    asked: u32,
}

thread_local!(static PAIR: RefCell<Pair> = RefCell::new(Pair::new()));

/// Sends `bytes`, whose first two say where they are cut, to a relay with the fast path and to one without. Returns whether a token
/// was read.
///
/// # Panics
/// Their answers differ, or what they have counted so far.
pub fn holds(bytes: &[u8]) -> bool {
    let Some((cut, bytes)) = bytes.split_first_chunk() else { return false };
    let (first, second) = bytes.split_at(usize::from(u16::from_be_bytes(*cut)).min(bytes.len()));
    if first.len().max(second.len()) > READ {
        return false;
    }
    let [fast, plain] = PAIR.with_borrow_mut(|pair| {
        pair.asked += 1;
        if pair.asked % COUNTED_EVERY == 0 {
            pair.have_counted_the_same();
        }
        pair.answers([first, second])
    });
    let shown = String::from_utf8_lossy(bytes);
    assert_eq!(fast, plain, "{shown:?}");
    assert!(!fast.starts_with("HTTP/1.1 500 "), "{shown:?}");
    fast.contains("{\"access_token\":")
}

/// Compares what they have counted so far.
///
/// # Panics
/// It differs.
pub fn have_counted_the_same() {
    PAIR.with_borrow(Pair::have_counted_the_same);
}

impl Pair {
    fn new() -> Self {
        Self { relays: [(); 2].map(|()| Relay::on_paused_time()), asked: 0 }
    }

    fn answers(&self, pieces: [&[u8]; 2]) -> [String; 2] {
        let [fast, plain] = &self.relays;
        [(fast, true), (plain, false)]
            .map(|((runtime, relay), fast_reads)| comparable(&runtime.block_on(relay.exchange(pieces, fast_reads))))
    }

    fn have_counted_the_same(&self) {
        let [fast, plain] = self.relays.each_ref().map(|(_, relay)| counted(&relay.state));
        assert_eq!(fast, plain);
    }
}

/// All counts. Their order is not fixed.
fn counted(relay: &AppState) -> BTreeSet<String> {
    relay.metrics.render(Duration::ZERO).lines().map(str::to_owned).collect()
}

/// Without what differs from answer to answer: hyper's date, and the request ids of WeChat's routes.
fn comparable(answers: &[u8]) -> String {
    let text = String::from_utf8_lossy(answers).into_owned();
    [("\r\ndate: ", DATE), (" rid: ", REQUEST_ID)].into_iter().fold(text, |text, (before, length)| {
        let mut parts = text.split(before);
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| text + before + part.get(length..).unwrap_or_default())
    })
}
