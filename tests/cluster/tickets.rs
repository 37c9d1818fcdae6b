//! Do relays on one Redis keep one ticket, as they keep one token?

use std::{collections::BTreeSet, time::Duration};

use test_support::{Setup, eventually};
use wechat_sim::{Op, TicketKind};

use crate::{
    RELAY,
    cluster::{Cluster, REPLICAS},
};

/// The ticket that each relay serves, if all do.
async fn served(cluster: &Cluster) -> Option<BTreeSet<String>> {
    let mut tickets = BTreeSet::new();
    for index in cluster.running() {
        let answer = cluster.relay(index).get("/ticket?type=jsapi").await;
        tickets.insert(answer.json()["ticket"].as_str()?.to_owned());
    }
    Some(tickets)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_relay_asks_for_the_ticket_and_all_serve_the_same_one_through_a_lost_relay_and_a_change() {
    let mut setup = Setup::new(RELAY, 600, 60).await;
    setup.set("accounts.main.tickets", "jsapi");
    // asked for every second and promised for two while nobody knows what is left of it
    setup.sim.change_rules(|rules| rules.ticket_lifetime = Duration::from_secs(240));
    let mut cluster = Cluster::of(setup, &["main"]).await;
    eventually("all relays serve one ticket", async || served(&cluster).await.is_some_and(|all| all.len() == 1)).await;
    let first = served(&cluster).await.unwrap().pop_first().unwrap();
    assert_eq!(cluster.setup.sim.ticket_mints("wxmain", TicketKind::Jsapi), 1);

    cluster.kill(0).await;
    eventually("another relay asks for the ticket", async || {
        let calls = cluster.setup.sim.calls(Op::Ticket).len();
        tokio::time::sleep(Duration::from_secs(3)).await;
        cluster.setup.sim.calls(Op::Ticket).len() > calls
    })
    .await;
    eventually("the others serve it on", async || served(&cluster).await == Some([first.clone()].into())).await;

    assert!(cluster.setup.sim.revoke_ticket(&first));
    eventually("all serve the next one", async || {
        served(&cluster).await.is_some_and(|all| all.len() == 1 && !all.contains(&first))
    })
    .await;
    let next = served(&cluster).await.unwrap().pop_first().unwrap();
    assert!(cluster.setup.sim.ticket_alive_for(&next).is_some());
    assert_eq!(cluster.running().len(), REPLICAS - 1);
    // The change was seen, so its life is known: it is promised to its end, and not asked for until then.
    for index in cluster.running() {
        let seconds = cluster.relay(index).get("/ticket?type=jsapi").await.seconds();
        assert!((60..=240).contains(&seconds), "{seconds}");
    }
    cluster.end().await;
}
