//! What happens to calls and probes on their way to WeChat and back?

use token_relay::{
    credential::Token,
    issuer::{Cause, IssueError, NoVerdict, Verdict},
    keeper::machine::Event,
};

use super::{
    dice::SECOND,
    wechat::{TokenId, token_id},
    world::{Message, What, World},
};

pub(crate) const CALL_LIMIT: i64 = 8 * SECOND;
const PROBE_LIMIT: i64 = 3 * SECOND;

#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub who: usize,
    pub life: u64,
    pub is_forced: bool,
    pub is_stray: bool,
    pub replies_at: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallFault {
    NotSent,
    LostReply,
    Gateway,
    Hang,
    Code(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProbeFault {
    FalseRefusal,
    Inconclusive,
}

/// A call whose first byte has left.
pub(crate) struct Flight {
    pub who: usize,
    /// It was frozen between its last look at the lease and this byte.
    pub was_late: bool,
    pub ends_at: i64,
}

impl World {
    pub(super) fn send_call(&mut self, who: usize, is_forced: bool) {
        let now = self.now;
        let was_late = now - self.replicas[who].stepped_at > SECOND;
        let (fault, until) = self.call_fault;
        let fault = fault.filter(|_| now < until);
        self.tell(format_args!("[{who}]   CALLS, {fault:?}, late {was_late}"));
        let arrives_at = now + self.dice.pick(&[0, 1, 30_000, 200_000, 3 * SECOND]);
        let replies_at = arrives_at + self.dice.spread(1000, 4 * SECOND);
        let life = self.replicas[who].life;
        let call = Call { who, life, is_forced, is_stray: was_late, replies_at: None };
        let unknown = || Event::Reply(Err(IssueError::Unknown { cause: Cause::Worded("lost".to_owned()) }));
        let mut ends_at = replies_at;
        match fault {
            None => self.push(arrives_at, What::CallArrives(Call { replies_at: Some(replies_at), ..call })),
            Some(CallFault::NotSent) => {
                ends_at = now;
                self.send_event(
                    who,
                    now + 500_000,
                    Event::Reply(Err(IssueError::NotSent { cause: Cause::Worded("refused".to_owned()) })),
                );
            }
            Some(CallFault::LostReply) => {
                self.push(arrives_at, What::CallArrives(call));
                self.send_event(who, replies_at, unknown());
            }
            Some(CallFault::Gateway) => self.send_event(who, replies_at, unknown()),
            Some(CallFault::Hang) => {
                ends_at = now + CALL_LIMIT;
                if self.dice.percent(70) {
                    let at = self.dice.between(now, now + CALL_LIMIT);
                    self.push(at, What::CallArrives(call));
                }
                self.send_event(who, now + CALL_LIMIT, unknown());
            }
            Some(CallFault::Code(errcode)) => {
                let error = IssueError::Refused { errcode, errmsg: "simulated".to_owned() };
                self.send_event(who, replies_at, Event::Reply(Err(error)));
            }
        }
        if let Some(fault) = fault {
            self.tally.count(match fault {
                CallFault::NotSent => "call not sent",
                CallFault::LostReply => "reply lost after the mint",
                CallFault::Gateway => "gateway error",
                CallFault::Hang => "hanging call",
                CallFault::Code(_) => "errcode",
            });
        }
        self.call_begins(Flight { who, was_late, ends_at }, fault == Some(CallFault::NotSent));
    }

    pub(super) fn call_arrives(&mut self, call: Call) {
        self.read_all();
        let answer = self.wechat.call(self.now, call.is_forced, true, &mut self.dice);
        self.tell(format_args!("    WeChat: {answer:?}"));
        if let Some(newest) = self.wechat.tokens.last_mut() {
            newest.mark.is_stray |= call.is_stray && newest.born_at == self.now;
        }
        self.minted();
        let Some(at) = call.replies_at else { return };
        let event = Event::Reply(answer.as_reply());
        self.push(at, What::ToReplica(call.who, call.life, Message::Event(event)));
    }

    pub(super) fn probe(&mut self, who: usize, token: &Token) {
        self.probes_made += 1;
        let (fault, until) = self.probe_fault;
        let fault = fault.filter(|_| self.now < until);
        let arrives_at = self.now + self.dice.spread(1000, SECOND);
        let replies_at = self.dice.between(arrives_at, self.now + PROBE_LIMIT);
        let (life, id) = (self.replicas[who].life, token_id(token.expose()));
        self.replicas[who].probed = id;
        self.tell(format_args!("[{who}]   probes {id}"));
        self.push(arrives_at, What::ProbeArrives { who, life, id, fault, replies_at });
    }

    pub(super) fn probe_arrives(
        &mut self,
        who: usize,
        life: u64,
        id: TokenId,
        fault: Option<ProbeFault>,
        replies_at: i64,
    ) {
        let works = self.wechat.works(id, self.now);
        let verdict = match fault {
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
        self.push(replies_at, What::ToReplica(who, life, Message::Event(Event::Probed(verdict))));
    }
}
