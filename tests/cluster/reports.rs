//! What does a report cost that is made to any of three relays, or to all of them (I5)?

use std::{collections::BTreeSet, time::Duration};

use test_support::client::Answer;
use tokio::task::JoinSet;

use crate::cluster::{self, Cluster, REPLICAS};

/// `each` reports to every relay, all at once.
async fn report(cluster: &Cluster, each: usize, token: &str) -> Vec<Answer> {
    let mut clients = JoinSet::new();
    for client in 0..each * REPLICAS {
        let (at, token) = (cluster.relay(client % REPLICAS).public, token.to_owned());
        clients.spawn(async move { cluster::report(at, &token).await });
    }
    clients.join_all().await
}

async fn a_dead_token(each: usize) {
    let mut cluster = Cluster::new(600, 200).await;
    let dead = cluster.relay(0).get("/token").await.token();
    cluster.setup.sim.set_latency(Duration::from_millis(200));
    cluster.forgive(&dead);
    assert!(cluster.setup.sim.revoke(&dead));
    let answers = report(&cluster, each, &dead).await;
    let tokens: BTreeSet<String> = answers.iter().map(Answer::token).collect();
    assert_eq!(tokens.len(), 1, "{} answers", answers.len());
    assert!(cluster.setup.sim.token_alive("wxmain", tokens.first().unwrap()) && !tokens.contains(&dead));
    assert_eq!((cluster.setup.probes(), cluster.setup.calls().len()), (1, 2), "one probe and one refresh in all");
    let stale = report(&cluster, 1, &dead).await;
    assert!(stale.iter().all(|answer| tokens.contains(&answer.token())));
    assert_eq!((cluster.setup.probes(), cluster.setup.calls().len()), (1, 2), "a stale report costs nothing");
    cluster.close().await;
}

async fn a_good_token(each: usize) {
    let mut cluster = Cluster::new(600, 200).await;
    let good = cluster.relay(0).get("/token").await.token();
    cluster.setup.sim.set_latency(Duration::from_millis(200));
    let answers = report(&cluster, each, &good).await;
    // whoever came after the verdict is told that it was probed just now
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&200));
    assert!(answers.iter().filter(|answer| answer.status == 200).all(|answer| answer.token() == good));
    assert_eq!((cluster.setup.probes(), cluster.setup.calls().len()), (1, 1), "one probe and no refresh");
    cluster.close_served("reports of a good token").await;
}

async fn a_follower_hears_it_alone() {
    let mut cluster = Cluster::new(600, 200).await;
    let dead = cluster.relay(0).get("/token").await.token();
    cluster.forgive(&dead);
    cluster.setup.sim.revoke(&dead);
    let follower = (cluster.holder() + 1) % REPLICAS;
    let new = cluster.report(follower, &dead).await.token();
    assert!(cluster.setup.sim.token_alive("wxmain", &new));
    assert_eq!((cluster.setup.probes(), cluster.setup.calls().len()), (1, 2));
    cluster.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_to_all_relays_cost_one_probe_and_one_refresh_in_all() {
    tokio::join!(a_dead_token(1), a_follower_hears_it_alone());
    a_dead_token(67).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_of_a_good_token_to_all_relays_cost_one_probe_in_all() {
    a_good_token(1).await;
    a_good_token(67).await;
}
