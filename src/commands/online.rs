//! Would WeChat answer a relay that runs here with these settings? Asks it, one thing after the other, and harmlessly.

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use super::{CommandError, Outcome, admin::runtime, counted, failed, print};
use crate::{
    account::AccountName,
    issuer::{
        Platform,
        upstream::{Upstream, UpstreamSettings},
    },
    serve::upstream_settings,
    settings::{AccountSettings, Layers, Settings},
};

mod account;
mod finding;
mod host;

use finding::{Finding, Report};

/// Validates the settings as `check` does. Then looks up and connects the platforms' hosts, compares the clock, and asks for one
/// token of each account: by `stable_token` without force, or `gettoken`, which rotate nothing. No token is shown.
///
/// # Errors
/// As of `check`; where anything is wrong, after all has been asked.
pub fn check_online(config: Option<&Path>, env: impl IntoIterator<Item = (OsString, OsString)>) -> Outcome {
    let settings = Settings::from_layers(&Layers::read(config, env)?)?;
    let mut report = Report::default();
    runtime()?.block_on(async {
        for platform in Platform::ALL {
            let of_platform = |account: &(_, &AccountSettings)| account.1.app.platform() == platform;
            let accounts: BTreeMap<_, _> = settings.accounts.iter().filter(of_platform).collect();
            if !accounts.is_empty() {
                ask(&settings, platform, &accounts, &mut report).await?;
            }
        }
        Ok::<_, CommandError>(())
    })?;
    report.outcome()
}

async fn ask(
    settings: &Settings,
    platform: Platform,
    accounts: &BTreeMap<&AccountName, &AccountSettings>,
    report: &mut Report,
) -> Result<(), CommandError> {
    say_cost(platform, accounts.len())?;
    let upstream = upstream_settings(settings, platform);
    let mut is_any_reached = false;
    for base_url in [Some(upstream.base_url.clone()), upstream.fallback_base_url.clone()].into_iter().flatten() {
        let alone = UpstreamSettings { base_url, fallback_base_url: None, ..upstream.clone() };
        is_any_reached |= host::check(alone, platform, report).await?;
    }
    if !is_any_reached {
        return print(&format!("      {}: not asked, for no host was reached\n", counted(accounts.len(), "account")))
            .map_err(|error| failed(&error));
    }
    let upstream = Upstream::new(upstream).map_err(|error| failed(&error))?;
    for (name, account) in accounts {
        report.add(&format!("{name}: {}", account::question(account)), &account::ask(&upstream, account).await)?;
    }
    Ok(())
}

/// Before anything is asked.
fn say_cost(platform: Platform, accounts: usize) -> Result<(), CommandError> {
    let accounts = counted(accounts, "account");
    let cost = match platform {
        Platform::WeChat => format!(
            "# WeChat, {accounts}. Cost: one call of stable_token each, without force_refresh: it rotates nothing, and tokens of\n\
             # /cgi-bin/token are not touched. WeChat allows 500,000 a day; the relay does not count it in calls_per_day.\n"
        ),
        Platform::WeCom => format!(
            "# WeCom, {accounts}. Cost: one call of gettoken each, which returns the living token. A wrong secret counts: after\n\
             # several within an hour WeCom bans this address for an hour. The relay does not count it in calls_per_day.\n"
        ),
    };
    print(&cost).map_err(|error| failed(&error))
}
