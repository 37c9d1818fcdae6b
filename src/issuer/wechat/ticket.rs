//! How is WeChat asked for a ticket? With the account's access token, which is another credential's.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use super::{BAD_TOKEN, PROBE_TIMEOUT, TICKET_ERRORS};
use crate::{
    credential::{TicketKind, Token},
    issuer::{
        AccessToken, Cause, IssueError, Issued, Issuer, NoVerdict, Profile, RotationMode, Verdict,
        reply::parse_reply,
        upstream::{Call, Upstream},
    },
};

/// The member of a reply that holds the ticket.
const TICKET: &str = "ticket";

/// Calls for one ticket in a rolling day. A known life takes about 22, of which 20 are its last five minutes; one of which
/// nobody knows what is left takes up to 240. WeChat names no number, and asks to call seldom.
pub const CALLS_PER_DAY: u32 = 1000;

/// What the issuer of a ticket says of itself; `overlap` is `refresh.overlap`. A ticket that is replaced works to its own
/// end, as every SDK assumes.
pub const fn profile(overlap: Duration) -> Profile {
    Profile {
        rotation: RotationMode::Sticky,
        overlap,
        tells_remaining_life: false,
        is_asked_by_us_alone: false,
        can_be_forced: false,
        secret_names_owner: false,
        wait_after_restart: overlap,
        errors: &TICKET_ERRORS,
    }
}

/// The issuer of one of an account's tickets.
#[derive(Debug, Clone)]
pub struct TicketIssuer {
    http: Upstream,
    kind: TicketKind,
    access_token: Arc<dyn AccessToken>,
    overlap: Duration,
}

impl TicketIssuer {
    /// The issuer of tickets of this kind, which calls through `http` with `access_token`.
    pub fn new(http: Upstream, kind: TicketKind, access_token: Arc<dyn AccessToken>, overlap: Duration) -> Self {
        Self { http, kind, access_token, overlap }
    }

    /// One call, within `limit`. A token that WeChat refuses is reported to its keeper.
    async fn fetch(&self, limit: Duration) -> Result<Issued, IssueError> {
        let Some((generation, token)) = self.access_token.living() else {
            return Err(IssueError::NotSent { cause: Cause::NoAccessToken });
        };
        let query = [("access_token", token.expose()), ("type", self.kind.label())];
        let call = Call { path: &["cgi-bin", "ticket", "getticket"], query: &query, json: None };
        let reply = self.http.call(&call, limit).await?;
        let parsed = parse_reply(reply.status.as_u16(), &reply.body, TICKET, &[token.expose()]);
        if let Err(IssueError::Refused { errcode, .. }) = &parsed
            && BAD_TOKEN.contains(errcode)
        {
            self.access_token.refused(generation);
        }
        parsed
    }

    /// WeChat has no call that tells whether a ticket is good. But it gives the same one for as long as that lives.
    async fn ask(&self, ticket: &Token) -> Verdict {
        match self.fetch(PROBE_TIMEOUT).await {
            Ok(issued) if issued.token == *ticket => Verdict::Accepted,
            Ok(_) => Verdict::Replaced,
            Err(IssueError::Refused { errcode, .. }) => Verdict::Inconclusive { cause: NoVerdict::Errcode(errcode) },
            Err(error) => Verdict::Inconclusive { cause: NoVerdict::Failed(error) },
        }
    }
}

impl Issuer for TicketIssuer {
    fn profile(&self) -> Profile {
        profile(self.overlap)
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
