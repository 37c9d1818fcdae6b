//! What does a page need to open the JS-SDK? The parameters of `wx.config`, or of WeCom's `wx.agentConfig`, signed with the kept
//! ticket.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{Request, State},
    http::Uri,
    response::{IntoResponse, Response},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sha1::{Digest, Sha1};
use utoipa::{IntoParams, ToSchema};

use super::{
    AppState,
    auth::Presented,
    described::{AccountQuery, Refused, Unavailable},
    health::json_answer,
    problem::Problem,
    query,
    reloads::across_reloads,
    ticket::Ticket,
    token::{Asking, LongPoll},
};
use crate::{
    account::AccountName,
    credential::{CredentialKind, TicketKind, Token},
    page_url::{PageDomain, signed_part},
};

/// As many letters and digits as in WeChat's example.
const NONCE_LENGTH: usize = 16;

/// What an account's pages are signed for. Made whole from the settings, as [`Clients`](super::Clients) are.
#[derive(Debug, Default)]
pub struct Pages(BTreeMap<AccountName, AccountPages>);

/// The pages of one account.
#[derive(Debug)]
pub struct AccountPages {
    /// Its appid, or the corpid.
    pub appid: String,
    /// Under which names its pages are.
    pub domains: Vec<PageDomain>,
}

impl Pages {
    /// Those of these accounts.
    pub fn new(accounts: impl IntoIterator<Item = (AccountName, AccountPages)>) -> Self {
        Self(accounts.into_iter().collect())
    }

    /// Those of `account`, and the part of `page` that is signed, if it is one of them.
    fn with<'p>(&self, account: &AccountName, page: &'p str) -> Result<(&AccountPages, &'p str), Problem> {
        let pages = self.0.get(account).ok_or(Problem::NoSuchAccount)?;
        Ok((pages, signed_part(page, &pages.domains).map_err(Problem::PageRefused)?))
    }
}

/// The parameters of `wx.config` or `wx.agentConfig`, in their spelling.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = JsSdkConfig)]
struct Config<'p> {
    /// For `wx.config`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    app_id: Option<&'p str>,
    /// For `wx.agentConfig`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    corpid: Option<&'p str>,
    /// Unix seconds.
    timestamp: i64,
    #[schema(pattern = "^[0-9A-Za-z]{16}$")]
    nonce_str: String,
    #[schema(pattern = "^[0-9a-f]{40}$")]
    signature: String,
}

/// The page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used")]
struct PageQuery {
    /// Its URL as the browser shows it, under one of `accounts.NAME.jssdk_domains`. What follows `#` is not signed.
    #[param(min_length = 1, max_length = 4096, example = "https://shop.example.com/cart?id=7")]
    url: String,
}

/// With which ticket.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used")]
struct SignedForQuery {
    /// `agent_config`: for `wx.agentConfig` of a WeCom agent. Without it: for `wx.config`.
    #[param(rename = "type", required = false, inline)]
    kind: SignedFor,
}

/// The calls that need a signature.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its description is used")]
enum SignedFor {
    Jsapi,
    AgentConfig,
}

/// `GET /jssdk/config`
#[utoipa::path(
    get, path = "/jssdk/config", tag = "relay", operation_id = "signPage", security(("relay_key" = [])),
    summary = "The signed parameters of `wx.config` for a page, or of WeCom's `wx.agentConfig`",
    description = "Needs the ticket that signs, `jsapi` or `agent_config`.",
    params(AccountQuery, PageQuery, SignedForQuery),
    responses(
        (status = 200, description = "The parameters.", body = Config, headers(("Cache-Control" = String, description = "`no-store`"))),
        Refused, Unavailable,
    ),
)]
pub(super) async fn config(State(state): State<Arc<AppState>>, request: Request) -> Response {
    let resolved = resolve(&state, Presented::by(&request), request.uri());
    // hyper uses its read buffer for the next request only when this one is gone.
    drop(request);
    let signed = match resolved {
        Ok(asked) => wait(&state, asked).await,
        Err(problem) => Err(problem),
    };
    signed.unwrap_or_else(Problem::into_response)
}

/// What a request asks for. `Debug` is not derived: the page's query may hold what is secret to others.
struct AskedConfig {
    ticket: Ticket,
    kind: TicketKind,
    page: String,
    asking: Asking,
}

/// The ticket and the page of a request. The whole query is read before any account is looked up.
fn resolve(state: &AppState, presented: Presented<'_>, uri: &Uri) -> Result<AskedConfig, Problem> {
    let rules = state.rules.load();
    let asking = Asking::of(presented, uri.query())?;
    let client = asking.client(&rules.clients)?;
    let (account, page) = (query::account(uri.query())?, query::page_url(uri.query())?);
    let kind = query::signed_for(uri.query())?;
    let ticket = Ticket::authorize(state, client, account.as_deref(), kind)?;
    // another page is refused at once, not after the wait
    rules.pages.with(ticket.handle.id.account(), &page)?;
    Ok(AskedConfig { ticket, kind, page: page.into_owned(), asking })
}

async fn wait(state: &AppState, asked: AskedConfig) -> Result<Response, Problem> {
    let AskedConfig { ticket, kind, page, asking } = asked;
    across_reloads(ticket, || Ticket::find(state, &asking, kind), |ticket| sign(state, ticket, &page)).await
}

async fn sign(state: &AppState, ticket: Ticket, page: &str) -> Result<Response, Problem> {
    ticket.outcome(state, &LongPoll::default()).await.token()?;
    let rules = state.rules.load_full();
    let (pages, page) = rules.pages.with(ticket.handle.id.account(), page)?;
    // What was served a moment ago is looked up once more: an answer's head has the ticket in JSON, and the text is signed.
    let published = ticket.handle.published();
    let now = state.clock.now();
    let unavailable = || Problem::unavailable(&published.status, now.boot, "no ticket can be served");
    let (offer, _) = published.status.servable(now.boot).ok_or_else(unavailable)?;
    let nonce_str: String = (0..NONCE_LENGTH).map(|_| fastrand::alphanumeric()).collect();
    let timestamp = now.wall.as_millis() / 1000;
    let signature = signature(&offer.token, &nonce_str, timestamp, page);
    let is_for_agent = ticket.handle.id.kind() == CredentialKind::Ticket(TicketKind::AgentConfig);
    let id = pages.appid.as_str();
    let (app_id, corpid) = if is_for_agent { (None, Some(id)) } else { (Some(id), None) };
    Ok(json_answer(&Config { app_id, corpid, timestamp, nonce_str, signature }))
}

/// WeChat's: the SHA-1 of the four in this order, as they are.
fn signature(ticket: &Token, nonce: &str, timestamp: i64, page: &str) -> String {
    let text = SecretString::from(format!(
        "jsapi_ticket={}&noncestr={nonce}&timestamp={timestamp}&url={page}",
        ticket.expose()
    ));
    hex::encode(Sha1::digest(text.expose_secret()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wechats_own_example_is_signed_as_wechat_does() {
        let ticket = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg";
        let ticket = Token::try_from(ticket.to_owned()).unwrap();
        let page = "http://mp.weixin.qq.com?params=value";
        let domains = ["mp.weixin.qq.com".parse().unwrap()];
        assert_eq!(signed_part(page, &domains), Ok(page));
        let signature = signature(&ticket, "Wm3WZYTPz0wzccnW", 1_414_587_457, page);
        assert_eq!(signature, "0f9de62fce790f9a083d5c99e95740ceb90c27ed");
    }
}
