//! How is a leaked token killed from the command line? By asking the relay that runs here, and waiting until it is done.

use std::{ffi::OsString, fs, path::Path, time::Duration};

use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{
    CommandError, Outcome,
    admin::{Admin, runtime},
};
use crate::settings::Layers;

/// Where the admin key is looked for, if no file is named.
const KEY_VARIABLE: &str = "TOKEN_RELAY_KEY";
/// Two rotations 30 s apart, forced ones 60 s, and some failures in between.
const PATIENCE: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Asks `POST /accounts/NAME/revoke` on the admin listener, then `GET /status` until nothing is left to do.
///
/// # Errors
/// No admin listener, no key, any answer but 202; a revocation that is recorded, and not done within 3 minutes.
pub fn revoke(
    config: Option<&Path>,
    env: impl IntoIterator<Item = (OsString, OsString)>,
    account: &str,
    key_file: Option<&Path>,
) -> Outcome {
    let env: Vec<_> = env.into_iter().collect();
    let key = key(key_file, &env)?;
    let (layers, broken) = Layers::read_what_can_be(config, env);
    let asked = Admin::of(&layers).and_then(|admin| runtime()?.block_on(carry_out(&admin, account, &key)));
    // a leak does not wait until a settings file is mended: the relay runs with those before
    let Some(broken) = broken else { return asked };
    let unread = format!("the settings file cannot be read: {broken}");
    match asked {
        Ok(done) => Ok(format!("{done}{unread}\n")),
        Err(error) => Err(CommandError::Failed(format!("{error}; and {unread}"))),
    }
}

fn key(file: Option<&Path>, env: &[(OsString, OsString)]) -> Result<SecretString, CommandError> {
    let key = if let Some(file) = file {
        fs::read_to_string(file)
            .map_err(|error| CommandError::Failed(format!("cannot read {}: {error}", file.display())))?
    } else {
        let value = env.iter().find(|(name, _)| name == KEY_VARIABLE).and_then(|(_, value)| value.to_str());
        let missing = format!("no admin key: name a file by --key-file, or set {KEY_VARIABLE}");
        value.ok_or(CommandError::Failed(missing))?.to_owned()
    };
    Ok(SecretString::from(key.trim_end_matches(['\r', '\n'])))
}

async fn carry_out(admin: &Admin, account: &str, key: &SecretString) -> Outcome {
    let request = admin.post(&["accounts", account, "revoke"]).bearer_auth(key.expose_secret());
    let answer = admin.send(request).await?;
    if answer.status() != StatusCode::ACCEPTED {
        let status = answer.status();
        let said: Value = serde_json::from_str(&answer.text().await.unwrap_or_default()).unwrap_or_default();
        return Err(admin.failed(format!("{status}: {}", said["detail"].as_str().unwrap_or("no reason given"))));
    }
    match timeout(PATIENCE, done(admin, account)).await {
        Ok(()) => Ok(format!("{account}: every token that was handed out before is dead\n")),
        Err(_elapsed) => Err(admin.failed(format!(
            "the revocation of {account} is recorded and goes on; rotations_to_revoke in GET /status says what is left"
        ))),
    }
}

/// Until no rotation is left. A relay that does not answer meanwhile may be starting again.
async fn done(admin: &Admin, account: &str) {
    while left(admin, account).await != Some(0) {
        sleep(LOOK_EVERY).await;
    }
}

async fn left(admin: &Admin, account: &str) -> Option<u64> {
    let status: Value = serde_json::from_str(&admin.status().await.ok()?).ok()?;
    status["accounts"][account]["rotations_to_revoke"].as_u64()
}
