//! Several relays on one store: which one may call?
//!
//! The lease is a part of the record, and lasts as long as its holder lives. That is shown by the holder's presence, which
//! changes with every poll: a holder counts on its leases for [`LEASE`] from the start of its last poll, and another relay
//! takes them over when that presence has not changed for 3 s more, by its own clock. So no clock of another machine is asked.
//!
//! No lock can stop a relay that is frozen between its last look at the lease and the first byte of its call. What can be
//! done is to lose nothing by it: its token is handed over, never dropped, for it may be the one that WeChat keeps.
//!
//! [`LEASE`]: crate::keeper::schedule::LEASE

use std::time::Duration;

use super::{
    Knowledge, Machine, Note, Now, ReportAnswer, ReportFailure, Then, Timestamp,
    replica::{Obstacle, Replica, Role},
};
use crate::{
    group::{peers::TAKE_OVER, poller::POLL},
    keeper::record::{ForwardedReport, Orphan},
};

/// A call that a frozen relay may still send invalidates whatever credential it finds. A relay that has not woken for so long
/// is taken for dead.
const ORPHAN: Duration = Duration::from_secs(3600);
/// The leases of living credentials are taken within so long of one another: those without one go first.
const SPREAD: Duration = Duration::from_secs(1);
/// A holder that lives and lets stand for so long what is due cannot read or write the record, though its polls are answered: a right is
/// missing, or a network lets only small packets through. Well before the promises end, O − r after the planned rotation; and
/// longer than a permit is waited for where WeChat answers, or a forced call put off.
const OVERDUE: Duration = Duration::from_secs(90);
/// How soon a record is looked at again whose writer's clock is about to be known.
const AGAIN: Duration = Duration::from_millis(250);

impl Machine {
    /// What a relay does that may not call: take the lease when nobody has it, and pass reports on.
    pub(super) fn follow(&mut self, now: Now) {
        let is_free = self.known.is_lease_free();
        let is_overdue = !is_free && self.known.is_overdue(now);
        if self.known.may_take_lease(now) && (is_free || is_overdue) {
            let is_living = self.known.living(now.boot).is_some();
            let spread = if is_living { SPREAD.mul_f64(self.known.rng.f64()) } else { Duration::ZERO };
            let Some(replica) = &mut self.known.replica else { return };
            if replica.contact_at.is_some() && *replica.take_at.get_or_insert(now.boot.plus(spread)) <= now.boot {
                if is_overdue {
                    // it lives, and counts on its lease until it hears of this
                    self.known.put_off(now.boot.plus(TAKE_OVER));
                }
                return self.take_lease(now);
            }
        } else if let Some(replica) = &mut self.known.replica {
            replica.take_at = None;
        }
        self.answer_stale();
        if self.reports.is_empty() {
            if let Some(replica) = &mut self.known.replica {
                replica.awaited = None;
            }
        } else if self.known.writer.trouble.is_some() {
            let failure = ReportFailure::StoreAway;
            self.answer_all(&ReportAnswer::Failed { again_at: now.boot.plus(POLL), failure });
        } else {
            self.forward();
        }
    }

    fn take_lease(&mut self, now: Now) {
        let Some(me) = self.known.replica.as_ref().map(Replica::me) else { return };
        self.known.end_waits_of_old_secret(now);
        if let Some(open) = self.known.record.take_open_call() {
            // its sender may be frozen, and send it later
            let orphan = Orphan { call: open.id, until: now.boot.plus(ORPHAN).into(), is_forced: open.is_forced() };
            self.known.record.add_orphan(now.boot, orphan);
            self.known.crashed_in(now, open);
        }
        self.known.record.holder = Some(me);
        if let Some(replica) = &mut self.known.replica {
            (replica.is_confirmed, replica.take_at, replica.failed_alike) = (false, None, 0);
        }
        self.write(now, Then::Keep);
    }

    /// Gives the lease back, so that another relay takes it at its next look. Where none does, this one takes it again when
    /// the record has stood still, and counts anew.
    pub(super) fn yield_lease(&mut self, now: Now) {
        self.known.note(Note::LeaseYielded);
        if let Some(replica) = &mut self.known.replica {
            (replica.has_yielded, replica.failed_alike) = (true, 0);
        }
        self.give_lease_back(now);
    }

    /// Gives the lease back, so that another relay takes it at its next look.
    pub(super) fn give_lease_back(&mut self, now: Now) {
        self.known.record.holder = None;
        self.write(now, Then::Keep);
    }
}

impl Knowledge {
    /// Whether the store is not known to fail, or a write that failed may be tried again in which the lease is taken.
    fn may_take_lease(&self, now: Now) -> bool {
        let is_away = self.replica.as_ref().is_some_and(|replica| replica.is_away);
        self.writer.trouble.is_none() || (self.is_blocked() && !is_away && self.writer.is_due(now.boot))
    }

    /// Whether nobody has the lease.
    pub(super) fn is_lease_free(&self) -> bool {
        let Some(replica) = &self.replica else { return false };
        let is_gone = |holder| replica.peers.is_gone(holder, replica.learned_at);
        match (self.role(), self.record.holder) {
            (Role::Alone | Role::Holder { .. } | Role::Blocked(Obstacle::Foreign), _) => false,
            // of this very relay: the keeper before, under the settings before, has ended and could not give it back
            (Role::Blocked(Obstacle::Anothers(holder)), _) => holder == replica.me() || is_gone(holder),
            (Role::Follower, _) if self.writer.held.is_none() => true,
            (Role::Follower, None) if replica.has_yielded => replica.has_stood_still(replica.learned_at),
            (Role::Follower, Some(holder)) if holder != replica.me() => is_gone(holder),
            (Role::Follower, _) => true,
        }
    }

    /// Of a lease that is not free: whether its holder does not do what it is for, a call or the answer to a report. Not of tickets and
    /// of WeCom: their holder may wait for the access token, and nobody ends what they keep.
    fn is_overdue(&self, now: Now) -> bool {
        let is_followed = matches!(self.role(), Role::Follower) && self.record.holder.is_some() && self.can_be_ended();
        let Some(replica) = self.replica.as_ref().filter(|_| is_followed) else { return false };
        let is_of_current = |asked: &ForwardedReport| asked.generation == self.record.generation;
        let asked = self.record.forwarded.as_ref().filter(|asked| asked.answer.is_none() && is_of_current(asked));
        let planned = self.living(now.boot).map_or(Timestamp::LONG_AGO, |credential| self.planned(credential).latest);
        let due_at = if asked.is_some() { Timestamp::LONG_AGO } else { self.call_at(now).max(planned) };
        // while the store was away the holder could not do it either
        let since = due_at.max(replica.learned_at).max(replica.peers.connected_at().unwrap_or(Timestamp::NEVER));
        replica.contact_at.is_some_and(|contact_at| since.plus(OVERDUE) <= contact_at)
    }

    /// When a relay that may not call has to look again, though nothing happens.
    pub(super) fn follow_at(&self, now: Now) -> Timestamp {
        let Some(replica) = &self.replica else { return Timestamp::NEVER };
        let soon = now.boot.plus(POLL);
        // from R on, a promise reaches as far as the last contact allows
        let is_replaced = self.record.is_replaced_while_it_lives(self.issuer());
        let living = self.living(now.boot).filter(|_| is_replaced);
        let due = living.map_or(Timestamp::NEVER, |credential| self.rotation_at(credential).max(soon));
        let is_unseen = match (self.role(), self.record.holder) {
            (Role::Blocked(Obstacle::Anothers(holder)), _) | (Role::Follower, Some(holder)) => {
                !replica.peers.has_seen(holder)
            }
            (Role::Follower, None) => true,
            (Role::Alone | Role::Holder { .. } | Role::Blocked(Obstacle::Foreign), _) => false,
        };
        let unseen = if is_unseen { replica.learned_at.plus(TAKE_OVER).max(soon) } else { Timestamp::NEVER };
        let take_at = replica.take_at.filter(|_| !self.may_call(now)).unwrap_or(Timestamp::NEVER);
        take_at.max(now.boot).min(due).min(unseen)
    }

    /// A record was found that is taken in as soon as its writer's clock is known. While the store is away that may be long,
    /// and a sticky issuer is called meanwhile.
    pub(super) fn awaits_clock(&self) -> bool {
        self.replica.as_ref().is_some_and(|replica| replica.found.is_some() && !replica.is_away)
    }

    /// When to look at what was found, but not taken in yet.
    pub(super) fn look_again_at(&self, now: Now) -> Timestamp {
        let found = self.replica.as_ref().and_then(|replica| replica.found.as_ref());
        found.map_or(Timestamp::NEVER, |_| now.boot.plus(AGAIN))
    }

    /// Whether another relay should try, and there is one: for some minutes this one's address has been refused, or its calls did
    /// not get out.
    pub(super) fn should_yield(&self) -> bool {
        let Some(last) = self.last_failure.as_ref().filter(|_| self.is_holder()) else { return false };
        let Some(replica) = self.replica.as_ref().filter(|replica| replica.peers.has_company()) else { return false };
        last.errors.calls_before_another(&last.error).is_some_and(|calls| calls <= replica.failed_alike)
    }
}
