//! What is kept of a relay key, and may it stand in a URL?

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The SHA-256 of a secret that is only ever compared: a client's key, or an AppSecret that clients may present. Compared in
/// constant time; `Debug` shows nothing.
#[derive(Clone, Copy)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of a key as it arrives in a request.
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// The digest with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The same as four numbers: subtle calls a function for each that it compares, and 32 calls take a hundredth of a read.
    fn words(&self) -> [u64; 4] {
        let (words, _) = self.0.as_chunks();
        std::array::from_fn(|at| u64::from_ne_bytes(words[at]))
    }

    /// The first bytes, which tell nothing of a key of 256 bits: what a map may be keyed by.
    pub(crate) fn prefix(&self) -> [u8; 8] {
        let (prefix, _) = self.0.split_first_chunk().expect("32 bytes begin with 8");
        *prefix
    }
}

impl PartialEq for KeyDigest {
    fn eq(&self, other: &Self) -> bool {
        self.words().ct_eq(&other.words()).into()
    }
}

impl Eq for KeyDigest {}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(***)")
    }
}

/// Whether drop-in routes take `key`: letters, digits, `_` and `-`. Several SDKs put a secret into a URL as it is, so any other
/// character would arrive as something else, or not at all.
pub fn fits_urls(key: &str) -> bool {
    key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}
