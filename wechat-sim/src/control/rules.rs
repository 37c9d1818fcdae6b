//! Which numbers change while the simulator runs?

use serde::Deserialize;

use super::field::{Field, HumanDuration};
use crate::shared::State;

/// New rules, and the latency; `null` for a limit a minute is no limit.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RulesChange {
    lifetime: Field<HumanDuration>,
    overlap: Field<HumanDuration>,
    ticket_lifetime: Field<HumanDuration>,
    code_lifetime: Field<HumanDuration>,
    user_token_lifetime: Field<HumanDuration>,
    latency: Field<HumanDuration>,
    day: Field<HumanDuration>,
    quota: Field<u32>,
    wecom_lifetime: Field<HumanDuration>,
    wecom_wrong_secrets: Field<u32>,
    wecom_ban: Field<HumanDuration>,
    wecom_corp_tickets_per_hour: Field<u32>,
    wecom_agent_tickets_per_hour: Field<u32>,
    media_kept_bytes: Field<u64>,
    wxacode_bytes: Field<u64>,
    stable_quota: Field<u32>,
    per_minute: Field<Option<u32>>,
    stable_per_minute: Field<Option<u32>>,
    forced_per_day: Field<u32>,
}

pub(super) fn change(state: &mut State, change: RulesChange) {
    let rules = state.model.rules_mut();
    change.lifetime.apply_to(&mut rules.lifetime);
    change.overlap.apply_to(&mut rules.overlap);
    change.ticket_lifetime.apply_to(&mut rules.ticket_lifetime);
    change.code_lifetime.apply_to(&mut rules.code_lifetime);
    change.user_token_lifetime.apply_to(&mut rules.user_token_lifetime);
    change.day.apply_to(&mut rules.day);
    change.quota.apply_to(&mut rules.quota);
    change.wecom_lifetime.apply_to(&mut rules.wecom_lifetime);
    change.wecom_wrong_secrets.apply_to(&mut rules.wecom_wrong_secrets);
    change.wecom_ban.apply_to(&mut rules.wecom_ban);
    change.wecom_corp_tickets_per_hour.apply_to(&mut rules.wecom_corp_tickets_per_hour);
    change.wecom_agent_tickets_per_hour.apply_to(&mut rules.wecom_agent_tickets_per_hour);
    change.media_kept_bytes.apply_to(&mut rules.media_kept_bytes);
    change.wxacode_bytes.apply_to(&mut rules.wxacode_bytes);
    change.stable_quota.apply_to(&mut rules.stable_quota);
    change.per_minute.apply_to(&mut rules.per_minute);
    change.stable_per_minute.apply_to(&mut rules.stable_per_minute);
    change.forced_per_day.apply_to(&mut rules.forced_per_day);
    change.latency.apply_to(&mut state.latency);
}
