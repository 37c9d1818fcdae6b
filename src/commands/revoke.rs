//! How is a leaked token killed from the command line? By asking the relay that runs here, and waiting until it is done.

use std::{ffi::OsString, fs, net::SocketAddr, path::Path, time::Duration};

use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{CommandError, Outcome};
use crate::settings::Layers;

/// Where the admin key is looked for, if no file is named.
const KEY_VARIABLE: &str = "TOKEN_RELAY_KEY";
/// Of one request. The relay answers within 10 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
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
    let layers = Layers::read(config, env)?;
    let Some(address) = layers.own_admin_address() else {
        return Err(CommandError::Failed("the relay has no admin listener: server.admin_listen is empty".to_owned()));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CommandError::Failed(error.to_string()))?;
    runtime.block_on(carry_out(address, account, &key))
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

#[expect(clippy::disallowed_methods, reason = "it asks the relay that runs here, and not WeChat")]
async fn carry_out(address: SocketAddr, account: &str, key: &SecretString) -> Outcome {
    let failed = |reason: String| CommandError::Failed(format!("{address}: {reason}"));
    crate::tls::install_provider();
    let client = Client::builder().no_proxy().timeout(REQUEST_TIMEOUT).build();
    let client = client.map_err(|error| failed(error.to_string()))?;
    let mut url = reqwest::Url::parse(&format!("http://{address}")).map_err(|error| failed(error.to_string()))?;
    url.path_segments_mut().expect("http has a path").extend(["accounts", account, "revoke"]);
    let answer = client.post(url).bearer_auth(key.expose_secret()).send().await;
    let answer = answer.map_err(|error| failed(error.without_url().to_string()))?;
    if answer.status() != StatusCode::ACCEPTED {
        let status = answer.status();
        let said = json(answer).await.unwrap_or_default();
        return Err(failed(format!("{status}: {}", said["detail"].as_str().unwrap_or("no reason given"))));
    }
    match timeout(PATIENCE, done(&client, address, account)).await {
        Ok(()) => Ok(format!("{account}: every token that was handed out before is dead\n")),
        Err(_elapsed) => Err(failed(format!(
            "the revocation of {account} is recorded and goes on; rotations_to_revoke in GET /status says what is left"
        ))),
    }
}

/// Until no rotation is left. A relay that does not answer meanwhile may be starting again.
async fn done(client: &Client, address: SocketAddr, account: &str) {
    loop {
        if left(client, address, account).await == Some(0) {
            return;
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn left(client: &Client, address: SocketAddr, account: &str) -> Option<u64> {
    let status = json(client.get(format!("http://{address}/status")).send().await.ok()?).await?;
    status["accounts"][account]["rotations_to_revoke"].as_u64()
}

async fn json(answer: Response) -> Option<Value> {
    serde_json::from_slice(&answer.bytes().await.ok()?).ok()
}
