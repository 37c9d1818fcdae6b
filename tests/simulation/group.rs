//! How does a relay poll the shared store for its keeper, and what goes wrong on the way there and back?

use std::sync::Arc;

use token_relay::{
    credential::CredentialId,
    group::{
        Found,
        peers::Peers,
        poller::{Poller, Reading},
    },
    keeper::machine::Event,
    presence::{Presence, ReplicaId},
    store::{Changed, Cursor, Poll, READ_AT_ONCE, StoreError},
};

use super::{
    fault_plan::{Fate, StoreFault},
    rng::SECOND,
    setup::micros,
    store_link::CLIENT_LIMIT,
    world::{What, World},
};

/// A process polls no more often.
const PAUSE: i64 = 50_000;
/// So many other credentials each process keeps: to read all takes several batches.
const OTHERS: usize = 599;

/// What a process knows of the others.
#[derive(Default)]
pub(crate) struct Group {
    poller: Option<Poller>,
    peers: Option<Arc<Peers>>,
    /// For the keeper.
    mail: Option<Found>,
    /// What the store last answered with.
    pub latest: Option<Cursor>,
    is_polling: bool,
    began_at: i64,
    /// When the next poll is due. Until then what is left over is read.
    due_at: i64,
    must_poll_again: bool,
    /// Only the latest counts.
    timer: u64,
}

/// A step of one poll. It belongs to a process.
pub(crate) enum Step {
    /// The next poll is due.
    Due(u64),
    /// Something was written, or the keeper wants to know.
    Sooner,
    /// A write was answered, with where the store's history was then.
    Saw(Cursor),
    AtStore {
        question: Question,
        fate: Fate,
        back: i64,
    },
    Answered {
        asked_at: i64,
        poll: Poll,
    },
    ReadAtStore {
        reading: Reading,
        asked_at: i64,
        fate: Fate,
        back: i64,
    },
    Read {
        reading: Reading,
        found: Option<Found>,
    },
    Failed(Option<Reading>),
}

/// What a poll shows and asks.
pub(crate) struct Question {
    asked_at: i64,
    presence: Presence,
    cursor: Option<Cursor>,
    /// What the store had last answered with: has it gone back behind that?
    latest: Option<Cursor>,
}

pub(crate) fn id() -> CredentialId {
    CredentialId::access_token("main".parse().expect("a name"))
}

/// Another credential, which is read before the one that is simulated.
fn other(number: usize) -> CredentialId {
    CredentialId::access_token(format!("a{number:03}").parse().expect("a name"))
}

impl Group {
    /// What the keeper sees before its next step.
    pub(crate) fn news(&mut self) -> Option<(Arc<Peers>, Option<Found>)> {
        Some((self.peers.clone()?, self.mail.take()))
    }

    pub(crate) fn peers(&self) -> Option<Arc<Peers>> {
        self.peers.clone()
    }

    /// The store answered with this cursor; answers may overtake one another.
    fn saw(&mut self, cursor: Cursor) {
        if self.latest.is_none_or(|latest| latest.nonce != cursor.nonce || latest.change < cursor.change) {
            self.latest = Some(cursor);
        }
    }
}

impl World {
    pub(crate) fn group_begins(&mut self, who: usize, me: ReplicaId) {
        let boot_id = self.replicas[who].host.boot_id();
        let mut poller = Poller::new(me, boot_id);
        poller.add(id());
        (0..OTHERS).for_each(|number| poller.add(other(number)));
        let peers = Some(Arc::new(poller.peers().clone()));
        self.replicas[who].group = Group { poller: Some(poller), peers, ..Group::default() };
        self.push_step(who, self.now, Step::Due(0));
    }

    fn push_step(&mut self, who: usize, at: i64, step: Step) {
        let process = self.replicas[who].process;
        self.push(at, What::Group(who, process, step));
    }

    /// The keeper wants the record, or hears of a write.
    pub(crate) fn poll_sooner(&mut self, who: usize, at: i64) {
        self.push_step(who, at, Step::Sooner);
    }

    pub(crate) fn want_record(&mut self, who: usize) {
        if let Some(poller) = &mut self.replicas[who].group.poller {
            poller.want(id());
        }
        self.poll_sooner(who, self.now);
    }

    pub(crate) fn group_step(&mut self, who: usize, process: u64, step: Step) {
        let now = self.now;
        let replica = &self.replicas[who];
        let is_there = replica.is_up && replica.process == process;
        match step {
            // what is under way arrives, whatever became of its sender
            Step::AtStore { question, fate, back } => self.poll_arrives(who, process, question, fate, back),
            Step::ReadAtStore { reading, asked_at, fate, back } => {
                self.read_arrives(who, process, reading, asked_at, fate, back);
            }
            _ if !is_there => {}
            step if now < replica.frozen_until => {
                let thaw = replica.frozen_until;
                self.push(thaw, What::Group(who, process, step));
            }
            Step::Due(timer) if timer == replica.group.timer => self.begin_poll(who),
            Step::Due(_) => {}
            Step::Sooner if replica.group.is_polling => self.replicas[who].group.must_poll_again = true,
            Step::Sooner => {
                let timer = self.next_timer(who);
                self.push_step(who, now + PAUSE, Step::Due(timer));
            }
            Step::Saw(cursor) => self.replicas[who].group.saw(cursor),
            Step::Answered { asked_at, poll } => self.poll_answered(who, asked_at, poll),
            Step::Read { reading, found } => {
                let has_mail = found.is_some();
                if has_mail {
                    self.replicas[who].group.mail = found;
                }
                self.batch_read(who, &reading, has_mail);
            }
            Step::Failed(reading) => {
                let error = StoreError("no answer".to_owned());
                self.publish(who, |poller| (poller.failed(reading, error), false));
                self.poll_ends(who);
            }
        }
    }

    fn next_timer(&mut self, who: usize) -> u64 {
        self.replicas[who].group.timer += 1;
        self.replicas[who].group.timer
    }

    fn begin_poll(&mut self, who: usize) {
        let now = self.now;
        let boot = self.replicas[who].host.boot(now);
        let group = &mut self.replicas[who].group;
        let Some(poller) = &mut group.poller else { return };
        (group.is_polling, group.must_poll_again, group.began_at, group.due_at) = (true, false, now, i64::MAX);
        let (presence, cursor) = poller.begin(boot);
        let question = Question { asked_at: now, presence, cursor, latest: group.latest };
        let (there, back, fate) = self.request_fate(true);
        self.push_step(who, now + there, Step::AtStore { question, fate, back });
    }

    /// How long a request takes there and back, and what becomes of it.
    fn request_fate(&mut self, is_poll: bool) -> (i64, i64, Fate) {
        let (there, back) = (self.way(), self.way());
        let fate = match self.troubles.store(self.now) {
            Some(StoreFault::Full) if is_poll => Fate::NotDone,
            Some(StoreFault::LoadFails) if is_poll && self.rng.coin() => Fate::Answered,
            Some(StoreFault::LoadFails | StoreFault::Away) => Fate::NotDone,
            Some(StoreFault::Ambiguous) => {
                self.rng.pick(&[Fate::Answered, Fate::NotDone, Fate::DoneUnseen, Fate::DoneLater])
            }
            Some(StoreFault::Full | StoreFault::Slow) | None if there + back > CLIENT_LIMIT => Fate::DoneUnseen,
            Some(StoreFault::Full | StoreFault::Slow) | None => Fate::Answered,
        };
        if fate != Fate::Answered {
            self.tally.count(if is_poll { "failed poll" } else { "poll cut short" });
        }
        (there, back, fate)
    }

    /// What becomes of a request that reaches the store now.
    fn fate_at_store(&self, who: usize, fate: Fate) -> Fate {
        let is_away = self.troubles.store(self.now) == Some(StoreFault::Away);
        match fate {
            _ if self.now < self.replicas[who].cut_out_until || is_away => Fate::NotDone,
            Fate::Answered if self.now < self.replicas[who].cut_in_until => Fate::DoneUnseen,
            fate => fate,
        }
    }

    /// The same for what writes: of a primary that is cut off it does not count.
    fn fate_of_write(&self, who: usize, fate: Fate) -> Fate {
        match self.fate_at_store(who, fate) {
            Fate::Answered | Fate::DoneLater if self.is_unconfirmed(who) => Fate::DoneUnseen,
            fate => fate,
        }
    }

    fn poll_arrives(&mut self, who: usize, process: u64, question: Question, fate: Fate, back: i64) {
        let now = self.now;
        let fate = self.fate_of_write(who, fate);
        if fate == Fate::DoneLater {
            self.tally.count("presence that comes late");
            let later = now + self.rng.spread(SECOND, 20 * SECOND);
            let late = Step::AtStore { question, fate: Fate::DoneUnseen, back: i64::MAX };
            self.push(later, What::Group(who, process, late));
            return self.push(now + CLIENT_LIMIT, What::Group(who, process, Step::Failed(None)));
        }
        let Question { asked_at, presence, cursor, latest } = question;
        if fate != Fate::NotDone {
            let fresh = self.rng.seed();
            let me = ReplicaId(relay_id(who, process));
            let history = &mut self.store_of(who).history;
            history.enter(latest, fresh);
            history.show(me, presence);
        }
        if fate == Fate::Answered {
            let poll = self.store_of(who).history.poll(cursor);
            self.push(now + back, What::Group(who, process, Step::Answered { asked_at, poll }));
        } else if back < i64::MAX {
            self.push(now + CLIENT_LIMIT, What::Group(who, process, Step::Failed(None)));
        }
    }

    fn poll_answered(&mut self, who: usize, asked_at: i64, mut poll: Poll) {
        let now = self.now;
        if let Changed::These(changed) = &mut poll.changed
            && self.is_storm
            && self.rng.percent(3)
        {
            // many leases pass on at once
            changed.extend((0..READ_AT_ONCE).map(other));
        }
        let jitter = self.rng.between(0, SECOND / 10);
        let (asked, answered) = (self.replicas[who].host.boot(asked_at), self.replicas[who].host.boot(now));
        let group = &mut self.replicas[who].group;
        group.saw(poll.cursor);
        let Some(poller) = &mut group.poller else { return };
        let reading = poller.answered(asked, answered, poll);
        group.due_at = group.began_at + micros(poller.pace(answered)) - jitter;
        self.publish(who, |_| (false, false));
        self.read_batch(who, reading);
    }

    /// Only batches that concern the keeper, or that others wait behind, take time and fail.
    fn read_batch(&mut self, who: usize, reading: Reading) {
        let now = self.now;
        if !reading.ids.contains(&id()) && reading.ids.len() < READ_AT_ONCE {
            return self.batch_read(who, &reading, false);
        }
        let (there, back, fate) = self.request_fate(false);
        let is_long = self.is_storm && reading.ids.len() == READ_AT_ONCE;
        let takes = if is_long { there + self.rng.between(0, SECOND) } else { there };
        self.push_step(who, now + takes, Step::ReadAtStore { reading, asked_at: now, fate, back });
    }

    fn batch_read(&mut self, who: usize, reading: &Reading, has_mail: bool) {
        self.publish(who, |poller| (poller.read(reading), has_mail));
        let group = &mut self.replicas[who].group;
        let is_due = group.due_at <= self.now;
        match group.poller.as_mut().filter(|_| !is_due).and_then(Poller::more) {
            Some(reading) => self.read_batch(who, reading),
            None => self.poll_ends(who),
        }
    }

    fn read_arrives(&mut self, who: usize, process: u64, reading: Reading, asked_at: i64, fate: Fate, back: i64) {
        let now = self.now;
        let step = if self.fate_at_store(who, fate) == Fate::Answered {
            let asked_at = self.replicas[who].host.boot(asked_at);
            let record = self.store_of(who).bytes().cloned();
            let found = || Found { record, asked_at };
            (now + back, Step::Read { found: reading.ids.contains(&id()).then(found), reading })
        } else {
            (now + CLIENT_LIMIT, Step::Failed(Some(reading)))
        };
        self.push(step.0, What::Group(who, process, step.1));
    }

    /// The view is published, and the keeper woken if there is news or mail for it: as in production, not otherwise.
    fn publish(&mut self, who: usize, change: impl FnOnce(&mut Poller) -> (bool, bool)) {
        let group = &mut self.replicas[who].group;
        let Some(poller) = &mut group.poller else { return };
        let (is_news, has_mail) = change(poller);
        group.peers = Some(Arc::new(poller.peers_of(&id())));
        self.knows_clocks(who);
        self.orphan_is_heard_of(who);
        if is_news || has_mail {
            self.send_event(who, self.now, Event::Tick);
        }
    }

    fn poll_ends(&mut self, who: usize) {
        let now = self.now;
        let (timer, jitter) = (self.next_timer(who), self.rng.between(0, SECOND / 10));
        let boot = self.replicas[who].host.boot(now);
        let group = &mut self.replicas[who].group;
        group.is_polling = false;
        let Some(poller) = &group.poller else { return };
        let pace = group.began_at + micros(poller.pace(boot)) - jitter;
        let due_at = if group.must_poll_again { 0 } else { group.due_at.min(pace) };
        self.push_step(who, due_at.max(now + PAUSE), Step::Due(timer));
    }
}

impl World {
    /// What a relay believes of another one's clock is true.
    fn knows_clocks(&self, who: usize) {
        let (now, mine) = (self.now, &self.replicas[who]);
        let Some(peers) = mine.group.peers() else { return };
        let boot = mine.host.boot(now);
        for other in &self.replicas {
            let Some(offset) = peers.offset(&other.host.boot_id(), boot) else { continue };
            let theirs = other.host.boot(now);
            let is_true = offset.earliest(theirs) <= boot && boot <= offset.latest(theirs);
            self.breach.unless(is_true, now, "clocks", || {
                format!("relay {who} takes {theirs:?} of {} for {offset:?}, and it is {boot:?}", other.host.boot_name)
            });
        }
    }
}

/// Which relay a process is, by its number among all.
pub(crate) fn relay_id(who: usize, process: u64) -> u64 {
    1_000_000 * (who as u64 + 1) + process
}
