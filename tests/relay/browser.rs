//! Can a page open WeChat's JS-SDK with what the relay signs? A real browser, whose page has a stand-in for `wx`.
//!
//! Debian: the package `chromium`.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::Stdio,
};

use serde_json::Value;
use sha1::{Digest, Sha1};
use tempfile::TempDir;
use test_support::{
    CLIENT_KEY, FakeServer, Setup, client, eventually,
    toolchain::{self, CHROMIUM},
};
use tokio::process::Command;

use crate::RELAY;

/// As in WeChat's documentation: ask the own backend, then configure. What `wx.config` is handed goes back to the server, with
/// the address that the browser shows.
const PAGE: &str = r"<!doctype html><meta charset=utf-8><title>a shop</title><script>
const tell = (what, told) => fetch('/' + what, { method: 'POST', body: JSON.stringify(told) });
const wx = { config: params => tell('configured', { params, page: location.href }) };
fetch('/signature?url=' + encodeURIComponent(location.href.split('#')[0]))
  .then(answer => answer.json())
  .then(signed => wx.config({ debug: false, jsApiList: ['updateAppMessageShareData'], ...signed }))
  .catch(error => tell('failed', String(error)));
</script>";

/// The backend of a shop: its page, and its signature, for which it asks the relay with its own key.
fn shop(relay: SocketAddr) -> FakeServer {
    FakeServer::new(move |mut connection| {
        let request = connection.read_request();
        let target = request.split(' ').nth(1).unwrap_or_default();
        let (kind, body) = match target.split_once("?url=") {
            Some(("/signature", page)) => ("application/json", signed(relay, page)),
            _ => ("text/html; charset=utf-8", PAGE.to_owned()),
        };
        let length = body.len();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        let _ = connection.stream.write_all((head + &body).as_bytes()); // the browser may be gone
    })
}

fn signed(relay: SocketAddr, page: &str) -> String {
    let request = client::request("GET", &format!("/jssdk/config?url={page}"), Some(CLIENT_KEY), "", "");
    let mut stream = TcpStream::connect(relay).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// What the page has told its server of `what`.
fn told(shop: &FakeServer, what: &str) -> Option<Value> {
    let requests = shop.requests();
    let request = requests.iter().find(|request| request.starts_with(&format!("POST /{what} ")))?;
    Some(serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_in_a_browser_hands_wx_config_a_signature_over_its_own_address() {
    if !toolchain::all_here(&[CHROMIUM]).await {
        return;
    }
    let mut setup = Setup::new(RELAY, 600, 60).await;
    setup.set("accounts.main.tickets", "jsapi");
    setup.set("accounts.main.jssdk_domains", "example.com");
    let relay = setup.start().await;
    let ticket = relay.get("/ticket?type=jsapi").await.json()["ticket"].as_str().unwrap().to_owned();

    let shop = shop(relay.public);
    let profile = TempDir::new().unwrap();
    let mut browser = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args(["--no-proxy-server", "--disable-features=HttpsUpgrades", "--disable-background-networking"])
        .args(["--host-resolver-rules=MAP shop.example.com 127.0.0.1", "--remote-debugging-port=0"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("http://shop.example.com:{}/购物车?id=7&q=a b%20c+d&%e5=*'(~)#top", shop.address.port()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    eventually("the page configures wx", async || {
        told(&shop, "configured").is_some() || told(&shop, "failed").is_some()
    })
    .await;
    browser.kill().await.unwrap();

    assert_eq!(told(&shop, "failed"), None);
    let configured = told(&shop, "configured").unwrap();
    let (page, params) = (configured["page"].as_str().unwrap(), &configured["params"]);
    assert!(page.starts_with("http://shop.example.com:") && page.ends_with("#top"), "{page}");
    let url = page.split('#').next().unwrap();
    let (nonce, timestamp) = (params["nonceStr"].as_str().unwrap(), &params["timestamp"]);
    let text = format!("jsapi_ticket={ticket}&noncestr={nonce}&timestamp={timestamp}&url={url}");
    assert_eq!(params["signature"].as_str().unwrap(), hex::encode(Sha1::digest(text)), "{page}");
    assert_eq!((&params["appId"], &params["debug"]), (&"wxmain".into(), &false.into()));
}
