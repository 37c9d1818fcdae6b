//! Which paths does the public listener have, and what is each counted as?

use crate::metrics::Route;

pub(super) const WECHAT_TOKEN: &str = "/cgi-bin/token";
pub(super) const STABLE_TOKEN: &str = "/cgi-bin/stable_token";
/// WeChat's, for each kind of ticket.
pub(super) const WECHAT_TICKET: &str = "/cgi-bin/ticket/getticket";
/// WeCom's.
pub(super) const GETTOKEN: &str = "/cgi-bin/gettoken";
/// WeCom's for the corp's `jsapi`. It has no `type`.
pub(super) const CORP_TICKET: &str = "/cgi-bin/get_jsapi_ticket";
/// WeCom's for an agent's ticket, of the one type `agent_config`.
pub(super) const AGENT_TICKET: &str = "/cgi-bin/ticket/get";
/// The document that describes all of them.
pub(super) const OPENAPI: &str = "/openapi.json";

/// All paths of the public listener. The gateway passes no other spelling of them on.
pub(super) const PUBLIC: [(&str, Route); 13] = [
    ("/token", Route::Token),
    ("/token/refresh", Route::Report),
    ("/ticket", Route::Ticket),
    ("/jssdk/config", Route::JsSdkConfig),
    (WECHAT_TOKEN, Route::DropInToken),
    (STABLE_TOKEN, Route::DropInStableToken),
    (WECHAT_TICKET, Route::DropInTicket),
    (CORP_TICKET, Route::DropInWecomTicket),
    (AGENT_TICKET, Route::DropInWecomTicket),
    (GETTOKEN, Route::DropInGettoken),
    ("/healthz", Route::Healthz),
    ("/readyz", Route::Readyz),
    (OPENAPI, Route::OpenApi),
];

/// What a path of the public listener is counted as.
pub(super) fn public_route(path: &str) -> Option<Route> {
    PUBLIC.iter().find(|(known, _)| *known == path).map(|(_, route)| *route)
}
