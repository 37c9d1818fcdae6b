//! How is one value read, whether it is a TOML value or a string of the environment?

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use config::{Map, Value, ValueKind};
use secrecy::{ExposeSecret, SecretString};

use super::error::SettingsError;
use super::file;
use super::values::Invalid;

/// No time is longer than this, so that sums of times and clocks never overflow.
pub const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A secret's file is at most this many bytes.
const SECRET_FILE_MAX: usize = 64 * 1024;

/// One table of the merged settings, under its dotted path.
pub(super) struct Table<'a> {
    path: String,
    values: Option<&'a Map<String, Value>>,
    /// Where it comes from, if its values do not know it themselves.
    origin: Option<&'a str>,
}

impl<'a> Table<'a> {
    pub(super) fn new(path: String, values: Option<&'a Map<String, Value>>) -> Self {
        Self { path, values, origin: None }
    }

    pub(super) fn from(self, origin: Option<&'a str>) -> Self {
        Self { origin, ..self }
    }

    pub(super) fn entry(&self, name: &str) -> Entry<'a> {
        let value = self.values.and_then(|values| values.get(name));
        Entry { key: format!("{}.{name}", self.path), value, origin: self.origin }
    }

    /// The keys that are set, in their order.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.values.into_iter().flatten().map(|(name, _)| name.as_str()).collect::<BTreeSet<_>>().into_iter()
    }
}

/// One key and what it is set to, if it is.
#[derive(Clone)]
pub(super) struct Entry<'a> {
    key: String,
    value: Option<&'a Value>,
    origin: Option<&'a str>,
}

impl<'a> Entry<'a> {
    /// Without the built-in default.
    pub(super) fn without_default(self) -> Self {
        Self { value: self.value.filter(|value| value.origin().is_some()), ..self }
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn origin(&self) -> Option<&'a str> {
        self.value.and_then(Value::origin).or(self.origin)
    }

    pub(super) fn is_set(&self) -> bool {
        self.value.is_some()
    }

    pub(super) fn kind(&self) -> Option<&'a ValueKind> {
        self.value.map(|value| &value.kind)
    }

    pub(super) fn error(&self, problem: impl Into<String>) -> SettingsError {
        SettingsError::new(&self.key, problem, self.origin())
    }

    /// `None` where it is not set, or set to `""`.
    pub(super) fn optional_text(&self) -> Result<Option<&'a str>, SettingsError> {
        match self.kind() {
            None => Ok(None),
            Some(ValueKind::String(text)) if text.is_empty() => Ok(None),
            Some(ValueKind::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.error("must be a string, in quotes")),
        }
    }

    pub(super) fn text(&self) -> Result<&'a str, SettingsError> {
        let missing = if self.value.is_some() { "must not be empty" } else { "is missing" };
        self.optional_text()?.ok_or_else(|| self.error(missing))
    }

    pub(super) fn parse<T: FromStr<Err: Display>>(&self) -> Result<T, SettingsError> {
        self.text()?.parse().map_err(|e: T::Err| self.error(e.to_string()))
    }

    /// As [`Entry::parse`], and `None` for `""`.
    pub(super) fn optional<T: FromStr<Err = Invalid>>(&self) -> Result<Option<T>, SettingsError> {
        let invalid = |e: Invalid| self.error(format!("{e}, or \"\" to turn it off"));
        self.optional_text()?.map(|text| text.parse().map_err(invalid)).transpose()
    }

    /// At least `least`, at most [`LONGEST`].
    pub(super) fn duration(&self, least: Duration) -> Result<Duration, SettingsError> {
        let shape = r#"must be a time with its unit, such as "300ms", "5s", "10m" or "1h 30m""#;
        let Some(ValueKind::String(text)) = self.kind() else { return Err(self.error(shape)) };
        let time = humantime::parse_duration(text).map_err(|_| self.error(shape))?;
        if time < least {
            return Err(self.error(format!("must be {} or more", humantime::format_duration(least))));
        }
        if time > LONGEST {
            return Err(self.error(format!("must be {} or less", humantime::format_duration(LONGEST))));
        }
        Ok(time)
    }

    pub(super) fn number(&self, bounds: RangeInclusive<u32>) -> Result<u32, SettingsError> {
        let number = match self.kind() {
            Some(ValueKind::I64(number)) => u32::try_from(*number).ok(),
            Some(ValueKind::String(text)) => text.parse().ok(),
            _ => None,
        };
        number
            .filter(|number| bounds.contains(number))
            .ok_or_else(|| self.error(format!("must be a whole number from {} to {}", bounds.start(), bounds.end())))
    }

    pub(super) fn flag(&self) -> Result<bool, SettingsError> {
        let flag = match self.kind() {
            Some(ValueKind::Boolean(flag)) => Some(*flag),
            Some(ValueKind::String(text)) => text.parse().ok(),
            _ => None,
        };
        flag.ok_or_else(|| self.error("must be true or false"))
    }

    /// The items of a list, or of a string at its commas; `None` where it is not set.
    pub(super) fn list(&self) -> Result<Option<Vec<&'a str>>, SettingsError> {
        let items: Vec<&str> = match self.kind() {
            None => return Ok(None),
            Some(ValueKind::String(text)) => text.split(',').map(str::trim).collect(),
            Some(ValueKind::Array(items)) => {
                let text = |item: &'a Value| match &item.kind {
                    ValueKind::String(text) => Ok(text.as_str()),
                    _ => Err(self.error("must be a list of strings")),
                };
                items.iter().map(text).collect::<Result<_, _>>()?
            }
            Some(_) => return Err(self.error("must be a list of strings")),
        };
        if items.is_empty() || items.iter().any(|item| item.is_empty()) {
            return Err(self.error("must not be empty, nor an item of it"));
        }
        Ok(Some(items))
    }

    /// As [`Entry::list`], and none for `[]` and `""`.
    pub(super) fn list_or_empty(&self) -> Result<Vec<&'a str>, SettingsError> {
        match self.kind() {
            Some(ValueKind::String(text)) if text.is_empty() => Ok(Vec::new()),
            Some(ValueKind::Array(items)) if items.is_empty() => Ok(Vec::new()),
            _ => Ok(self.list()?.unwrap_or_default()),
        }
    }

    /// The text of the file that this key names, without its last line end.
    pub(super) fn secret_file(&self, path: &Path) -> Result<SecretString, SettingsError> {
        let refused = |problem: &str| self.error(format!("{} {problem}", shown(path)));
        let unreadable = |e| refused(&format!("cannot be read: {e}"));
        let bytes = file::read(path, SECRET_FILE_MAX).map_err(unreadable)?;
        let text = String::from_utf8(bytes).map_err(|_| refused("is not UTF-8"))?;
        let end = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        if end.is_empty() { Err(refused("is empty")) } else { Ok(end.into()) }
    }
}

pub(super) fn as_table(value: &Value) -> Option<&Map<String, Value>> {
    match &value.kind {
        ValueKind::Table(table) => Some(table),
        _ => None,
    }
}

/// The path, if it is absolute. Anything else may be the secret itself, given in place of its file: half of all base64 keys
/// have a slash somewhere, and a URL has two. One that begins with a slash cannot be distinguished from a path and is shown.
fn shown(path: &Path) -> String {
    if path.is_absolute() { path.display().to_string() } else { "the file that it names".to_owned() }
}

/// A secret and the key that it comes from.
pub(super) struct SecretValue<'a> {
    pub(super) secret: SecretString,
    pub(super) source: Entry<'a>,
}

impl SecretValue<'_> {
    pub(super) fn parse<T: FromStr<Err = Invalid>>(&self) -> Result<T, SettingsError> {
        self.secret.expose_secret().parse().map_err(|e: Invalid| self.source.error(e.to_string()))
    }
}

/// Resolves a secret and its `_file` key: `None` if neither is set.
pub(super) fn value_or_file<'a>(plain: Entry<'a>, file: Entry<'a>) -> Result<Option<SecretValue<'a>>, SettingsError> {
    match (plain.optional_text()?, file.optional_text()?) {
        (None, None) => Ok(None),
        (Some(text), None) => Ok(Some(SecretValue { secret: text.into(), source: plain })),
        (None, Some(path)) => Ok(Some(SecretValue { secret: file.secret_file(path.as_ref())?, source: file })),
        (Some(_), Some(_)) => Err(conflict(&plain, &file)),
    }
}

pub(super) fn conflict(one: &Entry<'_>, other: &Entry<'_>) -> SettingsError {
    let origin = other.origin().map(|origin| format!(" (from {origin})")).unwrap_or_default();
    one.error(format!("give this or {}{origin}, not both", other.key()))
}
