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
        AccessToken, Cause, IssueError, Issuer as _, NoVerdict, Verdict, upstream::Upstream,
        wechat::ticket::TicketIssuer,
    },
};
use wechat_sim::{Fault, Kind, Odd, Op, Sim, Times};

use crate::call::{APPID, LONG, reply, settings, sim};

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
    TicketIssuer::new(Upstream::new(settings(base)).unwrap(), kind, account.clone(), LONG)
}

/// A token of the account's, from WeChat.
fn account(sim: &Sim) -> Arc<Account> {
    Account::with(&sim.rotate_outside(APPID, Kind::Rotating).access_token)
}

#[tokio::test]
async fn a_ticket_call_is_one_plain_get_with_the_token_and_the_type() {
    for kind in TicketKind::ALL {
        let server = FakeServer::replying(reply("200 OK", GOOD));
        let account = Account::with("75_a+b/c");
        let issued = issuer(&server.url("http"), kind, &account).issue(false).await.unwrap();
        assert_eq!((issued.token.expose(), issued.life), ("a-ticket", Duration::from_secs(7200)));
        let requests = server.requests();
        let line =
            format!("GET /cgi-bin/ticket/getticket?access_token=75_a%2Bb%2Fc&type={} HTTP/1.1\r\n", kind.label());
        assert!(requests.len() == 1 && requests[0].starts_with(&line), "{requests:?}");
    }
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
