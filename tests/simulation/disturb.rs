//! How do disturbances come, and what does each do?

use token_relay::{credential::Generation, keeper::machine::Event};

use super::{
    dice::{DAY, HOUR, MINUTE, SECOND},
    sim::{Message, Sim, What},
    weather::{Kind, Weather, absence, wall_jump_ms},
};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Disturbance(Kind);

impl Sim {
    /// Chooses when the next disturbances come: often where it hurts, near the relay's next call or the end of its token.
    pub(crate) fn plan_disturbance(&mut self) {
        if !self.is_storm {
            return;
        }
        let mut at = self.now + self.dice.spread(self.setup.unrest / 10 + 1, 2 * self.setup.unrest);
        if self.dice.percent(60) {
            at = self.sore_spot_after(at).unwrap_or(at);
        }
        for _ in 0..self.dice.pick(&[1, 1, 2, 3, 5]) {
            let kind = Weather::kind(&mut self.dice, self.setup.is_wire_only);
            let apart = self.dice.pick(&[0, 1, SECOND, 10 * SECOND, 5 * MINUTE]);
            let when = at + self.dice.between(0, apart);
            self.push(when, What::Disturb(Disturbance(kind)));
        }
        self.push(at + 1, What::NextDisturbance);
    }

    /// A moment at which something is due, a rotation or an end, as of now: a rotation later if it has passed by then.
    fn sore_spot_after(&mut self, at: i64) -> Option<i64> {
        let outlook = self.relay.as_ref()?.outlook.as_ref()?;
        let rotation_at = self.host.at(outlook.rotation_at?);
        let end = outlook.offer.as_ref().map(|offer| self.host.at(offer.promise.until));
        let spot = self.dice.pick(&[Some(rotation_at), Some(rotation_at), end])?;
        let period = (rotation_at - self.now).max(MINUTE);
        let rounds = ((at - spot).max(0) + period - 1) / period;
        let shift = self.dice.pick(&[-10 * SECOND, -SECOND, 0, 0, SECOND, 100 * SECOND]);
        Some((spot + rounds * period + shift).max(self.now + 1))
    }

    pub(crate) fn disturb(&mut self, Disturbance(kind): Disturbance) {
        if !self.is_storm {
            return;
        }
        self.trace.line(self.now, format_args!("! {kind:?}"));
        match kind {
            Kind::CallTrouble => self.weather.calls_fail(self.now, &mut self.dice),
            Kind::ProbeTrouble => self.weather.probes_fail(self.now, &mut self.dice),
            Kind::DiskTrouble => self.weather.disk_fails(self.now, &mut self.dice),
            Kind::SlotTrouble => self.weather.slots_fill(self.now, &mut self.dice),
            Kind::Outsider => self.outsider(),
            Kind::Revocation => {
                self.tally.count("revocation");
                let is_forgotten = self.dice.coin();
                self.wechat.revoke(self.now, is_forgotten);
            }
            Kind::Reports => self.reports(),
            Kind::WallJump => self.wall_jumps(),
            Kind::Freeze | Kind::Suspend => self.pause(kind),
            Kind::FreezeAtAction => self.weather.freeze_in = Some(self.dice.between(0, 30)),
            Kind::Kill => {
                self.tally.count("kill");
                self.die();
            }
            Kind::KillAtAction => self.weather.kill_in = Some(self.dice.between(0, 40)),
            Kind::KillLoop => {
                self.weather.kills_to_come = self.dice.spread(2, 200);
                self.weather.kill_in = Some(self.dice.between(0, 10));
            }
            Kind::Panic => self.panic(),
            Kind::Reboot => self.reboot(),
            Kind::DamagedRecord => self.damaged_record(),
            Kind::Shutdown => self.shut_down(),
        }
    }

    fn outsider(&mut self) {
        self.tally.count("outside rotation");
        for _ in 0..self.dice.pick(&[1, 1, 1, 2, 3]) {
            self.wechat.outside_call(self.now, &mut self.dice);
        }
    }

    fn reports(&mut self) {
        let Some(offer) = self.relay.as_ref().and_then(|relay| relay.offer) else { return };
        self.tally.count("burst of reports");
        let generation = match self.dice.between(0, 4) {
            0 => Generation(offer.generation.0.saturating_sub(self.dice.pick(&[1, 3_600_000]))),
            _ => offer.generation,
        };
        let clients = self.dice.pick(&[1, 2, 30]);
        self.report(generation, clients);
    }

    fn wall_jumps(&mut self) {
        self.tally.count("wall clock set");
        // at times back to what it should be
        self.host.wall_error_ms = match self.dice.between(0, 3) {
            0 => self.dice.between(-2000, 2000),
            _ => self.host.wall_error_ms.clamp(-DAY, DAY) + wall_jump_ms(&mut self.dice),
        };
        self.host.was_set = true;
        self.host.is_in_doubt = true;
        self.beat();
    }

    /// The heartbeat that notices it; where runs go without heartbeats, this is the one that matters.
    fn beat(&mut self) {
        let Some(life) = self.relay.as_ref().map(|relay| relay.life) else { return };
        let at = self.now + self.dice.between(0, 5 * SECOND);
        self.push(at, What::ToRelay(life, Message::Event(Event::Tick)));
    }

    fn pause(&mut self, kind: Kind) {
        self.tally.count(if kind == Kind::Suspend { "suspend" } else { "freeze" });
        let thaw = self.freeze();
        let Some(life) = self.relay.as_ref().map(|relay| relay.life) else { return };
        self.push(thaw, What::ToRelay(life, Message::Event(Event::Tick)));
    }

    /// Nothing of the process runs until the moment that is returned.
    pub(crate) fn freeze(&mut self) -> i64 {
        let thaw = self.now + absence(&mut self.dice);
        self.oracle.frozen(self.now, thaw);
        if let Some(relay) = &mut self.relay {
            relay.frozen_until = relay.frozen_until.max(thaw);
            return relay.frozen_until;
        }
        thaw
    }

    /// kill -9, now. What is being written may become durable or not; what is under way to WeChat goes on.
    pub(crate) fn die(&mut self) {
        if self.relay.take().is_none() {
            return;
        }
        self.trace.line(self.now, format_args!("! the process dies"));
        if self.dice.coin() {
            self.disk.settle();
        }
        self.disk.writing = None;
        self.oracle.life_ends(&mut self.wechat);
        let away =
            if self.weather.kills_to_come > 0 { self.dice.spread(20_000, 3 * SECOND) } else { absence(&mut self.dice) };
        let away = if self.is_storm { away } else { SECOND };
        self.push(self.now + away, What::Restart);
    }

    /// The keeper panics and is started again; its readers go on.
    fn panic(&mut self) {
        let Some(relay) = self.relay.take() else { return };
        self.tally.count("panic of the keeper");
        // the store finishes a write that it was given
        self.disk.settle();
        self.disk.writing = None;
        self.oracle.life_ends(&mut self.wechat);
        let floor = relay.offer.map_or(Generation::default(), |offer| offer.generation);
        self.begin_life(floor, Some((relay.outlook, relay.offer)));
    }

    fn reboot(&mut self) {
        self.tally.count("reboot");
        self.die();
        let now = self.now;
        self.host.boot_number += 1;
        self.host.booted_at = now + self.dice.between(SECOND, 20 * SECOND);
        let is_right = self.dice.percent(70);
        let Some(kept) = &self.disk.kept else { return };
        // the wall clock is as right as it was when the record was written, or it makes the record's age impossible
        let true_ms = (now - kept.written_at) / 1000;
        let right = kept.written_wall_ms + true_ms - (self.host.wall_ms(now) - self.host.wall_error_ms);
        self.host.wall_error_ms = if is_right {
            right + self.dice.between(-2000, 2000)
        } else {
            right - true_ms - self.dice.spread(1000, 10 * 366 * DAY / 1000)
        };
    }

    fn damaged_record(&mut self) {
        self.die();
        let how = self.disk.damage(&mut self.dice);
        self.trace.line(self.now, format_args!("! the record is {how}"));
        self.tally.count("damaged record");
    }

    fn shut_down(&mut self) {
        let Some(relay) = &self.relay else { return };
        self.tally.count("shutdown");
        let life = relay.life;
        self.push(self.now, What::ToRelay(life, Message::Event(Event::Shutdown)));
    }

    pub(crate) fn stopped(&mut self) {
        self.relay = None;
        self.oracle.stops(self.now, &self.disk);
        self.oracle.life_ends(&mut self.wechat);
        let away = if self.is_storm { self.dice.spread(SECOND, HOUR) } else { SECOND };
        self.push(self.now + away, What::Restart);
    }
}
