//! In which words of WeChat's or WeCom's is a request answered?

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};

use crate::{
    clock::WallTime,
    http::{asked::Errcode, token},
    issuer::Platform,
    metrics::Refusal,
    registry::Prepared,
};

/// 200 with the token, in the very bytes of `GET /token`. `seconds` is at least 1.
pub(super) fn token(prepared: &Prepared, seconds: u64) -> Response {
    json(token::body(&prepared.head.0, seconds).into())
}

/// 200 with a ticket, or with a token of WeCom: in the shape that begins with `errcode` 0. `seconds` is at least 1.
pub(in crate::http) fn ticket(prepared: &Prepared, seconds: u64) -> Response {
    let head = [&br#"{"errcode":0,"errmsg":"ok","#[..], &prepared.head.0[1..]].concat();
    json(token::body(&head, seconds).into())
}

/// 200 with an errcode, as WeChat and WeCom answer every refusal.
pub(super) fn refused(platform: Platform, refusal: Refusal, rid: &str) -> Response {
    let (errcode, errmsg) = in_words_of(platform, refusal);
    let mut response = self::errcode(errcode, errmsg, rid);
    if refusal == Refusal::BodyStalled {
        // What would follow is not the next request.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The code and the words of a refusal.
pub(in crate::http) fn in_words_of(platform: Platform, refusal: Refusal) -> (i64, &'static str) {
    match platform {
        Platform::WeChat => in_words_of_wechat(refusal),
        Platform::WeCom => in_words_of_wecom(refusal),
    }
}

/// The one mapping of refusals to WeChat's codes.
fn in_words_of_wechat(refusal: Refusal) -> (i64, &'static str) {
    match refusal {
        Refusal::NotGet => (43001, "require GET method"),
        Refusal::NotPost => (43002, "require POST method"),
        Refusal::BadBody | Refusal::BodyStalled => (47001, "data format error"),
        Refusal::NoAppid => (41002, "appid missing"),
        Refusal::UnknownAppid => (40013, "invalid appid"),
        Refusal::NoSecret => (41004, "appsecret missing"),
        Refusal::WrongKey => (40125, "invalid appsecret"),
        Refusal::TooManyWrongKeys | Refusal::TooManyRequests => {
            (45011, "api minute-quota reach limit  mustslower  retry next minute")
        }
        Refusal::BadGrantType => (40002, "invalid grant_type"),
        Refusal::ForeignAccount | Refusal::SeveralAccounts | Refusal::TicketNotKept => (48001, "api unauthorized"),
        Refusal::NoAccessToken => (41001, "access_token missing"),
        Refusal::UnknownAccessToken => (40001, "invalid credential, access_token is invalid or not latest"),
        Refusal::BadTicketType => (40097, "invalid args"),
        Refusal::NoToken => (-1, "system error"),
    }
}

/// The one mapping of refusals to WeCom's codes: what its route cannot meet is worded as WeChat does.
fn in_words_of_wecom(refusal: Refusal) -> (i64, &'static str) {
    match refusal {
        Refusal::NoAppid => (41002, "corpid missing"),
        Refusal::UnknownAppid => (40013, "invalid corpid"),
        Refusal::NoSecret => (41004, "corpsecret missing"),
        Refusal::WrongKey => (40001, "invalid credential"),
        Refusal::TooManyWrongKeys | Refusal::TooManyRequests => (45009, "api freq out of limit"),
        Refusal::ForeignAccount | Refusal::TicketNotKept => (48002, "api forbidden"),
        Refusal::UnknownAccessToken => (40014, "invalid access_token"),
        Refusal::BadTicketType => (40058, "invalid Request Parameter"),
        Refusal::SeveralAccounts => (
            41011,
            "agentid missing: this key may use several agents of the corp, and needs to be \
            restricted to one (clients.NAME.accounts)",
        ),
        Refusal::NoToken => (-1, "system busy"),
        Refusal::NotGet
        | Refusal::NotPost
        | Refusal::BadBody
        | Refusal::BodyStalled
        | Refusal::BadGrantType
        | Refusal::NoAccessToken => in_words_of_wechat(refusal),
    }
}

/// 200 with this errcode.
pub(in crate::http) fn errcode(errcode: i64, errmsg: &str, rid: &str) -> Response {
    let mut response = json(format!(r#"{{"errcode":{errcode},"errmsg":"{errmsg} rid: {rid}"}}"#).into());
    response.extensions_mut().insert(Errcode(errcode));
    response
}

/// The name of one answer, of WeChat's form: Unix seconds and two random numbers, in hexadecimal digits. The log names it too.
pub(in crate::http) fn rid(now: WallTime) -> String {
    format!("{:08x}-{:08x}-{:08x}", now.as_millis() / 1000, fastrand::u32(..), fastrand::u32(..))
}

fn json(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; encoding=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
