//! What is stored, and how do two relays' records become one? After `src/keeper/record/calls.rs` and `reconcile.rs`.

use crate::timing::{FIRST_ROTATION, LONG_AGO, Tick, age};

/// One of the calls, in the order in which they were announced.
pub type CallId = u8;
/// A token by the order of the mints.
pub type TokenId = u8;
/// A relay's process.
pub type RelayId = u8;
/// A generation.
pub type Generation = u8;

/// The current token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Credential {
    /// Its value.
    pub token: TokenId,
    /// Its generation.
    pub generation: Generation,
    /// The call that brought it.
    pub call: Option<CallId>,
    /// s.
    pub asked_at: Tick,
    /// When the reply had come.
    pub came_at: Tick,
    /// R.
    pub rotation_at: Tick,
}

impl Credential {
    /// Stands for none, until a token of ours is taken in.
    const NONE: Self = Self {
        token: TokenId::MAX,
        generation: 0,
        call: None,
        asked_at: LONG_AGO,
        came_at: LONG_AGO,
        rotation_at: LONG_AGO,
    };

    pub(crate) const fn is_none(self) -> bool {
        self.token == TokenId::MAX
    }
}

/// A call that may have minted, or may yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Call {
    /// Which one.
    pub id: CallId,
    /// The earliest moment of its first byte: what is promised counts from it.
    pub earliest: Tick,
    /// The latest that anybody can have promised without it: the next call counts from it.
    pub latest: Tick,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// It is about to be sent or under way: the intent.
    Open,
    /// It was given up; it had ended by then.
    Unknown(Tick),
    /// It was never sent.
    Void,
    /// It brought the candidate.
    Late {
        /// The candidate.
        token: TokenId,
        /// When the reply had come.
        came_at: Tick,
    },
}

/// Which of two records is taken whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precedence {
    /// We hold the lease in both.
    Ours,
    /// Theirs comes after ours.
    Theirs,
    /// The store went back.
    Neither,
}

/// What is stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Record {
    /// Who has the lease.
    pub holder: Option<RelayId>,
    /// Greater with each write.
    pub revision: u8,
    /// The generation that was served last.
    pub generation: Generation,
    /// The current token.
    pub credential: Credential,
    /// By their ids.
    pub calls: Vec<Call>,
    /// Calls that lost relays may still send.
    pub orphans: Vec<CallId>,
    /// No call before.
    pub retry_at: Tick,
}

impl Call {
    pub(crate) fn is_open(self) -> bool {
        self.outcome == Outcome::Open
    }

    pub(crate) fn age(&mut self) {
        age(&mut self.earliest);
        age(&mut self.latest);
        match &mut self.outcome {
            Outcome::Open | Outcome::Void => {}
            Outcome::Unknown(ended) | Outcome::Late { came_at: ended, .. } => age(ended),
        }
    }

    pub(crate) const fn ended(self) -> Option<Tick> {
        match self.outcome {
            Outcome::Open | Outcome::Void => None,
            Outcome::Unknown(ended) | Outcome::Late { came_at: ended, .. } => Some(ended),
        }
    }

    pub(crate) fn given_up(self, ended: Tick) -> Self {
        Self { outcome: Outcome::Unknown(ended), ..self }
    }

    pub(crate) fn may_invalidate(self, credential: Credential) -> bool {
        let is_later = self.ended().is_none_or(|ended| credential.asked_at <= ended);
        credential.call != Some(self.id) && self.outcome != Outcome::Void && is_later
    }

    fn matters_to(self, credential: Credential) -> bool {
        match self.outcome {
            Outcome::Open => true,
            Outcome::Void => credential.asked_at <= self.latest,
            Outcome::Unknown(_) | Outcome::Late { .. } => self.may_invalidate(credential),
        }
    }

    fn or(self, other: Self) -> Self {
        let outcome = match (self.outcome, other.outcome) {
            (Outcome::Void, _) | (_, Outcome::Void) => Outcome::Void,
            (late @ Outcome::Late { .. }, _) | (_, late @ Outcome::Late { .. }) => late,
            (Outcome::Unknown(one), Outcome::Unknown(other)) => Outcome::Unknown(one.max(other)),
            (ended @ Outcome::Unknown(_), Outcome::Open) | (_, ended) => ended,
        };
        let (earliest, latest) = (self.earliest.min(other.earliest), self.latest.max(other.latest));
        Self { id: self.id, earliest, latest, outcome }
    }
}

impl Credential {
    pub(crate) fn age(&mut self) {
        for at in [&mut self.asked_at, &mut self.came_at, &mut self.rotation_at] {
            age(at);
        }
    }
}

impl Record {
    /// Time passes.
    pub(crate) fn age(&mut self) {
        age(&mut self.retry_at);
        self.credential.age();
        self.calls.iter_mut().for_each(Call::age);
    }

    /// The record of a relay that holds the lease, with the first token.
    pub(crate) fn first(holder: RelayId) -> Self {
        let credential = Credential {
            token: 0,
            generation: 1,
            call: None,
            asked_at: LONG_AGO,
            came_at: LONG_AGO,
            rotation_at: FIRST_ROTATION,
        };
        let (calls, orphans) = Default::default();
        let (revision, generation, retry_at) = (1, 1, LONG_AGO);
        Self { holder: Some(holder), revision, generation, credential, calls, orphans, retry_at }
    }

    /// The same before a token of ours came.
    pub(crate) fn before_token(&mut self, generation: Generation) {
        (self.credential, self.generation) = (Credential::NONE, generation);
    }

    pub(crate) fn open_call(&self) -> Option<Call> {
        self.calls.iter().find(|call| call.is_open()).copied()
    }

    pub(crate) fn take_open_call(&mut self) -> Option<Call> {
        let open = self.open_call()?;
        self.calls.retain(|call| call.id != open.id);
        Some(open)
    }

    /// The candidate's call, the candidate, and when it came.
    pub(crate) fn candidate(&self) -> Option<(Call, TokenId, Tick)> {
        self.calls.iter().find_map(|call| match call.outcome {
            Outcome::Late { token, came_at } => Some((*call, token, came_at)),
            Outcome::Open | Outcome::Unknown(_) | Outcome::Void => None,
        })
    }

    pub(crate) fn remember(&mut self, call: Call) {
        match self.calls.iter_mut().find(|known| known.id == call.id) {
            Some(known) => *known = known.or(call),
            None => self.calls.push(call),
        }
        self.calls.sort_unstable();
    }

    /// A call that all count from its intent on.
    pub(crate) fn counted(&self, call: CallId) -> Option<Call> {
        self.calls.iter().copied().find(|known| known.id == call && known.outcome != Outcome::Void)
    }

    pub(crate) fn add_orphan(&mut self, call: CallId) {
        self.orphans.push(call);
        self.orphans.sort_unstable();
        self.orphans.dedup();
    }

    pub(crate) fn forget_earlier_calls(&mut self) {
        let credential = self.credential;
        self.calls.retain(|call| call.matters_to(credential));
    }

    pub(crate) fn minting(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(|call| call.outcome != Outcome::Void)
    }

    pub(crate) fn invalidated_latest(&self) -> Option<Tick> {
        self.minting().map(|call| call.latest).max()
    }

    /// Whether it says something that the store's record does not.
    pub(crate) fn is_news_to(&self, stored: &Self) -> bool {
        Self { revision: stored.revision, ..self.clone() } != *stored
    }

    pub(crate) fn reconcile(self, theirs: Self, precedence: Precedence) -> Self {
        let (holder, revision) = (theirs.holder, self.revision.max(theirs.revision));
        let open = theirs.open_call().filter(|_| precedence == Precedence::Neither);
        let is_theirs = match precedence {
            Precedence::Ours => false,
            Precedence::Theirs => true,
            Precedence::Neither => (self.generation, self.revision) < (theirs.generation, theirs.revision),
        };
        let (mut main, other) = if is_theirs { (theirs, self) } else { (self, theirs) };
        match precedence {
            Precedence::Theirs => {}
            Precedence::Ours => main.orphans.clone_from(&other.orphans),
            Precedence::Neither => other.orphans.iter().for_each(|orphan| main.add_orphan(*orphan)),
        }
        main.take_credential_of(&other, precedence);
        if precedence != Precedence::Theirs {
            main.take_calls_of(&other, open);
        }
        (main.holder, main.revision) = (holder, revision);
        main.forget_earlier_calls();
        main
    }

    fn take_credential_of(&mut self, other: &Self, precedence: Precedence) {
        if self.credential.token == other.credential.token {
            if self.credential.generation < other.credential.generation {
                self.credential = other.credential;
            }
            self.generation = self.credential.generation;
        } else if precedence != Precedence::Theirs && self.generation < other.generation {
            (self.credential, self.generation) = (other.credential, other.generation);
        }
    }

    fn take_calls_of(&mut self, other: &Self, open: Option<Call>) {
        let has_candidate = self.candidate().is_some();
        for call in other.calls.iter().filter(|call| !call.is_open()) {
            match call.outcome {
                Outcome::Late { came_at, .. } if has_candidate && self.knows_not(*call) => {
                    self.remember(call.given_up(came_at));
                }
                _ => self.remember(*call),
            }
        }
        if let Some(open) = open.filter(|open| self.knows_not(*open)) {
            self.remember(open);
        }
    }

    fn knows_not(&self, call: Call) -> bool {
        self.calls.iter().all(|known| known.id != call.id)
    }
}
