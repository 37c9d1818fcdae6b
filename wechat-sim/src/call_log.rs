//! Which calls came, when, and how did they end?

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::operation::Op;
use crate::token_id::TokenId;

pub use tally::RouteCalls;
use tally::Tally;

mod tally;

/// One call, as WeChat saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// What was called.
    pub op: Op,
    /// The path, its first 100 characters.
    pub route: String,
    /// The `access_token` of the query, good or bad.
    pub token: Option<TokenId>,
    /// The app: as claimed by a caller of a token endpoint, as found by the token elsewhere. Empty when there is none. An agent of
    /// WeCom is written `CORPID/AGENT`.
    pub appid: String,
    /// The moment at which the whole request was there, or the head of an upload or an echo, since the start of the simulator.
    #[serde(rename = "at_ms", serialize_with = "as_ms")]
    pub at: Duration,
    /// Did the caller ask for a forced refresh?
    pub forced: bool,
    /// Did this call mint a token or a ticket? True for a lost reply as well.
    pub minted: bool,
    /// How the call ended, as far as it has.
    pub outcome: Outcome,
}

impl Call {
    /// The line of the log: when, what, whose, how it ended, how long it took.
    pub(crate) fn log_line(&self, now: Duration) -> String {
        // The appid comes from outside and may hold anything.
        let appid: String = if self.appid.is_empty() { "-".into() } else { self.appid.chars().take(32).collect() };
        let took = now.saturating_sub(self.at).as_millis();
        let minted = if self.minted { " minted" } else { "" };
        let at = self.at.as_secs_f64();
        format!("{at:>10.3}s {:<12} {} {}{minted} in {took} ms", self.op, appid.escape_debug(), self.outcome)
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// No answer yet: it is hanging, or late.
    Pending,
    /// The right answer: a token, a ticket, or an accepted call.
    Granted,
    /// A business error with this errcode, by the rules or by a fault.
    Refused(i64),
    /// An answer that no client can use, or an odd one: because of a fault.
    Faulted,
    /// The client went away before an answer was sent.
    Abandoned,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Pending => f.write_str("pending"),
            Outcome::Granted => f.write_str("granted"),
            Outcome::Refused(errcode) => write!(f, "refused_{errcode}"),
            Outcome::Faulted => f.write_str("faulted"),
            Outcome::Abandoned => f.write_str("abandoned"),
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn as_ms<S: Serializer>(at: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(at.as_millis()).unwrap_or(u64::MAX))
}

/// The last calls, and how many token calls of an app were open at once.
#[derive(Debug, Default)]
pub(crate) struct CallLog {
    calls: VecDeque<Call>,
    /// How many calls came before the first one kept.
    forgotten: usize,
    open: BTreeMap<String, Concurrency>,
    tally: Tally,
}

/// The token calls of one app between request and answer.
#[derive(Clone, Copy, Debug, Default)]
struct Concurrency {
    now: usize,
    most: usize,
}

/// The number of a call, counted from the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallId(usize);

/// Enough for every test, and an end to the growth of a demo that runs for weeks.
const KEPT: usize = 100_000;

impl CallLog {
    pub(crate) fn open(&mut self, call: Call) -> CallId {
        if is_fetch(call.op) {
            let open = self.open.entry(call.appid.clone()).or_default();
            open.now += 1;
            open.most = open.most.max(open.now);
        }
        self.tally.opened(&call);
        if self.calls.len() == KEPT {
            self.calls.pop_front();
            self.forgotten += 1;
        }
        self.calls.push_back(call);
        CallId(self.forgotten + self.calls.len() - 1)
    }

    pub(crate) fn minted(&mut self, id: CallId) {
        if let Some(call) = self.call_mut(id) {
            call.minted = true;
        }
    }

    /// Ends a call and returns it. Only the first end counts: a client that left is not answered later.
    pub(crate) fn close(&mut self, id: CallId, outcome: Outcome) -> Option<Call> {
        let call = self.call_mut(id).filter(|call| call.outcome == Outcome::Pending)?;
        call.outcome = outcome;
        let call = call.clone();
        self.tally.closed(&call);
        if is_fetch(call.op) {
            let open = self.open.entry(call.appid.clone()).or_default();
            open.now = open.now.saturating_sub(1);
        }
        Some(call)
    }

    pub(crate) fn calls(&self, op: Op) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(move |call| op.covers(call.op))
    }

    pub(crate) fn forgotten(&self) -> usize {
        self.forgotten
    }

    pub(crate) fn routes(&self) -> &BTreeMap<String, RouteCalls> {
        self.tally.routes()
    }

    pub(crate) fn most_concurrent(&self, appid: &str) -> usize {
        self.open.get(appid).map_or(0, |open| open.most)
    }

    fn call_mut(&mut self, id: CallId) -> Option<&mut Call> {
        self.calls.get_mut(id.0.checked_sub(self.forgotten)?)
    }
}

/// Only token calls count as concurrent: a probe beside a fetch is no fault of the caller.
fn is_fetch(op: Op) -> bool {
    matches!(op, Op::Token | Op::StableToken | Op::WecomToken)
}
