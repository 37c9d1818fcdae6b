//! What has happened so far, in JSON?

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::model::{Grant, Kind, TicketKind};
use crate::operation::Op;
use crate::shared::State;
use crate::token_id::TokenId;

/// Tokens appear by their first characters only: the oracle is `GET /_control/alive`.
pub(super) fn snapshot(state: &State, now: Duration) -> Value {
    let mut by_op = BTreeMap::<_, u64>::new();
    let mut by_outcome = BTreeMap::<_, u64>::new();
    for call in state.calls.calls(Op::Any) {
        *by_op.entry(call.op.name()).or_default() += 1;
        *by_outcome.entry(call.outcome.to_string()).or_default() += 1;
    }
    let apps: BTreeMap<_, _> = state.model.appids().map(|appid| (appid, app(state, now, appid))).collect();
    json!({
        "now_ms": now.as_millis(),
        "calls_by_operation": by_op,
        "calls_by_outcome": by_outcome,
        "calls": state.calls.calls(Op::Any).collect::<Vec<_>>(),
        "routes": state.calls.routes(),
        "calls_forgotten": state.calls.forgotten(),
        "faults_queued": state.faults.len(),
        "apps": apps,
        "agents": state.model.agents().map(|label| (label, agent(state, now, label))).collect::<BTreeMap<_, _>>(),
        "callers": callers(state, now),
    })
}

fn app(state: &State, now: Duration, appid: &str) -> Value {
    json!({
        "most_concurrent": state.calls.most_concurrent(appid),
        "rotating": lineage(state, now, appid, Kind::Rotating),
        "sticky": lineage(state, now, appid, Kind::Sticky),
        "tickets": {
            "jsapi": state.model.ticket_mints(appid, TicketKind::Jsapi),
            "wx_card": state.model.ticket_mints(appid, TicketKind::WxCard),
        },
    })
}

fn agent(state: &State, now: Duration, label: &str) -> Value {
    json!({
        "most_concurrent": state.calls.most_concurrent(label),
        "mints": state.model.agent_mints(label),
        "alive": state.model.living_agent(now, label).as_ref().map(token),
    })
}

/// Those that have sent WeCom a wrong secret.
fn callers(state: &State, now: Duration) -> BTreeMap<IpAddr, Value> {
    let banned_for = |ip| state.model.banned_for(now, ip).map(|left| left.as_secs_f64());
    let caller = |(ip, wrong)| (ip, json!({"wrong_secrets": wrong, "banned_for": banned_for(ip)}));
    state.model.wrong_secrets(now).into_iter().map(caller).collect()
}

fn lineage(state: &State, now: Duration, appid: &str, kind: Kind) -> Value {
    let alive: Vec<_> = state.model.living(now, appid, kind).iter().map(token).collect();
    json!({
        "mints": state.model.mints(appid, kind),
        "spent_today": state.model.spent(now, appid, kind),
        "alive": alive,
    })
}

fn token(grant: &Grant) -> Value {
    let head: String = grant.access_token.chars().take(10).collect();
    json!({"token": format!("{head}…"), "id": TokenId::of(&grant.access_token), "seconds_left": grant.left.as_secs_f64()})
}
