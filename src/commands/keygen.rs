//! How is a new client key made?

use super::{CommandError, Outcome};
use crate::settings::KeyDigest;

/// Makes a key of 256 bits from the system's generator and prints it with its hash, as lines of TOML. The prefix lets secret
/// scanners and people recognise it.
///
/// # Errors
/// The system has no random bytes.
pub fn keygen() -> Outcome {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits).map_err(|e| CommandError::Failed(format!("no random bytes: {e}")))?;
    let key = format!("trk_{}", hex::encode(bits));
    let digest = hex::encode(KeyDigest::of(key.as_bytes()).as_bytes());
    Ok(format!(
        "# For the client, as `Authorization: Bearer ...`; it is shown only here.\n\
         key = \"{key}\"\n\
         # For the relay, under [clients.NAME]; it need not be kept secret.\n\
         key_sha256 = \"{digest}\"\n"
    ))
}
