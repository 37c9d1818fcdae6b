//! What goes wrong, and how often?

use token_relay::keeper::machine::Event;

use super::{
    dice::{HOUR, MINUTE, SECOND},
    wire::{CallFault, ProbeFault},
    world::{REPLICAS, World},
};

impl World {
    pub(crate) fn disturb(&mut self) {
        if !self.is_storm {
            return;
        }
        let next = self.now + self.dice.spread(self.unrest / 10 + 1, 2 * self.unrest);
        self.push(next, super::world::What::Disturb);
        if self.now < self.calm_until {
            return;
        }
        let who = match self.holder().filter(|_| self.dice.coin()) {
            Some(holder) => holder,
            None => self.any_replica(),
        };
        match self.dice.between(0, 17) {
            0 | 1 => {
                self.tally.count("kill");
                self.kill(who);
            }
            2 | 3 => self.replicas[who].kill_in = Some(self.dice.between(0, 12)),
            4 => {
                self.tally.count("freeze");
                self.freeze(who);
            }
            5 | 6 => self.replicas[who].freeze_in = Some(self.dice.between(0, 12)),
            7 | 8 => self.replicas[who].freeze_before_send = true,
            9 => {
                self.tally.count("shutdown");
                self.send_event(who, self.now, Event::Shutdown);
            }
            10 | 11 => self.cut(who),
            12 | 13 => self.store_trouble(),
            14 | 15 => self.calls_fail(),
            16 => {
                let fault = self.dice.pick(&[ProbeFault::FalseRefusal, ProbeFault::Inconclusive]);
                self.probe_fault = (Some(fault), self.now + self.dice.spread(SECOND, 10 * MINUTE));
            }
            _ => self.odd_things(who),
        }
    }

    /// Which relay holds the lease, by the stored record.
    pub(crate) fn holder(&self) -> Option<usize> {
        let id = self.store.number("holder")?;
        usize::try_from(id / 1_000_000).ok()?.checked_sub(1).filter(|who| self.replicas[*who].life == id % 1_000_000)
    }

    fn any_replica(&mut self) -> usize {
        let last = i64::try_from(REPLICAS - 1).expect("small");
        usize::try_from(self.dice.between(0, last)).expect("small")
    }

    fn cut(&mut self, who: usize) {
        let until = self.now + self.dice.spread(SECOND, 20 * MINUTE);
        let replica = &mut self.replicas[who];
        match self.dice.between(0, 2) {
            0 => replica.cut_out_until = until,
            1 => replica.cut_in_until = until,
            _ => (replica.cut_out_until, replica.cut_in_until) = (until, until),
        }
        self.tell(format_args!("! [{who}] cut until {}", until / SECOND));
        self.tally.count("partition of one relay");
    }

    fn store_trouble(&mut self) {
        let until = self.now + self.dice.spread(SECOND, 10 * MINUTE);
        match self.dice.between(0, 3) {
            0 => {
                self.tally.count("store away");
                self.store.away_until = until;
            }
            1 => {
                self.tally.count("slow store");
                self.store.slow_until = until;
            }
            _ => {
                self.tally.count("unknown swaps");
                self.store.vague_until = until;
            }
        }
        self.tell(format_args!("! store trouble until {}", until / SECOND));
    }

    fn calls_fail(&mut self) {
        use CallFault::{Code, Gateway, Hang, LostReply, NotSent};
        let fault = self.dice.pick(&[NotSent, LostReply, LostReply, Gateway, Hang, Hang, Code(-1), Code(45011)]);
        self.call_fault = (Some(fault), self.now + self.dice.spread(20 * SECOND, HOUR));
        self.tell(format_args!("! calls: {fault:?}"));
    }

    fn odd_things(&mut self, who: usize) {
        self.read_all();
        match self.dice.between(0, 6) {
            0 => {
                self.tally.count("outside rotation");
                self.wechat.outside_call(self.now, &mut self.dice);
            }
            1 => {
                self.tally.count("wall clock set");
                self.replicas[who].wall_error_ms = self.dice.between(-2000, 2000);
            }
            2 => {
                self.tally.count("burst of reports");
                for _ in 0..self.dice.pick(&[1, 5, 200]) {
                    let to = self.any_replica();
                    if let Some(offer) = self.replicas[to].offer {
                        self.report(to, offer.generation);
                    }
                }
            }
            3 => {
                self.tally.count("reboot");
                self.kill(who);
                let replica = &mut self.replicas[who];
                replica.boot_name = format!("boot-{who}-{}", self.now);
                replica.booted_at = self.now;
            }
            _ => self.lose_writes(),
        }
    }

    /// A store that was killed has forgotten the last write. Its writer lives and finds out: what a writer that is lost
    /// together with its write has done, nobody can know.
    fn lose_last_write(&mut self) {
        let (who, life) = self.store.written_by;
        let replica = &self.replicas[who];
        let is_there = replica.life == life && replica.is_up(self.now) && !replica.is_stopping;
        let cut_until = replica.cut_in_until.max(replica.cut_out_until);
        let away_until = self.store.away_until.max(self.store.slow_until).max(self.store.vague_until);
        if is_there && cut_until.max(away_until) <= self.now {
            self.tally.count("last write lost");
            self.calm_until = self.now + 5 * SECOND;
            self.store.go_back(1);
        }
    }

    fn lose_writes(&mut self) {
        match self.dice.between(0, 3) {
            _ if !super::loses_all() => self.lose_last_write(),
            0 => {
                self.tally.count("last writes lost");
                let writes = self.dice.pick(&[2, 5]);
                self.store.go_back(writes);
            }
            1 => {
                self.tally.count("restored from an old dump");
                let writes = usize::try_from(self.dice.between(10, 390)).expect("small");
                self.store.go_back(writes);
            }
            2 => {
                self.tally.count("flushed");
                self.store.place(None);
            }
            _ => {
                self.tally.count("foreign bytes");
                let bytes = self.dice.pick(&["{\"version\":99}", "hello", ""]);
                self.store.place(Some(token_relay::store::Sealed::new(bytes.as_bytes().to_vec())));
            }
        }
        self.tell(format_args!("! the store lost writes"));
    }
}
