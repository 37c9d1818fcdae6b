//! How are requests and answers described to programs? The parts of the OpenAPI document that several routes share.
//!
//! Handlers read queries and bodies themselves, and write most answers as bytes, so these types are never made: they only lend
//! their shape to the document. What is serialized, such as a problem, describes itself where it stands.

#![expect(dead_code, reason = "only their description is used")]

use utoipa::{IntoParams, IntoResponses, ToSchema};

use super::problem::Wire;

/// The content type of every problem.
const PROBLEM: &str = "application/problem+json";

/// Of all routes that serve one account.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AccountQuery {
    /// The account's name. Without it: the only account that the key may use, or the one called `default`.
    #[param(required = false, pattern = "^[a-z0-9]+(_[a-z0-9]+)*$", max_length = 32, example = "main")]
    account: String,
}

/// The long poll.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitQuery {
    /// How many seconds the answer may wait until there is another one than that with the tag in `If-None-Match`.
    #[param(required = false, minimum = 0, maximum = 60, example = 1)]
    wait: u8,
}

/// What a long poll waits for a change of.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct HeldTag {
    /// The `ETag` of what the client has. Ignored without `wait`.
    #[param(rename = "If-None-Match", required = false, example = "W/\"main-1795348923000\"")]
    if_none_match: String,
}

/// Which ticket.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TicketQuery {
    /// What the ticket is for: `jsapi` for pages, `wx_card` for card coupons, `agent_config` for pages of a WeCom agent.
    #[param(rename = "type", inline)]
    kind: TicketType,
}

/// The types of tickets.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum TicketType {
    Jsapi,
    WxCard,
    AgentConfig,
}

/// An access token.
#[derive(ToSchema)]
pub(super) struct AccessToken {
    #[schema(min_length = 1)]
    access_token: String,
    /// For so many seconds the token works, unless something outside the relay rotates it.
    #[schema(minimum = 1)]
    expires_in: u64,
}

/// A ticket.
#[derive(ToSchema)]
pub(super) struct KeptTicket {
    #[schema(min_length = 1)]
    ticket: String,
    /// For so many seconds the ticket works.
    #[schema(minimum = 1)]
    expires_in: u64,
}

/// What a client reports.
#[derive(ToSchema)]
pub(super) struct BadToken {
    /// The token that WeChat refused. Further members are ignored.
    access_token: String,
}

/// A read of a token that succeeds.
#[derive(IntoResponses)]
pub(super) enum TokenRead {
    /// The token.
    #[response(status = 200, headers(
        ("ETag" = String, description = "names the token, and is not made of it"),
        ("Cache-Control" = String, description = "`private`, and for how long to keep the answer: min(60, `expires_in`) seconds")
    ))]
    Ok(AccessToken),
    /// The token is still the one with the tag in `If-None-Match`, and `wait` seconds are over or the relay stops.
    #[response(status = 304, headers(("ETag" = String), ("Cache-Control" = String)))]
    NotModified,
}

/// A read of a ticket that succeeds.
#[derive(IntoResponses)]
pub(super) enum TicketRead {
    /// The ticket.
    #[response(status = 200, headers(
        ("ETag" = String, description = "names the ticket, and is not made of it"),
        ("Cache-Control" = String, description = "`private`, and for how long to keep the answer: min(60, `expires_in`) seconds")
    ))]
    Ok(KeptTicket),
    /// The ticket is still the one with the tag in `If-None-Match`, and `wait` seconds are over or the relay stops.
    #[response(status = 304, headers(("ETag" = String), ("Cache-Control" = String)))]
    NotModified,
}

/// A report that is heard.
#[derive(IntoResponses)]
pub(super) enum ReportHeard {
    /// The current token: the same where WeChat accepts it, another one where it does not.
    #[response(status = 200, headers(
        ("ETag" = String, description = "names the token, and is not made of it"),
        ("Cache-Control" = String, description = "`private`, and for how long to keep the answer: min(60, `expires_in`) seconds")
    ))]
    Ok(AccessToken),
}

/// How every route with a relay key refuses.
#[derive(IntoResponses)]
pub(super) enum Refused {
    /// The query or the body cannot be read, several accounts are possible and none is named, or a page is not to be signed.
    #[response(status = 400, content_type = PROBLEM)]
    BadRequest(Wire<'static>),
    /// No key, or an unknown one.
    #[response(status = 401, content_type = PROBLEM, headers(("WWW-Authenticate" = String, description = "`Bearer`")))]
    Unauthorized(Wire<'static>),
    /// The key may not use this account, whether there is one or not.
    #[response(status = 403, content_type = PROBLEM)]
    Forbidden(Wire<'static>),
    /// There is no such account or ticket.
    #[response(status = 404, content_type = PROBLEM)]
    NotFound(Wire<'static>),
    /// The client is over its limit.
    #[response(status = 429, content_type = PROBLEM, headers(("Retry-After" = inline(Seconds))))]
    TooMany(Wire<'static>),
}

/// How a report is refused beside that.
#[derive(IntoResponses)]
pub(super) enum ReportRefused {
    /// The body is longer than 4096 bytes.
    #[response(status = 413, content_type = PROBLEM)]
    TooLarge(Wire<'static>),
    /// The token was probed or rotated just now, a day's budget is spent, or the client is over its limit.
    #[response(status = 429, content_type = PROBLEM, headers(("Retry-After" = inline(Seconds))))]
    TooMany(Wire<'static>),
}

/// Nothing can be served.
#[derive(IntoResponses)]
pub(super) enum Unavailable {
    /// Not now. Where WeChat is the cause, `errcode` is WeChat's and `hint` says what to do.
    #[response(status = 503, content_type = PROBLEM, headers(("Retry-After" = inline(Seconds))))]
    Unavailable(Wire<'static>),
}

/// Whole seconds.
#[derive(ToSchema)]
#[schema(minimum = 1)]
struct Seconds(u64);

/// Whether the process lives.
#[derive(ToSchema)]
pub(super) struct Health {
    #[schema(inline)]
    status: Alive,
}

/// The one word of a process that lives.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum Alive {
    Alive,
}

/// Whether anything can be served.
#[derive(ToSchema)]
pub(super) struct Ready {
    #[schema(inline)]
    status: Served,
}

/// `degraded`: not everything.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum Served {
    Ready,
    Degraded,
}
