//! Does a client's certificate stand for a client, on each route, and as the settings have it now?

use std::fs;

use test_support::{Authority, CLIENT_KEY, Relay, TlsClient, client::Answer, eventually};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::rustls::HandshakeKind;

use crate::tls::Tls;

/// A relay that asks clients for certificates of `clients`, and whose clients are in a file.
struct Certified {
    tls: Tls,
    clients: Authority,
}

/// What stands for whom, beside the client `orders` with its key.
const CLIENTS: &str = "
[clients.crm]
certificate = [\"crm.internal\", \"CRM-2.internal\"]
accounts = [\"main\"]
gateway = true

[clients.billing]
certificate = \"billing.internal\"
max_requests_per_second = 1
";

impl Certified {
    async fn new(clients: &str) -> Self {
        let mut certified = Self { tls: Tls::new().await, clients: Authority::new("clients") };
        fs::write(certified.tls.file("clients"), certified.clients.pem()).unwrap();
        certified.write(clients);
        let (config, ca) = (certified.tls.file("settings"), certified.tls.file("clients"));
        let setup = &mut certified.tls.setup;
        setup.env("TOKEN_RELAY_CONFIG", config.to_str().unwrap());
        setup.set("server.tls.client_ca_file", ca.to_str().unwrap());
        setup.set("gateway.enabled", "true");
        setup.set("log.access", "all");
        certified
    }

    fn write(&self, clients: &str) {
        fs::write(self.tls.file("settings"), clients).unwrap();
    }

    /// Who presents a certificate with these DNS names, and this common name.
    fn with(&self, dns: &[&str], common: &str) -> TlsClient {
        TlsClient::new(&self.tls.ca, Some(&self.clients.sign_with(dns, common)))
    }
}

async fn get(client: &TlsClient, relay: &Relay, target: &str, key: Option<&str>) -> Answer {
    client.get(relay.public, target, key).await.unwrap()
}

async fn status(client: &TlsClient, relay: &Relay, target: &str, key: Option<&str>) -> u16 {
    get(client, relay, target, key).await.status
}

/// Of a read without a key, on a connection that stays open.
async fn status_on(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> u16 {
    stream.write_all(b"GET /token HTTP/1.1\r\nHost: relay\r\n\r\n").await.unwrap();
    let mut bytes = [0; 4096];
    let length = stream.read(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes[..length]).split(' ').nth(1).unwrap().parse().unwrap()
}

/// Why a request was refused.
async fn detail(client: &TlsClient, relay: &Relay) -> String {
    let answer = get(client, relay, "/token", None).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    answer.json()["detail"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_stands_for_its_client_and_a_key_that_is_there_counts_alone() {
    let mut certified = Certified::new(CLIENTS).await;
    certified.tls.setup.account("shop", "token");
    let relay = certified.tls.setup.start().await;
    let crm = certified.with(&["crm.internal"], "anything");
    assert_eq!(status(&crm, &relay, "/token", None).await, 200);
    assert_eq!(status(&crm, &relay, "/token?account=shop", None).await, 403, "its accounts are those of the client");
    assert_eq!(
        status(&crm, &relay, "/token?account=shop", Some(CLIENT_KEY)).await,
        200,
        "the key is of another client"
    );
    assert_eq!(status(&crm, &relay, "/token", Some("a-wrong-key-of-thirty-two-characters")).await, 401);
    eventually("the requests are logged with their client", async || {
        let of_crm = |event: &serde_json::Value| event["client"] == "crm" && event["route"] == "token";
        relay.events("request").iter().filter(|event| of_crm(event)).count() == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dns_names_count_before_the_common_name_and_case_does_not() {
    let certified = Certified::new(CLIENTS).await;
    let relay = certified.tls.setup.start().await;
    for (dns, common, expected) in [
        (&["crm-2.INTERNAL"][..], "", 200),
        (&["other.internal", "crm.internal"], "", 200),
        (&["crm.internal", "crm-2.internal"], "", 200),
        (&[], "crm.internal", 200),
        (&["other.internal"], "crm.internal", 401),
        (&["*.internal"], "", 401),
        (&["crm.internal.example.com"], "", 401),
        (&[], "", 401),
    ] {
        let client = certified.with(dns, common);
        assert_eq!(status(&client, &relay, "/token", None).await, expected, "{dns:?} {common}");
    }
    let nobody = detail(&certified.with(&[], "nobody"), &relay).await;
    assert!(nobody.contains("names no client"), "{nobody}");
    let both = detail(&certified.with(&["crm.internal", "billing.internal"], ""), &relay).await;
    assert!(both.contains("names several clients"), "{both}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_takes_a_certificate_and_the_drop_in_routes_want_their_secret() {
    let certified = Certified::new(CLIENTS).await;
    let relay = certified.tls.setup.start().await;
    let (crm, billing) = (certified.with(&["crm.internal"], ""), certified.with(&["billing.internal"], ""));
    let errcode = async |client: &TlsClient, target: &str| {
        let answer = get(client, &relay, target, None).await;
        answer.json()["errcode"].as_i64()
    };
    let api = "/cgi-bin/get_api_domain_ip";
    assert_eq!(errcode(&crm, api).await, None, "the call is passed on with the token of the account");
    assert_eq!(errcode(&certified.with(&["nobody"], ""), api).await, Some(41001));
    assert_eq!(errcode(&billing, api).await, Some(48001), "it may not use the gateway");
    let login = "/cgi-bin/token?grant_type=client_credential&appid=wxmain";
    assert_eq!(errcode(&crm, login).await, Some(41004));
    assert_eq!(errcode(&crm, &format!("{login}&secret=crm.internal")).await, Some(40125));
    assert_eq!(errcode(&crm, &format!("{login}&secret={CLIENT_KEY}")).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_of_a_client_counts_for_its_certificate() {
    let certified = Certified::new(CLIENTS).await;
    let relay = certified.tls.setup.start().await;
    let billing = certified.with(&["billing.internal"], "");
    assert_eq!(status(&billing, &relay, "/token", None).await, 200);
    let mut stream = billing.connect(relay.public).await.unwrap();
    for _ in 0..20 {
        if status_on(&mut stream).await == 429 {
            return;
        }
    }
    panic!("twenty requests at once are all answered, though one a second may be");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_with_a_certificate_is_never_resumed_for_it_may_have_ended_meanwhile() {
    let certified = Certified::new(CLIENTS).await;
    let relay = certified.tls.setup.start().await;
    let client = certified.with(&["crm.internal"], "");
    eventually("there is a token", async || status(&client, &relay, "/token?account=main", None).await == 200).await;
    for _ in 0..3 {
        let mut stream = client.connect(relay.public).await.unwrap();
        assert_eq!(status_on(&mut stream).await, 200);
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_connection_that_is_open_the_settings_of_now_count() {
    let certified = Certified::new(CLIENTS).await;
    let relay = certified.tls.setup.start().await;
    let mut stream = certified.with(&["crm.internal"], "").connect(relay.public).await.unwrap();
    assert_eq!(status_on(&mut stream).await, 200);
    certified.write("[clients.crm]\ncertificate = \"another.internal\"\n");
    relay.reload().await;
    assert_eq!(status_on(&mut stream).await, 401);
    certified.write("[clients.renamed]\ncertificate = \"crm.internal\"\n");
    relay.reload().await;
    assert_eq!(status_on(&mut stream).await, 200);
    assert_eq!(certified.tls.setup.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_whose_clients_have_certificates_alone_serves_them() {
    let mut certified = Certified::new("[clients.crm]\ncertificate = \"crm.internal\"\n").await;
    certified.tls.setup.env.remove("TOKEN_RELAY__CLIENTS__ORDERS__KEY");
    let relay = certified.tls.setup.start().await;
    let crm = certified.with(&["crm.internal"], "");
    assert_eq!(status(&crm, &relay, "/token", None).await, 200);
    assert_eq!(status(&crm, &relay, "/token", Some(CLIENT_KEY)).await, 401);
}
