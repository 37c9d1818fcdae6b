//! Does anything leak with every part on: TLS, gateway, tickets, WeCom, Redis, changes of the settings? And what may others of the
//! machine, or of Redis, see?

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::process::CommandExt as _,
    process::Command,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use test_support::{
    Authority, CLIENT_KEY, RECORD_KEY, RedisServer, Relay, SECRET, SENTINEL, Setup, TlsClient, eventually,
};

use super::{Search, WRONG_KEY};
use crate::{
    RELAY,
    reload::{REFUSED, counted},
};

const PASSWORD: &str = "sentinel-password-of-redis";
const CORP: &str = "ww0123456789abcdef";
/// What the relay is asked: K stands for a key, T for a living token.
const TARGETS: [&str; 15] = [
    "/token?account=main",
    "/token?account=main&wait=x&key=K",
    "/ticket?account=main&type=jsapi",
    "/jssdk/config?account=main&url=https%3A%2F%2Fshop.example.com%2F",
    "/cgi-bin/token?grant_type=client_credential&appid=wxmain&secret=K",
    "/cgi-bin/gettoken?corpid=ww0123456789abcdef&corpsecret=K",
    "/cgi-bin/ticket/getticket?type=jsapi&access_token=T",
    "/cgi-bin/user/get?access_token=T",
    "/cgi-bin/user/get?access_token=T&access_token=K",
    "/sns/jscode2session?appid=wxmain&secret=K&js_code=x&grant_type=authorization_code",
    "/sns/jscode2session?appid=K&secret=K",
    "/sns/userinfo?access_token=K",
    "/nothing?secret=K&access_token=K",
    "/openapi.json",
    "/readyz",
];

/// All that Redis is told, as `redis-cli MONITOR` shows it.
struct Monitor(Arc<Mutex<Vec<u8>>>, JoinHandle<()>);

impl Monitor {
    fn of(server: &RedisServer) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.write_all(format!("AUTH {PASSWORD}\r\nMONITOR\r\n").as_bytes()).unwrap();
        let seen = Arc::<Mutex<Vec<u8>>>::default();
        let keep = seen.clone();
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut bytes) {
                keep.lock().unwrap().extend(&bytes[..length]);
            }
        });
        Self(seen, reader)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// What was seen until the server was gone.
    fn end(self, mut server: RedisServer) -> String {
        server.kill();
        self.1.join().unwrap();
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

/// A relay with every part on, and what it was made of.
struct AllParts {
    setup: Setup,
    redis: RedisServer,
    ca: Authority,
    private_key: String,
}

impl AllParts {
    async fn new() -> Self {
        let mut setup = Setup::new(RELAY, 600, 60).await;
        let (redis, ca) = (RedisServer::with(&["--requirepass", PASSWORD]), Authority::new("ours"));
        let certificate = ca.sign("localhost");
        for (name, text) in [("cert", certificate.chain()), ("key", certificate.key())] {
            let file = setup.path().join(format!("{name}.pem"));
            fs::write(&file, text).unwrap();
            setup.set(&format!("server.tls.{name}_file"), file.to_str().unwrap());
        }
        setup.sim.register_agent(CORP, "desk", SECRET);
        let (redis_url, base_url) = (format!("redis://:{PASSWORD}@127.0.0.1:{}", redis.port), setup.sim.base_url());
        for (key, value) in [
            ("log.filter", "trace"),
            ("log.access", "all"),
            ("state.url", &redis_url),
            ("gateway.enabled", "true"),
            ("clients.orders.gateway", "true"),
            ("accounts.main.tickets", "jsapi"),
            ("accounts.main.jssdk_domains", "shop.example.com"),
            ("accounts.main.accept_appsecret", "true"),
            ("wecom.base_url", &base_url),
            ("accounts.desk.platform", "wecom"),
            ("accounts.desk.corpid", CORP),
            ("accounts.desk.secret", SECRET),
        ] {
            setup.set(key, value);
        }
        let config = setup.path().join("relay.toml");
        setup.env("TOKEN_RELAY_CONFIG", config.to_str().unwrap());
        // of its base64 one line is enough
        let private_key = certificate.key().lines().nth(1).unwrap().to_owned();
        let parts = Self { setup, redis, ca, private_key };
        parts.change("keys = [\"sentinel-billing-key-number-1-0123456789\"]");
        parts
    }

    /// The client `billing` has this line in the settings file.
    fn change(&self, line: &str) {
        fs::write(self.setup.path().join("relay.toml"), format!("[clients.billing]\n{line}\n")).unwrap();
    }

    async fn ask(&self, relay: &Relay, targets: &[&str], search: &mut Search) {
        let client = TlsClient::new(&self.ca, None);
        let token = client.get(relay.public, "/token?account=main", Some(CLIENT_KEY)).await.unwrap().token();
        for (target, key) in targets.iter().flat_map(|target| [CLIENT_KEY, WRONG_KEY, SECRET].map(|key| (target, key)))
        {
            let target = target.replace('K', key).replace('T', &token);
            for header in [None, Some(CLIENT_KEY)] {
                let answer = client.get(relay.public, &target, header).await.unwrap();
                let answered = answer.body.parse::<serde_json::Value>().unwrap_or_default();
                match answered["access_token"].as_str().or(answered["ticket"].as_str()) {
                    Some(secret) => search.token(secret),
                    None => search.said(&answer),
                }
            }
        }
        for target in ["/", "/page.js", "/status", "/metrics", "/readyz"] {
            search.said(&relay.look(target).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_told_at_trace_level_with_every_part_on_and_settings_that_change() {
    let parts = AllParts::new().await;
    let monitor = Monitor::of(&parts.redis);
    let mut relay = parts.setup.start().await;
    let mut search = Search::begin();
    search.tokens.insert(parts.private_key.clone());
    eventually("all are there", async || relay.look("/readyz").await.json()["status"] == "ready").await;
    parts.ask(&relay, &TARGETS, &mut search).await;
    parts.change("keys = [\"sentinel-billing-key-number-2-0123456789\"]");
    relay.reload().await;
    parts.change("kyes = [\"sentinel-billing-key-number-3-0123456789\"]");
    counted(&relay, REFUSED, 1).await;
    parts.ask(&relay, &TARGETS[..4], &mut search).await;
    eventually("it is stored", async || monitor.text().contains(RECORD_KEY)).await;
    relay.signal(rustix::process::Signal::TERM);
    relay.ended().await;
    let told = monitor.end(parts.redis);
    let stored = search.tokens.iter().filter(|token| told.contains(token.as_str())).count();
    assert!(stored >= 3, "tokens and tickets are stored, by design, and so they are seen: {stored}");
    assert!(!told.contains(SENTINEL) && !told.contains(&parts.private_key), "{told}");
    search.end(&relay);
}

/// What is tried as another process of the relay's user, who is not root.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_the_environment_nor_the_memory_of_a_relay_is_read_by_another_process_of_its_user() {
    const NOBODY: u32 = 65534;
    let mut setup = Setup::new(RELAY, 600, 60).await;
    setup.be_unprivileged();
    assert!(setup.env.values().any(|value| value.contains(SENTINEL)), "there is something to hide");
    let relay = setup.start().await;
    let is_root = rustix::process::geteuid().is_root();
    let read = |file: &str| {
        let mut cat = Command::new("cat");
        let cat = cat.arg(format!("/proc/{}/{file}", relay.pid()));
        let cat = if is_root { cat.uid(NOBODY).gid(NOBODY) } else { cat };
        let output = cat.output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert!(read("cmdline").is_some_and(|line| !line.is_empty() && !line.contains(SENTINEL)));
    for closed in ["environ", "mem", "maps"] {
        assert_eq!(read(closed), None, "{closed}");
    }
}
