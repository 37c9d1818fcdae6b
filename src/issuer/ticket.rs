//! How is a platform asked for a ticket? With the account's access token, which is another credential's.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};

use super::{
    AccessToken, Cause, IssueError, Issued, Issuer, NoVerdict, Platform, Profile, RotationMode, Verdict, probe,
    reply::parse_reply,
    upstream::{Call, Upstream},
    wechat, wecom,
};
use crate::credential::{TicketKind, Token};

/// The member of a reply that holds the ticket.
const TICKET: &str = "ticket";

/// Calls for one ticket in a rolling day. A known life takes about 22, of which 20 are its last five minutes; one of which
/// nobody knows what is left takes up to 240. WeChat names no number, and asks to call seldom.
const WECHAT_CALLS_PER_DAY: u32 = 1000;

/// The same at WeCom. A known life takes about 3, one of which nobody knows what is left 120: a new relay and one lost record
/// a day stay within half of them, after which calls become rare.
const WECOM_CALLS_PER_DAY: u32 = 600;

/// Calls for one ticket of this platform in a rolling day.
pub const fn calls_per_day(platform: Platform) -> u32 {
    match platform {
        Platform::WeChat => WECHAT_CALLS_PER_DAY,
        Platform::WeCom => WECOM_CALLS_PER_DAY,
    }
}

/// What the issuer of a ticket says of itself; `overlap` is `refresh.overlap`. A ticket that is replaced works to its own
/// end, as every SDK assumes.
pub fn profile(platform: Platform, kind: TicketKind, overlap: Duration) -> Profile {
    let wechat = Profile {
        rotation: RotationMode::Sticky,
        overlap,
        tells_remaining_life: false,
        is_asked_by_us_alone: false,
        sightings_per_life: 240,
        can_be_forced: false,
        secret_names_owner: false,
        wait_after_restart: overlap,
        retry_max_without_any: wechat::RETRY_MAX_WITHOUT_TOKEN,
        errors: &wechat::TICKET_ERRORS,
    };
    match platform {
        Platform::WeChat => wechat,
        // It takes 100 calls an hour for an agent, and 400 for the corp's ticket, of all agents together. So one that is not
        // known, and one that is not given, is asked for once a minute, and none before its end.
        Platform::WeCom => Profile {
            overlap: Duration::ZERO,
            sightings_per_life: 120,
            // the ticket `jsapi` is the corp's
            secret_names_owner: matches!(kind, TicketKind::AgentConfig),
            retry_max_without_any: Duration::from_secs(60),
            errors: &wecom::TICKET_ERRORS,
            ..wechat
        },
    }
}

/// The issuer of one of an account's tickets.
#[derive(Debug, Clone)]
pub struct TicketIssuer {
    http: Upstream,
    platform: Platform,
    kind: TicketKind,
    access_token: Arc<dyn AccessToken>,
    /// The account's, which no call of this carries: it is in no text either.
    secret: SecretString,
    overlap: Duration,
}

impl TicketIssuer {
    /// The issuer of tickets of this kind at this platform, which calls through `http` with `access_token`, of an account with this
    /// `secret`.
    pub fn new(
        http: Upstream,
        platform: Platform,
        kind: TicketKind,
        access_token: Arc<dyn AccessToken>,
        secret: SecretString,
        overlap: Duration,
    ) -> Self {
        Self { http, platform, kind, access_token, secret, overlap }
    }

    /// One call, within `limit`. A token that the platform refuses is reported to its keeper.
    async fn fetch(&self, limit: Duration) -> Result<Issued, IssueError> {
        let Some((generation, token)) = self.access_token.living() else {
            return Err(IssueError::NotSent { cause: Cause::NoAccessToken });
        };
        let query = [("access_token", token.expose()), ("type", self.kind.label())];
        let (path, query): (&[&str], &[_]) = match (self.platform, self.kind) {
            (Platform::WeChat, _) => (&["cgi-bin", "ticket", "getticket"], &query),
            (Platform::WeCom, TicketKind::Jsapi) => (&["cgi-bin", "get_jsapi_ticket"], &query[..1]),
            (Platform::WeCom, _) => (&["cgi-bin", "ticket", "get"], &query),
        };
        let call = Call { path, query, json: None };
        let reply = self.http.call(&call, limit).await?;
        let parsed =
            parse_reply(reply.status.as_u16(), &reply.body, TICKET, &[token.expose(), self.secret.expose_secret()]);
        if let Err(IssueError::Refused { errcode, .. }) = &parsed
            && self.platform.bad_token().contains(errcode)
        {
            self.access_token.refused(generation);
        }
        parsed
    }

    /// No platform has a call that checks a ticket. But it gives the same one for as long as that lives.
    async fn ask(&self, ticket: &Token) -> Verdict {
        match self.fetch(probe::TIMEOUT).await {
            Ok(issued) if issued.token == *ticket => Verdict::Accepted,
            Ok(_) => Verdict::Replaced,
            Err(IssueError::Refused { errcode, .. }) => Verdict::Inconclusive { cause: NoVerdict::Errcode(errcode) },
            Err(error) => Verdict::Inconclusive { cause: NoVerdict::Failed(error) },
        }
    }
}

impl Issuer for TicketIssuer {
    fn profile(&self) -> Profile {
        profile(self.platform, self.kind, self.overlap)
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        self.access_token.until_living()
    }

    fn issue(&self, _force: bool) -> BoxFuture<'_, Result<Issued, IssueError>> {
        Box::pin(self.fetch(self.http.timeout()))
    }

    fn probe<'a>(&'a self, ticket: &'a Token) -> BoxFuture<'a, Verdict> {
        Box::pin(self.ask(ticket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_agents_own_ticket_goes_when_its_secret_does() {
        let goes = |platform, kind| profile(platform, kind, Duration::from_secs(300)).secret_names_owner;
        assert!(goes(Platform::WeCom, TicketKind::AgentConfig));
        assert!(!goes(Platform::WeCom, TicketKind::Jsapi), "the corp's");
        assert!(!goes(Platform::WeChat, TicketKind::Jsapi));
    }
}
