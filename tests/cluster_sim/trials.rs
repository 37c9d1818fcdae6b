//! When the storm is over: does everything heal, and how long does a succession take?

use token_relay::keeper::machine::Event;

use super::{
    dice::{MINUTE, SECOND},
    world::{REPLICAS, What, World},
};

#[derive(Default)]
pub(crate) struct Trial {
    /// The storm is over, and its bound has passed.
    pub is_healed: bool,
    pub is_revoked: bool,
    /// The newest generation that anybody serves, and since when.
    pub newest: Option<(u64, i64)>,
    holder: Option<usize>,
    begun_at: i64,
    /// When the store's record was last seen with unknown calls.
    pub unknown_at: i64,
    probes: u64,
    calls: usize,
    name: &'static str,
}

/// After an unknown call or a late token, all is settled after an overlap and a call (I8).
const HEAL_LIMIT: i64 = 11 * MINUTE;

impl World {
    pub(crate) fn storm_ends(&mut self) {
        self.tell(format_args!("--- the storm ends"));
        self.read_all();
        self.is_storm = false;
        self.store.away_until = 0;
        self.store.slow_until = 0;
        self.store.vague_until = 0;
        self.call_fault = (None, 0);
        self.probe_fault = (None, 0);
        if self.store.bytes.as_ref().is_some_and(|bytes| !bytes.expose().starts_with(b"{\"version\":1,")) {
            self.store.place(None); // an operator clears what no relay may touch
        }
        for who in 0..REPLICAS {
            let replica = &mut self.replicas[who];
            replica.frozen_until = replica.frozen_until.min(self.now);
            (replica.cut_in_until, replica.cut_out_until) = (0, 0);
            (replica.kill_in, replica.freeze_in, replica.freeze_before_send) = (None, None, false);
            self.push(self.now + SECOND, What::Start(who));
        }
        self.push(self.now + HEAL_LIMIT, What::Judge(0));
        for number in 1..=5 {
            let number_of_minutes = 4 * i64::try_from(number).expect("small");
            self.push(self.now + HEAL_LIMIT + number_of_minutes * MINUTE, What::Trial(number));
        }
    }

    pub(crate) fn begin_trial(&mut self, number: usize) {
        self.read_all();
        let rotated_at = self.trial.newest.map_or(0, |(_, since)| since);
        if number >= 5 && self.now < rotated_at + 35 * SECOND {
            // the cool-down of reports
            return self.push(rotated_at + 36 * SECOND, What::Trial(number));
        }
        let plan = |replica: &super::replica::Replica| Some(replica.at(replica.outlook.as_ref()?.rotation_at?));
        let planned_at = self.replicas.iter().filter_map(plan).min().unwrap_or(0);
        if number >= 5 && planned_at < self.now + 45 * SECOND {
            // a planned rotation would come in between
            return self.push(self.now + 10 * SECOND, What::Trial(number));
        }
        self.trial.holder = self.holder();
        (self.trial.begun_at, self.trial.probes, self.trial.calls) =
            (self.now, self.probes_made, self.calls_made.len());
        let Some(holder) = self.trial.holder else {
            return self.kept("I10", false, || "nobody holds the lease".to_owned());
        };
        self.tell(format_args!("--- trial {number}, the holder is {holder}"));
        match number {
            1 => {
                self.trial.name = "killed";
                self.kill(holder);
            }
            2 => {
                self.trial.name = "frozen";
                self.freeze_for(holder, 40 * SECOND);
            }
            3 => {
                self.trial.name = "cut off";
                let replica = &mut self.replicas[holder];
                (replica.cut_in_until, replica.cut_out_until) = (self.now + 90 * SECOND, self.now + 90 * SECOND);
            }
            4 => {
                self.trial.name = "stopped";
                self.send_event(holder, self.now, Event::Shutdown);
            }
            // a sticky issuer is asked again and again near the end of its token's life
            5 => self.report_everywhere(200),
            _ => {
                self.trial.is_revoked = true;
                self.wechat.revoke(self.now, true);
                self.report_everywhere(200);
            }
        }
        let step = if number <= 4 { SECOND / 10 } else { 40 * SECOND };
        self.push(self.now + step, What::Judge(number));
    }

    fn report_everywhere(&mut self, reports: usize) {
        for report in 0..reports {
            let who = report % REPLICAS;
            if let Some(offer) = self.replicas[who].offer {
                self.report(who, offer.generation);
            }
        }
    }

    pub(crate) fn judge(&mut self, number: usize) {
        self.read_all();
        match number {
            0 => self.judge_healing(),
            1..=4 => self.judge_succession(number),
            _ => {
                let (probes, calls) = (self.probes_made - self.trial.probes, self.calls_made.len() - self.trial.calls);
                // a sticky issuer that insists on the refused token is asked once more, in forced mode
                let refreshes =
                    if self.policy.issuer.rotation == token_relay::issuer::RotationMode::Sticky { 2 } else { 1 };
                let most = if number == 6 { refreshes } else { 0 };
                self.kept("I5", probes <= 1 && calls <= most, || {
                    format!("200 reports cost {probes} probes, {calls} calls")
                });
                let waiting = self.reports.len();
                self.kept("I5", waiting == 0, || format!("not answered: {:?}", self.reports));
                self.judge_healing();
                if number == 5 {
                    self.push(self.now + MINUTE, What::Trial(6));
                }
            }
        }
    }

    fn judge_healing(&mut self) {
        let settled = (0..REPLICAS).filter(|who| {
            self.replicas[*who].machine.is_some()
                && self.trial.newest.is_none_or(|(_, since)| since + 2 * SECOND < self.now)
                && self.replicas[*who].started_at + 8 * SECOND < self.now
        });
        let offers: Vec<_> = settled
            .map(|who| {
                let replica = &self.replicas[who];
                (replica.offer.map(|offer| offer.id), replica.seconds(self.now) > 0)
            })
            .collect();
        let Some(first) = offers.first().copied() else { return self.push(self.now + 3 * SECOND, What::Judge(0)) };
        let is_one = offers.iter().all(|offer| *offer == first) && first.1;
        self.kept("I10", is_one, || format!("not healed: {offers:?}"));
        let works = first.0.is_some_and(|id| self.wechat.works(id, self.now));
        self.kept("I10", works, || format!("a dead token is served: {offers:?}"));
        self.trial.newest.take_if(|_| !self.trial.is_healed);
        self.trial.is_healed = true;
        self.trial.is_revoked = false;
    }

    fn judge_succession(&mut self, number: usize) {
        let took = self.now - self.trial.begun_at;
        let before = self.trial.holder;
        let holder = self.holder();
        if holder.is_some_and(|holder| {
            Some(holder) != before || (number == 4 && self.replicas[holder].started_at > self.trial.begun_at)
        }) {
            self.tally.successions.entry(self.trial.name).or_default().push(took / 1000);
            return;
        }
        // a call that is out is waited for (I13), and its outcome stored
        let limit = if number == 4 { 3 * SECOND + super::wire::CALL_LIMIT } else { 18 * SECOND };
        let name = self.trial.name;
        self.kept("succession", took <= limit, || format!("no new holder {took} µs after the last was {name}"));
        self.push(self.now + SECOND / 10, What::Judge(number));
    }
}
