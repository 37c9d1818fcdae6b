//! When is the fallback host asked?

use test_support::{ClosedPort, FakeServer};
use token_relay::{
    credential::Token,
    issuer::{
        IssueError, Verdict,
        upstream::UpstreamSettings,
        wechat::{ERRORS, Endpoint},
    },
};
use wechat_sim::{Fault, Op, Times};

use crate::{
    call::{GOOD, SECOND, ask, ask_token, issuer, not_sent, reply, settings, sim, unknown},
    probe::verdict,
};

pub(crate) fn with_fallback(base: &str, fallback: &str) -> UpstreamSettings {
    UpstreamSettings { fallback_base_url: Some(fallback.parse().unwrap()), ..settings(base) }
}

#[tokio::test]
async fn the_fallback_host_is_asked_within_the_same_call_when_the_first_cannot_be_connected() {
    let (sim, refused) = (sim().await, ClosedPort::bind());
    for endpoint in Endpoint::ALL {
        assert!(ask(with_fallback(&refused.url(), &sim.base_url()), endpoint).await.is_ok());
    }
    assert!(ask_token(with_fallback("http://wechat.invalid", &sim.base_url())).await.is_ok());
    let token = Token::try_from("75_unknown".to_owned()).unwrap();
    let wechat = issuer(with_fallback(&refused.url(), &sim.base_url()), Endpoint::Token);
    assert!(matches!(verdict(&wechat, &token).await, Verdict::Refused { .. }));
    let reason = not_sent(ask_token(with_fallback(&refused.url(), "http://wechat.invalid")).await);
    assert!(reason.contains("127.0.0.1: ") && reason.contains("; wechat.invalid: "), "{reason}");
}

#[tokio::test]
async fn the_fallback_host_is_not_asked_when_the_first_may_have_heard() {
    let (sim, fallback) = (sim().await, FakeServer::replying(reply("200 OK", GOOD)));
    sim.script(Op::Token, [Fault::Status(502), Fault::Reset, Fault::Close, Fault::Truncated, Fault::Empty]);
    for _ in 0..5 {
        unknown(ask_token(with_fallback(&sim.base_url(), &fallback.url("http"))).await);
    }
    sim.fault(Op::Token, Fault::errcode(-1), Times::Next(1));
    assert!(matches!(
        ask_token(with_fallback(&sim.base_url(), &fallback.url("http"))).await,
        Err(IssueError::Refused { errcode: -1, .. })
    ));
    assert!(fallback.requests().is_empty());
}

/// Half of the time is over, and the call may have minted: a second one would end its token.
#[tokio::test]
async fn the_fallback_host_is_not_asked_when_the_first_is_slow() {
    let (sim, fallback) = (sim().await, FakeServer::replying(reply("200 OK", GOOD)));
    sim.fault(Op::Token, Fault::Slow(SECOND * 6 / 10), Times::Always);
    let in_time = UpstreamSettings { timeout: SECOND, ..with_fallback(&sim.base_url(), &fallback.url("http")) };
    assert!(ask_token(in_time).await.is_ok());
    sim.clear_faults();
    sim.fault(Op::Token, Fault::Hang, Times::Always);
    let never = UpstreamSettings { timeout: SECOND, ..with_fallback(&sim.base_url(), &fallback.url("http")) };
    unknown(ask_token(never).await);
    assert!(fallback.requests().is_empty());
}

/// Half of the time is the second host's: the first one takes the connection and no more.
#[tokio::test]
async fn the_fallback_host_has_half_of_the_time() {
    let sim = sim().await;
    let silent = FakeServer::silent().url("https");
    let settings = UpstreamSettings { timeout: SECOND, ..with_fallback(&silent, &sim.base_url()) };
    assert!(ask_token(settings).await.is_ok());
}

#[tokio::test]
async fn a_relay_that_answers_in_wechats_place_has_called_nothing_so_the_fallback_host_is_asked() {
    let answer =
        |head: &str| FakeServer::replying(reply(head, r#"{"errcode":-1,"errmsg":"the relay's upstream is a relay"}"#));
    let (sim, relay) = (sim().await, answer("508 Loop Detected\r\nToken-Relay-Hop: 1"));
    let alone = ask_token(settings(&relay.url("http"))).await;
    assert!(ERRORS.hint(alone.as_ref().unwrap_err()).contains("wechat.resolve"));
    assert_eq!(not_sent(alone), "a relay answered in the platform's place");
    assert!(ask_token(with_fallback(&relay.url("http"), &sim.base_url())).await.is_ok());
    let marked = |request: &String| request.to_ascii_lowercase().contains("\r\ntoken-relay-hop: 1\r\n");
    assert!(relay.requests().iter().all(marked), "{:?}", relay.requests());
    // without the mark anybody may have answered, and with another status the mark may be an echo
    for head in ["508 Loop Detected", "200 OK\r\nToken-Relay-Hop: 1"] {
        let other = answer(head);
        let outcome = ask_token(with_fallback(&other.url("http"), &sim.base_url())).await;
        assert!(matches!(outcome, Err(IssueError::Refused { errcode: -1, .. })), "{head}: {outcome:?}");
    }
    assert_eq!(sim.calls(Op::Token).len(), 1);
}
