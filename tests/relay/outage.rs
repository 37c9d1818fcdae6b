//! What do clients get while WeChat fails, in every way it can?

use std::time::Duration;

use wechat_sim::{Fault, Odd, Op, Plan, Sim, Times};

use crate::{
    attempts::Attempts,
    ledger::Ledger,
    world::{World, eventually},
};

const OFTEN: Duration = Duration::from_millis(100);

/// Every broken reply. Each may come after WeChat has minted a token, or before.
fn broken_replies() -> Vec<Plan> {
    let faults = [
        Fault::Hang,
        Fault::Reset,
        Fault::Close,
        Fault::Truncated,
        Fault::Empty,
        Fault::Status(500),
        Fault::Status(502),
        Fault::Status(504),
        Fault::Huge(70_000),
        Fault::Body(b"<html>502 Bad Gateway</html>".to_vec()),
        Fault::Body(b"null".to_vec()),
        Fault::Body(vec![0xff, 0xfe, 0]),
        Fault::Body(b"{\"access_token\":\"75_".to_vec()),
        Fault::Raw(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()),
        Fault::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}".to_vec()),
        Fault::Odd(Odd::EmptyToken),
        Fault::Odd(Odd::NullToken),
        Fault::Odd(Odd::NoToken),
    ];
    let inherent = [
        Fault::Odd(Odd::ExpiresIn(0.into())),
        Fault::Odd(Odd::ExpiresIn((-1).into())),
        Fault::Odd(Odd::ExpiresIn("soon".into())),
        Fault::Odd(Odd::NoExpiresIn),
        Fault::Odd(Odd::ControlCharacters),
        Fault::Raw(b"HTTP/1.1 302 Found\r\nLocation: /cgi-bin/token\r\nContent-Length: 0\r\n\r\n".to_vec()),
    ];
    let both = faults.into_iter().flat_map(|fault| [fault.clone().into(), fault.minting()]);
    both.chain(inherent.into_iter().map(Plan::from)).collect()
}

/// One account for each way to fail, so that all happen in one life of a token.
async fn one_account_for_each(plans: &[Plan], endpoint: &str) -> (World, Vec<String>) {
    let builder = Sim::builder().lifetime(Duration::from_secs(16)).overlap(Duration::from_secs(5));
    let mut world = World::around(builder.start().await.unwrap());
    world.set("refresh.overlap", "5s");
    world.set("server.first_token_wait", "3s");
    world.set("wechat.timeout", "2s");
    world.set("wechat.connect_timeout", "1s");
    world.set("wechat.max_calls", "100");
    let names: Vec<String> = (0..plans.len()).map(|number| format!("a{number}")).collect();
    for name in &names {
        world.account(name, endpoint);
    }
    // the first calls succeed, each of the next ones fails
    world.sim.fault(op_of(endpoint), Fault::Pass, Times::Next(u32::try_from(plans.len()).unwrap()));
    world.sim.script(op_of(endpoint), plans.iter().cloned());
    (world, names)
}

fn op_of(endpoint: &str) -> Op {
    if endpoint == "token" { Op::Token } else { Op::StableToken }
}

async fn a_failure_for_each(plans: &[Plan], endpoint: &str) {
    let (op, count) = (op_of(endpoint), plans.len());
    let (world, names) = one_account_for_each(plans, endpoint).await;
    let relay = world.start().await;
    eventually("all tokens are there", async || relay.get("/readyz").await.json()["status"] == "ready").await;
    let ledger = Ledger::keep(&world.sim, &names.iter().map(String::as_str).collect::<Vec<_>>(), OFTEN);
    ledger.read_from(&relay);
    eventually("all failures came", async || world.sim.calls(op).len() >= 2 * count).await;
    eventually("all have recovered", async || {
        let mut failures = 0;
        for name in &names {
            failures += relay.metric(&format!("token_relay_consecutive_failures{{account=\"{name}\"}}")).await;
        }
        failures == 0 && world.sim.calls(op).len() > 2 * count
    })
    .await;
    for name in &names {
        let asked = world.sim.now();
        let served = relay.get(&format!("/token?account={name}")).await;
        assert_eq!(served.status, 200, "{name}: a token that lives");
        ledger.enter(name, asked, &served);
    }
    let seen = ledger.close().await;
    assert_eq!(seen.unavailable.len(), 0, "a living token was always served: {:?}", seen.unavailable);
    assert!(relay.events("token fetch failed").len() >= count * 2 / 3, "most of them are failures");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_broken_reply_leaves_the_living_token_served() {
    a_failure_for_each(&broken_replies(), "token").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_broken_reply_leaves_a_sticky_token_served() {
    a_failure_for_each(&broken_replies(), "stable_token").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_errcode_leaves_the_living_token_served_to_its_end() {
    let codes = [-1, -1000, 45011, 45009, 40001, 40125, 40013, 40164, 40243, 50004, 89503, 89507, 45501, 12345];
    let plans: Vec<Plan> = codes.into_iter().map(|code| Fault::errcode(code).into()).collect();
    let (world, names) = one_account_for_each(&plans, "token").await;
    let relay = world.start().await;
    eventually("all tokens are there", async || relay.get("/readyz").await.json()["status"] == "ready").await;
    let born = world.sim.now();
    let ledger = Ledger::keep(&world.sim, &names.iter().map(String::as_str).collect::<Vec<_>>(), OFTEN);
    ledger.read_from(&relay);
    // They lived for 16 s from a moment before `born`; by then every account has met its errcode.
    let end = born + Duration::from_secs(13);
    ledger.until(end).await;
    eventually("all met their errcodes", async || world.calls().len() >= 2 * names.len()).await;
    let (calls, late) = (world.calls().len(), world.sim.now().saturating_sub(end).as_secs());
    assert!(calls as u64 <= (3 + late) * names.len() as u64, "no tight loop: {calls} calls");
    let mut seen = ledger.close().await;
    seen.unavailable.retain(|_, asked| asked.iter().any(|asked| *asked < end));
    assert_eq!(seen.unavailable.len(), 0, "{:?}", seen.unavailable);
    assert!(relay.look("/status").await.body.contains("\"errcode\":40164"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_past_the_planned_rotation_goes_unseen() {
    let mut world = World::new(14, 4).await;
    world.set("server.first_token_wait", "3s");
    world.account("shop", "stable_token");
    let relay = world.start().await;
    let ledger = Ledger::keep(&world.sim, &["main", "shop"], OFTEN);
    eventually("both tokens are there", async || relay.get("/readyz").await.json()["status"] == "ready").await;
    let born = world.sim.now();
    ledger.read_from(&relay);
    world.sim.refuse_connections().await;
    let (calls, of_main) = (world.calls().len(), world.sim.calls(Op::Token).len() as u64);
    // R is after 7 s; up to 10 s WeChat is away, and 4 s of life are left.
    ledger.until(born + Duration::from_secs(10)).await;
    assert_eq!(relay.get("/healthz").await.status, 200);
    assert_eq!(world.calls().len(), calls, "nothing arrived");
    // one that is under way is debited
    let left = "token_relay_budget_left{account=\"main\",budget=\"calls\"}";
    eventually("all are refunded", async || relay.metric(left).await == 400 - of_main).await;
    world.sim.accept_connections().await;
    ledger.until(born + Duration::from_secs(13)).await;
    eventually("both have rotated", async || world.calls().len() >= calls + 2).await;
    let seen = ledger.close().await;
    assert_eq!(seen.unavailable.len(), 0, "{:?}", seen.unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_past_expiry_gives_503_with_a_reason_and_ends_by_itself() {
    let mut world = World::new(6, 2).await;
    world.set("server.first_token_wait", "1s");
    let relay = world.start().await;
    let ledger = Ledger::keep(&world.sim, &["main"], OFTEN);
    eventually("it serves", async || relay.get("/token").await.status == 200).await;
    let first = relay.get("/token").await.token();
    ledger.read_from(&relay);
    world.sim.refuse_connections().await;
    eventually("the token ran out", async || relay.get("/token").await.status == 503).await;
    assert!(world.sim.alive_for(&first).is_none_or(|left| left < Duration::from_secs(2)), "served to its end");
    let refused = relay.get("/token").await;
    assert!(refused.body.contains("WeChat") && refused.retry_after().is_some(), "{refused:?}");
    assert_eq!(relay.get("/readyz").await.status, 503);
    assert_eq!(relay.get("/healthz").await.status, 200);
    world.sim.accept_connections().await;
    eventually("it serves again", async || relay.get("/token").await.status == 200).await;
    assert_ne!(relay.get("/token").await.token(), first);
    ledger.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_replies_for_longer_than_a_life_never_make_a_dead_token_served() {
    let mut world = World::new(10, 4).await;
    world.set("wechat.timeout", "2s");
    world.set("wechat.connect_timeout", "1s");
    let relay = world.start().await;
    let attempts = Attempts::watch(world.record());
    let ledger = Ledger::keep(&world.sim, &["main"], Duration::from_millis(20));
    relay.get("/token").await.token();
    ledger.read_from(&relay);
    for fault in [Fault::Reset, Fault::Status(502), Fault::Close, Fault::Hang] {
        world.sim.fault(Op::Token, fault.minting(), Times::Next(1));
    }
    eventually("the last loss is over", async || world.calls().len() >= 6).await;
    eventually("it serves again", async || relay.get("/token").await.status == 200).await;
    ledger.close().await;
    attempts.close(&world.sim, world.calls().len()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateway_errors_that_mint_nothing_never_take_a_living_token_away() {
    // A probe tells something from an overlap and a second after the first call on, and up to a second before the third:
    // here that is for four seconds.
    let world = World::new(44, 10).await;
    world.sim.script(Op::Token, [Fault::Pass]);
    world.sim.fault(Op::Token, Fault::Status(502), Times::Always);
    let relay = world.start().await;
    let ledger = Ledger::keep(&world.sim, &["main"], OFTEN);
    let first = relay.get("/token").await.token();
    ledger.read_from(&relay);
    eventually("calls have failed past the promise", async || world.calls().len() >= 3).await;
    eventually("probed and served on (I8)", async || {
        let served = relay.get("/token").await;
        assert!(served.status == 503 || served.token() == first, "{served:?}");
        world.probes() > 0 && served.status == 200
    })
    .await;
    ledger.close().await;
}
