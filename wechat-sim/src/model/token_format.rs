//! What do WeChat's tokens, tickets and request ids look like?

use fastrand::Rng;

/// A token that looks real: `75_` and 133 to 154 characters of `[A-Za-z0-9_-]`, 136 to 157 in all.
pub(crate) fn token(rng: &mut Rng) -> String {
    let length = rng.usize(133..=154);
    format!("75_{}", random(rng, length))
}

/// The length of an agent's token. All other tokens are shorter, so the length shows whose a token is.
pub(super) const WECOM_LENGTH: usize = 214;

/// An agent's token that looks real.
pub(super) fn wecom_token(rng: &mut Rng) -> String {
    random(rng, WECOM_LENGTH)
}

/// A ticket that looks real: 86 characters of the same alphabet.
pub(super) fn ticket(rng: &mut Rng) -> String {
    random(rng, 86)
}

/// A login code that looks real: 32 characters, the first a digit.
pub(super) fn code(rng: &mut Rng) -> String {
    format!("0{}", random(rng, 31))
}

/// The id of a file: 64 characters of the same alphabet.
pub(super) fn media_id(rng: &mut Rng) -> String {
    random(rng, 64)
}

/// A user's id that looks real: an `o` and 27 characters.
pub(super) fn openid(rng: &mut Rng) -> String {
    format!("o{}", random(rng, 27))
}

/// 16 bytes in Base64. Its last character carries 4 bits only, and `A` has none.
pub(super) fn session_key(rng: &mut Rng) -> String {
    const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let front: String = (0..21).map(|_| char::from(BASE64[rng.usize(..BASE64.len())])).collect();
    format!("{front}A==")
}

/// A request id: the server's Unix time in seconds and two random groups, each in hex.
pub(crate) fn rid(unix_s: u64, rng: &mut Rng) -> String {
    format!("{unix_s:08x}-{:08x}-{:08x}", rng.u32(..), rng.u32(..))
}

/// The hint in WeCom's error texts: the server's Unix time in seconds and 15 random digits.
pub(super) fn hint(unix_s: u64, rng: &mut Rng) -> String {
    format!("{unix_s}{:015}", rng.u64(..1_000_000_000_000_000))
}

/// Could WeChat have written this token? Its alphabet, and no more than the 512 characters that one must reserve.
pub(super) fn is_well_formed(token: &str) -> bool {
    (1..=512).contains(&token.len()) && token.bytes().all(|byte| ALPHABET.contains(&byte))
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

fn random(rng: &mut Rng, length: usize) -> String {
    (0..length).map(|_| char::from(ALPHABET[rng.usize(..ALPHABET.len())])).collect()
}
