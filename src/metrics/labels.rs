//! Which values may the labels of the metrics take? Every one is listed here, so that a scrape shows each from the start.

use super::label::{Label, labels};

labels! {
    /// Whether changed settings were taken.
    ReloadOutcome {
        /// The relay runs with them.
        Ok = "ok",
        /// The relay goes on with the settings that it had.
        Failed = "failed",
    }

    /// How a call to the token API ended.
    CallOutcome {
        /// A new credential.
        Issued = "issued",
        /// The credential that was held already: a success of a sticky issuer.
        Same = "same",
        /// Provably not sent: no name or no connection.
        NotSent = "not_sent",
        /// Its first byte may have left, and nobody knows what came of it (I8).
        Unknown = "unknown",
        /// WeChat answered with an errcode.
        Refused = "refused",
    }

    /// What a call asks for.
    CallKind {
        /// An access token.
        Token = "token",
        /// A ticket.
        Ticket = "ticket",
    }

    /// How a call ended, whether or not the credential is new.
    CallResult {
        /// With a credential.
        Answered = "answered",
        /// With an errcode.
        Refused = "refused",
        /// As with [`CallOutcome::Unknown`].
        Unknown = "unknown",
        /// As with [`CallOutcome::NotSent`].
        NotSent = "not_sent",
    }

    /// The result of a probe.
    ProbeOutcome {
        /// WeChat takes it.
        Accepted = "accepted",
        /// WeChat named it invalid, or gave another one in its place.
        Refused = "refused",
        /// Anything else.
        Inconclusive = "inconclusive",
    }

    /// What came of a client's report.
    ReportOutcome {
        /// It was not about the current token: nothing was done.
        Stale = "stale",
        /// The probe found the token good.
        Accepted = "accepted",
        /// The token was refused and a new one came.
        Renewed = "renewed",
        /// Too soon, or no budget left.
        TooMany = "too_many",
        /// No verdict, or no new token.
        Failed = "failed",
    }

    /// Which listener.
    Side {
        /// Where clients read tokens.
        Public = "public",
        /// Where operators look.
        Admin = "admin",
    }

    /// Which route. A path that is none of them counts as `Other`, so that no request can make a series.
    Route {
        /// `/token`
        Token = "token",
        /// `/token/refresh`
        Report = "report",
        /// `/ticket`
        Ticket = "ticket",
        /// `/jssdk/config`
        JsSdkConfig = "jssdk_config",
        /// `/cgi-bin/token`
        DropInToken = "drop_in_token",
        /// `/cgi-bin/stable_token`
        DropInStableToken = "drop_in_stable_token",
        /// `/cgi-bin/ticket/getticket`
        DropInTicket = "drop_in_ticket",
        /// `/cgi-bin/get_jsapi_ticket` and `/cgi-bin/ticket/get`
        DropInWecomTicket = "drop_in_wecom_ticket",
        /// `/cgi-bin/gettoken`
        DropInGettoken = "drop_in_gettoken",
        /// Every path that is not the relay's own, where the gateway is on.
        Gateway = "gateway",
        /// `/openapi.json`
        OpenApi = "openapi",
        /// `/healthz`
        Healthz = "healthz",
        /// `/readyz`
        Readyz = "readyz",
        /// `/metrics`
        Metrics = "metrics",
        /// `/accounts/NAME/revoke`
        Revoke = "revoke",
        /// `/status`
        Status = "status",
        /// `/`, with its script and its style
        Page = "page",
        /// `/events`
        Events = "events",
        /// No route.
        Other = "other",
    }

    /// Why a drop-in route refused a request.
    Refusal {
        /// Another method than GET.
        NotGet = "not_get",
        /// Another method than POST.
        NotPost = "not_post",
        /// The body is no JSON object of the right shape, too large, or cut.
        BadBody = "bad_body",
        /// The body did not come.
        BodyStalled = "body_stalled",
        /// No appid.
        NoAppid = "no_appid",
        /// No account has this appid.
        UnknownAppid = "unknown_appid",
        /// No secret.
        NoSecret = "no_secret",
        /// The secret is no client's key, or not one for a URL, nor an AppSecret that is accepted.
        WrongKey = "wrong_key",
        /// The same, of an address that has presented too many in the last minute.
        TooManyWrongKeys = "too_many_wrong_keys",
        /// Another grant type than `client_credential`.
        BadGrantType = "bad_grant_type",
        /// The client is over its limit.
        TooManyRequests = "too_many_requests",
        /// The client may not use the account.
        ForeignAccount = "foreign_account",
        /// No access token.
        NoAccessToken = "no_access_token",
        /// An access token that this relay did not hand out, or too long ago.
        UnknownAccessToken = "unknown_access_token",
        /// A type of ticket that the route does not have.
        BadTicketType = "bad_ticket_type",
        /// The relay does not keep this ticket of the account.
        TicketNotKept = "ticket_not_kept",
        /// The client may use several agents of the WeCom corp, and none is named.
        SeveralAccounts = "several_accounts",
        /// No token or ticket can be served.
        NoToken = "no_token",
    }

    /// What a client may do only so often.
    ClientLimit {
        /// Requests.
        Requests = "requests",
        /// Reports.
        Reports = "reports",
    }

    /// Which part of WeChat's API a gateway request is for.
    ApiFamily {
        /// `/cgi-bin/…`
        CgiBin = "cgi_bin",
        /// `/sns/…`
        Sns = "sns",
        /// `/wxa/…` and `/wxaapi/…`
        Wxa = "wxa",
        /// Any other path.
        Other = "other",
    }

    /// The class of a status.
    StatusClass {
        /// 200 to 299; WeChat's business errors too.
        Success = "2xx",
        /// 300 to 399
        Redirection = "3xx",
        /// 400 to 499
        ClientError = "4xx",
        /// 500 to 599, and what is no status.
        ServerError = "5xx",
    }

    /// What came of a reply that named the relay's token bad.
    Healing {
        /// The call was repeated with a new token.
        Repeated = "repeated",
        /// There was no new token in time, or the body was not kept: WeChat's reply was passed on.
        PassedOn = "passed_on",
    }

    /// Why the gateway answered a request itself.
    GatewayRefusal {
        /// CONNECT, or an expectation that is not known.
        Malformed = "malformed",
        /// A path, a name or a parameter in more than one spelling.
        Misspelt = "misspelt",
        /// Another method than GET on a path that has an AppSecret or a user's token in its query.
        NotGet = "not_get",
        /// A path whose call would disclose or spend too much, or a credential for WeCom where no account is WeCom's.
        Forbidden = "forbidden",
        /// Neither a token nor a relay key.
        MissingToken = "missing_token",
        /// A token that this relay did not hand out, or too long ago.
        UnknownToken = "unknown_token",
        /// `Authorization` is no client's key.
        UnknownKey = "unknown_key",
        /// The client may not use the gateway, or not this account.
        NotAllowed = "not_allowed",
        /// No appid, or several accounts and none named.
        NoAppid = "no_appid",
        /// No account has this appid or this name.
        UnknownAppid = "unknown_appid",
        /// No secret.
        NoSecret = "no_secret",
        /// The secret is no client's key, nor an AppSecret that is accepted.
        WrongKey = "wrong_key",
        /// One of the two above, of an address that has presented too many in the last minute.
        TooManyWrongKeys = "too_many_wrong_keys",
        /// The client is over its limit.
        TooManyRequests = "too_many_requests",
        /// No token can be served.
        NoLivingToken = "no_living_token",
        /// As many requests as may be are under way.
        TooBusy = "too_busy",
        /// The client's body did not come.
        BodyStalled = "body_stalled",
        /// The client's body ended before it was complete.
        BodyCut = "body_cut",
        /// No connection to WeChat.
        NoConnection = "no_connection",
        /// WeChat's connection broke, or what came was not HTTP.
        BadReply = "bad_reply",
        /// WeChat did not answer in time.
        NoReply = "no_reply",
    }

    /// Which status was answered.
    StatusCode {
        /// 200
        Ok = "200",
        /// 202: a revocation was taken.
        Accepted = "202",
        /// 304
        NotModified = "304",
        /// 400
        BadRequest = "400",
        /// 401
        Unauthorized = "401",
        /// 403
        Forbidden = "403",
        /// 404
        NotFound = "404",
        /// 405
        MethodNotAllowed = "405",
        /// 408: a body stalled.
        BodyStalled = "408",
        /// 409: what cannot be revoked.
        Conflict = "409",
        /// 413
        TooLarge = "413",
        /// 429
        TooMany = "429",
        /// 500: a handler panicked.
        Panicked = "500",
        /// 502: WeChat was not reached.
        BadGateway = "502",
        /// 503
        Unavailable = "503",
        /// 504: WeChat did not answer.
        GatewayTimeout = "504",
        /// 508: a loop of relays.
        Loop = "508",
        /// One that is not the relay's: what came through the gateway.
        Other = "other",
    }
}

impl StatusCode {
    /// The label of the status `code`.
    pub fn of(code: u16) -> Self {
        // 200, which nearly all are, is the first
        let mut all = Self::ALL.iter().copied();
        all.find(|status| status.name().parse() == Ok(code)).unwrap_or(Self::Other)
    }
}

impl ApiFamily {
    /// The family of `path`.
    pub fn of(path: &str) -> Self {
        match path.split('/').nth(1) {
            Some("cgi-bin") => Self::CgiBin,
            Some("sns") => Self::Sns,
            Some("wxa" | "wxaapi") => Self::Wxa,
            _ => Self::Other,
        }
    }
}

impl StatusClass {
    /// The class of the status `code`.
    pub fn of(code: u16) -> Self {
        match code {
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_stands_at_its_own_place_in_the_list() {
        assert!(Route::ALL.iter().enumerate().all(|(place, route)| *route as usize == place));
        assert!(Refusal::ALL.iter().enumerate().all(|(place, refusal)| *refusal as usize == place));
        assert!(GatewayRefusal::ALL.iter().enumerate().all(|(place, refusal)| *refusal as usize == place));
        assert!(ApiFamily::ALL.iter().enumerate().all(|(place, family)| *family as usize == place));
        assert!(StatusCode::ALL.iter().enumerate().all(|(place, status)| *status as usize == place));
    }

    #[test]
    fn a_status_has_the_label_of_its_own_number() {
        for status in StatusCode::ALL.iter().filter(|status| **status != StatusCode::Other) {
            assert_eq!(StatusCode::of(status.name().parse().unwrap()), *status);
        }
    }
}
