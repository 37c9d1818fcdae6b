//! How does another process steer the simulator? Paths under `/_control/`, JSON both ways; the README has the table.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use member::{Lasting, Member};

use crate::http::{Reply, Request};
use crate::model::{IpRange, Kind};
use crate::server::{Shared, State};
use crate::{Op, Plan, Times};

mod member;
mod rules;
mod state;

const PREFIX: &str = "/_control/";

/// Is this for the simulator rather than for WeChat?
pub(crate) fn owns(request: &Request) -> bool {
    request.path.starts_with(PREFIX)
}

/// The reply, and for how long connections are to be refused once it is sent.
pub(crate) fn answer(shared: &Shared, request: &Request) -> (Reply, Option<Duration>) {
    let command = (request.method.as_str(), request.path.strip_prefix(PREFIX).unwrap_or_default());
    if command == ("POST", "refuse") {
        return match body::<Refuse>(request) {
            Ok(refuse) => (reply(Ok(json!({}))), Some(refuse.r#for.into())),
            Err(why) => (reply(Err(why)), None),
        };
    }
    (reply(shared.with(|state, now| obey(state, now, command, request))), None)
}

/// Why a command was not obeyed.
enum Trouble {
    /// 400
    Unreadable(String),
    /// 404
    Unknown(&'static str),
}

fn reply(result: Result<Value, Trouble>) -> Reply {
    let (status, body) = match result {
        Ok(body) => (200, body),
        Err(Trouble::Unreadable(why)) => (400, json!({"error": why})),
        Err(Trouble::Unknown(what)) => (404, json!({"error": what})),
    };
    Reply { status, content_type: "application/json", body: body.to_string().into_bytes() }
}

fn obey(state: &mut State, now: Duration, command: (&str, &str), request: &Request) -> Result<Value, Trouble> {
    match command {
        ("GET", "state") => Ok(state::report(state, now)),
        ("GET", "alive") => Ok(alive(state, now, request.parameter("access_token").unwrap_or_default())),
        ("POST", "faults") => queue_faults(state, request),
        ("DELETE", "faults") => {
            state.faults.clear();
            Ok(json!({}))
        }
        ("POST", "rotate") => rotate(state, now, &body(request)?),
        ("POST", "revoke") => revoke(state, now, &body(request)?),
        ("POST", "quota") => leave_quota(state, now, &body(request)?),
        ("POST", "app") => settle_app(state, body(request)?),
        ("POST", "rules") => {
            rules::change(state, body(request)?);
            Ok(json!({}))
        }
        _ => Err(Trouble::Unknown("no such command")),
    }
}

fn body<T: DeserializeOwned>(request: &Request) -> Result<T, Trouble> {
    let body: &[u8] = if request.body.is_empty() { b"{}" } else { &request.body };
    serde_json::from_slice(body).map_err(|error| Trouble::Unreadable(error.to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refuse {
    r#for: Lasting,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Script {
    One(Told),
    Many(Vec<Told>),
}

#[derive(Deserialize)]
struct Told {
    op: Op,
    #[serde(flatten)]
    plan: Plan,
    #[serde(default = "once")]
    times: Times,
}

fn once() -> Times {
    Times::Next(1)
}

fn queue_faults(state: &mut State, request: &Request) -> Result<Value, Trouble> {
    let told = match body(request)? {
        Script::One(told) => vec![told],
        Script::Many(told) => told,
    };
    for Told { op, plan, times } in told {
        state.faults.push(op, plan, times);
    }
    Ok(json!({"queued": state.faults.len()}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    appid: Option<String>,
    #[serde(default = "rotating")]
    kind: Kind,
    /// Calls left today; for `quota` only.
    #[serde(default)]
    left: u32,
}

fn rotating() -> Kind {
    Kind::Rotating
}

/// The app that a command names, or the first one.
fn appid_of(state: &State, named: Option<&str>) -> Result<String, Trouble> {
    let mut appids = state.model.appids();
    let found = appids.find(|appid| named.is_none_or(|named| named == *appid));
    found.map(str::to_owned).ok_or(Trouble::Unknown("no such app"))
}

fn rotate(state: &mut State, now: Duration, target: &Target) -> Result<Value, Trouble> {
    let appid = appid_of(state, target.appid.as_deref())?;
    let grant = state.model.rotate(now, &appid, target.kind).ok_or(Trouble::Unknown("no such app"))?;
    Ok(json!({"access_token": grant.access_token, "expires_in": grant.left.as_secs()}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    access_token: String,
}

fn revoke(state: &mut State, now: Duration, revoke: &Revoke) -> Result<Value, Trouble> {
    if state.model.revoke(now, &revoke.access_token) { Ok(json!({})) } else { Err(Trouble::Unknown("no such token")) }
}

fn leave_quota(state: &mut State, now: Duration, target: &Target) -> Result<Value, Trouble> {
    let appid = appid_of(state, target.appid.as_deref())?;
    state.model.leave_quota(now, &appid, target.kind, target.left);
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settle {
    appid: Option<String>,
    /// `null`: everyone may call.
    #[serde(default)]
    whitelist: Member<Option<Vec<IpRange>>>,
    #[serde(default)]
    frozen: Member<bool>,
}

fn settle_app(state: &mut State, settle: Settle) -> Result<Value, Trouble> {
    let appid = appid_of(state, settle.appid.as_deref())?;
    if let Member::Told(whitelist) = settle.whitelist {
        state.model.set_whitelist(&appid, whitelist);
    }
    if let Member::Told(frozen) = settle.frozen {
        state.model.set_frozen(&appid, frozen);
    }
    Ok(json!({}))
}

fn alive(state: &State, now: Duration, token: &str) -> Value {
    let left = state.model.alive_for(now, token);
    json!({"alive": left.is_some(), "seconds_left": left.map(|left| left.as_secs_f64())})
}
