//! Do the keys of a client fit together: which relay keys it has, and what they open?

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::str::FromStr;

use config::{Value, ValueKind};
use secrecy::ExposeSecret;

use super::account::{flag_or_false, parsed};
use super::entry::{Entry, Table, as_table, conflict, value_or_file};
use super::tls::TLS;
use super::values::Invalid;
use super::{AccountSettings, CertificateName, ClientSettings, Layers, RelayKey, SettingsError};
use crate::account::{AccountName, ClientName};
use crate::relay_key::{KeyDigest, fits_urls};
use crate::tls::NotACertificateName;

const NO_CLIENT: &str = "no client: give clients.NAME.key_sha256 or TOKEN_RELAY__CLIENTS__NAME__KEY_SHA256 \
    (`token-relay keygen` makes one)";

/// Reports of a client a minute, unless set. It bounds the lines of the log that a client can make: reports cost one probe, however
/// many there are (I5), and after a rotation hundreds of processes with one key may report at once.
const REPORTS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(600).expect("not zero");

/// The three ways to give a key, in the order in which they are looked for.
const FORMS: [&str; 3] = ["key", "key_file", "key_sha256"];

pub(super) fn clients(
    layers: &Layers,
    accounts: &BTreeMap<AccountName, AccountSettings>,
) -> Result<BTreeMap<ClientName, ClientSettings>, SettingsError> {
    let mut clients: BTreeMap<ClientName, ClientSettings> = BTreeMap::new();
    let (mut taken, mut taken_names) = (BTreeMap::new(), BTreeMap::new());
    let asks_for_certificates = asks_for_certificates(layers)?;
    for (name, table) in layers.tables("clients") {
        let certificates = certificates(&table.entry("certificate"), asks_for_certificates)?;
        for certificate in &certificates {
            if let Some(other) = taken_names.insert(certificate.clone(), name.clone()) {
                return Err(table.entry("certificate").error(format!("clients.{other} has the same name")));
            }
        }
        let given = given_keys(&table, !certificates.is_empty())?;
        for key in &given {
            if let Some(other) = taken.insert(*key.digest.as_bytes(), name.clone()) {
                return Err(key.source.error(format!("clients.{other} has the same key")));
            }
        }
        let keys = given.into_iter().map(|key| RelayKey { sha256: key.digest, fits_urls: key.fits_urls }).collect();
        let accounts = client_accounts(&table.entry("accounts"), accounts)?;
        let gateway = flag_or_false(&table.entry("gateway"))?;
        let admin = flag_or_false(&table.entry("admin"))?;
        let max_requests_per_second = limit(&table.entry("max_requests_per_second"))?;
        let max_reports_per_minute = limit(&table.entry("max_reports_per_minute"))?.unwrap_or(REPORTS_PER_MINUTE);
        let client = ClientSettings {
            keys,
            certificates,
            accounts,
            gateway,
            admin,
            max_requests_per_second,
            max_reports_per_minute,
        };
        clients.insert(parsed(&name), client);
    }
    if clients.is_empty() {
        return Err(SettingsError::new("clients", NO_CLIENT, None));
    }
    Ok(clients)
}

/// Whether clients have to present certificates.
fn asks_for_certificates(layers: &Layers) -> Result<bool, SettingsError> {
    Ok(layers.section(TLS).entry("client_ca_file").optional_text()?.is_some())
}

/// The names in the certificate of a client.
fn certificates(entry: &Entry<'_>, is_asked_for: bool) -> Result<BTreeSet<CertificateName>, SettingsError> {
    let names = entry.list()?.unwrap_or_default();
    if !names.is_empty() && !is_asked_for {
        return Err(entry.error("needs server.tls.client_ca_file: without it no client presents a certificate"));
    }
    let name = |name: &str| name.parse().map_err(|e: NotACertificateName| entry.error(e.to_string()));
    names.into_iter().map(name).collect()
}

fn limit(entry: &Entry<'_>) -> Result<Option<NonZeroU32>, SettingsError> {
    if !entry.is_set() {
        return Ok(None);
    }
    entry.number(1..=100_000).map(NonZeroU32::new)
}

/// A key that a client was given, and where.
struct GivenKey<'a> {
    source: Entry<'a>,
    digest: KeyDigest,
    /// `None`: a hash cannot tell.
    fits_urls: Option<bool>,
}

/// One, or a list of them: so that a key can be replaced while the service still uses the last one. A client that has a
/// certificate needs none.
fn given_keys<'a>(table: &Table<'a>, has_certificate: bool) -> Result<Vec<GivenKey<'a>>, SettingsError> {
    let list = table.entry("keys");
    let has_form = || FORMS.iter().any(|form| !matches!(table.entry(form).optional_text(), Ok(None)));
    if has_certificate && !list.is_set() && !has_form() {
        return Ok(Vec::new());
    }
    let Some(items) = key_list(&list)? else { return Ok(vec![given_key(table, &list)?]) };
    for form in FORMS.map(|form| table.entry(form)) {
        if form.optional_text()?.is_some() {
            return Err(conflict(&form, &list));
        }
    }
    if items.is_empty() {
        return Err(list.error("must not be empty"));
    }
    items.into_iter().enumerate().map(|(index, item)| listed_key(&list, index, item)).collect()
}

/// An item of `keys`.
#[derive(Clone, Copy)]
enum KeyItem<'a> {
    /// The key itself.
    Plain(&'a str),
    /// A table with one of [`FORMS`].
    Table(&'a Value),
}

/// The items of `keys`, or of a string at its commas; `None` where it is not set.
fn key_list<'a>(list: &Entry<'a>) -> Result<Option<Vec<KeyItem<'a>>>, SettingsError> {
    let item = |item: &'a Value| match &item.kind {
        ValueKind::String(text) => Ok(KeyItem::Plain(text)),
        ValueKind::Table(_) => Ok(KeyItem::Table(item)),
        _ => Err(list.error("must be a list of tables such as { key_file = \"…\" }, or of keys in quotes")),
    };
    match list.kind() {
        Some(ValueKind::Array(items)) => items.iter().map(item).collect::<Result<_, _>>().map(Some),
        _ => Ok(list.list()?.map(|keys| keys.into_iter().map(KeyItem::Plain).collect())),
    }
}

fn listed_key<'a>(list: &Entry<'a>, index: usize, item: KeyItem<'a>) -> Result<GivenKey<'a>, SettingsError> {
    let position = index + 1;
    match item {
        KeyItem::Plain(text) => {
            let digest = digest_of(text).map_err(|e| list.error(format!("entry {position} {e}")))?;
            Ok(GivenKey { source: list.clone(), digest, fits_urls: Some(fits_urls(text)) })
        }
        KeyItem::Table(value) => {
            let table = Table::new(format!("{}[{position}]", list.key()), as_table(value)).from(list.origin());
            if let Some(unknown) = table.names().find(|name| !FORMS.contains(name)) {
                return Err(table.entry(unknown).error(format!("unknown key; known here: {}", FORMS.join(", "))));
            }
            given_key(&table, list)
        }
    }
}

/// Exactly one of the three.
fn given_key<'a>(table: &Table<'a>, list: &Entry<'a>) -> Result<GivenKey<'a>, SettingsError> {
    let [plain, file, hash] = FORMS.map(|form| table.entry(form));
    let none = plain.error(format!("no key: give this, {}, {} or {}", file.key(), hash.key(), list.key()));
    if hash.optional_text()?.is_none() {
        let key = value_or_file(plain, file)?.ok_or(none)?;
        let text = key.secret.expose_secret();
        let digest = digest_of(text).map_err(|e| key.source.error(e.to_string()))?;
        return Ok(GivenKey { fits_urls: Some(fits_urls(text)), digest, source: key.source });
    }
    for other in [plain, file] {
        if other.optional_text()?.is_some() {
            return Err(conflict(&other, &hash));
        }
    }
    let digest = hash.parse()?;
    Ok(GivenKey { source: hash, digest, fits_urls: None })
}

fn client_accounts(
    entry: &Entry<'_>,
    configured: &BTreeMap<AccountName, AccountSettings>,
) -> Result<Option<BTreeSet<AccountName>>, SettingsError> {
    let Some(names) = entry.list()? else { return Ok(None) };
    let known = |(index, name): (usize, &str)| match configured.get_key_value(name) {
        Some((name, _)) => Ok(name.clone()),
        None => Err(unknown_account(entry, index + 1, configured.keys())),
    };
    names.into_iter().enumerate().map(known).collect::<Result<_, _>>().map(Some)
}

/// Says which entry it is by its position. The entry itself is not shown, even where it has the shape of a name: so has an
/// AppSecret.
fn unknown_account<'a>(
    entry: &Entry<'_>,
    position: usize,
    configured: impl Iterator<Item = &'a AccountName>,
) -> SettingsError {
    let configured: Vec<_> = configured.map(AccountName::as_str).collect();
    entry.error(format!("entry {position} names an unknown account; configured: {}", configured.join(", ")))
}

/// The digest of `key`, if it is one: 32 to 512 printable ASCII characters without a space, since it travels in a header, and
/// shorter ones can be guessed.
fn digest_of(key: &str) -> Result<KeyDigest, Invalid> {
    let fits = (32..=512).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    let invalid = Invalid("32 to 512 printable ASCII characters without a space (`token-relay keygen` makes one)");
    if fits { Ok(KeyDigest::of(key.as_bytes())) } else { Err(invalid) }
}

impl FromStr for KeyDigest {
    type Err = Invalid;

    /// Reads 64 hexadecimal digits, of either case.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut digest = [0; 32];
        let invalid = |_| Invalid("64 hexadecimal digits: the SHA-256 of the key (`token-relay keygen` prints it)");
        hex::decode_to_slice(text, &mut digest).map(|()| Self::from_bytes(digest)).map_err(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    /// The message for `accounts` in the environment, of a client `orders` beside the accounts `main` and `shop`.
    fn refused(accounts: &str) -> String {
        let variables = [
            ("TOKEN_RELAY__ACCOUNTS__MAIN__APPID", "wx1"),
            ("TOKEN_RELAY__ACCOUNTS__MAIN__SECRET", SECRET),
            ("TOKEN_RELAY__ACCOUNTS__SHOP__APPID", "wx2"),
            ("TOKEN_RELAY__ACCOUNTS__SHOP__SECRET", SECRET),
            ("TOKEN_RELAY__CLIENTS__ORDERS__KEY", "a-key-of-32-characters-or-a-few-more"),
            ("TOKEN_RELAY__CLIENTS__ORDERS__ACCOUNTS", accounts),
        ];
        Settings::load(None, variables.map(|(name, value)| (name.into(), value.into()))).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_account_of_a_client_is_told_by_its_position_and_never_shown() {
        assert_eq!(
            refused("main,mian,shop"),
            "clients.orders.accounts: entry 2 names an unknown account; configured: main, shop \
             (from TOKEN_RELAY__CLIENTS__ORDERS__ACCOUNTS)"
        );
        // an AppSecret has the shape of an account's name
        assert!(SECRET.parse::<AccountName>().is_ok());
        let message = refused(&format!("main, shop, {SECRET}"));
        assert!(message.contains("entry 3 names an unknown account") && !message.contains(SECRET), "{message}");
    }
}
