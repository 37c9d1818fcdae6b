//! Does the relay serve TLS, and is a certificate replaced without a failed request?

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rustix::process::Signal;
use test_support::{
    Authority, CLIENT_KEY, Certificate, Relay, Setup, TlsClient, client, eventually, is_presented, run,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    RELAY,
    reload::{REFUSED, counted},
};

const METRIC: &str = "token_relay_tls_certificate_not_after_timestamp_seconds";

const FULL: &str = "an address has all the connections that one may have: its further ones are closed";

/// A relay with a certificate of a CA.
pub(crate) struct Tls {
    pub(crate) setup: Setup,
    pub(crate) ca: Authority,
}

impl Tls {
    pub(crate) async fn new() -> Self {
        let tls = Self { setup: Setup::new(RELAY, 7200, 300).await, ca: Authority::new("ours") };
        let certificate = tls.ca.sign("localhost");
        tls.with(&certificate)
    }

    /// With this certificate from now on.
    fn with(mut self, certificate: &Certificate) -> Self {
        self.install(certificate);
        for file in ["cert", "key"] {
            let path = self.file(file).display().to_string();
            self.setup.set(&format!("server.tls.{file}_file"), &path);
        }
        self
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.setup.path().join(format!("{name}.pem"))
    }

    fn install(&self, certificate: &Certificate) {
        fs::write(self.file("cert"), certificate.chain()).unwrap();
        fs::write(self.file("key"), certificate.key()).unwrap();
    }

    fn client(&self) -> TlsClient {
        TlsClient::new(&self.ca, None)
    }
}

async fn token(client: &TlsClient, relay: &Relay) -> std::io::Result<u16> {
    client.get(relay.public, "/token?account=main", Some(CLIENT_KEY)).await.map(|answer| answer.status)
}

/// A command of the relay that asks one which serves there.
fn ask(relay: &Relay, words: &[&str]) -> test_support::Finished {
    let env = [
        ("TOKEN_RELAY__SERVER__LISTEN", relay.public.to_string()),
        ("TOKEN_RELAY__SERVER__ADMIN_LISTEN", relay.admin.to_string()),
        ("TOKEN_RELAY__SERVER__TLS__CERT_FILE", "/no/such/file".to_owned()),
        ("TOKEN_RELAY_KEY", CLIENT_KEY.to_owned()),
    ];
    run(RELAY, words, env)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_trust_the_ca_are_served_and_nobody_else() {
    let mut tls = Tls::new().await;
    tls.setup.set("clients.orders.admin", "true");
    let relay = tls.setup.start().await;
    assert_eq!(token(&tls.client(), &relay).await.unwrap(), 200);
    let stream = tls.client().connect(relay.public).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let stranger = TlsClient::new(&Authority::new("another"), None);
    let refused = token(&stranger, &relay).await.unwrap_err().to_string();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    assert!(client::get(relay.public, "/token", Some(CLIENT_KEY)).await.is_err(), "plain HTTP is not answered");
    // the client knows of it before it is counted
    let is_counted = async || relay.metric("token_relay_tls_handshake_failures_total").await >= 2;
    eventually("both refusals are counted", is_counted).await;
    // rcgen's certificates end in the year 4096
    assert!(relay.metric(METRIC).await > 60_000_000_000);
    let status = relay.look("/status").await.json();
    assert_eq!(status["settings"]["certificate_ends_at"], "4096-01-01T00:00:00Z");
    tokio::task::spawn_blocking(move || {
        assert_eq!(ask(&relay, &["health"]).succeeded(), "alive\n");
        let revoked = ask(&relay, &["revoke", "nobody"]);
        assert!(revoked.stderr.contains("404"), "it is asked, and knows no such account: {}", revoked.stderr);
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_stalls_holds_nobody_up_and_ends_by_itself() {
    let mut tls = Tls::new().await;
    tls.setup.set("server.header_timeout", "2s");
    let relay = tls.setup.start().await;
    let mut stalled = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(relay.public).await.unwrap();
        // the head of a TLS record of which nothing follows
        stream.write_all(&[22, 3, 1, 2, 0]).await.unwrap();
        stalled.push(stream);
    }
    let reads = async {
        for _ in 0..20 {
            assert_eq!(token(&tls.client(), &relay).await.unwrap(), 200);
        }
    };
    reads.await;
    for mut stream in stalled {
        let mut rest = Vec::new();
        let ended = timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "it is still open");
    }
    assert_eq!(relay.metric("token_relay_tls_handshake_failures_total").await, 50);
}

/// Services that read all the time: half of them with a connection per request, half on one that they keep.
struct Readers {
    stop: Arc<AtomicBool>,
    failed: Arc<AtomicU64>,
    read: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

impl Readers {
    fn of(relay: &Relay, client: &TlsClient) -> Self {
        let [failed, read] = [(); 2].map(|()| Arc::<AtomicU64>::default());
        let (stop, mut tasks) = (Arc::<AtomicBool>::default(), JoinSet::new());
        for is_kept in [true, false, true, false] {
            let (stop, failed, read) = (stop.clone(), failed.clone(), read.clone());
            let (client, at) = (client.clone(), relay.public);
            tasks.spawn(async move {
                while !stop.load(Relaxed) {
                    let is_good = if is_kept {
                        read_on_one(&client, at, &stop, &read).await.is_ok()
                    } else {
                        read.fetch_add(1, Relaxed);
                        let answer = client.get(at, "/token?account=main", Some(CLIENT_KEY)).await;
                        answer.is_ok_and(|answer| answer.status == 200)
                    };
                    failed.fetch_add(u64::from(!is_good), Relaxed);
                    sleep(Duration::from_millis(2)).await;
                }
            });
        }
        Self { stop, failed, read, tasks }
    }

    /// How many reads failed, of how many.
    async fn end(mut self) -> (u64, u64) {
        self.stop.store(true, Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        (self.failed.load(Relaxed), self.read.load(Relaxed))
    }
}

/// Reads on one connection until `stop`; an error where one read fails.
async fn read_on_one(client: &TlsClient, at: SocketAddr, stop: &AtomicBool, read: &AtomicU64) -> std::io::Result<()> {
    let mut stream = client.connect(at).await?;
    let request =
        format!("GET /token?account=main HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {CLIENT_KEY}\r\n\r\n");
    let mut bytes = [0; 4096];
    while !stop.load(Relaxed) {
        read.fetch_add(1, Relaxed);
        stream.write_all(request.as_bytes()).await?;
        let length = stream.read(&mut bytes).await?;
        if !bytes[..length].starts_with(b"HTTP/1.1 200") {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_changes_of_the_certificate_fail_no_request_and_each_is_presented() {
    let tls = Tls::new().await;
    let relay = tls.setup.start().await;
    assert_eq!(token(&tls.client(), &relay).await.unwrap(), 200);
    let readers = Readers::of(&relay, &tls.client());
    for number in 0..20 {
        let next = tls.ca.sign("localhost");
        tls.install(&next);
        relay.reload().await;
        let presented = tls.client().presented_at(relay.public).await.unwrap();
        assert!(is_presented(&next, &presented), "change {number}");
    }
    let (failed, read) = readers.end().await;
    println!("20 changes of the certificate: {failed} of {read} reads failed");
    assert_eq!((failed, tls.setup.calls().len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_certificate_is_presented_without_a_signal() {
    let tls = Tls::new().await;
    let relay = tls.setup.start().await;
    let next = tls.ca.sign("localhost");
    tls.install(&next);
    eventually("the new one is presented", async || {
        is_presented(&next, &tls.client().presented_at(relay.public).await.unwrap())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_client_ca_only_those_with_a_certificate_of_it_are_served_and_still_need_a_key() {
    let mut tls = Tls::new().await;
    let (clients, others) = (Authority::new("clients"), Authority::new("others"));
    fs::write(tls.file("clients"), clients.pem()).unwrap();
    let path = tls.file("clients").display().to_string();
    tls.setup.set("server.tls.client_ca_file", &path);
    let relay = tls.setup.start().await;
    let with = |authority: &Authority| TlsClient::new(&tls.ca, Some(&authority.sign("orders")));
    assert_eq!(token(&with(&clients), &relay).await.unwrap(), 200);
    assert_eq!(with(&clients).get(relay.public, "/token", None).await.unwrap().status, 401);
    assert!(token(&tls.client(), &relay).await.is_err(), "without a certificate");
    assert!(token(&with(&others), &relay).await.is_err(), "with one of another CA");
    fs::write(tls.file("clients"), others.pem()).unwrap();
    relay.reload().await;
    assert_eq!(token(&with(&others), &relay).await.unwrap(), 200);
    assert!(token(&with(&clients), &relay).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_do_not_fit_are_named_at_the_start_and_at_a_change_and_the_old_ones_stay() {
    let tls = Tls::new().await;
    let (good, other) = (tls.ca.sign("localhost"), tls.ca.sign("localhost"));
    let half = &good.chain()[..good.chain().len() / 2];
    let bad = [
        ("cert_file", "", good.key(), "is empty"),
        ("cert_file", "nonsense", good.key(), "has no certificate"),
        ("cert_file", half, good.key(), "has a certificate that cannot be read"),
        ("key_file", good.chain(), "nonsense", "has no private key"),
        ("key_file", good.chain(), other.key(), "is not the key of the certificate"),
    ];
    tls.install(&good);
    let relay = tls.setup.start().await;
    for (number, (key, chain, secret, problem)) in bad.into_iter().enumerate() {
        fs::write(tls.file("cert"), chain).unwrap();
        fs::write(tls.file("key"), secret).unwrap();
        let mut refused = tls.setup.spawn();
        assert_eq!(refused.ended().await, Some(78));
        let said = refused.text();
        let is_named = said.contains(&format!("server.tls.{key}: ")) && said.contains(problem);
        assert!(is_named && said.lines().count() == 1, "{problem}: {said}");
        relay.signal(Signal::HUP);
        counted(&relay, REFUSED, number + 1).await;
        assert!(relay.events(REFUSED)[number]["error"].as_str().unwrap().contains(problem));
        assert!(is_presented(&good, &tls.client().presented_at(relay.public).await.unwrap()));
    }
    tls.install(&other);
    eventually("it heals without a signal", async || {
        is_presented(&other, &tls.client().presented_at(relay.public).await.unwrap())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_has_ended_is_served_on_and_said_in_log_metric_and_page() {
    let tls = Tls::new().await;
    let tls = tls.with(&Authority::new("of another time").sign_expired("localhost"));
    let relay = tls.setup.start().await;
    let log = relay.text();
    assert!(log.contains("the certificate in server.tls.cert_file has ended"), "{log}");
    assert_eq!(relay.metric(METRIC).await, 1_609_459_200);
    let page = relay.look("/?lang=en").await.body;
    assert!(page.contains("The certificate of the public listener has ended"), "{page}");
    assert!(page.contains("2021-01-01T00:00:00Z"));
    let refused = token(&tls.client(), &relay).await.unwrap_err().to_string();
    assert!(refused.contains("certificate"), "the client decides: {refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_turned_on_and_off_and_connections_are_limited_without_a_restart() {
    let tls = Tls::new().await;
    let mut setup = Setup::new(RELAY, 7200, 300).await;
    let config = setup.path().join("relay.toml");
    let files = format!("[server.tls]\ncert_file = {:?}\nkey_file = {:?}\n", tls.file("cert"), tls.file("key"));
    fs::write(&config, "").unwrap();
    setup.env("TOKEN_RELAY_CONFIG", config.to_str().unwrap());
    let relay = setup.start().await;
    let change = async |text: &str| {
        fs::write(&config, text).unwrap();
        relay.reload().await;
    };
    let plain = async || client::get(relay.public, "/token?account=main", Some(CLIENT_KEY)).await;
    assert_eq!(plain().await.unwrap().status, 200);
    assert!(!relay.look("/metrics").await.body.contains(&format!("\n{METRIC} ")));
    change(&files).await;
    assert_eq!(token(&tls.client(), &relay).await.unwrap(), 200);
    assert!(plain().await.is_err() && relay.metric(METRIC).await > 0);
    change("").await;
    assert_eq!(plain().await.unwrap().status, 200);
    assert!(!relay.look("/metrics").await.body.contains(&format!("\n{METRIC} ")));
    change("[server]\nmax_connections_per_source = 2\n").await;
    let _held = [TcpStream::connect(relay.public).await.unwrap(), TcpStream::connect(relay.public).await.unwrap()];
    eventually("a third one is closed", async || plain().await.is_err()).await;
    assert!(relay.metric("token_relay_connections_refused_total{listener=\"public\"}").await >= 1);
    counted(&relay, FULL, 1).await;
    assert_eq!(relay.events(FULL)[0]["source"], "127.0.0.1");
    change("").await;
    eventually("the third one is served", async || plain().await.is_ok_and(|answer| answer.status == 200)).await;
    assert_eq!(relay.look("/status").await.json()["settings"]["needs_restart"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_http_beyond_the_machine_is_said_once_and_on_loopback_never() {
    let mut setup = Setup::new(RELAY, 7200, 300).await;
    let said = |relay: &Relay| relay.text().matches("speaks plain HTTP beyond this machine").count();
    let relay = setup.start().await;
    assert_eq!(said(&relay), 0);
    drop(relay);
    setup.set("server.listen", "0.0.0.0:0");
    let relay = setup.start().await;
    relay.reload().await;
    assert_eq!(said(&relay), 1);
}
