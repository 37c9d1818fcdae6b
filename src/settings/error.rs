//! What is wrong with which key, and where did it come from?

use std::fmt::{self, Write};
use std::path::Path;

/// One problem with the settings: the key, what is wrong with it, and where the value came from.
///
/// No message quotes a value, not even a harmless one: which of them are secrets is not known when a key is unknown, and a
/// secret in the wrong place is the commonest mistake.
#[derive(Clone, PartialEq, Eq)]
pub struct SettingsError {
    key: String,
    problem: String,
    origin: Option<String>,
}

impl SettingsError {
    pub(super) fn new(key: impl Into<String>, problem: impl Into<String>, origin: Option<&str>) -> Self {
        Self { key: key.into(), problem: problem.into(), origin: origin.map(str::to_owned) }
    }

    pub(super) fn file(path: &Path, problem: impl Into<String>, named_by: &str) -> Self {
        Self::new(path.display().to_string(), problem, Some(named_by))
    }

    /// The dotted key that the problem is about, or the path of a settings file that could not be read.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for SettingsError {
    /// One line, whatever is in a key or a path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.origin.as_ref().map(|o| format!(" (from {o})")).unwrap_or_default();
        one_line(&format!("{}: {}{origin}", self.key, self.problem)).chars().try_for_each(|c| f.write_char(c))
    }
}

impl fmt::Debug for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for SettingsError {}

/// Control characters and Unicode's line separators become `?`.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { '?' } else { c }).collect()
}
