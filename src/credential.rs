//! What is a credential: which one, its value, its generation, and how many seconds may be promised of it?

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

mod log;

pub(crate) use log::log_credential;

use crate::{
    account::AccountName,
    clock::{Timestamp, WallTime},
};

/// Which kind of credential of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CredentialKind {
    /// The access token.
    AccessToken,
    /// A ticket, which is fetched with the access token.
    Ticket(TicketKind),
}

impl CredentialKind {
    /// Its name in the log and on the status page.
    pub const fn label(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token",
            Self::Ticket(kind) => kind.label(),
        }
    }
}

/// Which ticket of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TicketKind {
    /// JS-SDK signatures of pages are made with it.
    Jsapi,
    /// Signatures of card coupons (卡券) are made with it. Of WeChat.
    WxCard,
    /// Signatures of pages that act as an agent are made with it. Of WeCom.
    AgentConfig,
}

/// A text that names no ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be \"jsapi\", \"wx_card\" or \"agent_config\"")]
pub struct NotATicket;

impl TicketKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Jsapi, Self::WxCard, Self::AgentConfig];

    /// Those with which pages are signed.
    pub const OF_PAGES: [Self; 2] = [Self::Jsapi, Self::AgentConfig];

    /// Its name: the platform's `type`, and the one in settings, ids and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Jsapi => "jsapi",
            Self::WxCard => "wx_card",
            Self::AgentConfig => "agent_config",
        }
    }
}

impl FromStr for TicketKind {
    type Err = NotATicket;

    fn from_str(text: &str) -> Result<Self, NotATicket> {
        Self::ALL.into_iter().find(|kind| kind.label() == text).ok_or(NotATicket)
    }
}

/// One credential of one account: the unit of everything. Each has one keeper, one record and one handle. Shown as `main` for
/// the access token of `main`, as `main.jsapi` for its JS-SDK ticket; an account's name has no dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialId {
    account: AccountName,
    kind: CredentialKind,
}

impl CredentialId {
    /// The credential of this kind.
    pub const fn new(account: AccountName, kind: CredentialKind) -> Self {
        Self { account, kind }
    }

    /// The access token of `account`.
    pub const fn access_token(account: AccountName) -> Self {
        Self::new(account, CredentialKind::AccessToken)
    }

    /// A ticket of `account`.
    pub const fn ticket(account: AccountName, kind: TicketKind) -> Self {
        Self::new(account, CredentialKind::Ticket(kind))
    }

    /// Whose it is.
    pub const fn account(&self) -> &AccountName {
        &self.account
    }

    /// Which of the account's credentials it is.
    pub const fn kind(&self) -> CredentialKind {
        self.kind
    }
}

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            CredentialKind::AccessToken => write!(f, "{}", self.account),
            CredentialKind::Ticket(kind) => write!(f, "{}.{}", self.account, kind.label()),
        }
    }
}

/// A text that names no credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a credential")]
pub struct NotAnId;

impl FromStr for CredentialId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let (account, kind) = match text.split_once('.') {
            None => (text, CredentialKind::AccessToken),
            Some((account, ticket)) => (account, CredentialKind::Ticket(ticket.parse().map_err(|_| NotAnId)?)),
        };
        Ok(Self::new(account.parse().map_err(|_| NotAnId)?, kind))
    }
}

/// The longest token that is taken, in bytes. WeChat asks to reserve 512 characters; four times that is room to grow.
pub const LONGEST_TOKEN: usize = 2048;

/// A credential's value: 1 to [`LONGEST_TOKEN`] printable ASCII characters without a space. Wiped when its last clone is
/// dropped, and `Debug` shows nothing of it. Cloning bumps a reference count: a keeper, its machine and its readers share one.
#[derive(Clone)]
pub struct Token(Arc<SecretString>);

/// A text that cannot be a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 1 to {LONGEST_TOKEN} printable ASCII characters")]
pub struct NotAToken;

impl TryFrom<String> for Token {
    type Error = NotAToken;

    fn try_from(text: String) -> Result<Self, NotAToken> {
        let text = SecretString::from(text);
        let bytes = text.expose_secret().as_bytes();
        let fits = (1..=LONGEST_TOKEN).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
        if fits { Ok(Self(Arc::new(text))) } else { Err(NotAToken) }
    }
}

impl Token {
    /// The value itself: for the wire and the store only.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether `other` is this value, in a time that tells nothing about where they differ.
    pub fn is(&self, other: &str) -> bool {
        let digest = |text: &str| Sha256::digest(text.as_bytes());
        digest(self.expose()).ct_eq(&digest(other)).into()
    }
}

impl Token {
    /// By what it is known again.
    pub fn digest(&self) -> TokenDigest {
        TokenDigest::of(self.expose())
    }
}

/// The first half of a token's SHA-256: enough to know the token again, and nothing to call WeChat with. It may be compared in
/// any way: who could find a second token with it would not have the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TokenDigest([u8; 16]);

impl TokenDigest {
    /// Of a token, or of what may be one.
    pub fn of(text: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let (half, _) = digest.split_first_chunk().expect("32 bytes begin with 16");
        Self(*half)
    }
}

impl From<TokenDigest> for String {
    fn from(digest: TokenDigest) -> Self {
        hex::encode(digest.0)
    }
}

impl TryFrom<String> for TokenDigest {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, hex::FromHexError> {
        let mut digest = [0; 16];
        hex::decode_to_slice(text, &mut digest)?;
        Ok(Self(digest))
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        // A keeper compares its token with the published one at every step: hashing them was a tenth of its CPU at rest.
        Arc::ptr_eq(&self.0, &other.0) || self.is(other.expose())
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Which rotation a credential came from: max(last + 1, Unix milliseconds), so it grows over restarts and never repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// The generation after this one, at `wall`.
    #[must_use]
    pub fn next(self, wall: WallTime) -> Self {
        Self(self.0.saturating_add(1).max(u64::try_from(wall.as_millis()).unwrap_or(0)))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many seconds may be promised of a credential: the moments at which it may die, of which the earliest counts (I3).
/// Readers ask it on every request, so it holds only what a reader needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// Nothing is promised past this moment.
    pub until: Timestamp,
    /// From any moment, at most this is promised: with a rotating issuer the next rotation may begin at once, and leaves
    /// overlap − reserve. It does not bind before `until_at_least`. `None`: only `until` counts.
    pub sliding: Option<Sliding>,
    /// The promise has run out, but a probe showed that the token lived: until this moment `expires_in` 1 is answered (I8).
    pub verified_until: Option<Timestamp>,
}

/// The part of a [`Promise`] that moves with the reader's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sliding {
    /// Overlap − reserve.
    pub window: Duration,
    /// The planned rotation plus overlap − reserve: no call is made before, so this much is safe whatever the window says.
    pub until_at_least: Timestamp,
}

impl Promise {
    /// The seconds that may be promised at `now`: 0 means that the credential must not be served.
    pub fn seconds_left(&self, now: Timestamp) -> u64 {
        let end = match self.sliding {
            Some(sliding) => self.until.min(sliding.until_at_least.max(now.plus(sliding.window))),
            None => self.until,
        };
        match end.since(now).as_secs() {
            0 => u64::from(self.verified_until.is_some_and(|verified| now < verified)),
            seconds => seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::default().plus(Duration::from_secs(seconds))
    }

    #[test]
    fn an_access_token_is_shown_by_its_account_alone_and_no_two_credentials_alike() {
        let [jsapi, wx_card, agent_config] = TicketKind::ALL.map(CredentialKind::Ticket);
        let kinds = [CredentialKind::AccessToken, jsapi, wx_card, agent_config];
        let shown = kinds.map(|kind| CredentialId::new("main".parse().unwrap(), kind).to_string());
        assert_eq!(shown, ["main", "main.jsapi", "main.wx_card", "main.agent_config"]);
        assert!("main.jsapi".parse::<AccountName>().is_err());
        for (shown, kind) in shown.iter().zip(kinds) {
            assert_eq!(shown.parse(), Ok(CredentialId::new("main".parse().unwrap(), kind)));
        }
        for odd in ["", ".", ".jsapi", "main.", "main.newer", "main.jsapi.", "Main", "main.jsapi.jsapi"] {
            assert_eq!(odd.parse::<CredentialId>(), Err(NotAnId), "{odd}");
        }
    }

    #[test]
    fn a_token_is_printable_bounded_and_never_shown() {
        assert!(Token::try_from(String::new()).is_err());
        assert!(Token::try_from("a b".to_owned()).is_err());
        assert!(Token::try_from("a\u{7f}".to_owned()).is_err());
        assert!(Token::try_from("x".repeat(LONGEST_TOKEN + 1)).is_err());
        let token = Token::try_from("75_abc".to_owned()).unwrap();
        assert_eq!(format!("{token:?}"), "Token(…)");
        assert!(token.is("75_abc") && !token.is("75_abd"));
    }

    #[test]
    fn a_generation_grows_even_when_the_wall_clock_does_not() {
        let first = Generation::default().next(WallTime::from_millis(1_795_348_923_000));
        assert_eq!(first, Generation(1_795_348_923_000));
        assert_eq!(first.next(WallTime::from_millis(5)), Generation(1_795_348_923_001));
        assert_eq!(first.next(WallTime::from_millis(-5)), Generation(1_795_348_923_001));
    }

    #[test]
    fn the_promise_stands_at_the_window_after_the_planned_rotation_until_the_end_comes_near() {
        let sliding = Sliding { window: Duration::from_secs(240), until_at_least: at(3600 + 240) };
        let promise = Promise { until: at(7200), sliding: Some(sliding), verified_until: None };
        assert_eq!(promise.seconds_left(at(0)), 3840);
        assert_eq!(promise.seconds_left(at(3600)), 240);
        assert_eq!(promise.seconds_left(at(5000)), 240);
        assert_eq!(promise.seconds_left(at(7100)), 100);
        assert_eq!(promise.seconds_left(at(7199).plus(Duration::from_millis(1))), 0);
    }

    #[test]
    fn a_verified_token_is_promised_for_one_second_and_no_longer_than_it_was_verified_for() {
        let promise = Promise { until: at(10), sliding: None, verified_until: Some(at(20)) };
        assert_eq!(promise.seconds_left(at(9)), 1);
        assert_eq!(promise.seconds_left(at(19)), 1);
        assert_eq!(promise.seconds_left(at(20)), 0);
    }
}
