//! Were the calls and probes allowed? I1, I6, I7, I8 and I10, judged by what was really sent.

use std::collections::VecDeque;

use token_relay::{
    issuer::{IssueError, Issued, RotationMode},
    keeper::record::{FORCED_PER_DAY, PROBES_PER_DAY},
};

use super::{
    court::Court,
    dice::{DAY, SECOND},
    record_of_run::clock,
    relay::Offer,
    setup::{Setup, micros},
    wechat::TokenId,
};

/// Something that was spent of a budget. A crash forgets it if its debit was not durable, and then a new process cannot
/// count it; one that never could write is slow by I6's other rule.
#[derive(Debug, Clone, Copy)]
struct Spent {
    at: i64,
    is_forced: bool,
    is_durable: bool,
}

/// A call that the relay waits for.
#[derive(Debug, Clone, Copy)]
struct Sent {
    /// s, as the relay counts: when its slot was granted.
    began_at: i64,
    offered: Option<TokenId>,
    is_durable: bool,
}

/// A credential as the relay shows it, in the time of the run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub offer: Offer,
    pub rotation_at: i64,
    pub deadline: i64,
}

pub(crate) struct Ledger {
    court: Court,
    rotation: RotationMode,
    window: i64,
    calls_per_day: usize,
    thrift: i64,
    pub reserved_at: i64,
    /// Whether the last write was told to be durable.
    pub is_stored: bool,
    last_sent_at: Option<i64>,
    in_flight: Option<Sent>,
    /// s of the last call that may have minted unseen, and which token it may have doomed.
    unknown: Option<(i64, Option<TokenId>)>,
    /// When the last sent call failed when half the day was spent.
    thrifty_since: Option<i64>,
    calls: VecDeque<Spent>,
    probes: VecDeque<Spent>,
    pub calls_made: u64,
    pub probes_made: u64,
    /// How many calls had been made when WeChat last refused the current token.
    pub calls_at_refusal: u64,
}

impl Ledger {
    pub(crate) fn new(court: Court, setup: &Setup) -> Self {
        Self {
            court,
            rotation: setup.policy.issuer.rotation,
            window: setup.window(),
            calls_per_day: usize::try_from(setup.policy.calls_per_day).expect("a small number"),
            thrift: micros(setup.policy.thrift()),
            reserved_at: i64::MIN,
            is_stored: false,
            last_sent_at: None,
            in_flight: None,
            unknown: None,
            thrifty_since: None,
            calls: VecDeque::new(),
            probes: VecDeque::new(),
            calls_made: 0,
            probes_made: 0,
            calls_at_refusal: 0,
        }
    }

    pub(crate) fn sends(&mut self, at: i64, is_forced: bool, plan: Option<Plan>, is_refused: bool) {
        let court = self.court;
        court.kept(at, "I1", self.in_flight.is_none(), || "a second call while one is under way".to_owned());
        if let Some(last) = self.last_sent_at {
            court.kept(at, "I10", at - last >= SECOND, || format!("a call {} µs after the last one", at - last));
        }
        self.last_sent_at = Some(at);
        if let Some(plan) = plan.filter(|plan| !is_refused && at < plan.deadline) {
            self.is_due(at, &plan);
        }
        forget(&mut self.calls, at);
        // once the day's older calls are forgotten and less than half is spent, a refused token may end the pause
        if let Some(since) = self.thrifty_since.filter(|_| self.is_half_spent()) {
            let waited = at - since;
            court.kept(at, "I6", waited >= self.thrift, || {
                format!("a call {waited} µs after a failure, half the day's calls spent")
            });
        }
        self.calls_made += 1;
        // a budget's day is counted from debit to debit: the process may be stopped between a debit and its call
        self.calls.push_back(Spent { at: self.reserved_at, is_forced, is_durable: self.is_stored });
        forget(&mut self.calls, at);
        let (calls, cap) = (self.calls.len(), self.calls_per_day);
        court.kept(at, "I6", calls <= cap, || format!("{calls} calls in 24 h, allowed are {cap}"));
        let forced = self.calls.iter().filter(|call| call.is_forced).count();
        court.kept(at, "I6", forced <= count(FORCED_PER_DAY), || format!("{forced} forced calls in 24 h"));
        let offered = plan.map(|plan| plan.offer.id);
        self.in_flight = Some(Sent { began_at: self.reserved_at, offered, is_durable: self.is_stored });
    }

    /// A call while the shown token lives and is not refused has a reason: its rotation is due (I7), or the promises that an
    /// unknown call left have run out (I8).
    fn is_due(&self, at: i64, plan: &Plan) {
        let unknown = self.unknown.filter(|(_, doomed)| *doomed == Some(plan.offer.id));
        let (promise, due_at) = match unknown {
            Some((began_at, _)) if self.rotation == RotationMode::Rotating => {
                ("I8", plan.deadline.min(began_at + self.window))
            }
            _ => ("I7", plan.rotation_at),
        };
        let began_at = self.reserved_at;
        self.court.kept(at, promise, began_at >= due_at, || {
            format!("a call for token {} is due at {} and began at {}", plan.offer.id, clock(due_at), clock(began_at))
        });
    }

    pub(crate) fn replied(&mut self, at: i64, reply: &Result<Issued, IssueError>) {
        let Some(sent) = self.in_flight.take() else { return };
        self.thrifty_since = None;
        forget(&mut self.calls, at);
        let is_half_spent = self.calls.len() >= self.calls_per_day / 2;
        match reply {
            Ok(_) => self.unknown = None,
            Err(IssueError::NotSent { .. }) => {
                self.calls.pop_back();
            }
            Err(error) => {
                if matches!(error, IssueError::Unknown { .. }) {
                    self.unknown = Some((sent.began_at, sent.offered));
                }
                self.thrifty_since = is_half_spent.then_some(at);
            }
        }
    }

    pub(crate) fn probes(&mut self, at: i64) {
        self.probes_made += 1;
        self.probes.push_back(Spent { at, is_forced: false, is_durable: self.is_stored });
        forget(&mut self.probes, at);
        let probes = self.probes.len();
        self.court.kept(at, "I6", probes <= count(PROBES_PER_DAY), || format!("{probes} probes in 24 h"));
    }

    /// The process is gone: what was not durable is forgotten, and a call under way became an unknown one.
    pub(crate) fn life_ends(&mut self) {
        if let Some(sent) = self.in_flight.take() {
            self.unknown = sent.is_durable.then_some((sent.began_at, sent.offered));
        }
        // a stored wait never exceeds O
        self.thrifty_since = None;
        if !self.is_stored {
            // "two attempts" of a process that cannot store and of its successor: I6's grace stands in for the gap
            self.last_sent_at = None;
        }
        self.calls.retain(|call| call.is_durable);
        self.probes.retain(|probe| probe.is_durable);
    }

    /// No process knows of what was spent any more.
    pub(crate) fn record_is_lost(&mut self) {
        self.calls.clear();
        self.probes.clear();
        self.unknown = None;
        self.last_sent_at = None;
    }

    pub(crate) fn is_half_spent(&self) -> bool {
        self.calls.len() >= self.calls_per_day / 2
    }

    pub(crate) fn is_calling(&self) -> bool {
        self.in_flight.is_some()
    }

    pub(crate) fn began_at(&self) -> i64 {
        self.in_flight.map_or(i64::MIN, |sent| sent.began_at)
    }
}

fn forget(spent: &mut VecDeque<Spent>, at: i64) {
    while spent.front().is_some_and(|first| at - first.at >= DAY) {
        spent.pop_front();
    }
}

fn count(number: u32) -> usize {
    usize::try_from(number).expect("a small number")
}
