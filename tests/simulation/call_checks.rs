//! Were the calls and probes allowed? I1, I6, I7, I8 and I10, judged by what was really sent.

use std::collections::VecDeque;

use token_relay::{
    issuer::{IssueError, Issued, RotationMode, Verdict},
    keeper::record::{FORCED_PER_DAY, PROBES_PER_DAY, UNASKED_PROBES_PER_DAY},
    store::Swap,
};

use super::{
    breach::Breach,
    replica::Offer,
    rng::{DAY, SECOND},
    setup::{Setup, micros},
    tally::clock,
    wechat::{TokenId, token_id},
};

/// Something that was spent of a budget. A crash forgets it if its debit was not durable, and then a new process cannot
/// count it; one that never could write is slow by I6's other rule.
#[derive(Debug, Clone, Copy)]
struct Spent {
    at: i64,
    is_forced: bool,
    is_durable: bool,
}

/// A call that is out.
#[derive(Debug, Clone, Copy)]
struct Flight {
    who: usize,
    /// s, as the relay counts: when its permit was granted.
    began_at: i64,
    offered: Option<TokenId>,
    is_durable: bool,
    /// Its relay was frozen between its last look at the lease and the first byte.
    was_late: bool,
    /// From then on nothing can come of it, whether its relay lives or not.
    ends_at: i64,
    /// Its relay waits for it.
    is_awaited: bool,
}

/// A credential as the relay shows it, in the time of the run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub offer: Offer,
    pub rotation_at: i64,
    pub deadline: i64,
}

pub(crate) struct CallChecks {
    breach: Breach,
    rotation: RotationMode,
    is_shared: bool,
    window: i64,
    calls_per_day: usize,
    thrift: i64,
    /// When the AppSecret was changed, while the relay runs, until a call that was decided later: with a sticky issuer it is tried at
    /// once.
    secret_changed_at: Option<i64>,
    reserved_at: Vec<i64>,
    /// Whether the last write of a relay alone was durable, as it was told. Of several no call goes without.
    pub is_stored: bool,
    last_sent_at: Option<i64>,
    flights: Vec<Flight>,
    /// s of the last call that may have minted unseen, and which token it may have invalidated.
    unknown: Option<(i64, Option<TokenId>)>,
    /// When the last sent call failed when half the day was spent.
    thrifty_since: Option<i64>,
    calls: VecDeque<Spent>,
    probes: VecDeque<Spent>,
    pub calls_made: u64,
    pub probes_made: u64,
    /// A regular probe was refused, and its token not given up: how long after it there is another one, until one decides.
    second_opinion: Option<i64>,
    /// How many calls had been made when WeChat last refused the current token.
    pub calls_at_refusal: u64,
}

impl CallChecks {
    pub(crate) fn new(breach: Breach, setup: &Setup) -> Self {
        Self {
            breach,
            rotation: setup.policy.issuer.rotation,
            is_shared: setup.is_shared,
            window: setup.window(),
            calls_per_day: setup.policy.calls_per_day as usize,
            thrift: micros(setup.policy.thrift()),
            secret_changed_at: None,
            reserved_at: vec![i64::MIN; setup.replicas],
            is_stored: setup.is_shared,
            last_sent_at: None,
            flights: Vec::new(),
            unknown: None,
            thrifty_since: None,
            calls: VecDeque::new(),
            probes: VecDeque::new(),
            calls_made: 0,
            probes_made: 0,
            second_opinion: None,
            calls_at_refusal: 0,
        }
    }

    /// s of the call that this relay waits for.
    pub(crate) fn sent_at(&self, who: usize) -> Option<i64> {
        let awaited = self.flights.iter().find(|flight| flight.who == who && flight.is_awaited);
        awaited.map(|flight| flight.began_at)
    }

    /// The operator has changed the AppSecret of a relay that runs. What was said of the last one does not bind it, as at a start.
    pub(crate) fn secret_changed(&mut self, at: i64) {
        self.secret_changed_at = Some(at);
        self.thrifty_since = None;
    }

    pub(crate) fn reserved(&mut self, at: i64, who: usize) {
        self.reserved_at[who] = at;
    }

    /// The store answered a write: whether it is durable.
    pub(crate) fn stored(&mut self, swap: &Swap, is_kept: bool) -> bool {
        let is_stored = *swap == Swap::Won && is_kept;
        self.is_stored = self.is_shared || is_stored;
        is_stored
    }

    /// The first byte of a call leaves.
    pub(crate) fn sends(
        &mut self,
        at: i64,
        who: usize,
        plan: Option<Plan>,
        is_forced: bool,
        (was_late, ends_at): (bool, i64),
    ) {
        let breach = self.breach;
        self.one_in_flight(at, who, was_late);
        if let Some(last) = self.last_sent_at.filter(|_| !self.is_shared) {
            breach.unless(at - last >= SECOND, at, "I10", || format!("a call {} µs after the last one", at - last));
        }
        self.last_sent_at = Some(at);
        let began_at = self.reserved_at[who];
        if let Some(plan) = plan.filter(|plan| !self.is_shared && at < plan.deadline) {
            self.is_due(at, began_at, &plan);
        }
        // one that was decided before is made with the old one
        self.secret_changed_at = self.secret_changed_at.filter(|changed_at| began_at <= *changed_at);
        forget(&mut self.calls, at);
        // once the day's older calls are forgotten and less than half is spent, a refused token may end the pause
        if let Some(since) = self.thrifty_since.filter(|_| self.is_half_spent()) {
            let waited = at - since;
            breach.unless(waited >= self.thrift, at, "I6", || {
                format!("a call {waited} µs after a failure, half the day's calls spent")
            });
        }
        self.calls_made += 1;
        // a budget's day is counted from debit to debit: the process may be stopped between a debit and its call
        self.calls.push_back(Spent { at: began_at, is_forced, is_durable: self.is_stored });
        forget(&mut self.calls, at);
        let (calls, cap) = (self.calls.len(), self.calls_per_day);
        breach.unless(calls <= cap, at, "I6", || format!("{calls} calls in 24 h, allowed are {cap}"));
        let forced = self.calls.iter().filter(|call| call.is_forced).count();
        breach.unless(forced <= FORCED_PER_DAY as usize, at, "I6", || format!("{forced} forced calls in 24 h"));
        let offered = plan.map(|plan| plan.offer.id);
        let is_durable = self.is_stored;
        self.flights.push(Flight { who, began_at, offered, is_durable, was_late, ends_at, is_awaited: true });
    }

    /// I1. A relay alone counts the calls that its process waits for; several those that may still come to anything, but of
    /// a relay that was frozen between its last look and the first byte. A sticky issuer may be called by all while the store
    /// is away.
    fn one_in_flight(&mut self, at: i64, who: usize, was_late: bool) {
        let is_own = self.flights.iter().any(|flight| flight.who == who && flight.is_awaited);
        self.breach.unless(!is_own, at, "I1", || "a second call while one is under way".to_owned());
        self.flights.retain(|flight| at < flight.ends_at || flight.is_awaited);
        let may_be_two = !self.is_shared || self.rotation == RotationMode::Sticky || super::loses_all();
        let on_time = self.flights.iter().filter(|flight| !flight.was_late && at < flight.ends_at).count();
        self.breach.unless(may_be_two || was_late || on_time == 0, at, "I1", || {
            format!("relay {who} calls while another call is under way")
        });
    }

    /// A call while the shown token lives and is not refused has a reason: its rotation is due (I7), or the promises that an
    /// unknown call left have run out (I8).
    fn is_due(&self, at: i64, began_at: i64, plan: &Plan) {
        if self.secret_changed_at.is_some() && self.rotation == RotationMode::Sticky {
            return;
        }
        let unknown = self.unknown.filter(|(_, invalidated)| *invalidated == Some(plan.offer.id));
        let (promise, due_at) = match unknown {
            Some((began_at, _)) if self.rotation == RotationMode::Rotating => {
                ("I8", plan.deadline.min(began_at + self.window))
            }
            _ => ("I7", plan.rotation_at),
        };
        self.breach.unless(began_at >= due_at, at, promise, || {
            format!("a call for token {} is due at {} and began at {}", plan.offer.id, clock(due_at), clock(began_at))
        });
    }

    /// A call ended; s as its relay counts it.
    pub(crate) fn replied(&mut self, at: i64, who: usize, reply: &Result<Issued, IssueError>) -> i64 {
        let Some(index) = self.flights.iter().position(|flight| flight.who == who && flight.is_awaited) else {
            return i64::MIN;
        };
        let sent = self.flights.remove(index);
        self.thrifty_since = None;
        forget(&mut self.calls, at);
        let is_half_spent = self.is_half_spent();
        match reply {
            Ok(issued) => {
                self.unknown = None;
                let is_same = sent.offered == Some(token_id(issued.token.expose()));
                self.second_opinion = self.second_opinion.filter(|_| is_same);
            }
            Err(IssueError::NotSent { .. }) => {
                if let Some(index) = self.calls.iter().rposition(|call| call.at == sent.began_at) {
                    self.calls.remove(index);
                }
            }
            Err(error) => {
                if matches!(error, IssueError::Unknown { .. }) {
                    self.unknown = Some((sent.began_at, sent.offered));
                }
                self.thrifty_since =
                    (is_half_spent && !self.is_shared && self.secret_changed_at.is_none()).then_some(at);
            }
        }
        sent.began_at
    }

    pub(crate) fn was_probed_within(&self, at: i64, time: i64) -> bool {
        self.probes.back().is_some_and(|probe| at - probe.at <= time)
    }

    /// Whether nothing was probed for so long, or a moment ago, perhaps without a final verdict; and only so often a day.
    pub(crate) fn is_regular_probe_due(&self, at: i64, every: i64) -> bool {
        let last = self.probes.back().map_or(i64::MIN / 2, |probe| probe.at);
        let is_second = self.second_opinion.is_some_and(|pause| at - last >= pause);
        let is_due = every > 0 && (is_second || at - last >= every / 10 * 9 - 10 * SECOND);
        let today = self.probes.iter().filter(|probe| at - probe.at < DAY).count();
        is_due && today < UNASKED_PROBES_PER_DAY as usize
    }

    /// A regular probe was refused, and another one decides.
    pub(crate) fn refused_once(&mut self) {
        self.second_opinion = Some(3 * SECOND);
    }

    /// A probe ended, and decided or not; then there is none sooner than at its pace.
    pub(crate) fn probed(&mut self, verdict: &Verdict, pace: i64) {
        let is_undecided = matches!(verdict, Verdict::Inconclusive { .. });
        self.second_opinion = self.second_opinion.filter(|_| is_undecided).map(|_| pace);
    }

    /// A probe leaves that was debited at `began_at`: its time is counted from then, as that of calls.
    pub(crate) fn probes(&mut self, at: i64, began_at: i64, is_wanted: bool) {
        // a probe costs a debit, and has a reason: a report, a promise that has run out, a clock that was set, or its time
        self.breach.unless(is_wanted, at, "I5", || "a probe that nobody asked for".to_owned());
        self.probes_made += 1;
        self.probes.push_back(Spent { at: began_at, is_forced: false, is_durable: self.is_stored });
        forget(&mut self.probes, at);
        let probes = self.probes.len();
        self.breach.unless(probes <= PROBES_PER_DAY as usize, at, "I6", || format!("{probes} probes in 24 h"));
    }

    /// The keeper is gone: what was not durable is forgotten, and a call under way became an unknown one.
    pub(crate) fn life_ends(&mut self, who: usize) {
        if let Some(sent) = self.flights.iter_mut().find(|flight| flight.who == who && flight.is_awaited) {
            self.unknown = sent.is_durable.then_some((sent.began_at, sent.offered));
            sent.is_awaited = false;
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

    /// A relay may take what was spent to be of another day.
    pub(crate) fn day_is_misjudged(&mut self) {
        self.calls.clear();
        self.probes.clear();
    }

    /// No process knows of what was spent any more.
    pub(crate) fn record_is_lost(&mut self) {
        self.day_is_misjudged();
        self.unknown = None;
        self.last_sent_at = None;
    }

    pub(crate) fn is_half_spent(&self) -> bool {
        self.calls.len() >= self.calls_per_day / 2
    }

    /// A call that went unrecorded may still come to something, and its process is gone.
    pub(crate) fn is_any_forgotten(&self, at: i64) -> bool {
        self.flights.iter().any(|flight| !flight.is_durable && !flight.is_awaited && at <= flight.ends_at)
    }

    pub(crate) fn is_calling(&self) -> bool {
        self.flights.iter().any(|flight| flight.is_awaited)
    }
}

fn forget(spent: &mut VecDeque<Spent>, at: i64) {
    while spent.front().is_some_and(|first| at - first.at >= DAY) {
        spent.pop_front();
    }
}
