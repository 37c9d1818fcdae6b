//! What does WeChat give, what does the store take, and how long is the way to both?

use std::time::Duration;

use token_relay::{
    issuer::{Cause, IssueError, Issued, NoVerdict, Verdict},
    keeper::machine::Event,
    store::{Sealed, StoreError, Swap},
};

use super::{
    super::rng::{DAY, SECOND},
    AccessToken, Kept, LIFE, Minting, Ticket, TicketWorld, What, token_of,
};

impl TicketWorld {
    pub(super) fn store(&mut self, expected: Option<&Sealed>, next: Sealed) {
        (self.recorded_at, self.recorded_with) = (self.now, self.secret);
        if std::mem::take(&mut self.changes_in_next_write) {
            self.queue.push(self.now + 1, What::Secret);
        }
        let swap = match self.rng.between(0, 99) {
            _ if expected != self.stored.as_ref() => Swap::Lost(self.stored.clone()),
            0 => Swap::Unknown(StoreError("no space left on device".to_owned())),
            1 => {
                self.keep(next);
                Swap::Unknown(StoreError("no answer".to_owned()))
            }
            _ => {
                self.keep(next);
                Swap::Won
            }
        };
        let after = self.rng.spread(10, SECOND / 10);
        self.tell(after, Event::Stored(swap));
    }

    pub(super) fn keep(&mut self, next: Sealed) {
        self.stored = Some(next);
        self.durable = self.seen.clone();
    }

    pub(super) fn drop_reservation(&mut self) {
        self.reservation += 1;
        self.is_waiting = false;
    }

    /// A call whose debit and intent are stored, or could not be.
    pub(super) fn send(&mut self, is_forced: bool) {
        let breach = self.breach;
        breach.unless(!is_forced, self.now, "I6", || "a ticket cannot be forced".to_owned());
        breach.unless(!self.is_calling, self.now, "I1", || "a second call while one is under way".to_owned());
        let gap = self.now - self.last_call_at;
        breach.unless(gap >= SECOND, self.now, "I10", || format!("a call {gap} µs after the last one"));
        (self.is_calling, self.last_call_at) = (true, self.now);
        if self.access_token == AccessToken::Missing {
            self.tally.count("a call that had no token any more");
            return self.tell(1, Event::Reply(Err(IssueError::NotSent { cause: Cause::NoAccessToken })));
        }
        while self.calls.front().is_some_and(|at| self.now - at >= DAY) {
            self.calls.pop_front();
        }
        self.calls.push_back(self.now);
        let calls = u32::try_from(self.calls.len()).expect("few");
        breach.unless(calls <= self.policy.calls_per_day, self.now, "I6", || format!("{calls} calls in 24 h"));
        self.tally.calls += 1;
        self.ask(None);
    }

    /// What reaches WeChat, reaches it whatever becomes of the process.
    pub(super) fn ask(&mut self, probed: Option<u64>) {
        let way =
            if self.rng.percent(97) { self.rng.spread(SECOND / 100, SECOND) } else { self.rng.between(0, 4 * SECOND) };
        let call = What::CallArrives { life: self.life, sent_at: self.recorded_at, probed };
        self.queue.push(self.now + way, call);
    }

    /// WeCom tells whether it takes a token, and mints none.
    fn agent_probe_arrives(&mut self, life: u64, probed: u64) {
        let token = self.tickets[usize::try_from(probed).expect("few")];
        let verdict = match self.rng.between(0, 99) {
            0 => Verdict::Inconclusive { cause: NoVerdict::Errcode(-1) },
            _ if self.now < token.ends_at => Verdict::Accepted,
            _ => Verdict::Refused { errcode: 42001 },
        };
        let back = self.rng.spread(SECOND / 100, SECOND);
        self.queue.push(self.now + back, What::ToRelay(life, Event::Probed(verdict)));
    }

    pub(super) fn call_arrives(&mut self, life: u64, sent_at: i64, probed: Option<u64>) {
        if let (Kept::AgentToken, Some(probed)) = (self.kept, probed) {
            return self.agent_probe_arrives(life, probed);
        }
        let answer = match self.rng.between(0, 99) {
            0 => Err(IssueError::Refused { errcode: -1, errmsg: String::new() }),
            // an empty ticket, or no reply that can be read
            1 => {
                if self.kept == Kept::AgentToken {
                    // the next call brings what this one has minted
                    self.give();
                }
                Err(IssueError::Unknown { cause: Cause::NoReply(self.policy.longest_call) })
            }
            _ if self.access_token != AccessToken::Good => {
                Err(IssueError::Refused { errcode: 40001, errmsg: String::new() })
            }
            _ => Ok(self.give()),
        };
        if matches!(answer, Err(IssueError::Refused { errcode: 40001, .. }))
            && self.access_token == AccessToken::Refused
        {
            // it was reported to its own keeper
            self.access_token = AccessToken::Missing;
            let away = self.rng.spread(SECOND, 10 * SECOND);
            self.queue.push(self.now + away, What::TokenComes);
        }
        let back = self.rng.spread(SECOND / 100, SECOND);
        if life == self.life
            && let Ok(id) = answer
        {
            self.sees(id, sent_at, self.now + back, probed.is_some());
        }
        let event = match (probed, answer) {
            (None, Ok(id)) => Event::Reply(Ok(Issued { token: token_of(id), life: Duration::from_secs(7200) })),
            (None, Err(error)) => Event::Reply(Err(error)),
            (Some(probed), Ok(id)) => Event::Probed(if id == probed { Verdict::Accepted } else { Verdict::Replaced }),
            (Some(_), Err(error)) => Event::Probed(Verdict::Inconclusive { cause: NoVerdict::Failed(error) }),
        };
        self.queue.push(self.now + back, What::ToRelay(life, event));
    }

    /// The ticket that WeChat gives now.
    pub(super) fn give(&mut self) -> u64 {
        let lead = match self.minting {
            Minting::OnDemand => None,
            Minting::Before(lead) => Some(lead),
        };
        loop {
            let began_at = match (self.tickets.last(), lead) {
                (None, _) => self.now,
                (Some(last), None) if last.ends_at <= self.now => self.now,
                (Some(last), Some(_)) if last.is_revoked => self.now,
                (Some(last), Some(lead)) if last.ends_at - lead <= self.now => last.ends_at - lead,
                (Some(_), _) => return self.tickets.len() as u64 - 1,
            };
            self.tickets.push(Ticket { began_at, ends_at: began_at + LIFE, is_revoked: false });
        }
    }
}
