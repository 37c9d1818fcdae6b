//! What does an error of Redis mean, and what is to be done about it?
//!
//! Text of the server is shown only where it cannot hold what was sent: it quotes the arguments of a command that it
//! does not know, and the crate quotes a reply that it did not expect.

use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerError};

use super::address::{Address, Kind};

type Meaning = (&'static str, &'static str);

/// A server's refusals: a code, or a phrase where the code is only `ERR`, and what it calls for.
const REFUSALS: [Meaning; 20] = [
    ("READONLY", "it is a read-only replica: state.url must name the primary"),
    ("OOM", "it is out of memory: raise its maxmemory or free some"),
    ("MISCONF", "it takes no writes because it cannot save to its disk: its log says why"),
    ("LOADING", "it is still loading its data"),
    ("MASTERDOWN", "it is a replica that has lost its primary: state.url must name the primary"),
    ("NOREPLICAS", "it takes no writes because it has too few replicas (min-replicas-to-write)"),
    ("BUSY", "somebody's script blocks it (SCRIPT KILL ends it)"),
    ("NOAUTH", "it asks for a password: state.url has none (redis://:PASSWORD@HOST)"),
    ("WRONGPASS", "it refuses the user or the password of state.url, or the user is off"),
    ("WRONGTYPE", "a key of the relays holds something else than they wrote: look at it, then delete it"),
    ("DENIED", "it runs in protected mode, which serves its own machine only: set a password in its configuration"),
    ("MOVED", IS_CLUSTER),
    ("ASK", IS_CLUSTER),
    ("TRYAGAIN", IS_CLUSTER),
    ("CLUSTERDOWN", IS_CLUSTER),
    ("max number of clients", "it has as many clients as it takes (maxclients)"),
    ("called without any password", "it has no password, and state.url has one"),
    ("The user executing the script", "the user of state.url lacks a permission: docs/CLUSTER.md lists them"),
    // so says Valkey 9
    ("ACL failure in script", "the user of state.url lacks a permission: docs/CLUSTER.md lists them"),
    ("DB index is out of range", "it has no database of the number in state.url"),
];

const IS_CLUSTER: &str = "it is a node of a Redis Cluster: state.url begins with redis+cluster:// for one";

/// What else they mean where the primary is looked for.
const OF_A_PRIMARY: [Meaning; 2] = [
    ("READONLY", "it is a replica now: the primary is looked for again"),
    ("MASTERDOWN", "it is a replica that has lost its primary, which is looked for again"),
];

/// What else they mean in a cluster.
const OF_A_NODE: [Meaning; 5] = [
    ("READONLY", "it is a replica now: the primary is looked for again"),
    ("MOVED", "another node has the relays' keys now: it is looked for"),
    ("ASK", "the relays' keys are on their way to another node: it is used once it has all of them"),
    ("TRYAGAIN", "the relays' keys are on their way to another node: it is used once it has all of them"),
    ("CLUSTERDOWN", "the cluster serves no keys: too many of its nodes are down"),
];

/// What else they mean of a sentinel.
const OF_A_SENTINEL: [Meaning; 3] = [
    ("NOAUTH", "it asks for a password: set state.sentinel_password_file"),
    ("WRONGPASS", "it refuses state.sentinel_username or the sentinels' password, or the user is off"),
    ("called without any password", "it has no password, and state.sentinel_password is set"),
];

/// Why a write does not count that was carried out.
pub(super) const UNCONFIRMED: &str =
    "too few of its replicas have the write (min-replicas-to-write): a failover would lose it";

/// Whether another server may have the keys by now: the name in the URL may lead there, or a search.
pub(super) fn is_elsewhere(kind: Kind, error: &ServerError) -> bool {
    match known(kind, error).map(|(mark, _)| mark) {
        Some("READONLY" | "NOAUTH" | "MASTERDOWN" | "LOADING" | "MOVED" | "CLUSTERDOWN") => true,
        Some("NOREPLICAS") => kind.is_found(),
        _ => false,
    }
}

/// The meaning of a refusal, where it is one that is known. An old Redis puts the code of what a script did behind its own
/// text, or a second dash before it.
fn known(kind: Kind, error: &ServerError) -> Option<Meaning> {
    let (code, details) = (error.code().trim_start_matches('-'), error.details().unwrap_or_default());
    let is_word = |mark: &str| details.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == mark);
    let is_given = |mark: &str| code == mark || if mark.contains(' ') { details.contains(mark) } else { is_word(mark) };
    let of_its_kind: &[Meaning] = match kind {
        Kind::Server => &[],
        Kind::Sentinel => &OF_A_SENTINEL,
        Kind::Primary => &OF_A_PRIMARY,
        Kind::Node => &OF_A_NODE,
    };
    of_its_kind.iter().copied().chain(REFUSALS).find(|(mark, _)| is_given(mark))
}

/// What a reply that is an error means.
pub(super) fn refusal(address: &Address, error: &ServerError) -> String {
    match known(address.kind(), error) {
        Some((phrase, meaning)) if phrase.contains(' ') => return meaning.to_owned(),
        Some((code, meaning)) => return format!("{code}: {meaning}"),
        None => {}
    }
    let details = error.details().unwrap_or_default().split(", with args").next().unwrap_or_default();
    let (code, details) = (address.printable(error.code()), address.printable(details));
    let user = if address.kind() == Kind::Sentinel { "state.sentinel_username" } else { "the user of state.url" };
    match error.code() {
        "NOPERM" => format!("{user} lacks a permission: {details}"),
        _ if details.is_empty() => code,
        _ => format!("{code}: {details}"),
    }
}

/// Why there is no connection, before anything was asked.
pub(super) fn no_connection(address: &Address, error: &RedisError) -> String {
    if let Ok(refused) = ServerError::try_from(error.clone()) {
        return refusal(address, &refused);
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => "it refuses the user or the password".to_owned(),
        ErrorKind::Io | ErrorKind::Client | ErrorKind::InvalidClientConfig => {
            let text = address.printable(&error.to_string());
            let hint = hint(address, &text);
            format!("cannot connect: {text}{hint}")
        }
        _ => no_redis(address),
    }
}

fn no_redis(address: &Address) -> String {
    format!(
        "what answers does not speak Redis's protocol; state.url may need rediss{}:// for TLS",
        address.kind().scheme()
    )
}

fn hint(address: &Address, text: &str) -> String {
    if text.contains("certificate") || text.contains("PEM") {
        let host = if address.kind().is_found() { "its host or address" } else { "the host of state.url" };
        let cas = "the CA certificates are the system's, or those of SSL_CERT_FILE";
        format!("; {cas}, and {host} must be in the server's")
    } else if text.contains("InvalidContentType") {
        without_tls(address)
    } else {
        String::new()
    }
}

fn without_tls(address: &Address) -> String {
    format!("; without TLS, state.url begins with redis{}://", address.kind().scheme())
}

/// Why there is no connection: no answer within `limit`.
pub(super) fn no_answer(address: &Address, limit: Duration) -> String {
    // a server without TLS waits for the end of what it takes for a command
    let hint = if address.way.is_tls { without_tls(address) } else { String::new() };
    format!("no connection within {}{hint}", humantime::format_duration(limit))
}

/// Why a connection that was there is no more.
pub(super) fn connection_lost(address: &Address, error: &RedisError) -> String {
    match error.kind() {
        // "it closed the connection" has no io::Error, and the crate's text for it repeats its kind
        ErrorKind::Io if std::error::Error::source(error).is_some() => {
            format!("the connection was lost: {}", address.printable(&error.to_string()))
        }
        ErrorKind::Io => "the server closed the connection".to_owned(),
        _ => no_redis(address),
    }
}
