//! What does WeChat do? A model of both token endpoints, exact to the microsecond, written from WECHAT.md alone.
//!
//! Every token has two deaths: the one that happens, and the one that our own calls would have brought it. The first
//! decides what WeChat answers; the second is what the relay's promises are held against, because I3 excepts those who
//! rotate or revoke from outside, and nothing else.

use std::time::Duration;

use token_relay::{
    credential::Token,
    issuer::{IssueError, Issued, RotationMode},
};

use super::{
    orphans::Orphan,
    rng::{DAY, Rng, SECOND},
};

/// A token by its place in [`WeChat::tokens`].
pub(crate) type TokenId = usize;

/// WeChat's own limits of the forced mode.
const FORCED_PER_DAY: usize = 20;
/// 30 s where the overlap is the real one.
const OVERLAPS_PER_FORCED_GAP: i64 = 10;

pub(crate) struct Minted {
    pub born_at: i64,
    /// When its life ends, if nothing kills it.
    pub expires_at: i64,
    /// Until when it works, inclusive.
    pub dies_at: i64,
    /// Until when it would work if only our own calls counted.
    pub dies_by_us_at: i64,
    /// The latest moment that a reply has promised of it, and when that was said.
    pub promised_until: i64,
    pub promised_at: i64,
    /// Which relay made that promise.
    pub promised_by: usize,
    /// Nothing that is said of it can be held against a relay (see `excuses`).
    pub is_beyond_proof: bool,
    /// The relay that knew it died before it could store it (see `excuses`).
    pub is_orphan: bool,
    /// An orphan call minted it.
    pub orphan: Option<Orphan>,
}

/// WeChat's answer to a call that it understood.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    Token { id: TokenId, life_s: i64 },
    Code(i64),
}

impl Answer {
    /// What the relay's caller makes of it.
    pub(crate) fn as_reply(self) -> Result<Issued, IssueError> {
        match self {
            Self::Token { id, life_s } => Ok(Issued {
                token: Token::try_from(token_text(id)).expect("a token"),
                life: Duration::from_secs(life_s.unsigned_abs()),
            }),
            Self::Code(errcode) => Err(IssueError::Refused { errcode, errmsg: "simulated".to_owned() }),
        }
    }
}

pub(crate) struct WeChat {
    pub rotation: RotationMode,
    pub overlap: i64,
    /// The lives that tokens are given, in seconds; one of them by chance.
    pub lives_s: Vec<i64>,
    /// Whether some lives are much shorter.
    pub has_odd_lives: bool,
    pub tokens: Vec<Minted>,
    /// Those of them that our calls minted or were given.
    pub ours: Vec<TokenId>,
    forced_at: Vec<i64>,
    /// Calls per calendar day, and what this day has seen.
    pub quota: u32,
    day: i64,
    pub calls_today: u32,
}

impl WeChat {
    pub(crate) fn new(rotation: RotationMode, overlap: i64, lives_s: Vec<i64>, quota: u32) -> Self {
        let (tokens, ours, forced_at) = (Vec::new(), Vec::new(), Vec::new());
        Self { rotation, overlap, lives_s, has_odd_lives: true, tokens, ours, forced_at, quota, day: 0, calls_today: 0 }
    }

    pub(crate) fn works(&self, id: TokenId, at: i64) -> bool {
        at <= self.tokens[id].dies_at
    }

    pub(crate) fn newest_works(&self, at: i64) -> bool {
        self.tokens.len().checked_sub(1).is_some_and(|id| self.works(id, at))
    }

    /// The token that our own calls brought after this one.
    pub(crate) fn next_of_ours(&self, id: TokenId) -> Option<&Minted> {
        // asked of every reply, and nearly always about the newest few
        let after = self.ours.iter().rev().take_while(|next| id < **next).last();
        after.map(|next| &self.tokens[*next])
    }

    /// A call of ours arrives, or of a process of which nobody knows any more.
    pub(crate) fn call(&mut self, at: i64, is_forced: bool, is_ours: bool, rng: &mut Rng) -> Answer {
        if self.day != at.div_euclid(DAY) {
            (self.day, self.calls_today) = (at.div_euclid(DAY), 0);
        }
        self.calls_today += 1;
        if self.calls_today > self.quota {
            return Answer::Code(45009);
        }
        let (id, life) = self.issue(at, is_forced, is_ours, rng);
        Answer::Token { id, life_s: life / SECOND }
    }

    /// Somebody else calls: with a sticky issuer in forced mode, for otherwise it is given what we are given.
    pub(crate) fn outside_call(&mut self, at: i64, rng: &mut Rng) {
        self.issue(at, true, false, rng);
    }

    fn issue(&mut self, at: i64, is_forced: bool, is_ours: bool, rng: &mut Rng) -> (TokenId, i64) {
        if let Some(same) = self.same_token(at, is_forced) {
            if is_ours && self.ours.last() != Some(&same) {
                // an outsider minted it, so what becomes of those before it is his doing
                self.outsider_was_first();
                self.ours.push(same);
            }
            return (same, self.tokens[same].expires_at - at);
        }
        if is_ours && !is_forced && self.is_answered_by_ours(at) {
            self.outsider_was_first();
        }
        // WeChat says only that a life is "within 7200 seconds": now and then one is shorter than the promises before it
        let is_odd = self.has_odd_lives && self.rotation == RotationMode::Rotating && rng.percent(1);
        let life = if is_odd { rng.pick(&[5, 30, 200]) } else { rng.pick(&self.lives_s) } * SECOND;
        let id = self.mint(at, life, is_ours);
        (id, life)
    }

    /// The token that a sticky issuer answers with instead of minting.
    fn same_token(&mut self, at: i64, is_forced: bool) -> Option<TokenId> {
        if self.rotation == RotationMode::Rotating {
            return None;
        }
        if is_forced {
            self.forced_at.retain(|forced| at - forced < DAY);
            let is_too_soon =
                self.forced_at.last().is_some_and(|last| at - last < self.overlap / OVERLAPS_PER_FORCED_GAP);
            if !is_too_soon && self.forced_at.len() < FORCED_PER_DAY {
                self.forced_at.push(at);
                return None;
            }
        }
        let newest = self.tokens.len().checked_sub(1)?;
        (self.tokens[newest].expires_at - at > self.overlap).then_some(newest)
    }

    /// Without somebody else, a sticky issuer would have answered this call with our newest token.
    fn is_answered_by_ours(&self, at: i64) -> bool {
        let ours = self.ours.last().map(|id| &self.tokens[*id]);
        self.rotation == RotationMode::Sticky && ours.is_some_and(|token| token.expires_at - at > self.overlap)
    }

    fn mint(&mut self, at: i64, life: i64, is_ours: bool) -> TokenId {
        let overlap = self.overlap;
        for (age, token) in self.tokens.iter_mut().rev().take(2).enumerate() {
            token.dies_at = token.dies_at.min(if age == 0 { at + overlap } else { at });
        }
        let id = self.tokens.len();
        if is_ours {
            for (age, older) in self.ours.iter().rev().take(2).enumerate() {
                let dies_at = if age == 0 { at + overlap } else { at };
                self.tokens[*older].dies_by_us_at = self.tokens[*older].dies_by_us_at.min(dies_at);
            }
            self.ours.push(id);
        }
        self.tokens.push(Minted {
            born_at: at,
            expires_at: at + life,
            dies_at: at + life,
            dies_by_us_at: at + life,
            promised_until: i64::MIN,
            promised_at: i64::MIN,
            is_beyond_proof: false,
            promised_by: 0,
            is_orphan: false,
            orphan: None,
        });
        id
    }

    /// The two tokens of ours that a mint may have killed sooner than it promised: those before the newest.
    pub(crate) fn lately_ours(&self) -> impl Iterator<Item = TokenId> {
        self.ours.iter().rev().take(3).copied()
    }
}

/// How a token is written, so that it can be found again.
pub(crate) fn token_text(id: TokenId) -> String {
    format!("75_simulated_{id}")
}

/// The token that is written so.
pub(crate) fn token_id(text: &str) -> TokenId {
    text.rsplit('_').next().and_then(|digits| digits.parse().ok()).expect("the relay serves only what WeChat minted")
}
