//! How is a ticket asked for, and what becomes of a token that is refused for it?

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::{BoxFuture, ready};
use test_support::FakeServer;
use token_relay::{
    credential::{Generation, TicketKind, Token},
    issuer::{
        AccessToken, Cause, IssueError, Issuer as _, NoVerdict, Platform, Remedy, Verdict,
        ticket::TicketIssuer,
        upstream::Upstream,
        wecom::{WeCom, WeComAgent},
    },
};
use wechat_sim::{Fault, Kind, Odd, Op, Sim, Times};

use crate::call::{APPID, LONG, SECRET, reply, settings, sim};

const GOOD: &str = r#"{"errcode":0,"errmsg":"ok","ticket":"a-ticket","expires_in":7200}"#;

/// The account's token, and which generations of it were reported.
#[derive(Debug, Default)]
struct Account {
    token: Mutex<Option<(Generation, Token)>>,
    refused: Mutex<Vec<Generation>>,
}

impl Account {
    fn with(token: &str) -> Arc<Self> {
        let account = Arc::new(Self::default());
        account.set(7, token);
        account
    }

    fn set(&self, generation: u64, token: &str) {
        *self.token.lock().unwrap() = Some((Generation(generation), Token::try_from(token.to_owned()).unwrap()));
    }

    fn refused(&self) -> Vec<u64> {
        self.refused.lock().unwrap().iter().map(|generation| generation.0).collect()
    }
}

impl AccessToken for Account {
    fn living(&self) -> Option<(Generation, Token)> {
        self.token.lock().unwrap().clone()
    }

    fn until_living(&self) -> BoxFuture<'_, ()> {
        Box::pin(ready(()))
    }

    fn refused(&self, generation: Generation) {
        self.refused.lock().unwrap().push(generation);
    }
}

fn issuer(base: &str, kind: TicketKind, account: &Arc<Account>) -> TicketIssuer {
    issuer_at(Platform::WeChat, base, kind, account)
}

fn issuer_at(platform: Platform, base: &str, kind: TicketKind, account: &Arc<Account>) -> TicketIssuer {
    TicketIssuer::new(Upstream::new(settings(base)).unwrap(), platform, kind, account.clone(), SECRET.into(), LONG)
}

/// A token of the account's, from WeChat.
fn account(sim: &Sim) -> Arc<Account> {
    Account::with(&sim.rotate_outside(APPID, Kind::Rotating).access_token)
}

#[tokio::test]
async fn a_ticket_call_is_one_plain_get_with_the_token_and_the_type() {
    for (platform, kind, target) in [
        (Platform::WeChat, TicketKind::Jsapi, "ticket/getticket?access_token=75_a%2Bb%2Fc&type=jsapi"),
        (Platform::WeChat, TicketKind::WxCard, "ticket/getticket?access_token=75_a%2Bb%2Fc&type=wx_card"),
        (Platform::WeCom, TicketKind::Jsapi, "get_jsapi_ticket?access_token=75_a%2Bb%2Fc"),
        (Platform::WeCom, TicketKind::AgentConfig, "ticket/get?access_token=75_a%2Bb%2Fc&type=agent_config"),
    ] {
        let server = FakeServer::replying(reply("200 OK", GOOD));
        let account = Account::with("75_a+b/c");
        let issued = issuer_at(platform, &server.url("http"), kind, &account).issue(false).await.unwrap();
        assert_eq!((issued.token.expose(), issued.life), ("a-ticket", Duration::from_secs(7200)));
        let requests = server.requests();
        let line = format!("GET /cgi-bin/{target} HTTP/1.1\r\n");
        assert!(requests.len() == 1 && requests[0].starts_with(&line), "{requests:?}");
    }
}

/// No call carries it, but a proxy may know it.
#[tokio::test]
async fn a_refusal_that_names_the_appsecret_is_told_without_it() {
    let text = format!("unauthorized, {SECRET} of 75_a-token");
    let body = format!(r#"{{"errcode":48001,"errmsg":"{text}"}}"#);
    let server = FakeServer::replying(reply("200 OK", &body));
    let issuer = issuer(&server.url("http"), TicketKind::Jsapi, &Account::with("75_a-token"));
    let error = issuer.issue(false).await.unwrap_err().to_string();
    assert!(error.contains("unauthorized, [redacted] of [redacted]"), "{error}");
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let server = FakeServer::replying(reply("200 OK", GOOD));
    let issuer = issuer(&server.url("http"), TicketKind::Jsapi, &Arc::default());
    let error = IssueError::NotSent { cause: Cause::NoAccessToken };
    assert_eq!(issuer.issue(false).await.unwrap_err(), error);
    let ticket = Token::try_from("a-ticket".to_owned()).unwrap();
    assert_eq!(issuer.probe(&ticket).await, Verdict::Inconclusive { cause: NoVerdict::Failed(error) });
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_refused_token_is_reported_by_its_generation_and_any_other_refusal_is_not() {
    let sim = sim().await;
    let account = account(&sim);
    let issuer = issuer(&sim.base_url(), TicketKind::Jsapi, &account);
    for (number, errcode) in [(1, 40001), (2, 40014), (3, 42001), (3, 45009), (3, 48001), (3, 40164), (3, -1)] {
        sim.script(Op::Ticket, [Fault::errcode(errcode)]);
        let error = issuer.issue(false).await.unwrap_err();
        assert_eq!(error.errcode(), Some(errcode));
        assert_eq!(account.refused(), vec![7; number], "{errcode}");
        let token = account.living().unwrap().1;
        assert!(!format!("{error:?} {error}").contains(token.expose()));
    }
    account.set(8, &sim.rotate_outside(APPID, Kind::Rotating).access_token);
    assert!(issuer.issue(false).await.is_ok());
}

#[tokio::test]
async fn no_empty_ticket_is_taken() {
    let sim = sim().await;
    let account = account(&sim);
    let issuer = issuer(&sim.base_url(), TicketKind::WxCard, &account);
    for odd in [Odd::EmptyToken, Odd::NullToken, Odd::NoToken, Odd::NoExpiresIn] {
        sim.fault(Op::Ticket, Fault::Odd(odd), Times::Next(1));
        assert!(matches!(issuer.issue(false).await, Err(IssueError::Unknown { .. })));
    }
    assert!(issuer.issue(false).await.is_ok());
}

#[tokio::test]
async fn a_ticket_is_probed_by_asking_for_it_again() {
    let sim = sim().await;
    let account = account(&sim);
    let issuer = issuer(&sim.base_url(), TicketKind::Jsapi, &account);
    let ticket = issuer.issue(false).await.unwrap().token;
    assert_eq!(issuer.probe(&ticket).await, Verdict::Accepted);
    sim.script(Op::Ticket, [Fault::errcode(40001), Fault::Odd(Odd::EmptyToken)]);
    assert_eq!(issuer.probe(&ticket).await, Verdict::Inconclusive { cause: NoVerdict::Errcode(40001) });
    assert_eq!(account.refused(), [7]);
    assert!(matches!(issuer.probe(&ticket).await, Verdict::Inconclusive { cause: NoVerdict::Failed(_) }));
    assert!(sim.revoke_ticket(ticket.expose()));
    assert_eq!(issuer.probe(&ticket).await, Verdict::Replaced);
    assert_ne!(issuer.issue(false).await.unwrap().token, ticket);
}

const CORP: &str = "ww0123456789abcdef";

/// An agent of the corp in a simulated WeCom, and a token of it.
async fn agent_with_token(sim: &Sim, name: &str) -> Arc<Account> {
    let secret = format!("secret-of-{name}");
    sim.register_agent(CORP, name, &secret);
    let agent = WeComAgent { corpid: CORP.to_owned(), secret: secret.into() };
    let wecom = WeCom::new(Upstream::new(settings(&sim.base_url())).unwrap(), agent);
    Account::with(wecom.issue(false).await.unwrap().token.expose())
}

#[tokio::test]
async fn wecom_gives_one_ticket_to_the_corp_and_another_to_each_agent_until_it_ends() {
    let sim = sim().await;
    let (crm, hr) = (agent_with_token(&sim, "crm").await, agent_with_token(&sim, "hr").await);
    let of = |kind, account| issuer_at(Platform::WeCom, &sim.base_url(), kind, account);
    let (jsapi, agent_config) = (of(TicketKind::Jsapi, &crm), of(TicketKind::AgentConfig, &crm));
    let (corps, crms) = (jsapi.issue(false).await.unwrap().token, agent_config.issue(false).await.unwrap().token);
    assert_eq!(of(TicketKind::Jsapi, &hr).issue(false).await.unwrap().token, corps);
    let hrs = of(TicketKind::AgentConfig, &hr).issue(false).await.unwrap().token;
    assert!(crms != corps && hrs != corps && crms != hrs);
    for (issuer, ticket) in [(&jsapi, &corps), (&agent_config, &crms)] {
        assert_eq!(issuer.probe(ticket).await, Verdict::Accepted);
        assert!(sim.revoke_ticket(ticket.expose()));
        assert_eq!(issuer.probe(ticket).await, Verdict::Replaced);
    }
}

#[tokio::test]
async fn at_wecom_40001_is_no_bad_token_and_too_many_tickets_call_for_a_wait() {
    let sim = sim().await;
    let account = agent_with_token(&sim, "crm").await;
    let issuer = issuer_at(Platform::WeCom, &sim.base_url(), TicketKind::AgentConfig, &account);
    for (number, errcode) in [(0, 40001), (1, 40014), (2, 42001), (2, 45009), (2, 48002), (2, 60020), (2, -1)] {
        sim.script(Op::WecomTicket, [Fault::errcode(errcode)]);
        assert_eq!(issuer.issue(false).await.unwrap_err().errcode(), Some(errcode));
        assert_eq!(account.refused(), vec![7; number], "{errcode}");
    }
    sim.change_rules(|rules| rules.wecom_agent_tickets_per_hour = 2);
    assert!(issuer.issue(false).await.is_ok());
    assert!(issuer.issue(false).await.is_ok());
    let error = issuer.issue(false).await.unwrap_err();
    assert_eq!(error.errcode(), Some(45009));
    let errors = issuer.profile().errors;
    assert_eq!(errors.remedy(&error), Remedy::Wait(Duration::from_secs(600)));
    assert!(errors.describe(&error).starts_with("WeCom answered errcode 45009"));
    let jsapi = issuer_at(Platform::WeCom, &sim.base_url(), TicketKind::Jsapi, &account);
    assert!(jsapi.issue(false).await.is_ok(), "the corp's ticket is counted apart");
}
