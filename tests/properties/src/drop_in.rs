//! Who gets a token from the drop-in routes? A client that gives each parameter once, with a right value; nobody else, whatever is
//! repeated, broken or escaped. The parameters are read here by a parser of its own.

use std::{cell::RefCell, fmt, time::Duration};

use axum::{body::Body, http::Request};
use http_body_util::BodyExt;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;
use tokio::{runtime::Runtime, time::advance};

use super::{
    query::{decoded, pairs},
    relay::{ACCOUNTS, APPSECRET, EARLIER, KEY, LIMITED_KEY, MAIN_KEY, PEER, Relay, TICKET},
};

/// Between two inputs: no key reaches its limit.
const PAUSE: Duration = Duration::from_secs(400);
/// The longest body that is read.
const LONGEST_BODY: usize = 4096;

/// What a route should hand out for what is given.
type Right = fn(&Given) -> Option<&'static str>;

/// The routes that read a query. No ticket of the corp is kept.
const ROUTES: [(&str, Right); 4] = [
    ("/cgi-bin/token", Given::token),
    ("/cgi-bin/gettoken", Given::corp_token),
    ("/cgi-bin/ticket/getticket", Given::ticket),
    ("/cgi-bin/get_jsapi_ticket", |_| None),
];

/// Sends `text` as the query of each route that reads one, and as the body of the one that reads that. Returns whether anything was
/// handed out.
///
/// # Panics
/// A token or ticket is handed out to somebody who has not asked for it rightly, or is not to somebody who has.
pub fn holds(text: &[u8]) -> bool {
    thread_local!(static RELAY: RefCell<(Runtime, Relay)> = RefCell::new(Relay::on_paused_time()));
    RELAY.with_borrow(|(runtime, relay)| {
        runtime.block_on(advance(PAUSE));
        let ask = |request| runtime.block_on(handed_out(relay, request));
        let request = Request::post("/cgi-bin/stable_token").body(Body::from(text.to_vec())).expect("a request");
        let given = by_body(text).filter(|_| text.len() <= LONGEST_BODY);
        let mut is_handed_out = agree(ask(request).as_deref(), given.and_then(|given| given.token()), text);
        for (path, right) in ROUTES {
            let uri = std::str::from_utf8(text).map(|query| format!("{path}?{query}"));
            let Some(request) = uri.ok().and_then(|uri| Request::get(uri).body(Body::empty()).ok()) else { continue };
            let given = Given::of_query(request.uri().query().unwrap_or_default());
            let right = right(&given);
            is_handed_out |= agree(ask(request).as_deref(), right, text);
        }
        is_handed_out
    })
}

fn agree(handed_out: Option<&str>, right: Option<&str>, text: &[u8]) -> bool {
    assert_eq!(handed_out, right, "{:?}", String::from_utf8_lossy(text));
    right.is_some()
}

/// The token or ticket in the answer, which without one is an errcode.
async fn handed_out(relay: &Relay, request: Request<Body>) -> Option<String> {
    let response = relay.service.answer(request, PEER).await;
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    let answer: Value = serde_json::from_slice(&body).expect("JSON");
    let value = ["access_token", "ticket"].iter().find_map(|name| answer[name].as_str().map(str::to_owned));
    assert_eq!(value.is_none(), answer["errcode"].as_i64().is_some_and(|errcode| errcode != 0), "{answer}");
    value
}

/// The parameters in their order. `None`: null.
struct Given(Vec<(String, Option<String>)>);

impl Given {
    fn of_query(query: &str) -> Self {
        Self(pairs(query).map(|(name, value)| (decoded(name), Some(decoded(value)))).collect())
    }

    /// The value of `name`, if it is given once.
    fn once(&self, name: &str) -> Option<&str> {
        let mut all = self.0.iter().filter(|(given, _)| given == name);
        match (all.next(), all.next()) {
            (Some((_, value)), None) => value.as_deref(),
            _ => None,
        }
    }

    /// The token of an account of WeChat, if the secret opens it.
    fn token(&self) -> Option<&'static str> {
        let by_grant = self.once("grant_type")? == "client_credential";
        self.of_app("appid", "secret", "wx").filter(|_| by_grant)
    }

    /// The same for WeCom.
    fn corp_token(&self) -> Option<&'static str> {
        self.of_app("corpid", "corpsecret", "ww")
    }

    fn of_app(&self, app: &str, secret: &str, platform: &str) -> Option<&'static str> {
        let (app, secret) = (self.once(app)?, self.once(secret)?);
        let account = ACCOUNTS.into_iter().find(|account| account.app == app && app.starts_with(platform))?;
        let opens_all = [KEY, LIMITED_KEY].contains(&secret);
        let opens = opens_all || account.name == "main" && [MAIN_KEY, APPSECRET].contains(&secret);
        Some(account.token).filter(|token| opens && !token.is_empty())
    }

    /// The one ticket that is kept.
    fn ticket(&self) -> Option<&'static str> {
        let token = self.once("access_token")?;
        let is_right = [ACCOUNTS[0].token, EARLIER].contains(&token) && self.once("type")? == "jsapi";
        is_right.then_some(TICKET)
    }
}

/// The parameters of a body, if it is an object whose known members have the right types. A repeated one is kept twice.
fn by_body(body: &[u8]) -> Option<Given> {
    let text = std::str::from_utf8(body).ok()?;
    text.trim_ascii_start().starts_with('{').then_some(())?;
    serde_json::from_str(text).ok()
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Given;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Given, M::Error> {
        let mut given = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "appid" | "secret" | "grant_type" => given.push((name, map.next_value::<Option<String>>()?)),
                "force_refresh" => drop(map.next_value::<bool>()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Given(given))
    }
}
