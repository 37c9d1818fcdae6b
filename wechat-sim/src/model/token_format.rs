//! What do WeChat's tokens, tickets and request ids look like?

use fastrand::Rng;

/// A token that looks real: `75_` and 133 to 154 characters of `[A-Za-z0-9_-]`, 136 to 157 in all.
pub(crate) fn token(rng: &mut Rng) -> String {
    let length = rng.usize(133..=154);
    format!("75_{}", random(rng, length))
}

/// A ticket that looks real: 86 characters of the same alphabet.
pub(super) fn ticket(rng: &mut Rng) -> String {
    random(rng, 86)
}

/// A request id: the server's Unix time in seconds and two random groups, each in hex.
pub(crate) fn rid(unix_s: u64, rng: &mut Rng) -> String {
    format!("{unix_s:08x}-{:08x}-{:08x}", rng.u32(..), rng.u32(..))
}

/// Could WeChat have written this token? Its alphabet, and no more than the 512 characters that one must reserve.
pub(super) fn is_well_formed(token: &str) -> bool {
    (1..=512).contains(&token.len()) && token.bytes().all(|byte| ALPHABET.contains(&byte))
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

fn random(rng: &mut Rng, length: usize) -> String {
    (0..length).map(|_| char::from(ALPHABET[rng.usize(..ALPHABET.len())])).collect()
}
