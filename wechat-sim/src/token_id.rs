//! Which token was it, without showing it?

use std::fmt;

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

/// A token or ticket, named by the first 8 bytes of its SHA-256: 16 digits in hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId([u8; 8]);

impl TokenId {
    /// The name of this text.
    pub fn of(token: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(token).into();
        Self(std::array::from_fn(|index| digest[index]))
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl Serialize for TokenId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_named_by_the_front_of_its_sha256() {
        assert_eq!(TokenId::of("abc").to_string(), "ba7816bf8f01cfea");
    }
}
