//! What does each fault do?

use token_relay::{
    credential::Generation,
    keeper::{
        machine::{Event, ReportId},
        record::SecretMark,
    },
    report::Grounds,
    store::Sealed,
};

use super::{
    fault_plan::{Kind, wall_jump_ms},
    rng::{DAY, HOUR, MINUTE, SECOND},
    store::Store,
    world::{Message, What, World},
};

/// By which the answer to an operator's demand is known from those to reports.
pub(crate) const REVOCATION: ReportId = ReportId(u64::MAX - 1);

impl World {
    pub(crate) fn fault(&mut self, kind: Kind) {
        if !self.is_storm || self.now < self.quiet_until {
            return;
        }
        let who = self.holder().filter(|_| self.rng.coin()).unwrap_or_else(|| self.any_replica());
        self.trace.line(self.now, format_args!("! [{who}] {kind:?}"));
        let actions = if self.setup.is_shared { 12 } else { 20 };
        match kind {
            Kind::Calls | Kind::Probes | Kind::Store | Kind::Slots => self.trouble(kind),
            Kind::Outsider => {
                self.read_all();
                self.tally.count("outside rotation");
                for _ in 0..self.rng.pick(&[1, 1, 1, 2, 3]) {
                    self.wechat.outside_call(self.now, &mut self.rng);
                }
            }
            Kind::Revocation => {
                self.read_all();
                self.tally.count("revocation");
                let is_forgotten = self.rng.coin();
                self.wechat.revoke(self.now, is_forgotten);
            }
            Kind::KillSwitch => self.kill_switch(who),
            Kind::Reports => self.burst_of_reports(),
            Kind::WallJump => self.wall_jumps(who),
            Kind::Freeze => {
                self.tally.count("freeze");
                let pause = self.absence();
                self.freeze(who, pause);
            }
            Kind::Suspend => self.suspend(who),
            Kind::FreezeAtAction => self.replicas[who].freeze_in = Some(self.rng.between(0, actions)),
            Kind::FreezeBeforeSend => self.replicas[who].freeze_before_send = true,
            Kind::Kill => {
                self.tally.count("kill");
                self.kill(who);
            }
            Kind::KillAtAction => self.replicas[who].kill_in = Some(self.rng.between(0, actions)),
            Kind::KillLoop => {
                let most = if self.setup.is_shared { 20 } else { 200 };
                self.replicas[who].kills_to_come = self.rng.spread(2, most);
                self.replicas[who].kill_in = Some(self.rng.between(0, actions / 4));
            }
            Kind::Panic => self.panic(who),
            Kind::Reboot => self.reboot(who),
            Kind::NewSecret => self.new_secret(who),
            Kind::DamagedRecord => self.damage_record(who),
            Kind::Shutdown => {
                self.tally.count("shutdown");
                self.send_event(who, self.now, Event::Shutdown);
            }
            Kind::Cut => self.cut(who),
            Kind::NoEgress => {
                self.tally.count("one relay's calls do not get out");
                self.replicas[who].no_egress_until = self.now + self.rng.spread(MINUTE, 40 * MINUTE);
            }
            Kind::LostWrites => self.lose_writes(),
            Kind::Failover => self.fail_over(),
        }
    }

    fn new_secret(&mut self, who: usize) {
        self.replicas[who].secret += 1;
        let secret = self.replicas[who].secret;
        if secret.is_multiple_of(2) || self.replicas[who].machine.is_none() {
            self.tally.count("AppSecret changed, and the relay started again");
            return self.kill(who);
        }
        self.tally.count("AppSecret changed while the relay runs");
        let mark = SecretMark::of("wxsimulated", &secret.to_string());
        self.send_event(who, self.now, Event::Reconfigured(self.setup.policy, mark));
    }

    fn damage_record(&mut self, who: usize) {
        self.tally.count("damaged record");
        self.kill(who);
        let how = self.store.damage(&mut self.rng);
        self.trace.line(self.now, format_args!("! the record is {how}"));
    }

    /// Which relay holds the lease, by the stored record.
    pub(crate) fn holder(&self) -> Option<usize> {
        let id = self.store.number("holder")?;
        let who = usize::try_from(id / 1_000_000).ok()?.checked_sub(1)?;
        (self.replicas[who].process == id % 1_000_000).then_some(who)
    }

    pub(crate) fn any_replica(&mut self) -> usize {
        let last = i64::try_from(self.setup.replicas - 1).expect("small");
        usize::try_from(self.rng.between(0, last)).expect("small")
    }

    /// Those that run on the same boot of the same host.
    fn on_the_host_of(&self, who: usize) -> Vec<usize> {
        let boot = &self.replicas[who].host.boot_name;
        (0..self.setup.replicas).filter(|other| self.replicas[*other].host.boot_name == *boot).collect()
    }

    /// An operator revokes the token.
    fn kill_switch(&mut self, who: usize) {
        if self.replicas[who].machine.is_some() {
            self.tally.count("token revoked by an operator");
            let revocation = Event::Report(REVOCATION, Generation::default(), Grounds::Revocation);
            self.send_event(who, self.now, revocation);
        }
    }

    fn burst_of_reports(&mut self) {
        self.tally.count("burst of reports");
        let (clients, is_old) = (self.rng.pick(&[1, 2, 30, 200]), self.rng.percent(20));
        for _ in 0..clients {
            let who = self.any_replica();
            let Some(offer) = self.replicas[who].offer else { continue };
            let before = if is_old { self.rng.pick(&[1, 3_600_000]) } else { 0 };
            self.report(who, Generation(offer.generation.0.saturating_sub(before)));
        }
    }

    fn wall_jumps(&mut self, who: usize) {
        self.tally.count("wall clock set");
        // at times back to what it should be
        let before = self.replicas[who].host.wall_error_ms.clamp(-DAY, DAY);
        let error_ms = match self.rng.between(0, 3) {
            _ if self.setup.is_shared && !super::sets_clocks_far() => self.rng.between(-2000, 2000),
            0 => self.rng.between(-2000, 2000),
            _ => before + wall_jump_ms(&mut self.rng),
        };
        for who in self.on_the_host_of(who) {
            let host = &mut self.replicas[who].host;
            (host.wall_error_ms, host.was_set, host.is_in_doubt) = (error_ms, true, true);
            // the heartbeat that notices it; where runs go without heartbeats, this is the one that matters
            let at = self.now + self.rng.between(0, 5 * SECOND);
            self.send_event(who, at, Event::Tick);
        }
    }

    /// The lid is closed: everything on the host stands still, or on all hosts.
    fn suspend(&mut self, who: usize) {
        self.tally.count("suspend");
        let pause = self.absence();
        let those = if self.rng.coin() { (0..self.setup.replicas).collect() } else { self.on_the_host_of(who) };
        for who in those {
            self.freeze(who, pause);
        }
    }

    /// Nothing of the process runs until the moment that is returned.
    pub(crate) fn freeze(&mut self, who: usize, pause: i64) -> i64 {
        self.read(who);
        let thaw = self.now + pause;
        let latest = if self.setup.is_shared && self.is_storm { self.setup.storm } else { i64::MAX };
        let thaw = thaw.min(latest).max(self.now + 1).max(self.replicas[who].frozen_until);
        self.reports.frozen(self.now, thaw, who);
        self.replicas[who].frozen_until = thaw;
        self.orphan_is_taken_in_late(who, thaw);
        self.send_event(who, thaw, Event::Tick);
        thaw
    }

    /// kill -9, now. What is being written to a disk may become durable or not; what is under way to WeChat or to a server
    /// goes on.
    pub(crate) fn kill(&mut self, who: usize) {
        self.read(who);
        let replica = &mut self.replicas[who];
        if !replica.is_up {
            return;
        }
        replica.is_up = false;
        (replica.machine, replica.status, replica.offer) = (None, None, None);
        let is_looping = replica.kills_to_come > 0;
        self.trace.line(self.now, format_args!("[{who}] dies"));
        if !self.setup.is_shared {
            let is_done = self.rng.coin();
            self.settle_writes(who, is_done);
        }
        self.life_ends(who);
        let away = match () {
            () if !self.is_storm => {
                if self.setup.is_shared {
                    40 * SECOND
                } else {
                    SECOND
                }
            }
            () if is_looping => self.rng.spread(20_000, 3 * SECOND),
            () if self.setup.is_shared => self.rng.spread(100_000, 10 * MINUTE),
            () => self.absence(),
        };
        self.push(self.now + away, What::Start(who));
    }

    /// The keeper panics and is started again; its readers go on.
    fn panic(&mut self, who: usize) {
        self.read(who);
        let replica = &mut self.replicas[who];
        if replica.is_stopping {
            return self.kill(who); // it is not started again
        }
        if self.now < replica.frozen_until || replica.machine.take().is_none() {
            return;
        }
        self.tally.count("panic of the keeper");
        // the store finishes a write that it was given
        if !self.setup.is_shared {
            self.settle_writes(who, true);
        }
        self.life_ends(who);
        let pause = self.rng.pick(&[0, SECOND, 10 * SECOND]);
        self.push(self.now + pause, What::Start(who));
    }

    fn reboot(&mut self, who: usize) {
        self.tally.count("reboot");
        self.kill(who);
        let now = self.now;
        let started_in = self.rng.between(SECOND, 20 * SECOND);
        let is_right = self.rng.percent(70);
        let host = &mut self.replicas[who].host;
        (host.boot_name, host.booted_at) = (format!("boot-{who}-{now}"), now + started_in);
        let Some(kept) = &self.store.kept else { return };
        if self.setup.is_shared {
            host.wall_error_ms = if is_right || !super::sets_clocks_far() {
                self.rng.between(-2000, 2000)
            } else {
                wall_jump_ms(&mut self.rng)
            };
            return;
        }
        // the wall clock is as right as it was when the record was written, or it makes the record's age impossible
        let true_ms = (now - kept.written_at) / 1000;
        let right = kept.written_wall_ms + true_ms - (host.wall_ms(now) - host.wall_error_ms);
        host.wall_error_ms = if is_right {
            right + self.rng.between(-2000, 2000)
        } else {
            right - true_ms - self.rng.spread(1000, 10 * 366 * DAY / 1000)
        };
    }

    pub(crate) fn stopped(&mut self, who: usize) {
        self.trace.line(self.now, format_args!("[{who}] stops"));
        self.read(who);
        self.reports.stops(self.now, who);
        self.oracles[who].stops(self.now, &self.store, self.calls.is_stored && !self.setup.is_shared);
        let replica = &mut self.replicas[who];
        replica.is_up = false;
        (replica.machine, replica.status, replica.offer) = (None, None, None);
        self.life_ends(who);
        let away = match () {
            () if self.setup.is_shared => self.rng.spread(SECOND, 5 * MINUTE),
            () if self.is_storm => self.rng.spread(SECOND, HOUR),
            () => SECOND,
        };
        self.push(self.now + away, What::Start(who));
    }

    fn cut(&mut self, who: usize) {
        let until = self.now + self.rng.spread(SECOND, 20 * MINUTE);
        let replica = &mut self.replicas[who];
        match self.rng.between(0, 2) {
            0 => replica.cut_out_until = until,
            1 => replica.cut_in_until = until,
            _ => (replica.cut_out_until, replica.cut_in_until) = (until, until),
        }
        self.tally.count("partition of one relay");
    }

    /// The primary is cut off from its replicas, so none of its writes is confirmed from now on, and another one takes its
    /// place. Either all relays stay with it until it dies, and its last second is forgotten; or some do for longer, and there
    /// are two primaries.
    fn fail_over(&mut self) {
        let now = self.now;
        if self.replicas.iter().any(|replica| now < replica.minority_until) {
            return;
        }
        self.minority = Store { before: Vec::new(), ..self.store.clone() };
        let is_brief = self.rng.coin();
        self.tally.count(if is_brief { "last second of a primary lost" } else { "two primaries" });
        let until = now + if is_brief { self.rng.spread(10_000, SECOND) } else { self.rng.spread(SECOND, 20 * MINUTE) };
        for who in 0..self.setup.replicas {
            if is_brief || self.rng.coin() {
                self.replicas[who].minority_until = until;
            }
        }
    }

    fn lose_writes(&mut self) {
        self.read_all();
        match self.rng.between(0, 3) {
            _ if !super::loses_all() => return self.lose_last_write(),
            0 => {
                self.tally.count("last writes lost");
                let writes = self.rng.pick(&[2, 5]);
                self.store.go_back(writes);
            }
            1 => {
                self.tally.count("restored from an old dump");
                let writes = usize::try_from(self.rng.between(10, 390)).expect("small");
                self.store.go_back(writes);
            }
            2 => {
                self.tally.count("flushed");
                self.store.flush();
            }
            _ => {
                self.tally.count("foreign bytes");
                let mut kept = self.store.kept.clone();
                if let Some(kept) = &mut kept {
                    let bytes = self.rng.pick(&["{\"version\":99}", "hello", ""]);
                    (kept.bytes, kept.is_damaged) = (Sealed::new(bytes.as_bytes().to_vec()), true);
                }
                self.store.place(kept);
            }
        }
        self.trace.line(self.now, format_args!("! the store lost writes"));
    }

    /// A store that was killed has forgotten the last write. Its writer lives and finds out: what a writer that is lost
    /// together with its write has done, nobody can know.
    fn lose_last_write(&mut self) {
        let (who, life) = self.store.written_by;
        let replica = &self.replicas[who];
        let is_there = replica.life == life && replica.runs(self.now) && !replica.is_stopping;
        if is_there && replica.cut_until() <= self.now && self.troubles.store(self.now).is_none() {
            self.tally.count("last write lost");
            self.quiet_until = self.now + 5 * SECOND;
            self.store.go_back(1);
        }
    }

    fn life_ends(&mut self, who: usize) {
        self.oracles[who].life_ends(&mut self.wechat, self.calls.is_stored);
        self.calls.life_ends(who);
        self.reports.life_ends(who);
    }

    pub(crate) fn send_event(&mut self, who: usize, at: i64, event: Event) {
        let life = self.replicas[who].life;
        self.push(at, What::ToRelay(who, life, Message::Event(event)));
    }
}
