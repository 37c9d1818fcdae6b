//! Which calls may have minted a credential that is not the current one?

use serde::{Deserialize, Serialize};

use super::{Credential, Orphan, Record, token_text};
use crate::{
    clock::{Bounds, ClockOffset, Timestamp},
    credential::Token,
};

/// How many calls of unknown outcome are kept apart; with one more, the two oldest count as one.
const MOST: usize = 8;

/// One call among all relays' calls: random. By it a relay knows its own call among those that others took for lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub u64);

/// A call that may have minted, or may yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Which one.
    pub id: CallId,
    /// s: the moment before its first byte. What is promised counts from the earliest that it can have been, and what must
    /// wait until every promise has run out from the latest.
    pub sent: Bounds,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is about to be sent, or under way: the intent (I8).
    Open {
        /// A sticky issuer is asked to rotate.
        is_forced: bool,
    },
    /// It was given up.
    Unknown {
        /// When, at the latest.
        ended: Bounds,
    },
    /// It was never sent, or refused: its own relay says so, after the others had taken it for unknown. It is kept, so that all
    /// learn of it, until the next rotation.
    Void,
    /// It brought a token, but after its relay had lost the lease: nobody can tell whether that token is the newer one.
    Late(LateToken),
}

/// A token that may be the newer one: the candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LateToken {
    /// The value.
    #[serde(with = "token_text")]
    pub token: Token,
    /// When the reply had come.
    pub came_at: Bounds,
    /// D.
    pub deadline: Bounds,
}

impl Call {
    pub(super) fn shifted(self, by: ClockOffset) -> Self {
        let outcome = match self.outcome {
            same @ (Outcome::Open { .. } | Outcome::Void) => same,
            Outcome::Unknown { ended } => Outcome::Unknown { ended: ended.shifted(by) },
            Outcome::Late(late) => Outcome::Late(LateToken {
                came_at: late.came_at.shifted(by),
                deadline: late.deadline.shifted(by),
                ..late
            }),
        };
        Self { sent: self.sent.shifted(by), outcome, ..self }
    }

    /// Whether it is about to be sent or under way.
    pub const fn is_open(&self) -> bool {
        matches!(self.outcome, Outcome::Open { .. })
    }

    /// Whether it is about to be sent or under way, and asks a sticky issuer to rotate.
    pub const fn is_forced(&self) -> bool {
        matches!(self.outcome, Outcome::Open { is_forced: true })
    }

    /// When it ended that may have minted; `None` while it has not.
    pub const fn ended(&self) -> Option<Bounds> {
        match &self.outcome {
            Outcome::Open { .. } | Outcome::Void => None,
            Outcome::Unknown { ended } => Some(*ended),
            Outcome::Late(late) => Some(late.came_at),
        }
    }

    /// The token that came too late.
    pub const fn late(&self) -> Option<&LateToken> {
        match &self.outcome {
            Outcome::Late(late) => Some(late),
            Outcome::Open { .. } | Outcome::Unknown { .. } | Outcome::Void => None,
        }
    }

    /// The same call, given up at `ended` at the latest.
    #[must_use]
    pub fn given_up(self, ended: impl Into<Bounds>) -> Self {
        Self { outcome: Outcome::Unknown { ended: ended.into() }, ..self }
    }

    /// Whether it may have minted after `credential` was.
    pub fn may_invalidate(&self, credential: &Credential) -> bool {
        let is_later = self.ended().is_none_or(|ended| credential.newest_at() < ended.latest);
        credential.call != Some(self.id) && self.outcome != Outcome::Void && is_later
    }

    /// Whether it is to be remembered beside `credential`.
    fn matters_to(&self, credential: &Credential) -> bool {
        match self.outcome {
            Outcome::Open { .. } => true,
            Outcome::Void => credential.newest_at() < self.sent.latest,
            Outcome::Unknown { .. } | Outcome::Late(_) => self.may_invalidate(credential),
        }
    }

    /// One of which two accounts are given, or of two calls either: the bounds of both, and the outcome that tells more.
    fn or(self, other: Self) -> Self {
        let sent = self.sent.or(other.sent);
        let outcome = match (self.outcome, other.outcome) {
            (Outcome::Void, _) | (_, Outcome::Void) => Outcome::Void,
            (Outcome::Late(late), _) | (_, Outcome::Late(late)) => Outcome::Late(late),
            (Outcome::Unknown { ended }, Outcome::Unknown { ended: or }) => Outcome::Unknown { ended: ended.or(or) },
            (ended @ Outcome::Unknown { .. }, Outcome::Open { .. }) | (_, ended) => ended,
        };
        Self { id: self.id, sent, outcome }
    }
}

impl Record {
    /// The call that is about to be sent or under way.
    pub fn open_call(&self) -> Option<&Call> {
        self.calls.iter().find(|call| call.is_open())
    }

    /// The call that brought a token too late, and that token.
    pub fn candidate(&self) -> Option<(&Call, &LateToken)> {
        self.calls.iter().find_map(|call| call.late().map(|late| (call, late)))
    }

    /// Takes the open call out, to say what became of it.
    pub fn take_open_call(&mut self) -> Option<Call> {
        let at = self.calls.iter().position(Call::is_open)?;
        Some(self.calls.remove(at))
    }

    /// Remembers that a call may have minted; of one that is known already both accounts count.
    pub fn remember(&mut self, call: Call) {
        if let Some(at) = self.calls.iter().position(|known| known.id == call.id) {
            let known = self.calls[at].clone();
            let both = known.clone().or(call);
            if known != both {
                self.calls[at] = both;
                self.verified_at = None;
            }
            return;
        }
        self.calls.push(call);
        self.verified_at = None;
        let surplus = self.calls.iter().filter(|call| call.outcome == Outcome::Void).count().saturating_sub(MOST);
        for _ in 0..surplus {
            self.calls.remove(self.calls.iter().position(|call| call.outcome == Outcome::Void).unwrap_or(0));
        }
        let mut given_up =
            self.calls.iter().enumerate().filter(|(_, call)| matches!(call.outcome, Outcome::Unknown { .. }));
        if let (Some((first, _)), Some((second, _))) = (given_up.next(), given_up.next())
            && given_up.count() + 2 > MOST
        {
            let oldest = self.calls[first].clone();
            self.calls[second] = self.calls[second].clone().or(oldest);
            self.calls.remove(first);
        }
    }

    /// Between which moments a call left that all count from its intent on: nothing that was promised since reaches further.
    pub fn counted(&self, id: CallId) -> Option<Bounds> {
        self.calls.iter().find(|call| call.id == id && call.outcome != Outcome::Void).map(|call| call.sent)
    }

    /// Remembers that a lost relay may still send a call, and forgets those of relays that are taken for dead by now.
    pub fn add_orphan(&mut self, now: Timestamp, orphan: Orphan) {
        self.orphans.retain(|known| known.call != orphan.call && now < known.until.latest);
        self.orphans.push(orphan);
        // with more, what is promised is as little; the last to be forgotten counts
        let surplus = self.orphans.len().saturating_sub(MOST);
        self.orphans.drain(..surplus);
    }

    /// A call that another relay tells of may have ended, by what this one knows, before the current credential was asked for.
    pub fn forget_earlier_calls(&mut self) {
        if let Some(credential) = &self.credential {
            self.calls.retain(|call| call.matters_to(credential));
        }
    }
}
