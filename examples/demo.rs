//! What does a day of token-relay look like? `cargo run --example demo`
//!
//! wechat-sim and the relay in one process, on loopback, with tokens that live for seconds: rotations, a client's report
//! and an outage of WeChat, told as they happen. It needs no WeChat account and runs until Ctrl-C (or for `--for 60s`).
#![expect(clippy::print_stdout, reason = "the demo is what it prints")]

use std::{
    net::TcpListener,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use token_relay::{
    clock::{Clock, SystemClock},
    lifecycle::Signals,
    registry::Handle,
    serve::BoundRelay,
    settings::Settings,
};
use tokio::time::sleep;
use wechat_sim::{Kind, Op, Sim};

const APPID: &str = "wx0000000000000001";
const SECRET: &str = "demo-secret-not-of-a-real-account";
const KEY: &str = "demo-key-for-the-orders-service-0001";
const LIFE: Duration = Duration::from_secs(24);
const OVERLAP: Duration = Duration::from_secs(6);

#[tokio::main]
async fn main() -> Result<()> {
    let sim = Sim::builder().app(APPID, SECRET).lifetime(LIFE).overlap(OVERLAP).start().await?;
    let settings = settings(&sim)?;
    let relay = BoundRelay::new(&settings).await?;
    let (public, admin) = (relay.public_addr()?, relay.admin_addr());
    let registry = relay.registry();
    let life = relay.start();
    let stage = Stage {
        public: format!("http://{public}"),
        handle: registry.handles().access_token("main").context("the demo has one account")?.clone(),
        sim,
        http: Stage::client()?,
        started: Stage::instant(),
    };
    stage.introduce(admin.map(|address| format!("http://{address}/")));
    let time_is_up = sleep(run_for()?);
    tokio::select! {
        _ = life.clone().run(Signals::listen()?.stop, settings.server.shutdown_grace) => {}
        () = time_is_up => drop(life.finish(settings.server.shutdown_grace).await),
        () = stage.tell() => {}
        played = stage.play() => played?,
    }
    println!("\nThe demo ends. The same relay for your own account: see README.md.");
    Ok(())
}

/// Everything that the story needs.
struct Stage {
    public: String,
    handle: Arc<Handle>,
    sim: Sim,
    http: reqwest::Client,
    started: Instant,
}

impl Stage {
    #[expect(clippy::disallowed_methods, reason = "only to print how long ago the demo began")]
    fn instant() -> Instant {
        Instant::now()
    }

    #[expect(clippy::disallowed_methods, reason = "not the relay's client, but one of its clients")]
    fn client() -> reqwest::Result<reqwest::Client> {
        reqwest::Client::builder().no_proxy().build()
    }

    fn introduce(&self, admin: Option<String>) {
        println!("token-relay demo: WeChat is simulated in this process, nothing leaves this machine.");
        println!(
            "Tokens live {}, and a replaced one works {} more (WeChat: 2 h and 5 min).\n",
            secs(LIFE),
            secs(OVERLAP)
        );
        println!("Get a token as one of your services would (paste this into another terminal):\n");
        println!("    curl -H 'Authorization: Bearer {KEY}' {}/token\n", self.public);
        if let Some(admin) = admin {
            println!("Status page: {admin}   metrics: {admin}metrics\n");
        }
    }

    fn say(&self, who: &str, what: &str) {
        println!("{:>4} s  {who:<8} {what}", self.started.elapsed().as_secs());
    }

    /// Tells every change of what the relay serves.
    async fn tell(&self) {
        let (mut generation, mut failures, mut was_served) = (None, 0, false);
        loop {
            let published = self.handle.published();
            let status = &published.status;
            let served = status.servable(SystemClock.boot_now()).map(|(offer, seconds)| (offer.clone(), seconds));
            if let Some((offer, seconds)) = &served
                && generation.replace(offer.generation) != Some(offer.generation)
            {
                let token = shortened(offer.token.expose());
                self.say("relay", &format!("serves a new token, {token}, promised for {seconds} s"));
            }
            if let Some(trouble) = status.trouble.as_ref().filter(|_| status.failures > failures) {
                let living = served.as_ref().map_or("nothing is served".to_owned(), |(_, seconds)| {
                    format!("the living token is served on, promised for {seconds} s")
                });
                self.say(
                    "relay",
                    &format!(
                        "call {} failed ({}): {living}",
                        status.failures,
                        brief(&trouble.errors.describe(&trouble.error))
                    ),
                );
            }
            if was_served && served.is_none() {
                self.say("relay", "serves no token: this one is known to be dead; fetching");
            }
            (failures, was_served) = (status.failures, served.is_some());
            self.handle.changed_since(&published).await;
        }
    }

    /// The story, over and over.
    async fn play(&self) -> Result<()> {
        sleep(Duration::from_secs(13)).await;
        loop {
            self.a_false_alarm().await?;
            sleep(Duration::from_secs(8)).await;
            self.an_outsider().await?;
            sleep(Duration::from_secs(12)).await;
            self.an_outage().await;
            sleep(Duration::from_secs(20)).await;
            let calls = self.sim.calls(Op::Token).len();
            self.say(
                "demo",
                &format!("so far the relay made {calls} calls to the token API; all clients together: none"),
            );
        }
    }

    /// Waits until the next rotation is a while ahead and the last one a while ago, so that the scenes do not mix.
    async fn a_calm_moment(&self) {
        let calm = Duration::from_secs(4)..Duration::from_secs(9);
        for _ in 0..600 {
            let rotation_at = self.handle.published().status.rotation_at;
            if rotation_at.is_some_and(|at| calm.contains(&at.since(SystemClock.boot_now()))) {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn a_false_alarm(&self) -> Result<()> {
        self.a_calm_moment().await;
        let token = self.token().await?;
        self.say("client", "got a 40001 although the token is fine (WeChat does that): reports it");
        let answer = self.report(&token).await?;
        self.say("relay", &format!("probed it: {}; nothing is rotated", answer.words(&token)));
        Ok(())
    }

    async fn an_outsider(&self) -> Result<()> {
        self.a_calm_moment().await;
        let token = self.token().await?;
        self.say("outsider", "a forgotten script calls the token API twice: WeChat kills the served token");
        self.sim.rotate_outside(APPID, Kind::Rotating);
        self.sim.rotate_outside(APPID, Kind::Rotating);
        for client in 1..=3 {
            let answer = self.report(&token).await?;
            self.say("client", &format!("{client} of 3 got 40001 and reports it: {}", answer.words(&token)));
        }
        Ok(())
    }

    async fn an_outage(&self) {
        self.say("wechat", "is away: connections are refused for 14 s");
        self.sim.refuse_connections().await;
        sleep(Duration::from_secs(14)).await;
        self.sim.accept_connections().await;
        self.say("wechat", "is back");
    }

    async fn token(&self) -> Result<String> {
        let request = self.http.get(format!("{}/token", self.public)).bearer_auth(KEY);
        let answer: Value = serde_json::from_str(&request.send().await?.text().await?)?;
        Ok(answer["access_token"].as_str().unwrap_or_default().to_owned())
    }

    async fn report(&self, token: &str) -> Result<Answer> {
        let request = self.http.post(format!("{}/token/refresh", self.public)).bearer_auth(KEY);
        let answer = request.body(json!({ "access_token": token }).to_string()).send().await?;
        let status = answer.status().as_u16();
        Ok(Answer { status, body: serde_json::from_str(&answer.text().await?)? })
    }
}

/// The answer to a report.
struct Answer {
    status: u16,
    body: Value,
}

impl Answer {
    fn words(&self, reported: &str) -> String {
        match self.body["access_token"].as_str() {
            Some(same) if same == reported => format!("{} with the same token, WeChat accepts it", self.status),
            Some(other) => format!("{} with a working one, {}", self.status, shortened(other)),
            None => format!("{} {}", self.status, self.body["detail"].as_str().unwrap_or_default()),
        }
    }
}

fn settings(sim: &Sim) -> Result<Settings> {
    let listen = free_or_any(8080);
    let admin = free_or_any(9090);
    let base_url = sim.base_url();
    let env = [
        ("SERVER__LISTEN", listen.as_str()),
        ("SERVER__ADMIN_LISTEN", &admin),
        ("WECHAT__BASE_URL", &base_url),
        ("WECHAT__FALLBACK_BASE_URL", ""),
        ("REFRESH__OVERLAP", "6s"),
        ("REFRESH__BEFORE_EXPIRY", "14s"),
        ("REFRESH__REPORT_COOLDOWN", "1s"),
        ("STATE__URL", "memory:"),
        ("ACCOUNTS__MAIN__APPID", APPID),
        ("ACCOUNTS__MAIN__SECRET", SECRET),
        ("CLIENTS__ORDERS__KEY", KEY),
    ];
    let env = env.map(|(key, value)| (format!("TOKEN_RELAY__{key}").into(), value.into()));
    Settings::load(None, env).context("the demo's settings")
}

/// The usual port if nobody has it.
fn free_or_any(port: u16) -> String {
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => format!("127.0.0.1:{port}"),
        Err(_) => "127.0.0.1:0".to_owned(),
    }
}

fn run_for() -> Result<Duration> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => Ok(Duration::from_secs(24 * 3600)),
        (Some("--for"), Some(time)) => humantime::parse_duration(&time).context("--for takes a time such as 60s"),
        _ => anyhow::bail!("the only argument is --for TIME"),
    }
}

/// A token's beginning: enough to tell two apart. The tokens of the demo are nobody's.
fn shortened(token: &str) -> String {
    format!("{}…", token.get(..11).unwrap_or(token))
}

fn brief(message: &str) -> &str {
    message.rsplit(": ").next().unwrap_or(message)
}

fn secs(duration: Duration) -> String {
    format!("{} s", duration.as_secs())
}
