//! Does the relay keep its promises as a process? The real binary, real sockets, real signals and a simulated WeChat.
//!
//! Lives are seconds instead of hours, so that a test sees several of them; nothing is asserted about a moment that a busy
//! machine could miss. Every relay's log is searched for the AppSecret and the client keys, whatever the test is about.

#![expect(clippy::unwrap_used, reason = "clippy allows it in tests, but not in what they share")]
#![expect(clippy::print_stdout, reason = "figures for `--nocapture`; cargo shows the rest when a test fails")]

mod attempts;
mod browser;
mod certificates;
mod check_online;
mod disk;
mod drop_in;
mod early_fetches;
mod egress;
mod freeze;
mod gateway;
mod hostile;
mod leaks;
mod limits;
mod logs;
mod loops;
mod outage;
mod page;
mod reload;
mod reports;
mod restarts;
mod revoking;
mod serving;
mod state;
mod status;
mod stopping;
mod systemd;
mod tickets;
mod tls;
mod wecom;

/// The binary under test.
const RELAY: &str = env!("CARGO_BIN_EXE_token-relay");
