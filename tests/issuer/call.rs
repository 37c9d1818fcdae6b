//! How does a test make one call to WeChat, and what does it expect of it?

use std::time::Duration;

use secrecy::SecretString;
use token_relay::issuer::{
    IssueError, Issuer as _,
    upstream::{HostAddresses, Upstream, UpstreamSettings},
    wechat::{ERRORS, Endpoint, WeChat, WeChatAccount},
};
use wechat_sim::Sim;

pub(crate) const APPID: &str = "wx0123456789abcdef";
pub(crate) const SECRET: &str = "5ec2e7c0ffee5ec2e7c0ffee5ec2e7c0";
pub(crate) const GOOD: &str = r#"{"access_token":"75_good","expires_in":7200}"#;
pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// Longer than any test needs where the time does not matter.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) fn settings(base: &str) -> UpstreamSettings {
    UpstreamSettings {
        base_url: base.parse().unwrap(),
        fallback_base_url: None,
        proxy: None,
        resolve: HostAddresses::default(),
        connect_timeout: LONG,
        timeout: LONG,
    }
}

pub(crate) fn issuer(settings: UpstreamSettings, endpoint: Endpoint) -> WeChat {
    let account =
        WeChatAccount { appid: APPID.to_owned(), secret: SecretString::from(SECRET), endpoint, overlap: LONG };
    WeChat::new(Upstream::new(settings).unwrap(), account)
}

/// Asks once, and makes sure that the outcome tells nothing that it must not.
pub(crate) async fn ask(settings: UpstreamSettings, endpoint: Endpoint) -> Result<(String, u64), IssueError> {
    let outcome = issuer(settings, endpoint).issue(false).await;
    if let Err(error) = &outcome {
        let shown = format!("{error} {error:?} {}", ERRORS.hint(error));
        for hidden in [SECRET, APPID, "access_token=", "secret=", "hunter2"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }
    outcome.map(|issued| (issued.token.expose().to_owned(), issued.life.as_secs()))
}

pub(crate) async fn ask_token(settings: UpstreamSettings) -> Result<(String, u64), IssueError> {
    ask(settings, Endpoint::Token).await
}

pub(crate) fn reply(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

pub(crate) fn not_sent(outcome: Result<(String, u64), IssueError>) -> String {
    match outcome {
        Err(IssueError::NotSent { cause }) => cause.to_string(),
        other => panic!("not a call that was not sent: {other:?}"),
    }
}

pub(crate) fn unknown(outcome: Result<(String, u64), IssueError>) -> String {
    match outcome {
        Err(IssueError::Unknown { cause }) => cause.to_string(),
        other => panic!("not an unknown call: {other:?}"),
    }
}

pub(crate) async fn sim() -> Sim {
    Sim::builder().app(APPID, SECRET).start().await.unwrap()
}
