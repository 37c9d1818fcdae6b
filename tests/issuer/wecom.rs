//! What does the issuer of WeCom send, and what does it make of WeCom's answers?

use secrecy::SecretString;
use test_support::FakeServer;
use token_relay::issuer::{
    IssueError, Issuer as _, Verdict,
    upstream::Upstream,
    wecom::{ERRORS, WeCom, WeComAgent},
};
use wechat_sim::{Fault, Op, Sim, Times};

use crate::call::{LONG, SECOND, SECRET, reply, settings};

const CORP: &str = "ww0123456789abcdef";
const AGENT: &str = "ww0123456789abcdef/1000002";

fn issuer(base_url: &str, secret: &str) -> WeCom {
    let agent = WeComAgent { corpid: CORP.to_owned(), secret: SecretString::from(secret) };
    WeCom::new(Upstream::new(settings(base_url)).unwrap(), agent)
}

async fn sim() -> Sim {
    Sim::builder().agent(CORP, "1000002", SECRET).start().await.unwrap()
}

/// The verdict, asked for again where a busy machine took the 3 s of a probe.
async fn verdict(wecom: &WeCom, token: &token_relay::credential::Token) -> Verdict {
    let mut told = wecom.probe(token).await;
    for _ in 0..5 {
        if !matches!(told, Verdict::Inconclusive { .. }) {
            break;
        }
        told = wecom.probe(token).await;
    }
    told
}

#[tokio::test]
async fn a_call_is_one_plain_get_with_its_values_encoded() {
    let good = r#"{"errcode":0,"errmsg":"ok","access_token":"a-token_of_wecom","expires_in":7200}"#;
    let server = FakeServer::replying(reply("200 OK", good));
    let issued = issuer(&(server.url("http") + "/prefix"), "a+b/c=d%20é#?").issue(true).await.unwrap();
    assert_eq!((issued.token.expose(), issued.life), ("a-token_of_wecom", 7200 * SECOND));
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    let line =
        "GET /prefix/cgi-bin/gettoken?corpid=ww0123456789abcdef&corpsecret=a%2Bb%2Fc%3Dd%2520%C3%A9%23%3F HTTP/1.1\r\n";
    assert!(requests[0].starts_with(line), "{requests:?}");
}

#[tokio::test]
async fn the_same_token_comes_back_until_it_is_revoked_and_a_probe_tells_which_is_dead() {
    let sim = sim().await;
    let wecom = issuer(&sim.base_url(), SECRET);
    let first = wecom.issue(false).await.unwrap().token;
    assert_eq!(wecom.issue(false).await.unwrap().token, first);
    assert_eq!(verdict(&wecom, &first).await, Verdict::Accepted);
    assert!(sim.revoke_agent(AGENT));
    assert_eq!(verdict(&wecom, &first).await, Verdict::Refused { errcode: 40014 });
    let second = wecom.issue(false).await.unwrap().token;
    assert!(second != first && sim.agent_mints(AGENT) == 2);
    assert_eq!(verdict(&wecom, &second).await, Verdict::Accepted);
    sim.change_rules(|rules| rules.wecom_lifetime = SECOND);
    assert!(sim.revoke_agent(AGENT));
    let third = wecom.issue(false).await.unwrap();
    assert_eq!(third.life, SECOND);
    test_support::eventually("it expires", async || sim.alive_for(third.token.expose()).is_none()).await;
    assert_eq!(verdict(&wecom, &third.token).await, Verdict::Refused { errcode: 42001 });
}

#[tokio::test]
async fn a_probe_that_is_not_clearly_answered_says_nothing() {
    let sim = sim().await;
    let wecom = issuer(&sim.base_url(), SECRET);
    let token = wecom.issue(false).await.unwrap().token;
    for fault in [Fault::errcode(40001), Fault::errcode(-1), Fault::errcode(60020), Fault::Status(502), Fault::Empty] {
        sim.fault(Op::Api, fault.clone(), Times::Next(1));
        let verdict = tokio::time::timeout(LONG, wecom.probe(&token)).await.unwrap();
        assert!(matches!(verdict, Verdict::Inconclusive { .. }), "{fault:?}: {verdict:?}");
    }
}

#[tokio::test]
async fn every_refusal_has_wecoms_code_and_tells_no_secret() {
    let sim = sim().await;
    let refused = async |secret: &str| match issuer(&sim.base_url(), secret).issue(false).await {
        Err(error @ IssueError::Refused { .. }) => {
            let shown = format!("{error} {error:?} {}", ERRORS.hint(&error));
            assert!(!shown.contains(SECRET) && !shown.contains(CORP), "{shown}");
            error
        }
        other => panic!("not refused: {other:?}"),
    };
    for _ in 0..5 {
        let error = refused("wrong").await;
        assert_eq!(error.errcode(), Some(40001));
        assert!(ERRORS.hint(&error).contains("Secret"), "{}", ERRORS.hint(&error));
    }
    assert_eq!(refused(SECRET).await.errcode(), Some(45009), "this address is banned");
    sim.lift_bans();
    sim.fault(Op::WecomToken, Fault::errcode(60020), Times::Next(1));
    let hint = ERRORS.hint(&refused(SECRET).await).into_owned();
    assert!(hint.starts_with("127.0.0.1 is not on the IP whitelist"), "{hint}");
    let echo = format!("your secret {SECRET} of {CORP} is wrong");
    sim.fault(Op::WecomToken, Fault::Errcode { code: 40091, message: Some(echo) }, Times::Next(1));
    assert!(refused(SECRET).await.to_string().contains("your secret [redacted] of [redacted] is wrong"));
    assert!(!format!("{:?}", issuer(&sim.base_url(), SECRET)).contains(SECRET));
}
