//! How is a client's key written?

use std::str::FromStr;

use super::values::Invalid;
use crate::relay_key::KeyDigest;

/// The digest of `key`, if it is one: 32 to 512 printable ASCII characters without a space, since it travels in a header, and
/// shorter ones can be guessed.
pub(super) fn digest_of(key: &str) -> Result<KeyDigest, Invalid> {
    let fits = (32..=512).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    let invalid = Invalid("32 to 512 printable ASCII characters without a space (`token-relay keygen` makes one)");
    if fits { Ok(KeyDigest::of(key.as_bytes())) } else { Err(invalid) }
}

impl FromStr for KeyDigest {
    type Err = Invalid;

    /// Reads 64 hexadecimal digits, of either case.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut digest = [0; 32];
        let invalid = |_| Invalid("64 hexadecimal digits: the SHA-256 of the key (`token-relay keygen` prints it)");
        hex::decode_to_slice(text, &mut digest).map(|()| Self::from_bytes(digest)).map_err(invalid)
    }
}
