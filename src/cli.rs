//! Which commands and flags are there?

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// The central WeChat `access_token` server: one process fetches, everyone reads.
#[derive(Debug, Parser)]
#[command(name = "token-relay", version, after_help = NOTES, propagate_version = true)]
pub struct Cli {
    /// The settings file (TOML). Without it the file that `TOKEN_RELAY_CONFIG` names is read, if any
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,

    /// What to do; `serve` where it is left out
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Fetch tokens and serve them, until SIGTERM or Ctrl-C (the default)
    #[default]
    Serve,
    /// Validate the settings, print them without secrets, and exit; no network is used without `--online`
    Check {
        /// Instead of printing them, ask WeChat as the relay would: DNS, TLS, the clock, and for each account the AppSecret and the IP
        /// whitelist. It costs one call of `stable_token` (WeCom: `gettoken`) per account, rotates nothing and shows no token
        #[arg(long)]
        online: bool,
    },
    /// Ask the relay that runs here with these settings whether it is alive (`GET /healthz`, 3 s)
    Health,
    /// Show each credential of the relay that runs here (`GET /status` on its admin listener), failing ones first; no tokens.
    /// Exit code 0: at least one account is served (ready or degraded); 1: none is, or there is no answer
    Status {
        /// Print the JSON of `GET /status` as it is
        #[arg(long)]
        json: bool,
        /// Ask again every 2 s, until Ctrl-C, which ends it with 0
        #[arg(long)]
        watch: bool,
    },
    /// Make a client key of 256 bits and print it with its hash
    Keygen,
    /// Kill the tokens of an account that were handed out so far, with two rotations 30 s apart, by the relay that runs here
    Revoke {
        /// The account's name in the settings
        account: String,
        /// A file with the key of a client that has `admin = true`; without it the key is read from `TOKEN_RELAY_KEY`
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
    },
}

impl Cli {
    /// What to do.
    pub fn command(&self) -> Command {
        self.command.clone().unwrap_or_default()
    }
}

const NOTES: &str = "\
Settings, later wins: built-in defaults, the settings file, environment variables TOKEN_RELAY__SECTION__KEY.
The smallest start needs no file: TOKEN_RELAY__ACCOUNTS__MAIN__APPID, TOKEN_RELAY__ACCOUNTS__MAIN__SECRET
and TOKEN_RELAY__CLIENTS__ORDERS__KEY.

Exit codes:
  0   stopped as asked, or the answer is yes
  1   failed while running, or the answer is no
  2   bad command line
  78  bad configuration";
