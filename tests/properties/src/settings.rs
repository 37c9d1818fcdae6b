//! May any text be the settings file, with any environment? It is accepted, or refused in one line, and no secret is shown.

use std::{ffi::OsString, io::Write};

use tempfile::NamedTempFile;
use token_relay::settings::{Layers, Settings};
use toml::{Table, Value};

/// A part of every secret in the seeds.
const CANARY: &str = "canary8f3a";
/// The keys whose value is a secret, or a URL with one.
const SECRETS: [&str; 7] = ["secret", "key", "keys", "proxy", "url", "sentinel_password", "key_sha256"];
/// Between file and variables.
const BORDER: &str = "\n%%\n";

/// Takes the text before the first line `%%` for the settings file, and each line after it for `VARIABLE=value`. Returns whether the
/// settings are accepted.
///
/// # Panics
/// The property does not hold.
pub fn holds(text: &[u8]) -> bool {
    let shown = String::from_utf8_lossy(text);
    let (file, variables) = shown.split_once(BORDER).unwrap_or((&shown, ""));
    let mut written = NamedTempFile::new().expect("a file");
    let file_bytes = if variables.is_empty() { text } else { file.as_bytes() };
    written.write_all(file_bytes).expect("to write it");
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let variables = variables.filter(|(name, _)| !name.is_empty() && !name.contains('\0'));
    let env: Vec<(OsString, OsString)> = variables.clone().map(|(name, value)| (name.into(), value.into())).collect();
    let may_be_shown = names_the_canary(file) || variables.clone().any(|(name, value)| is_open(name, value));
    let (said, is_good) = said(&written, env);
    assert!(may_be_shown || !said.contains(CANARY), "{said}");
    is_good
}

/// All that is shown of the settings, and whether they are accepted.
fn said(file: &NamedTempFile, env: Vec<(OsString, OsString)>) -> (String, bool) {
    let layers = match Layers::read(Some(file.path()), env) {
        Ok(layers) => layers,
        Err(error) => return (one_line(&error.to_string()), false),
    };
    let debugged = format!("{layers:?}");
    match Settings::from_layers(&layers) {
        Err(error) => (debugged + &one_line(&error.to_string()), false),
        Ok(settings) => {
            let redacted = layers.redacted(&settings);
            redacted.parse::<Table>().expect("the redacted settings are TOML");
            (format!("{debugged}{settings:?}{redacted}"), true)
        }
    }
}

fn one_line(error: &str) -> String {
    assert!(!error.is_empty() && !error.contains(char::is_control), "{error:?}");
    error.to_owned()
}

/// Whether the canary is in the file where no secret belongs. A text that is no TOML is never quoted.
fn names_the_canary(file: &str) -> bool {
    file.parse::<Table>().is_ok_and(|table| is_named_in(&Value::Table(table), false))
}

fn is_named_in(value: &Value, is_secret: bool) -> bool {
    match value {
        Value::Table(table) => table
            .iter()
            .any(|(name, value)| name.contains(CANARY) || is_named_in(value, SECRETS.contains(&name.as_str()))),
        Value::Array(items) => items.iter().any(|item| is_named_in(item, is_secret)),
        Value::String(text) => text.contains(CANARY) && !(is_secret && is_hidden(text)),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => false,
    }
}

fn is_open(name: &str, value: &str) -> bool {
    let key = name.rsplit("__").next().unwrap_or_default().to_lowercase();
    name.to_lowercase().contains(CANARY)
        || value.contains(CANARY) && !(SECRETS.contains(&key.as_str()) && is_hidden(value))
}

/// Whether the canary is in a part that is not shown. Of a URL the host is shown.
fn is_hidden(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return true };
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    !host.contains(CANARY)
}
