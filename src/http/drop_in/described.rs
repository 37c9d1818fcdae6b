//! How are the drop-in routes described to programs? Their refusals, from the one mapping to WeChat's codes.

use utoipa::{
    IntoParams, IntoResponses, PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{AnyOfBuilder, Object, ObjectBuilder, OneOfBuilder, Ref, Schema, Type},
    },
};

use super::reply::in_words_of;
use crate::{http::described::AccessToken, issuer::Platform, metrics::Refusal};

/// The query of `/cgi-bin/token`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct TokenQuery {
    #[param(inline)]
    grant_type: GrantType,
    /// Of the account.
    #[param(min_length = 1, example = "wx0123456789abcdef")]
    appid: String,
    /// The relay key, in letters, digits, `_` and `-`.
    #[param(pattern = "^[0-9A-Za-z_-]+$")]
    secret: String,
}

/// The one grant.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its description is used")]
pub(super) enum GrantType {
    ClientCredential,
}

/// The query of `/cgi-bin/gettoken`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct CorpQuery {
    /// Of the account.
    #[param(min_length = 1, example = "ww0123456789abcdef")]
    corpid: String,
    /// The relay key, in letters, digits, `_` and `-`. It may use one agent of the corp.
    #[param(pattern = "^[0-9A-Za-z_-]+$")]
    corpsecret: String,
}

/// The access token of `/cgi-bin/ticket/getticket`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used")]
pub(in crate::http) struct AccessTokenQuery {
    /// One that this relay handed out, also before a rotation.
    #[param(min_length = 1)]
    access_token: String,
}

/// The type of a ticket of WeChat's.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used")]
pub(in crate::http) struct WeChatTicketQuery {
    /// `jsapi` for pages, `wx_card` for card coupons.
    #[param(rename = "type", inline)]
    kind: WeChatTicket,
}

/// WeChat's types.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its description is used")]
pub(in crate::http) enum WeChatTicket {
    Jsapi,
    WxCard,
}

/// The type of an agent's ticket.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used")]
pub(in crate::http) struct AgentTicketQuery {
    /// There is one.
    #[param(rename = "type", inline)]
    kind: AgentTicket,
}

/// WeCom's one type.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its description is used")]
pub(in crate::http) enum AgentTicket {
    AgentConfig,
}

/// What the gateway answers in the place of WeChat, which it was to ask.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only its description is used")]
pub(in crate::http) enum GatewayRefusals {
    /// With the gateway on: CONNECT, an expectation that nobody knows, or a body that was cut.
    #[response(status = 400)]
    Malformed(GatewayRefusal),
    /// With the gateway on: the body stalled.
    #[response(status = 408)]
    BodyStalled(GatewayRefusal),
    /// With the gateway on: no connection to WeChat, or a broken reply.
    #[response(status = 502)]
    NoConnection(GatewayRefusal),
    /// With the gateway on: no living token, or too many calls at once.
    #[response(status = 503, headers(("Retry-After" = u64, description = "seconds")))]
    NotNow(GatewayRefusal),
    /// With the gateway on: no reply of WeChat in time.
    #[response(status = 504)]
    NoReply(GatewayRefusal),
    /// With the gateway on: the relay's upstream leads back to it.
    #[response(status = 508)]
    Loop(GatewayRefusal),
}

/// The body of a refusal of the gateway with another status than 200.
pub(in crate::http) struct GatewayRefusal;

/// What `/cgi-bin/token` answers.
pub(super) struct TokenReply;

/// What `/cgi-bin/stable_token` answers.
pub(super) struct StableTokenReply;

/// What `/cgi-bin/ticket/getticket` answers.
pub(in crate::http) struct TicketReply;

/// What `/cgi-bin/get_jsapi_ticket` answers.
pub(in crate::http) struct CorpTicketReply;

/// What `/cgi-bin/ticket/get` answers.
pub(in crate::http) struct AgentTicketReply;

/// What `/cgi-bin/gettoken` answers.
pub(super) struct CorpTokenReply;

/// The refusals of both of WeChat's token routes.
const OF_TOKENS: [Refusal; 8] = [
    Refusal::NoAppid,
    Refusal::UnknownAppid,
    Refusal::NoSecret,
    Refusal::WrongKey,
    Refusal::TooManyWrongKeys,
    Refusal::BadGrantType,
    Refusal::ForeignAccount,
    Refusal::NoToken,
];

impl PartialSchema for TokenReply {
    fn schema() -> RefOr<Schema> {
        let refusals = [&[Refusal::NotGet], &OF_TOKENS[..]].concat();
        either(Ref::from_schema_name(AccessToken::name()), Platform::WeChat, &refusals)
    }
}

impl PartialSchema for StableTokenReply {
    fn schema() -> RefOr<Schema> {
        let refusals = [&[Refusal::NotPost, Refusal::BadBody], &OF_TOKENS[..]].concat();
        either(Ref::from_schema_name(AccessToken::name()), Platform::WeChat, &refusals)
    }
}

/// The refusals of all ticket routes.
const OF_TICKETS: [Refusal; 6] = [
    Refusal::NotGet,
    Refusal::NoAccessToken,
    Refusal::UnknownAccessToken,
    Refusal::TicketNotKept,
    Refusal::TooManyRequests,
    Refusal::NoToken,
];

impl PartialSchema for TicketReply {
    fn schema() -> RefOr<Schema> {
        let refusals = [&OF_TICKETS[..], &[Refusal::BadTicketType]].concat();
        ticket(Platform::WeChat, &refusals)
    }
}

impl PartialSchema for CorpTicketReply {
    fn schema() -> RefOr<Schema> {
        ticket(Platform::WeCom, &OF_TICKETS)
    }
}

impl PartialSchema for AgentTicketReply {
    fn schema() -> RefOr<Schema> {
        let refusals = [&OF_TICKETS[..], &[Refusal::BadTicketType]].concat();
        ticket(Platform::WeCom, &refusals)
    }
}

impl PartialSchema for CorpTokenReply {
    fn schema() -> RefOr<Schema> {
        let refusals = [
            Refusal::NotGet,
            Refusal::NoAppid,
            Refusal::UnknownAppid,
            Refusal::NoSecret,
            Refusal::WrongKey,
            Refusal::TooManyWrongKeys,
            Refusal::ForeignAccount,
            Refusal::SeveralAccounts,
            Refusal::NoToken,
        ];
        either(ok("access_token"), Platform::WeCom, &refusals)
    }
}

impl PartialSchema for GatewayRefusal {
    fn schema() -> RefOr<Schema> {
        shape([-1], errmsg()).into()
    }
}

impl ToSchema for GatewayRefusal {}
impl ToSchema for TokenReply {}
impl ToSchema for StableTokenReply {}
impl ToSchema for TicketReply {}
impl ToSchema for CorpTicketReply {}
impl ToSchema for AgentTicketReply {}
impl ToSchema for CorpTokenReply {}

/// A ticket, a refusal, or with the gateway on what the platform answers to a call for one that is not kept.
fn ticket(platform: Platform, refusals: &[Refusal]) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let passed_on = ObjectBuilder::new()
        .property("errcode", ObjectBuilder::new().schema_type(Type::Integer))
        .required("errcode")
        .property("errmsg", text)
        .required("errmsg")
        .description(Some("With the gateway on, what the platform answers to a call for a ticket that is not kept."));
    AnyOfBuilder::new().item(ok("ticket")).item(refused(platform, refusals)).item(passed_on).into()
}

fn either(granted: impl Into<RefOr<Schema>>, platform: Platform, refusals: &[Refusal]) -> RefOr<Schema> {
    OneOfBuilder::new().item(granted).item(refused(platform, refusals)).into()
}

/// What is granted, behind `errcode` 0.
fn ok(member: &str) -> ObjectBuilder {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    shape([0], text().enum_values(Some(["ok"])))
        .property(member, text().min_length(Some(1)))
        .required(member)
        .property("expires_in", ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)))
        .required("expires_in")
}

/// WeChat's shape of a refusal, with the codes of these.
fn refused(platform: Platform, refusals: &[Refusal]) -> ObjectBuilder {
    let words = refusals.iter().map(|refusal| in_words_of(platform, *refusal));
    let (codes, lines): (Vec<_>, Vec<_>) = words.map(|(code, text)| (code, format!("- `{code}`: {text}"))).unzip();
    shape(codes, errmsg()).description(Some(lines.join("\n")))
}

fn errmsg() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(" rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}$"))
        .description(Some("Words as the platform's, and the rid that the relay's log has too."))
}

fn shape(codes: impl IntoIterator<Item = i64>, errmsg: impl Into<RefOr<Schema>>) -> ObjectBuilder {
    let errcode = Object::builder().schema_type(Type::Integer).enum_values(Some(codes));
    ObjectBuilder::new().property("errcode", errcode).required("errcode").property("errmsg", errmsg).required("errmsg")
}
