//! What does a probe say of a token, and when does it say nothing?

use token_relay::{
    credential::Token,
    issuer::{
        Issuer as _, Verdict,
        wechat::{Endpoint, WeChat},
    },
};
use wechat_sim::{Fault, Op, Times};

use crate::call::{LONG, issuer, settings, sim};

/// What WeChat says of a token, asked again where a busy machine took the 3 s of a probe.
pub(crate) async fn verdict(wechat: &WeChat, token: &Token) -> Verdict {
    let mut told = wechat.probe(token).await;
    for _ in 0..5 {
        if !matches!(told, Verdict::Inconclusive { .. }) {
            break;
        }
        told = wechat.probe(token).await;
    }
    told
}

#[tokio::test]
async fn a_probe_that_is_not_answered_within_3_s_or_not_clearly_says_nothing() {
    let sim = sim().await;
    let wechat = issuer(settings(&sim.base_url()), Endpoint::Token);
    let token = wechat.issue(false).await.unwrap().token;
    for fault in [
        Fault::Hang,
        Fault::Reset,
        Fault::Status(502),
        Fault::Empty,
        Fault::Truncated,
        Fault::errcode(-1),
        Fault::errcode(45009),
        Fault::errcode(48001),
        Fault::errcode(41001),
    ] {
        sim.fault(Op::Api, fault.clone(), Times::Next(1));
        let verdict = tokio::time::timeout(LONG, wechat.probe(&token)).await.expect("3 s, not the call's 60");
        let Verdict::Inconclusive { cause } = verdict else { panic!("{fault:?}: {verdict:?}") };
        let reason = cause.to_string();
        assert!(!reason.contains(token.expose()) && !reason.contains("access_token"), "{reason}");
    }
    sim.fault(Op::Api, Fault::FalseRefusal, Times::Always);
    assert_eq!(verdict(&wechat, &token).await, Verdict::Refused { errcode: 40001 });
    sim.clear_faults();
    assert_eq!(verdict(&wechat, &token).await, Verdict::Accepted);
}
