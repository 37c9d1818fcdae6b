//! Start.

use std::env::vars_os;
use std::process::ExitCode;

use clap::Parser;
use token_relay::cli::{Cli, Command};
use token_relay::commands::{self, StatusView};

fn main() -> ExitCode {
    commands::refuse_core_dumps();
    let cli = Cli::parse();
    let config = cli.config.as_deref();
    commands::finish(match cli.command() {
        Command::Serve => commands::serve(config, vars_os()),
        Command::Check { online: false } => commands::check(config, vars_os()),
        Command::Check { online: true } => commands::check_online(config, vars_os()),
        Command::Health => commands::health(config, vars_os()),
        Command::Status { json, watch } => {
            let view = if json { StatusView::Json } else { StatusView::Table };
            commands::status(config, vars_os(), view, watch)
        }
        Command::Keygen => commands::keygen(),
        Command::Revoke { account, key_file } => commands::revoke(config, vars_os(), &account, key_file.as_deref()),
    })
}
