//! Which failures prove that nothing was sent?

use std::time::Duration;

use test_support::{ClosedPort, FakeServer};
use token_relay::issuer::{Cause, IssueError, upstream::UpstreamSettings};

use crate::call::{ask_token, not_sent, reply, settings};

#[tokio::test]
async fn what_fails_before_the_first_byte_was_not_sent() {
    let refused = ClosedPort::bind();
    let outcome = ask_token(settings(&refused.url())).await;
    assert!(
        matches!(outcome, Err(IssueError::NotSent { cause: Cause::Network { .. } })),
        "no certificate is to blame: {outcome:?}"
    );
    assert!(not_sent(outcome).contains("refused"));
    assert!(not_sent(ask_token(settings("http://wechat.invalid")).await).contains("dns error"));
    let plain = FakeServer::replying(reply("400 Bad Request", "no TLS here"));
    not_sent(ask_token(settings(&plain.url("https"))).await);
    let closing = FakeServer::closing();
    not_sent(ask_token(settings(&closing.url("https"))).await);
}

#[tokio::test]
async fn a_connection_that_is_never_made_was_not_sent_whichever_time_runs_out() {
    // TCP connects and TLS never answers: the request has not begun.
    let silent = FakeServer::silent().url("https");
    let connect = UpstreamSettings { connect_timeout: Duration::from_millis(200), ..settings(&silent) };
    assert!(not_sent(ask_token(connect).await).contains("timed out"));
    let whole = UpstreamSettings { timeout: Duration::from_millis(200), ..settings(&silent) };
    assert_eq!(not_sent(ask_token(whole).await), "no connection within 200ms");
    let both = UpstreamSettings {
        connect_timeout: Duration::from_millis(200),
        timeout: Duration::from_millis(300),
        fallback_base_url: Some(silent.parse().unwrap()),
        ..settings(&silent)
    };
    assert_eq!(not_sent(ask_token(both).await), "no connection within 300ms", "the rest of the time is the fallback's");
}
