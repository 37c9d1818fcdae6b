//! What does an error of Redis mean, and what is to be done about it?
//!
//! Text of the server is shown only where it cannot hold what was sent: it quotes the arguments of a command that it
//! does not know, and the crate quotes a reply that it did not expect.

use redis::{ErrorKind, RedisError, ServerError};

use super::{CONNECT_LIMIT, address::Address};

/// A server's refusals: a code, or a phrase where the code is only `ERR`, and what it calls for.
const REFUSALS: [(&str, &str); 18] = [
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
    ("MOVED", "it is a node of a Redis Cluster, which is not supported: use a single server, or a proxy"),
    ("ASK", "it is a node of a Redis Cluster, which is not supported: use a single server, or a proxy"),
    ("CLUSTERDOWN", "it is a node of a Redis Cluster, which is not supported: use a single server, or a proxy"),
    ("max number of clients", "it has as many clients as it takes (maxclients)"),
    ("called without any password", "it has no password, and state.url has one"),
    ("The user executing the script", "the user of state.url lacks a permission: docs/CLUSTER.md lists them"),
    ("DB index is out of range", "it has no database of the number in state.url"),
];

/// The kind of a refusal, where it is one that is known. An old Redis puts the code of what a script did behind its own
/// text, or a second dash before it.
pub(super) fn kind(error: &ServerError) -> Option<&'static str> {
    known(error).map(|(mark, _)| mark)
}

fn known(error: &ServerError) -> Option<(&'static str, &'static str)> {
    let (code, details) = (error.code().trim_start_matches('-'), error.details().unwrap_or_default());
    let is_word = |mark: &str| details.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == mark);
    let is_given = |mark: &str| code == mark || if mark.contains(' ') { details.contains(mark) } else { is_word(mark) };
    REFUSALS.into_iter().find(|(mark, _)| is_given(mark))
}

/// What a reply that is an error means.
pub(super) fn refusal(address: &Address, error: &ServerError) -> String {
    match known(error) {
        Some((phrase, meaning)) if phrase.contains(' ') => return meaning.to_owned(),
        Some((code, meaning)) => return format!("{code}: {meaning}"),
        None => {}
    }
    let details = error.details().unwrap_or_default().split(", with args").next().unwrap_or_default();
    let (code, details) = (address.printable(error.code()), address.printable(details));
    match error.code() {
        "NOPERM" => format!("the user of state.url lacks a permission: {details}"),
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
        ErrorKind::AuthenticationFailed => "it refuses the login of state.url".to_owned(),
        ErrorKind::Io | ErrorKind::Client | ErrorKind::InvalidClientConfig => {
            let text = address.printable(&error.to_string());
            let hint = hint(&text);
            format!("cannot connect: {text}{hint}")
        }
        _ => "what answers does not speak Redis's protocol; state.url may need rediss:// for TLS".to_owned(),
    }
}

fn hint(text: &str) -> &'static str {
    if text.contains("certificate") || text.contains("PEM") {
        "; the CA certificates are the system's, or those of SSL_CERT_FILE, and the host of state.url must be in the server's"
    } else if text.contains("InvalidContentType") {
        "; without TLS, state.url begins with redis://"
    } else {
        ""
    }
}

/// Why there is no connection: no answer within [`CONNECT_LIMIT`].
pub(super) fn no_answer(address: &Address) -> String {
    // a server without TLS waits for the end of what it takes for a command
    let hint =
        if address.shown().starts_with("rediss:") { "; without TLS, state.url begins with redis://" } else { "" };
    format!("no connection within {}{hint}", humantime::format_duration(CONNECT_LIMIT))
}

/// Why a connection that was there is no more.
pub(super) fn connection_lost(address: &Address, error: &RedisError) -> String {
    match error.kind() {
        // "it closed the connection" has no io::Error, and the crate's text for it repeats its kind
        ErrorKind::Io if std::error::Error::source(error).is_some() => {
            format!("the connection was lost: {}", address.printable(&error.to_string()))
        }
        ErrorKind::Io => "the server closed the connection".to_owned(),
        _ => "what answers does not speak Redis's protocol; state.url may need rediss:// for TLS".to_owned(),
    }
}
