//! What is kept of a client's key?

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::values::Invalid;

/// The SHA-256 of a client's key, all that the relay keeps of it. Compared in constant time; `Debug` shows nothing.
#[derive(Clone, Copy)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of a key as it arrives in a header.
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// The digest of a key from the settings, if it is one: 32 to 512 printable ASCII characters without a space, since it
    /// travels in a header, and shorter ones can be guessed.
    pub(super) fn of_key(key: &str) -> Result<Self, Invalid> {
        let fits = (32..=512).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
        let invalid = Invalid("32 to 512 printable ASCII characters without a space (`token-relay keygen` makes one)");
        if fits { Ok(Self::of(key.as_bytes())) } else { Err(invalid) }
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for KeyDigest {
    type Err = Invalid;

    /// Reads 64 hexadecimal digits, of either case.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut digest = [0; 32];
        let invalid = |_| Invalid("64 hexadecimal digits: the SHA-256 of the key (`token-relay keygen` prints it)");
        hex::decode_to_slice(text, &mut digest).map(|()| Self(digest)).map_err(invalid)
    }
}

impl PartialEq for KeyDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyDigest {}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(***)")
    }
}
