//! Do the settings say what was meant, and refuse what cannot be meant, without a word of any secret?

#![expect(clippy::unwrap_used, reason = "clippy allows it in tests, but not in what they share")]

mod certificates;
mod given;
mod layers;
mod refused;
mod secrets;
mod shipped;

/// The binary under test.
const RELAY: &str = env!("CARGO_BIN_EXE_token-relay");
