//! What becomes of calls and probes between the relay and WeChat?

use token_relay::{
    credential::Token,
    issuer::{Cause, IssueError, NoVerdict, Verdict},
    keeper::machine::Event,
};

use super::{
    dice::{Dice, SECOND},
    sim::{Message, Sim, What},
    weather::{CallFault, ProbeFault},
    wechat::{TokenId, token_id},
};

/// The longest call and the longest probe.
pub(crate) const CALL_LIMIT: i64 = 8 * SECOND;
pub(crate) const PROBE_LIMIT: i64 = 3 * SECOND;

/// A call whose bytes have left.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub life: u64,
    pub is_forced: bool,
    /// The reply arrives then; `None`: the caller is told that it does not know.
    pub replies_at: Option<i64>,
}

#[derive(Clone, Copy)]
pub(crate) struct Probe {
    life: u64,
    id: TokenId,
    fault: Option<ProbeFault>,
    replies_at: i64,
}

fn unknown(reason: &str) -> Event {
    Event::Reply(Err(IssueError::Unknown { cause: Cause::Worded(reason.to_owned()) }))
}

impl Sim {
    /// The relay sends a call.
    pub(crate) fn send(&mut self, life: u64, is_forced: bool) {
        let sent_at = self.now;
        let fault = self.weather.call(sent_at, &mut self.dice);
        self.trace.line(sent_at, format_args!("    call sent, forced {is_forced}, {fault:?}"));
        let arrives_at = sent_at + self.dice.pick(&[0, 1, 30_000, 200_000, 3 * SECOND]);
        let replies_at = arrives_at + self.dice.spread(1000, 4 * SECOND);
        match fault {
            None => self.arrive(arrives_at, Call { life, is_forced, replies_at: Some(replies_at) }),
            Some(CallFault::NotSent) => {
                self.tally.count("connection refused");
                let error = IssueError::NotSent { cause: Cause::Worded("connection refused".to_owned()) };
                let at = sent_at + self.dice.spread(1000, 3 * SECOND);
                self.reply(at, life, Event::Reply(Err(error)));
            }
            Some(CallFault::LostReply) => {
                self.tally.count("reply lost after the mint");
                self.arrive(arrives_at, Call { life, is_forced, replies_at: None });
                self.reply(replies_at, life, unknown("connection reset"));
            }
            Some(CallFault::Odd) => {
                self.tally.count("odd reply after the mint");
                self.arrive(arrives_at, Call { life, is_forced, replies_at: None });
                self.reply(replies_at, life, unknown("unreadable body"));
            }
            Some(CallFault::Gateway) => {
                self.tally.count("gateway error without a mint");
                self.reply(replies_at, life, unknown("502"));
            }
            Some(CallFault::Hang) => self.hang(sent_at, life, is_forced),
            Some(CallFault::Code(errcode)) => {
                self.tally.count("errcode");
                let error = IssueError::Refused { errcode, errmsg: "simulated".to_owned() };
                self.reply(replies_at, life, Event::Reply(Err(error)));
            }
        }
    }

    fn hang(&mut self, sent_at: i64, life: u64, is_forced: bool) {
        self.tally.count("hang");
        let moments = [sent_at, sent_at + CALL_LIMIT / 2, sent_at + CALL_LIMIT];
        let random = self.dice.between(sent_at, sent_at + CALL_LIMIT);
        match self.dice.between(0, 4) {
            0 => {}
            1 => self.arrive(random, Call { life, is_forced, replies_at: None }),
            _ => {
                let at = self.dice.pick(&moments);
                self.arrive(at, Call { life, is_forced, replies_at: None });
            }
        }
        self.reply(sent_at + CALL_LIMIT, life, unknown("time-out"));
    }

    fn arrive(&mut self, at: i64, call: Call) {
        self.push(at, What::CallArrives(call));
    }

    fn reply(&mut self, at: i64, life: u64, event: Event) {
        self.push(at, What::ToRelay(life, Message::Event(event)));
    }

    pub(crate) fn call_arrives(&mut self, call: Call) {
        let is_ours = self.lost_before <= call.life;
        let answer = self.wechat.call(self.now, call.is_forced, is_ours, &mut self.dice);
        self.trace.line(self.now, format_args!("    WeChat: {answer:?}"));
        self.oracle.minted(self.now, &self.wechat);
        let Some(at) = call.replies_at else { return };
        self.reply(at, call.life, Event::Reply(answer.as_reply()));
    }

    /// The relay asks whether WeChat accepts a token.
    pub(crate) fn probe(&mut self, life: u64, token: &Token) {
        let fault = self.weather.probe(self.now);
        let arrives_at = self.now + probe_arrival(fault, &mut self.dice);
        let replies_at = match fault {
            Some(ProbeFault::Slow) => self.now + PROBE_LIMIT,
            _ => self.dice.between(arrives_at, self.now + PROBE_LIMIT),
        };
        let probe = Probe { life, id: token_id(token.expose()), fault, replies_at };
        self.trace.line(self.now, format_args!("    probe of {} sent, {fault:?}", probe.id));
        self.push(arrives_at, What::ProbeArrives(probe));
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
        self.reply(probe.replies_at, probe.life, Event::Probed(verdict));
    }
}

fn probe_arrival(fault: Option<ProbeFault>, dice: &mut Dice) -> i64 {
    match fault {
        Some(ProbeFault::Slow) => dice.pick(&[0, PROBE_LIMIT / 2]),
        _ => dice.spread(1000, SECOND),
    }
}
