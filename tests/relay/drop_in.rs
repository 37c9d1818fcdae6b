//! Does an SDK get its token from the relay when only its host and its secret are changed?

use std::time::Duration;

use serde_json::json;
use test_support::{
    CLIENT_KEY, Relay, SECRET, Setup,
    client::{self, Answer},
    eventually,
};
use tokio::time::sleep;

use crate::RELAY;

const WRONG_KEY: &str = "sentinel-a-key-that-nobody-has-0123456789";
const ODD_KEY: &str = "sentinel-a-key/that+no~URL=takes-as-it-is";

async fn get(relay: &Relay, secret: &str) -> Answer {
    let target = format!("/cgi-bin/token?grant_type=client_credential&appid=wxmain&secret={secret}");
    client::get(relay.public, &target, None).await.unwrap()
}

async fn post(relay: &Relay, force_refresh: bool) -> Answer {
    let body = json!({
        "grant_type": "client_credential", "appid": "wxmain", "secret": CLIENT_KEY, "force_refresh": force_refresh,
    });
    let request = client::request("POST", "/cgi-bin/stable_token", None, "", &body.to_string());
    client::send(relay.public, request.as_bytes()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_routes_serve_a_living_token_and_a_forced_fetch_costs_one_probe_and_one_refresh() {
    let setup = Setup::new(RELAY, 600, 60).await;
    let relay = setup.start().await;
    let first = get(&relay, CLIENT_KEY).await.token();
    assert!(setup.sim.token_alive("wxmain", &first));
    assert_eq!(relay.get("/token").await.token(), first);
    assert_eq!((setup.calls().len(), setup.probes()), (1, 0));

    setup.sim.revoke(&first);
    let second = post(&relay, true).await.token();
    assert!(second != first && setup.sim.token_alive("wxmain", &second));
    assert_eq!((setup.calls().len(), setup.probes()), (2, 1));
    // Within the cool-down nothing is asked, as WeChat silently does not refresh.
    assert_eq!(post(&relay, true).await.token(), second);
    assert_eq!((setup.calls().len(), setup.probes()), (2, 1));
    // A client that does not demand a new one, but asks again soon, may have met 40001. Two probes are a second apart.
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(post(&relay, false).await.token(), second);
    assert_eq!(get(&relay, CLIENT_KEY).await.token(), second);
    assert_eq!((setup.calls().len(), setup.probes()), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_no_url_takes_is_warned_of_at_the_start_and_an_appsecret_is_taken_where_it_is_accepted() {
    let mut setup = Setup::new(RELAY, 600, 60).await;
    setup.set("clients.odd.key", ODD_KEY);
    let relay = setup.start().await;
    let warning = "drop-in routes do not take this client's key: it has other characters than A-Z a-z 0-9 _ -";
    eventually("the warning is written", async || !relay.events(warning).is_empty()).await;
    let warnings = relay.events(warning);
    assert_eq!(warnings.len(), 1);
    assert_eq!((&warnings[0]["client"], &warnings[0]["level"]), (&"odd".into(), &"WARN".into()));
    assert_eq!(client::get(relay.public, "/token", Some(ODD_KEY)).await.unwrap().status, 200);
    assert_eq!(get(&relay, ODD_KEY).await.json()["errcode"], 40125);
    assert_eq!(get(&relay, SECRET).await.json()["errcode"], 40125);
    drop(relay);

    setup.set("accounts.main.accept_appsecret", "true");
    let relay = setup.start().await;
    let token = relay.get("/token").await.token();
    assert_eq!(get(&relay, SECRET).await.token(), token);
    assert_eq!(client::get(relay.public, "/token", Some(SECRET)).await.unwrap().status, 401);
    assert_eq!(relay.metric("token_relay_appsecret_requests_total{account=\"main\"}").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_keys_are_logged_once_by_their_address_and_a_right_one_is_served_among_them() {
    let setup = Setup::new(RELAY, 600, 60).await;
    let relay = setup.start().await;
    let token = relay.get("/token").await.token();
    for number in 0..30 {
        let errcode = get(&relay, WRONG_KEY).await.json()["errcode"].as_i64();
        assert_eq!(errcode, Some(if number < 10 { 40125 } else { 45011 }), "{number}");
        assert_eq!(get(&relay, CLIENT_KEY).await.token(), token);
    }
    let warning = "drop-in route: wrong key; further ones are logged at DEBUG";
    eventually("the warning is written", async || !relay.events(warning).is_empty()).await;
    let warnings = relay.events(warning);
    assert_eq!(warnings.len(), 1);
    assert_eq!((&warnings[0]["address"], &warnings[0]["path"]), (&"127.0.0.1".into(), &"/cgi-bin/token".into()));
}
