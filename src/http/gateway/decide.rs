//! May a request go to WeChat or WeCom, to which, and what is put into it?
//!
//! A pure function of the head. Whatever it does not allow is refused without a call: the gateway is no open proxy.

use std::{ops::Range, sync::Arc};

use axum::http::{Method, Uri, header};

use super::{
    headers::ACCOUNT,
    target::{self, Place, Query},
};
use crate::{
    account::AccountName,
    clock::Timestamp,
    http::{
        apps::Apps,
        auth::{Client, Clients, Presented},
        problem::Problem,
        routes::public_route,
    },
    issuer::Platform,
    metrics::{GatewayRefusal, Route},
    registry::{Handle, Handles},
};

/// With the AppSecret in its body it clears the quota of all APIs, ten times a month.
const FORBIDDEN: &str = "/cgi-bin/clear_quota/v2";
/// The AppSecret is in the query: each login of a mini program, and of a web page.
const WITH_APPSECRET: [&str; 2] = ["/sns/jscode2session", "/sns/oauth2/access_token"];
/// A *user's* token is in the query, under the name `access_token`.
const WITH_USER_TOKEN: [&str; 2] = ["/sns/userinfo", "/sns/auth"];
const REFRESH_USER_TOKEN: &str = "/sns/oauth2/refresh_token";
/// Tokens of others than the account, and whose API takes them: a call that has one needs no other.
const FOREIGN: [(&str, Platform); 5] = [
    ("component_access_token", Platform::WeChat),
    ("authorizer_access_token", Platform::WeChat),
    ("cloudbase_access_token", Platform::WeChat),
    ("suite_access_token", Platform::WeCom),
    ("provider_access_token", Platform::WeCom),
];

/// What the gateway is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'r> {
    pub(super) method: &'r Method,
    pub(super) uri: &'r Uri,
    pub(super) presented: Presented<'r>,
}

/// What the relay knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'k> {
    pub(super) handles: &'k Handles,
    pub(super) clients: &'k Clients,
    pub(super) apps: &'k Apps,
    pub(super) now: Timestamp,
}

/// What a request that may pass is to carry.
#[derive(Debug, Clone)]
pub(super) enum Credential {
    /// The account's current token. It replaces the one that was given, or is added.
    Token { handle: Arc<Handle>, place: Place },
    /// The account's AppSecret, in place of the key, or of the same AppSecret, that stands here.
    AppSecret { account: AccountName, place: Range<usize>, was_appsecret: bool },
    /// Nothing of the relay's: it has a credential of somebody else, for this platform, and its sender has a relay key.
    Own(Platform),
    /// The same for WeChat, and its sender is not known.
    User,
}

impl Credential {
    /// Whose API takes it: it goes to no other host.
    pub(super) fn platform(&self, apps: &Apps) -> Platform {
        match self {
            Self::Token { handle, .. } => apps.platform_of(handle.id.account()),
            // the paths below /sns are WeChat's
            Self::AppSecret { .. } | Self::User => Platform::WeChat,
            Self::Own(platform) => *platform,
        }
    }
}

/// The one place that decides.
pub(super) fn decide(asked: Asked<'_>, known: Known<'_>) -> Result<Credential, GatewayRefusal> {
    well_formed(asked)?;
    let path = target::path(asked.uri.path())?;
    let query = Query::read(asked.uri.query())?;
    let canonical = path.trim_end_matches('/').to_ascii_lowercase();
    let is_one_of = |paths: &[&str]| paths.contains(&canonical.as_str());
    if canonical == FORBIDDEN {
        return Err(GatewayRefusal::Forbidden);
    }
    let has_rule = is_one_of(&WITH_APPSECRET) || is_one_of(&WITH_USER_TOKEN) || canonical == REFRESH_USER_TOKEN;
    // The relay's own paths reach the gateway only in another spelling, which WeChat might take for its token routes; but for
    // tickets that are not kept.
    let is_refused = match public_route(&canonical) {
        Some(Route::DropInTicket | Route::DropInWecomTicket) => path != canonical,
        Some(_) => true,
        None => has_rule && path != canonical,
    };
    if is_refused {
        return Err(GatewayRefusal::Misspelt);
    }
    if is_one_of(&WITH_APPSECRET) {
        get_only(asked)?;
        return appsecret(query, known);
    }
    if has_rule {
        get_only(asked)?;
        return user_token(path, query, known);
    }
    if path.starts_with("/sns/") {
        return own(asked, known, Platform::WeChat);
    }
    token(asked, query, known)
}

/// What no honest client sends. Of a length and a transfer coding at once only the coding is left here: hyper drops the length,
/// and closes the connection afterwards (RFC 9112, 6.3). An offer to upgrade is not taken, and not passed on (RFC 9110, 7.8): Java's
/// `HttpClient` offers HTTP/2 with every request.
fn well_formed(asked: Asked<'_>) -> Result<(), GatewayRefusal> {
    let mut expectations = asked.presented.headers.get_all(header::EXPECT).iter();
    let expects_else = expectations.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if asked.method == Method::CONNECT || expects_else { Err(GatewayRefusal::Malformed) } else { Ok(()) }
}

/// GET or HEAD, without a body.
fn get_only(asked: Asked<'_>) -> Result<(), GatewayRefusal> {
    let headers = asked.presented.headers;
    let length = headers.get(header::CONTENT_LENGTH);
    let has_body = headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|length| length != "0");
    let is_get = matches!(*asked.method, Method::GET | Method::HEAD);
    if is_get && !has_body { Ok(()) } else { Err(GatewayRefusal::NotGet) }
}

/// A login: the relay key in `secret` stands for the AppSecret.
fn appsecret(query: Query<'_>, known: Known<'_>) -> Result<Credential, GatewayRefusal> {
    let (appid, _) = query.text("appid")?.ok_or(GatewayRefusal::NoAppid)?;
    let apps = known.apps.of_appid(&appid);
    if apps.is_empty() {
        return Err(GatewayRefusal::UnknownAppid);
    }
    let (secret, place) = query.text("secret")?.ok_or(GatewayRefusal::NoSecret)?;
    let (digest, client) = known.clients.by_secret(&secret);
    if let Some(client) = client {
        let app = apps.iter().find(|app| client.may_use_gateway() && client.may_use(app.account.as_str()));
        let account = app.ok_or(GatewayRefusal::NotAllowed)?.account.clone();
        return Ok(Credential::AppSecret { account, place, was_appsecret: false });
    }
    let app = apps.iter().find(|app| app.appsecret == Some(digest)).ok_or(GatewayRefusal::WrongKey)?;
    Ok(Credential::AppSecret { account: app.account.clone(), place, was_appsecret: true })
}

/// A user's own token. SDKs send nothing else with it, so its sender cannot be known; but it opens three fixed paths of WeChat's
/// host and no more, and without a good token those say nothing. A refresh has an appid as well, which must be an account's.
fn user_token(path: &str, query: Query<'_>, known: Known<'_>) -> Result<Credential, GatewayRefusal> {
    if path == REFRESH_USER_TOKEN {
        let (appid, _) = query.text("appid")?.ok_or(GatewayRefusal::NoAppid)?;
        let is_known = !known.apps.of_appid(&appid).is_empty();
        return if is_known { Ok(Credential::User) } else { Err(GatewayRefusal::UnknownAppid) };
    }
    query.text("access_token")?.ok_or(GatewayRefusal::MissingToken)?;
    Ok(Credential::User)
}

/// Any other call: it has a token of ours, or its sender is a client.
fn token(asked: Asked<'_>, query: Query<'_>, known: Known<'_>) -> Result<Credential, GatewayRefusal> {
    let place = query.find("access_token")?;
    if let Some((given, place)) = query.text("access_token")? {
        let handle = known.handles.handed_out(&given, known.now).ok_or(GatewayRefusal::UnknownToken)?;
        return Ok(Credential::Token { handle: handle.clone(), place: Place::Value(place) });
    }
    for (name, platform) in FOREIGN {
        if query.find(name)?.is_some() {
            return own(asked, known, platform);
        }
    }
    let handle = account(client(asked, known)?, asked, known)?.clone();
    Ok(Credential::Token { handle, place: place.map_or(Place::End, Place::Value) })
}

/// A call with a credential that is none of the relay's.
fn own(asked: Asked<'_>, known: Known<'_>, platform: Platform) -> Result<Credential, GatewayRefusal> {
    client(asked, known).map(|_| Credential::Own(platform))
}

/// The client whose key is in `Authorization`, or without one that of the certificate.
fn client<'k>(asked: Asked<'_>, known: Known<'k>) -> Result<&'k Client, GatewayRefusal> {
    let client = known.clients.identify(asked.presented).map_err(|_| {
        let has_key = asked.presented.has_key();
        if has_key { GatewayRefusal::UnknownKey } else { GatewayRefusal::MissingToken }
    })?;
    if client.may_use_gateway() { Ok(client) } else { Err(GatewayRefusal::NotAllowed) }
}

/// The account that `client` means.
fn account<'k>(client: &Client, asked: Asked<'_>, known: Known<'k>) -> Result<&'k Arc<Handle>, GatewayRefusal> {
    let mut names = asked.presented.headers.get_all(ACCOUNT).iter();
    let name = match (names.next(), names.next()) {
        (None, _) => None,
        (Some(name), None) => Some(name.to_str().map_err(|_| GatewayRefusal::UnknownAppid)?),
        (Some(_), Some(_)) => return Err(GatewayRefusal::Misspelt),
    };
    client.authorize(known.handles, name).map_err(|problem| match problem {
        Problem::BadQuery(_) => GatewayRefusal::NoAppid,
        Problem::NoSuchAccount => GatewayRefusal::UnknownAppid,
        _ => GatewayRefusal::NotAllowed,
    })
}

#[cfg(test)]
mod tests;
