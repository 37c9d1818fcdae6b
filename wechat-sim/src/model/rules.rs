//! How long do tokens live, and how many calls are free?

use std::time::Duration;

/// WeChat's and WeCom's numbers, which a test shrinks so that a life passes in seconds. A change counts from the next mint on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The life of a new token (WeChat: 7200 s). Replies have whole seconds, so less than one second is taken as one.
    pub lifetime: Duration,
    /// How long the previous token works after a rotation (WeChat: 5 minutes).
    pub overlap: Duration,
    /// The life of a new ticket (WeChat: 7200 s), at least a second. Replies name it whole, however much of it is over.
    pub ticket_lifetime: Duration,
    /// How long a login code can be used (WeChat: 5 minutes).
    pub code_lifetime: Duration,
    /// The life of a user's access token (WeChat: 7200 s).
    pub user_token_lifetime: Duration,
    /// The life of a WeCom agent's token (WeCom: 7200 s), at least a second. Replies name it whole, however much of it is over.
    pub wecom_lifetime: Duration,
    /// The wrong secret with this number bans its caller (WeCom: several).
    pub wecom_wrong_secrets: u32,
    /// How long a ban lasts, and how long a wrong secret counts (WeCom: an hour).
    pub wecom_ban: Duration,
    /// Calls for the corp's ticket an hour, of all agents (WeCom: 400).
    pub wecom_corp_tickets_per_hour: u32,
    /// Calls for the corp's ticket, and as many for its own, an hour of each agent (WeCom: 100).
    pub wecom_agent_tickets_per_hour: u32,
    /// How many bytes of uploaded files are kept; the oldest files go first. Their size and hash stay. Each upload that is under way
    /// may take as much again.
    pub media_kept_bytes: u64,
    /// The size of the picture of `/wxa/getwxacode`.
    pub wxacode_bytes: u64,
    /// Calls of `/cgi-bin/token` a day for each app (WeChat: 2000, for a test account 200).
    pub quota: u32,
    /// Calls of `/cgi-bin/stable_token` a day for each app (WeChat: 500,000).
    pub stable_quota: u32,
    /// Calls of `/cgi-bin/token` a minute for each app; `None`, the default, is no limit: WeChat documents none.
    pub per_minute: Option<u32>,
    /// Calls of `/cgi-bin/stable_token` a minute for each app (WeChat: 10,000).
    pub stable_per_minute: Option<u32>,
    /// Forced refreshes a day for each app (WeChat: 20).
    pub forced_per_day: u32,
    /// The window of the daily numbers, counted from moment 0. WeChat documents no hour of reset; a test may shorten it.
    pub day: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(7200),
            overlap: Duration::from_secs(5 * 60),
            ticket_lifetime: Duration::from_secs(7200),
            code_lifetime: Duration::from_secs(5 * 60),
            user_token_lifetime: Duration::from_secs(7200),
            wecom_lifetime: Duration::from_secs(7200),
            wecom_wrong_secrets: 5,
            wecom_ban: Duration::from_secs(3600),
            wecom_corp_tickets_per_hour: 400,
            wecom_agent_tickets_per_hour: 100,
            media_kept_bytes: 64 * 1024 * 1024,
            wxacode_bytes: 60_000,
            quota: 2000,
            stable_quota: 500_000,
            per_minute: None,
            stable_per_minute: Some(10_000),
            forced_per_day: 20,
            day: Duration::from_secs(24 * 3600),
        }
    }
}

impl Rules {
    /// The least time between two forced refreshes: WeChat's 30 s, in proportion when the overlap is shorter than 5 minutes.
    pub fn forced_spacing(&self) -> Duration {
        Duration::from_secs(30).min(self.overlap / 10)
    }

    /// The life of a new token, at least a second.
    pub(super) fn life(&self) -> Duration {
        self.lifetime.max(Duration::from_secs(1))
    }

    /// The life of a new ticket, at least a second.
    pub(super) fn ticket_life(&self) -> Duration {
        self.ticket_lifetime.max(Duration::from_secs(1))
    }
}
