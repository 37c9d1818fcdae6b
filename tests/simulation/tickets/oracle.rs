//! What could the relay know of a ticket, and is what it promises right?

use std::time::Duration;

use super::{
    super::{rng::SECOND, setup::micros},
    Kept, LIFE, Offer, TicketWorld,
    seen::End,
};

impl TicketWorld {
    /// The relay learns of a ticket: of one that takes the place of the one that it saw last, it can know how long it lives.
    pub(super) fn sees(&mut self, id: u64, sent_at: i64, came_at: i64, is_probe: bool) {
        match self.seen.last {
            Some((last, seen_at)) if last != id => {
                if is_probe {
                    return; // it is asked for once more
                }
                // Of an agent's token the relay knows that a call of its own had it minted. But not a process that has not seen the
                // one before: the process before it may have called without a record since that call was due, at the end if it was
                // known, and if not soon after the last look, or earlier because somebody had ended it.
                let is_revoked = self.tickets[usize::try_from(last).expect("few")].is_revoked;
                let end = self.seen.known.get(&last).map(|end| end.earliest).filter(|_| !is_revoked);
                let is_watched = self.started_at <= seen_at || end.is_some_and(|end| self.started_at <= end);
                let is_own = self.kept == Kept::AgentToken && is_watched;
                let (earliest, latest) = (seen_at.min(sent_at) + LIFE, came_at + LIFE);
                self.seen.known.insert(id, End { earliest, latest, is_own });
            }
            Some(_) | None => {}
        }
        self.seen.last = Some((id, sent_at));
    }

    pub(super) fn shows(&mut self, offer: Option<Offer>) {
        if let (Some(last), Some(next)) = (&self.offer, &offer) {
            let is_later = next.promise.until > last.promise.until;
            self.breach
                .unless(last.generation <= next.generation, self.now, "I4", || "an earlier generation".to_owned());
            self.breach.unless(last.generation < next.generation || !is_later, self.now, "I3", || {
                "the end of a generation moves later".to_owned()
            });
        }
        self.trace.line(self.now, format_args!("shows {:?}", offer.map(|offer| offer.id)));
        self.offer = offer;
    }

    /// All readers since the last look: at once, somewhere between, and just now.
    pub(super) fn read(&mut self) {
        let (from, to) = (self.read_to, self.now);
        if to <= from {
            return;
        }
        self.read_to = to;
        let Some(offer) = self.offer.filter(|_| self.machine.is_some()) else { return };
        let until = self.host.at(offer.promise.until);
        let furthest = to - 1 - (to - 1 - until).rem_euclid(SECOND);
        for at in [from, self.rng.between(from, to - 1), furthest, to - 1] {
            let seconds = offer.promise.seconds_left(self.host.boot(at));
            if from <= at && seconds > 0 {
                self.reply(at, offer.id, i64::try_from(seconds).expect("hours"));
            }
        }
        let end = self.tickets[usize::try_from(offer.id).expect("few")].ends_at;
        if from < end {
            let is_served = offer.promise.seconds_left(self.host.boot(from)) > 0;
            self.tally.alive += to.min(end) - from;
            self.tally.served += if is_served { to.min(end) - from } else { 0 };
        }
    }

    /// A reader is promised so many seconds.
    pub(super) fn reply(&mut self, at: i64, id: u64, seconds: i64) {
        self.tally.replies += 1;
        let ticket = self.tickets[usize::try_from(id).expect("few")];
        let missing = at + seconds * SECOND - ticket.ends_at;
        if missing <= 0 || ticket.is_revoked {
            return;
        }
        let moment = |is_thrifty| micros(self.policy.moment(Duration::from_secs(7200), is_thrifty));
        let known = self.seen.known.get(&id).copied();
        // Where the end is known to within a moment, nothing
        // is promised past its earliest; where it is not, a moment at a time is from there on, to keep the ticket served.
        let is_known = known.is_some_and(|end| end.is_own || end.unsure() <= moment(false) || at < end.earliest);
        // Where nobody can know what is left, less than was promised may be, but no more than a moment.
        let is_little = seconds * SECOND <= moment(true) && missing <= moment(true);
        let is_possible = known.is_none_or(|end| at + seconds * SECOND <= end.latest);
        self.breach.unless(!is_known && is_little && is_possible, at, "I3", || {
            format!(
                "{seconds} s of ticket {id}, which ends {missing} µs before; known: {known:?}, began {}",
                ticket.began_at
            )
        });
        self.tally.excused += 1;
    }
}
