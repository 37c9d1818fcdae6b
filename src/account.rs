//! What may an account or a client be called?

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name in characters: names are labels of metrics and parts of file names.
pub const NAME_MAX: usize = 32;

/// Why a name was refused. It never repeats the name, which may be a secret pasted into the wrong place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No character at all.
    #[error("a name must not be empty")]
    Empty,
    /// More than [`NAME_MAX`] characters.
    #[error("a name has at most {NAME_MAX} characters")]
    TooLong,
    /// Not of the shape `[a-z0-9]+(_[a-z0-9]+)*`.
    #[error("a name is lower-case letters and digits, with single underscores between them")]
    Shape,
}

/// Lower case only: the environment cannot tell case. No double underscore: it separates levels there.
fn validate(name: &str) -> Result<(), NameError> {
    let word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    match name {
        "" => Err(NameError::Empty),
        _ if !name.split('_').all(word) => Err(NameError::Shape),
        _ if name.len() > NAME_MAX => Err(NameError::TooLong),
        _ => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, NameError> {
                validate(name).map(|()| Self(name.into()))
            }
        }

        impl TryFrom<&str> for $name {
            type Error = NameError;

            fn try_from(name: &str) -> Result<Self, NameError> {
                name.parse()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// The local name of one WeChat app: `[a-z0-9]+(_[a-z0-9]+)*`, at most [`NAME_MAX`] characters. Cloning bumps a reference count.
    AccountName
}

name! {
    /// The local name of an internal service with a relay key: the same shape as an [`AccountName`].
    ClientName
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_lower_case_words_joined_by_single_underscores() {
        for name in ["a", "0", "main", "shop_2", "a_b_c", &"x".repeat(NAME_MAX)] {
            assert_eq!(name.parse::<AccountName>().unwrap().as_str(), name);
            assert_eq!(ClientName::try_from(name).unwrap().to_string(), name);
        }
        for name in ["Main", "_a", "a_", "a__b", "a-b", "a.b", "a b", "ä", "主", "a\n", "\0"] {
            assert_eq!(name.parse::<AccountName>(), Err(NameError::Shape), "{name:?}");
        }
        assert_eq!("".parse::<ClientName>(), Err(NameError::Empty));
        assert_eq!("x".repeat(NAME_MAX + 1).parse::<ClientName>(), Err(NameError::TooLong));
    }
}
