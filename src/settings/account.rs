//! Do the keys of an account fit together? Which of them it has follows from its platform.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};

use super::entry::{Entry, SecretValue, Table, value_or_file};
use super::{AccountSettings, AppSettings, Endpoint, KeyDigest, Layers, Platform, SettingsError};
use crate::account::{AccountName, NameError};
use crate::credential::{NotATicket, TicketKind};
use crate::issuer::wecom;
use crate::page_url::{NotADomain, PageDomain};

const NO_ACCOUNT: &str = "no account: give accounts.NAME.appid and accounts.NAME.secret, or \
    TOKEN_RELAY__ACCOUNTS__NAME__APPID and TOKEN_RELAY__ACCOUNTS__NAME__SECRET; to try it without a WeChat account, run \
    `cargo run --example demo`";

pub(super) fn accounts(layers: &Layers) -> Result<BTreeMap<AccountName, AccountSettings>, SettingsError> {
    let mut accounts = BTreeMap::new();
    let mut taken = BTreeMap::new();
    for (name, table) in layers.tables("accounts") {
        let settings = account(&table)?;
        let owner = format!("accounts.{name}");
        if let Some(other) = taken.insert(settings.whose_tokens(), owner) {
            let (key, problem) = match settings.app {
                AppSettings::WeChat { .. } => ("appid", "appid and endpoint: they would rotate each other's token"),
                AppSettings::WeCom { .. } => ("corpid", "corpid and secret: both are one agent"),
            };
            return Err(table.entry(key).error(format!("{other} has the same {problem}")));
        }
        accounts.insert(parsed(&name), settings);
    }
    if accounts.is_empty() {
        return Err(SettingsError::new("accounts", NO_ACCOUNT, None));
    }
    Ok(accounts)
}

impl AccountSettings {
    /// Two accounts that are alike in this are given the same tokens: an agent of WeCom is named by its secret alone.
    fn whose_tokens(&self) -> (AppSettings, Option<[u8; 32]>) {
        let digest = || *KeyDigest::of(self.secret.expose_secret().as_bytes()).as_bytes();
        (self.app.clone(), (self.app.platform() == Platform::WeCom).then(digest))
    }
}

fn account(table: &Table<'_>) -> Result<AccountSettings, SettingsError> {
    let (secret, file) = (table.entry("secret"), table.entry("secret_file"));
    let none = secret.error(format!("no secret: give this or {}", file.key()));
    let app = app(table)?;
    let secret = app_secret(value_or_file(secret, file)?.ok_or(none)?)?;
    let calls_per_day = match table.entry("calls_per_day") {
        entry if entry.is_set() => entry.number(1..=10_000)?,
        _ => match app {
            AppSettings::WeChat { endpoint, .. } => endpoint.default_calls_per_day(),
            AppSettings::WeCom { .. } => wecom::DEFAULT_CALLS_PER_DAY,
        },
    };
    let accept_appsecret = flag_or_false(&table.entry("accept_appsecret"))?;
    let tickets = tickets(&table.entry("tickets"), app.platform())?;
    let jssdk_domains = jssdk_domains(&table.entry("jssdk_domains"), &tickets)?;
    Ok(AccountSettings { app, secret, calls_per_day, accept_appsecret, tickets, jssdk_domains })
}

/// What cannot be one is not tried: WeChat would answer 40125, and WeCom bans an address that tries wrong ones.
fn app_secret(given: SecretValue<'_>) -> Result<SecretString, SettingsError> {
    if given.secret.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(given.secret);
    }
    Err(given.source.error(
        "must be printable ASCII without a space, as the platform's console shows it; a file may end with one line end",
    ))
}

/// What belongs to one platform is refused on the other.
fn app(table: &Table<'_>) -> Result<AppSettings, SettingsError> {
    let [platform, appid, corpid, endpoint] = ["platform", "appid", "corpid", "endpoint"].map(|key| table.entry(key));
    let foreign = |entry: &Entry<'_>, problem: &str| {
        if entry.is_set() { Err(entry.error(problem)) } else { Ok(()) }
    };
    match platform.is_set().then(|| platform.parse()).transpose()?.unwrap_or_default() {
        Platform::WeChat => {
            foreign(&corpid, "is for an account with platform = \"wecom\"; one of WeChat has an appid")?;
            let appid = appid.parse()?;
            let endpoint = if endpoint.is_set() { endpoint.parse()? } else { Endpoint::default() };
            Ok(AppSettings::WeChat { appid, endpoint })
        }
        Platform::WeCom => {
            foreign(&appid, "is for an account of WeChat; one with platform = \"wecom\" has a corpid")?;
            foreign(&endpoint, "is for an account of WeChat; WeCom has one endpoint")?;
            Ok(AppSettings::WeCom { corpid: corpid.parse()? })
        }
    }
}

fn jssdk_domains(entry: &Entry<'_>, tickets: &BTreeSet<TicketKind>) -> Result<Vec<PageDomain>, SettingsError> {
    if entry.is_set() && !TicketKind::OF_PAGES.iter().any(|kind| tickets.contains(kind)) {
        return Err(entry.error("signatures are made with a ticket: add \"jsapi\" to the account's tickets"));
    }
    let domain = |(index, name): (usize, &str)| {
        name.parse().map_err(|invalid: NotADomain| entry.error(format!("entry {} {invalid}", index + 1)))
    };
    entry.list()?.into_iter().flatten().enumerate().map(domain).collect()
}

/// None unless set. One that is named twice is kept once.
fn tickets(entry: &Entry<'_>, platform: Platform) -> Result<BTreeSet<TicketKind>, SettingsError> {
    let kind = |(index, name): (usize, &str)| {
        let refused = |problem: &dyn Display| entry.error(format!("entry {} {problem}", index + 1));
        let kind: TicketKind = name.parse().map_err(|invalid: NotATicket| refused(&invalid))?;
        match (platform, platform.tickets().contains(&kind)) {
            (_, true) => Ok(kind),
            (Platform::WeChat, false) => {
                Err(refused(&"is a ticket of WeCom: an account of WeChat has \"jsapi\" and \"wx_card\""))
            }
            (Platform::WeCom, false) => {
                Err(refused(&"is a ticket of WeChat: an account of WeCom has \"jsapi\" and \"agent_config\""))
            }
        }
    };
    entry.list()?.into_iter().flatten().enumerate().map(kind).collect()
}

pub(super) fn flag_or_false(entry: &Entry<'_>) -> Result<bool, SettingsError> {
    if entry.is_set() { entry.flag() } else { Ok(false) }
}

pub(super) fn parsed<N: FromStr<Err = NameError>>(name: &str) -> N {
    name.parse().expect("a name that is refused never reaches the merged layers")
}
