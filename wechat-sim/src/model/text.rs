//! What do WeChat's tokens, tickets and request ids look like?

use fastrand::Rng;

/// A token that looks real: `75_` and 133 to 154 characters of `[A-Za-z0-9_-]`, 136 to 157 in all.
pub(crate) fn token(dice: &mut Rng) -> String {
    let length = dice.usize(133..=154);
    format!("75_{}", random(dice, length))
}

/// A ticket that looks real: 86 characters of the same alphabet.
pub(super) fn ticket(dice: &mut Rng) -> String {
    random(dice, 86)
}

/// A request id: the server's Unix time in seconds and two random groups, each in hex.
pub(crate) fn rid(unix_s: u64, dice: &mut Rng) -> String {
    format!("{unix_s:08x}-{:08x}-{:08x}", dice.u32(..), dice.u32(..))
}

/// Could WeChat have written this token? Its alphabet, and no more than the 512 characters that one must reserve.
pub(super) fn is_well_formed(token: &str) -> bool {
    (1..=512).contains(&token.len()) && token.bytes().all(|byte| ALPHABET.contains(&byte))
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

fn random(dice: &mut Rng, length: usize) -> String {
    (0..length).map(|_| char::from(ALPHABET[dice.usize(..ALPHABET.len())])).collect()
}
