//! What becomes of calls and probes between a relay and WeChat?

use token_relay::{
    credential::Token,
    issuer::{Cause, IssueError, NoVerdict, Verdict},
    keeper::machine::Event,
};

use super::{
    fault_plan::{CallFault, ProbeFault},
    orphans::Orphan,
    rng::{Rng, SECOND},
    wechat::{TokenId, token_id},
    world::{Message, What, World},
};

/// The longest call and the longest probe.
pub(crate) const CALL_LIMIT: i64 = 8 * SECOND;
pub(crate) const PROBE_LIMIT: i64 = 3 * SECOND;

/// A call whose bytes have left.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    who: usize,
    life: u64,
    is_forced: bool,
    sent_at: i64,
    is_orphan: bool,
    /// The reply arrives then; `None`: the caller learns only that it does not know.
    replies_at: Option<i64>,
}

#[derive(Clone, Copy)]
pub(crate) struct Probe {
    who: usize,
    life: u64,
    id: TokenId,
    fault: Option<ProbeFault>,
    replies_at: i64,
}

fn unknown(reason: &str) -> Event {
    Event::Reply(Err(IssueError::Unknown { cause: Cause::Worded(reason.to_owned()) }))
}

impl World {
    /// A relay sends a call. Returns when the last that can come of it has come.
    pub(crate) fn send_call(&mut self, who: usize, is_forced: bool, is_orphan: bool) -> i64 {
        let (sent_at, life) = (self.now, self.replicas[who].life);
        let in_general = self.troubles.call(sent_at, &mut self.rng);
        let fault = if sent_at < self.replicas[who].no_egress_until { Some(CallFault::NotSent) } else { in_general };
        self.trace.line(sent_at, format_args!("[{who}]   CALLS, forced {is_forced}, orphan {is_orphan}, {fault:?}"));
        let arrives_at = sent_at + self.rng.pick(&[0, 1, 30_000, 200_000, 3 * SECOND]);
        let replies_at = arrives_at + self.rng.spread(1000, 4 * SECOND);
        let call = Call { who, life, is_forced, sent_at, is_orphan, replies_at: None };
        match fault {
            None => self.push(arrives_at, What::CallArrives(Call { replies_at: Some(replies_at), ..call })),
            Some(CallFault::NotSent) => {
                self.tally.count("connection refused");
                let error = IssueError::NotSent { cause: Cause::Worded("connection refused".to_owned()) };
                let at = sent_at + self.rng.spread(1000, 3 * SECOND);
                self.send_event(who, at, Event::Reply(Err(error)));
                return sent_at;
            }
            Some(CallFault::LostReply | CallFault::Odd) => {
                self.tally.count("reply lost or odd after the mint");
                self.push(arrives_at, What::CallArrives(call));
                self.send_event(who, replies_at, unknown("connection reset"));
            }
            Some(CallFault::Gateway) => {
                self.tally.count("gateway error without a mint");
                self.send_event(who, replies_at, unknown("502"));
            }
            Some(CallFault::Hang) => return self.hang(call),
            Some(CallFault::Code(errcode)) => {
                self.tally.count("errcode");
                let error = IssueError::Refused { errcode, errmsg: "simulated".to_owned() };
                self.send_event(who, replies_at, Event::Reply(Err(error)));
            }
        }
        replies_at
    }

    fn hang(&mut self, call: Call) -> i64 {
        self.tally.count("hang");
        let sent_at = self.now;
        let random = self.rng.between(sent_at, sent_at + CALL_LIMIT);
        let moment = self.rng.pick(&[sent_at, sent_at + CALL_LIMIT / 2, sent_at + CALL_LIMIT, random, random]);
        if self.rng.percent(80) {
            self.push(moment, What::CallArrives(call));
        }
        self.send_event(call.who, sent_at + CALL_LIMIT, unknown("time-out"));
        sent_at + CALL_LIMIT
    }

    pub(crate) fn call_arrives(&mut self, call: Call) {
        self.read_all();
        let is_ours = self.lost_before <= call.life;
        let answer = self.wechat.call(self.now, call.is_forced, is_ours, &mut self.rng);
        self.trace.line(self.now, format_args!("    WeChat: {answer:?}"));
        let minted = self.wechat.tokens.last_mut().filter(|token| call.is_orphan && token.born_at == self.now);
        if let Some(newest) = minted {
            newest.orphan = Some(Orphan::of(call.who, call.life));
        }
        if !self.setup.is_shared && call.life != self.replicas[call.who].life && self.calls.is_any_forgotten(self.now) {
            self.forgotten_call();
        }
        self.minted_by(call.who);
        self.minted(call.who, call.sent_at);
        if let Some(at) = call.replies_at {
            let event = Event::Reply(answer.as_reply());
            self.push(at, What::ToRelay(call.who, call.life, Message::Event(event)));
        }
    }

    /// A relay asks whether WeChat accepts a token.
    pub(crate) fn send_probe(&mut self, who: usize, token: &Token) {
        let fault = self.troubles.probe(self.now);
        let arrives_at = self.now + probe_arrival(fault, &mut self.rng);
        let replies_at = match fault {
            Some(ProbeFault::Slow) => self.now + PROBE_LIMIT,
            _ => self.rng.between(arrives_at, self.now + PROBE_LIMIT),
        };
        let (life, id) = (self.replicas[who].life, token_id(token.expose()));
        self.replicas[who].probed = id;
        self.trace.line(self.now, format_args!("[{who}]   probes {id}, {fault:?}"));
        self.push(arrives_at, What::ProbeArrives(Probe { who, life, id, fault, replies_at }));
    }

    pub(crate) fn probe_arrives(&mut self, probe: Probe) {
        let works = self.wechat.works(probe.id, self.now);
        let verdict = match probe.fault {
            Some(ProbeFault::Inconclusive) => {
                self.tally.count("inconclusive probe");
                Verdict::Inconclusive { cause: NoVerdict::Errcode(-1) }
            }
            Some(ProbeFault::FalseRefusal) if works => {
                self.tally.count("false 40001");
                Verdict::Refused { errcode: 40001 }
            }
            _ if works => Verdict::Accepted,
            _ => Verdict::Refused { errcode: 42001 },
        };
        let event = Message::Event(Event::Probed(verdict));
        self.push(probe.replies_at, What::ToRelay(probe.who, probe.life, event));
    }
}

fn probe_arrival(fault: Option<ProbeFault>, rng: &mut Rng) -> i64 {
    match fault {
        Some(ProbeFault::Slow) => rng.pick(&[0, PROBE_LIMIT / 2]),
        _ => rng.spread(1000, SECOND),
    }
}
