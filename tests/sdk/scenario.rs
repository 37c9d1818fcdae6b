//! Does an SDK always hand out a token that WeChat accepts, and do all its calls succeed, over rotations of the relay and from outside?

use std::{fs, path::Path, time::Duration};

use test_support::{
    CLIENT_KEY, Relay, Setup,
    client::Answer,
    eventually,
    toolchain::{report, skipped},
};
use tokio::time::sleep;
use wechat_sim::{Kind, Login, MediaKind};

use crate::{By, RELAY, Sdk, Way, alias::Alias, program::Program};

/// The relay rotates at half a life, so twice within that many seconds. What it promises ends a reserve, a fifth of the overlap,
/// before the token does, as with WeChat's own times: node-easywechat keeps a token up to a second longer than `expires_in`.
const LIFETIME_S: u64 = 16;
const OVERLAP_S: u64 = 8;

/// The life of the last token: an SDK's margin is at most 1500 s.
const LONG_LIFETIME: Duration = Duration::from_secs(7200);

/// Between two uses of the SDK.
const PAUSE: Duration = Duration::from_millis(200);

/// Of a file, in bytes.
const FILE_SIZE: usize = 100_000;

/// Uses of the token that is kept.
const USES: usize = 10;

/// An SDK's caller: it uses the token as long as it lives, and counts what it gets.
struct Caller<'a> {
    setup: &'a Setup,
    alias: Option<&'a Alias>,
    program: Program,
    /// How often the SDK was asked for its token, and how often it was used.
    asked: usize,
    used: usize,
    /// In their order, each once.
    tokens: Vec<String>,
    errors: Vec<String>,
}

impl Caller<'_> {
    /// Lets the SDK hand out a token, which must be one that WeChat accepts.
    async fn token(&mut self, command: &str) {
        self.asked += 1;
        match self.program.token(command).await {
            Ok(token) => {
                assert!(self.setup.sim.token_alive("wxmain", &token), "WeChat does not accept it");
                if self.tokens.last() != Some(&token) {
                    assert!(!self.tokens.contains(&token), "an earlier token came back");
                    self.tokens.push(token);
                }
            }
            Err(error) => self.errors.push(error),
        }
    }

    /// Logs a user in, sends them a message, uploads a file and downloads it again.
    async fn use_api(&mut self) {
        self.used += 1;
        let openid = format!("oUser{}", self.used);
        let code = self.setup.sim.login_code("wxmain", Login::mini_program(&openid));
        let file = self.setup.path().join("picture.jpg");
        let content: Vec<u8> = (0..FILE_SIZE).map(|at| 0x80 | (at + self.used).to_le_bytes()[0]).collect();
        fs::write(&file, &content).unwrap();
        match self.program.carry_out(&format!("use {code} {openid} {}", file.display())).await {
            Ok(answer) => {
                assert_eq!(answer["openid"], openid);
                let uploaded = self.setup.sim.media(answer["media_id"].as_str().unwrap()).unwrap();
                assert_eq!((uploaded.owner.as_str(), uploaded.kind), ("wxmain", MediaKind::Image));
                assert!(fs::read(file.with_extension("jpg.back")).unwrap() == content, "another file came back");
            }
            Err(error) => self.errors.push(error),
        }
    }

    /// Another server fetches twice: the token that the SDK has is dead.
    fn kill_token(&self) {
        for _ in 0..2 {
            self.setup.sim.rotate_outside("wxmain", Kind::Rotating);
        }
        assert!(!self.setup.sim.token_alive("wxmain", self.newest().unwrap()));
    }

    /// What the relay serves to a service with a key.
    async fn served(&self, relay: &Relay) -> Answer {
        match self.alias {
            None => relay.get("/token").await,
            Some(alias) => alias.client.get(relay.public, "/token", Some(CLIENT_KEY)).await.unwrap(),
        }
    }

    fn newest(&self) -> Option<&String> {
        self.tokens.last()
    }
}

/// The whole scenario; panics where a promise is broken.
pub(crate) async fn run(sdk: &Sdk, way: &Way, directory: &Path) {
    let alias = match way.by {
        By::Setting => None,
        By::Alias => match Alias::new() {
            Ok(alias) => Some(alias),
            Err(reason) => return skipped(&reason),
        },
    };
    let mut setup = match &alias {
        None => Setup::new(RELAY, LIFETIME_S, OVERLAP_S).await,
        Some(alias) => alias.setup(LIFETIME_S, OVERLAP_S).await,
    };
    // No token of this test becomes so old that a forced fetch would be heard.
    setup.set("refresh.report_cooldown", "0s");
    setup.set("gateway.enabled", "true");
    setup.set("clients.orders.gateway", "true");
    let relay = setup.start().await;
    let url = format!("http://{}", relay.public);
    let at = alias.as_ref().map_or(Ok(url.as_str()), Err);
    let program = Program::start(sdk, way, directory, at, CLIENT_KEY).await;
    let mut caller = Caller {
        setup: &setup,
        alias: alias.as_ref(),
        program,
        asked: 0,
        used: 0,
        tokens: Vec::new(),
        errors: Vec::new(),
    };

    through_two_rotations(&mut caller, &relay).await;
    keeps_a_token_that_lives_long(&mut caller, &relay).await;
    through_a_rotation_from_outside(&mut caller).await;
    calls_with_a_dead_token(&mut caller).await;

    assert_eq!(caller.errors, [""; 0]);
    let (calls, requests) = (setup.calls().len(), requests(&relay).await);
    let probes = sum(&relay, "token_relay_probes_total{").await;
    assert_eq!(calls, sum(&relay, "token_relay_calls_total{").await, "all token calls are the relay's");
    report(&format!(
        "{} {}: asked for a token {} times and got {} different ones, used {} times, {} errors; {requests} token requests to the \
         relay, {calls} token calls and {probes} probes to WeChat",
        sdk.package.named,
        way.name(),
        caller.asked,
        caller.tokens.len(),
        caller.used,
        caller.errors.len(),
    ));
}

/// Lives of seconds. The last token gets a long one.
async fn through_two_rotations(caller: &mut Caller<'_>, relay: &Relay) {
    eventually("the SDK has the third token, with a long life", async || {
        caller.token("token").await;
        caller.use_api().await;
        if caller.tokens.len() == 2 {
            caller.setup.sim.change_rules(|rules| rules.lifetime = LONG_LIFETIME);
        }
        sleep(PAUSE).await;
        let served = caller.served(relay).await;
        caller.tokens.len() > 2
            && served.seconds() > LONG_LIFETIME.as_secs() / 4
            && caller.newest() == Some(&served.token())
    })
    .await;
}

/// `expires_in` is longer than the SDK's margin: it does not ask again.
async fn keeps_a_token_that_lives_long(caller: &mut Caller<'_>, relay: &Relay) {
    let before = (requests(relay).await, caller.tokens.len());
    for _ in 0..USES {
        caller.token("token").await;
    }
    assert_eq!((requests(relay).await, caller.tokens.len()), before);
}

/// Another server kills the token. What the SDK does then brings one that lives, and the SDK keeps it.
async fn through_a_rotation_from_outside(caller: &mut Caller<'_>) {
    caller.kill_token();
    let before = caller.tokens.len();
    for command in ["refused", "token"] {
        caller.token(command).await;
        assert_eq!(caller.tokens.len(), before + 1, "{:?}", caller.errors);
    }
}

/// Another server kills the token that the SDK keeps. The gateway renews it on the way: the SDK does not see the 40001.
async fn calls_with_a_dead_token(caller: &mut Caller<'_>) {
    let before = caller.setup.calls().len();
    caller.kill_token();
    for _ in 0..USES {
        caller.use_api().await;
    }
    assert_eq!(caller.setup.calls().len(), before + 1);
}

/// How many requests of the SDK the relay has answered.
async fn requests(relay: &Relay) -> usize {
    sum(relay, "token_relay_requests_total{route=\"drop_in_").await
}

/// The sum of all series that begin so.
async fn sum(relay: &Relay, beginning: &str) -> usize {
    let page = relay.look("/metrics").await.body;
    let values = page.lines().filter(|line| line.starts_with(beginning)).filter_map(|line| line.rsplit(' ').next());
    values.map(|value| value.parse::<usize>().unwrap()).sum()
}
