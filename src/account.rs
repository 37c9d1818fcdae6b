//! What may an account be called? (A placeholder until the settings land.)
use std::{fmt, str::FromStr, sync::Arc};

/// A local name: `[a-z0-9]+(_[a-z0-9]+)*`, at most 32 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(Arc<str>);
impl FromStr for AccountName {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Ok(Self(s.into()))
    }
}
impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::borrow::Borrow<str> for AccountName {
    fn borrow(&self) -> &str {
        &self.0
    }
}
impl AccountName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
