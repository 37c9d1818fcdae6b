//! What does `WeChat` do? It keeps the two newest tokens: the previous one for the overlap after a mint, and a third mint
//! kills the oldest at once. And what has been promised of each token, to whoever asked a relay.

use crate::{
    record::{CallId, Record, RelayId, TokenId},
    timing::{LONG_AGO, NEVER, NOW, OVERLAP, RESERVE, SUCCESSION, Tick, WINDOW, age},
};

/// Why a token may die before what was promised of it: no relay could have known. Named as in
/// `tests/simulation/excuses.rs`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Excuses {
    /// A call of a relay that was frozen before the first byte, within an overlap of another mint: the token before both
    /// dies at once. Not where the other call was announced after all could know of this one.
    pub double_stroke: bool,
    /// The token of such a call that was not handed over, because its relay was lost or cut off once more.
    pub lost_orphan: bool,
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    /// When it was minted.
    pub born_at: Tick,
    /// It works up to here.
    pub dies_at: Tick,
    /// The latest moment up to which a relay has promised it.
    pub promised_until: Tick,
    /// Which call brought it.
    pub call: CallId,
    /// Whose call that was.
    pub of: RelayId,
    /// That relay was frozen before the first byte.
    pub is_orphan: bool,
    /// So many calls were announced before the others could know that this one has ended.
    pub known_after: Option<CallId>,
    /// When that was.
    pub known_at: Tick,
    /// Its relay was lost or cut off before that.
    pub is_lost: bool,
    /// Why what is promised of it need not hold.
    pub excuses: Excuses,
}

impl Token {
    fn new(of: RelayId, call: CallId, is_orphan: bool, born_at: Tick) -> Self {
        let (dies_at, promised_until, excuses) = (NEVER, LONG_AGO, Excuses::default());
        Self {
            born_at,
            dies_at,
            promised_until,
            call,
            of,
            is_orphan,
            known_after: None,
            known_at: NEVER,
            is_lost: false,
            excuses,
        }
    }
}

/// All tokens, in the order of their mints.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeChat {
    /// The newest last.
    pub tokens: Vec<Token>,
    /// The excuses that were needed.
    pub excused: Excuses,
    /// A promise was broken without an excuse.
    pub is_broken: bool,
}

impl WeChat {
    /// There is one token.
    pub(crate) fn new() -> Self {
        let tokens = vec![Token::new(0, 0, false, LONG_AGO)];
        Self { tokens, excused: Excuses::default(), is_broken: false }
    }

    /// A call arrives.
    pub(crate) fn mint(&mut self, of: RelayId, call: CallId, is_orphan: bool) -> TokenId {
        let is_unknown = |token: &Token| token.is_orphan && token.known_after.is_none_or(|after| call <= after);
        let is_double = is_orphan || self.tokens.last().is_some_and(is_unknown);
        for (age, token) in self.tokens.iter_mut().rev().take(2).enumerate() {
            token.dies_at = token.dies_at.min(if age == 0 { NOW + OVERLAP } else { NOW });
            token.excuses.double_stroke |= age == 1 && is_double;
        }
        self.tokens.push(Token::new(of, call, is_orphan, NOW));
        for token in 0..self.tokens.len() {
            self.check(token);
        }
        TokenId::try_from(self.tokens.len() - 1).expect("a few")
    }

    /// This was stored, after so many calls.
    pub(crate) fn stored(&mut self, record: &Record, calls: CallId) {
        let is_open = |call| record.open_call().is_some_and(|open| open.id == call);
        for token in self.tokens.iter_mut().filter(|token| token.known_after.is_none()) {
            let is_known = !is_open(token.call) && !record.orphans.contains(&token.call);
            if token.is_orphan && is_known {
                (token.known_after, token.known_at) = (Some(calls), NOW);
            }
        }
    }

    pub(crate) fn accepts(&self, token: TokenId) -> bool {
        NOW <= self.tokens[usize::from(token)].dies_at
    }

    /// A relay answers that this token works until then.
    pub(crate) fn promised(&mut self, token: TokenId, until: Tick) {
        let token = usize::from(token);
        if self.tokens[token].promised_until < until {
            self.tokens[token].promised_until = until;
            self.check(token);
        }
    }

    /// That relay is lost or cut off.
    pub(crate) fn lost(&mut self, relay: RelayId) {
        self.tokens.iter_mut().filter(|token| token.of == relay && token.is_orphan).for_each(|token| {
            token.is_lost |= token.known_after.is_none();
        });
    }

    /// Time passes. Of a token that is dead only that is remembered.
    pub(crate) fn age(&mut self) {
        for token in &mut self.tokens {
            age(&mut token.born_at);
            age(&mut token.dies_at);
            age(&mut token.known_at);
            age(&mut token.promised_until);
            if token.dies_at < NOW {
                *token = Token { dies_at: LONG_AGO, excuses: token.excuses, ..Token::new(0, 0, false, LONG_AGO) };
            } else if !token.is_orphan {
                token.born_at = LONG_AGO;
            }
        }
    }

    fn check(&mut self, token: usize) {
        let promised_until = self.tokens[token].promised_until;
        if promised_until <= self.tokens[token].dies_at {
            return;
        }
        let excuses = self.excuses(token);
        self.excused.double_stroke |= excuses.double_stroke;
        self.excused.lost_orphan |= excuses.lost_orphan;
        self.is_broken |= excuses == Excuses::default();
    }

    fn excuses(&self, token: usize) -> Excuses {
        let mut excuses = self.tokens[token].excuses;
        let next = self.tokens.get(token + 1);
        let is_beyond = |next: &&Token| {
            next.is_lost && NOW <= next.known_at.saturating_add(SUCCESSION) && next.born_at + RESERVE < NOW
        };
        let promised_until = self.tokens[token].promised_until;
        excuses.lost_orphan |= next.as_ref().is_some_and(is_beyond) && promised_until <= NOW + WINDOW;
        excuses
    }
}
