//! How does another process control the simulator? Paths under `/_control/`, JSON both ways; the README has the table.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use field::{Field, HumanDuration};

use crate::http::{Head, Reply, Request};
use crate::model::{IpRange, Kind};
use crate::shared::{Shared, State};

mod faults;
mod field;
mod logins;
mod media;
mod rules;
mod snapshot;

const PREFIX: &str = "/_control/";

/// Is this for the simulator rather than for WeChat?
pub(crate) fn handles(request: &Head) -> bool {
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
    (reply(shared.with(|state, now| dispatch(state, now, command, request))), None)
}

/// Why a command was not carried out.
enum ControlError {
    /// 400
    BadRequest(String),
    /// 404
    NotFound(&'static str),
}

fn reply(result: Result<Value, ControlError>) -> Reply {
    let (status, body) = match result {
        Ok(body) => (200, body),
        Err(ControlError::BadRequest(why)) => (400, json!({"error": why})),
        Err(ControlError::NotFound(what)) => (404, json!({"error": what})),
    };
    Reply::new(status, "application/json", body.to_string().into_bytes())
}

fn dispatch(state: &mut State, now: Duration, command: (&str, &str), request: &Request) -> Result<Value, ControlError> {
    match command {
        ("GET", "state") => Ok(snapshot::snapshot(state, now)),
        ("GET", "alive") => Ok(alive(state, now, request)),
        ("POST", "faults") => faults::queue(state, body(request)?),
        ("DELETE", "faults") => {
            state.faults.clear();
            Ok(json!({}))
        }
        ("POST", "rotate") => rotate(state, now, &body(request)?),
        ("POST", "revoke") => revoke(state, now, &body(request)?),
        ("POST", "code") => logins::codes(state, now, body(request)?),
        ("GET", "media") => media::media(state, request.parameter("media_id").unwrap_or_default()),
        ("POST", "media") => media::make(state, &body(request)?),
        ("POST", "quota") => leave_quota(state, now, &body(request)?),
        ("POST", "app") => change_app(state, body(request)?),
        ("DELETE", "bans") => {
            state.model.lift_bans();
            Ok(json!({}))
        }
        ("POST", "rules") => {
            rules::change(state, body(request)?);
            Ok(json!({}))
        }
        _ => Err(ControlError::NotFound("no such command")),
    }
}

fn body<T: DeserializeOwned>(request: &Request) -> Result<T, ControlError> {
    let body: &[u8] = if request.body().is_empty() { b"{}" } else { request.body() };
    serde_json::from_slice(body).map_err(|error| ControlError::BadRequest(error.to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refuse {
    r#for: HumanDuration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppAndKind {
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
fn appid_of(state: &State, named: Option<&str>) -> Result<String, ControlError> {
    let mut appids = state.model.appids();
    let found = appids.find(|appid| named.is_none_or(|named| named == *appid));
    found.map(str::to_owned).ok_or(ControlError::NotFound("no such app"))
}

fn rotate(state: &mut State, now: Duration, target: &AppAndKind) -> Result<Value, ControlError> {
    let appid = appid_of(state, target.appid.as_deref())?;
    let grant = state.model.rotate(now, &appid, target.kind).ok_or(ControlError::NotFound("no such app"))?;
    Ok(json!({"access_token": grant.access_token, "expires_in": grant.left.as_secs()}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Revoke {
    AccessToken(String),
    Ticket(String),
    /// `CORPID/AGENT`
    Agent(String),
}

fn revoke(state: &mut State, now: Duration, revoke: &Revoke) -> Result<Value, ControlError> {
    let (revoked, missing) = match revoke {
        Revoke::AccessToken(token) => (state.model.revoke(now, token), "no such token"),
        Revoke::Ticket(ticket) => (state.model.revoke_ticket(ticket), "no such ticket"),
        Revoke::Agent(label) => (state.model.revoke_agent(now, label), "no such agent, or it has no token"),
    };
    if revoked { Ok(json!({})) } else { Err(ControlError::NotFound(missing)) }
}

fn leave_quota(state: &mut State, now: Duration, target: &AppAndKind) -> Result<Value, ControlError> {
    let appid = appid_of(state, target.appid.as_deref())?;
    state.model.leave_quota(now, &appid, target.kind, target.left);
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppChange {
    appid: Option<String>,
    /// `null`: everyone may call.
    #[serde(default)]
    whitelist: Field<Option<Vec<IpRange>>>,
    #[serde(default)]
    frozen: Field<bool>,
}

fn change_app(state: &mut State, change: AppChange) -> Result<Value, ControlError> {
    let appid = appid_of(state, change.appid.as_deref())?;
    if let Field::Given(whitelist) = change.whitelist {
        state.model.set_whitelist(&appid, whitelist);
    }
    if let Field::Given(frozen) = change.frozen {
        state.model.set_frozen(&appid, frozen);
    }
    Ok(json!({}))
}

/// `access_token=` or `ticket=`.
fn alive(state: &State, now: Duration, request: &Request) -> Value {
    let left = match request.parameter("ticket") {
        Some(ticket) => state.model.ticket_alive_for(now, ticket),
        None => state.model.alive_for(now, request.parameter("access_token").unwrap_or_default()),
    };
    json!({"alive": left.is_some(), "seconds_left": left.map(|left| left.as_secs_f64())})
}
