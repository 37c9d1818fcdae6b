//! The simulator as a program: parse, start, wait for a signal.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use secrecy::{ExposeSecret, SecretString};
use tokio::signal::unix::{SignalKind, signal};
use wechat_sim::{BadIdentity, Builder, Identity, Rules, Sim, StartError};

/// A stand-in for WeChat's `access_token` API, with faults on demand: see `/_control/` in the README
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Life of a new token (WeChat: 2h)
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    lifetime: Duration,
    /// How long the previous token works after a rotation (WeChat: 5m)
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    overlap: Duration,
    /// Life of a new ticket (WeChat: 2h)
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    ticket_lifetime: Duration,
    /// A registered app; may be repeated. The default is known to everyone and good for demos only
    #[arg(long, value_name = "APPID:SECRET", default_value = "wx0000000000000001:0123456789abcdef0123456789abcdef")]
    app: Vec<App>,
    /// A registered agent of WeCom; may be repeated
    #[arg(long, value_name = "CORPID:AGENT:SECRET")]
    agent: Vec<Agent>,
    /// Calls of /cgi-bin/token a day for each app
    #[arg(long, default_value_t = 2000)]
    quota: u32,
    /// Calls of /cgi-bin/token a minute for each app; no limit when left out
    #[arg(long)]
    per_minute: Option<u32>,
    /// Delay of every answer
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    latency: Duration,
    /// The same seed and the same calls give the same tokens; random when left out
    #[arg(long)]
    seed: Option<u64>,
    /// Serve TLS with this certificate chain (PEM)
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The chain's private key (PEM)
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

#[derive(Clone)]
struct App {
    appid: String,
    secret: SecretString,
}

impl FromStr for App {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some((appid, secret)) if !appid.is_empty() && !secret.is_empty() => {
                Ok(Self { appid: appid.to_owned(), secret: secret.into() })
            }
            _ => Err("an app is written APPID:SECRET"),
        }
    }
}

#[derive(Clone)]
struct Agent {
    corpid: String,
    name: String,
    secret: SecretString,
}

impl FromStr for Agent {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<_> = text.splitn(3, ':').collect();
        match parts[..] {
            [corpid, name, secret] if parts.iter().all(|part| !part.is_empty()) => {
                Ok(Self { corpid: corpid.to_owned(), name: name.to_owned(), secret: secret.into() })
            }
            _ => Err("an agent is written CORPID:AGENT:SECRET"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Identity(#[from] BadIdentity),
    #[error("signals can't be received")]
    Signals(#[from] std::io::Error),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Flags::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("wechat-sim: {}", with_causes(&failure));
            ExitCode::FAILURE
        }
    }
}

async fn run(flags: &Flags) -> Result<(), Failure> {
    // Before the first line: whoever reads it may send a signal at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let sim = builder(flags)?.start().await?;
    eprintln!("wechat-sim: listening on {}", sim.base_url());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn builder(flags: &Flags) -> Result<Builder, BadIdentity> {
    let rules = Rules {
        lifetime: flags.lifetime,
        overlap: flags.overlap,
        ticket_lifetime: flags.ticket_lifetime,
        quota: flags.quota,
        per_minute: flags.per_minute,
        ..Rules::default()
    };
    let mut builder = Sim::builder().listen(flags.listen).rules(rules).latency(flags.latency);
    for app in &flags.app {
        builder = builder.app(&app.appid, app.secret.expose_secret());
    }
    for agent in &flags.agent {
        builder = builder.agent(&agent.corpid, &agent.name, agent.secret.expose_secret());
    }
    if let Some(seed) = flags.seed {
        builder = builder.seed(seed);
    }
    if let (Some(chain), Some(key)) = (&flags.tls_cert, &flags.tls_key) {
        builder = builder.tls(Identity::from_pem_files(chain, key)?);
    }
    // Not `eprintln!`: it panics when nobody reads stderr any more.
    Ok(builder.log(|line| drop(writeln!(std::io::stderr(), "{line}"))))
}

/// The failure and its causes in one line.
fn with_causes(failure: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(failure.source(), |cause| cause.source());
    causes.fold(failure.to_string(), |text, cause| format!("{text}: {cause}"))
}
