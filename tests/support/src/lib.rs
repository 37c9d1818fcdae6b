//! What do the test suites share? Relays as processes, the servers and links around them, and what they are watched with.
//!
//! Nothing here uses the relay's library: a suite that does keeps its own helpers.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test that called it")]
#![expect(clippy::print_stdout, reason = "figures for `--nocapture`; cargo shows the rest when a test fails")]

mod browser;
mod certificates;
pub mod child_test;
pub mod client;
mod command;
mod fake_server;
pub mod installation;
mod link;
mod log_capture;
mod ports;
mod redis_groups;
mod redis_server;
mod relay_process;
mod setup;
mod small_disk;
mod tls_client;
mod token_poller;
pub mod toolchain;
mod wait;

pub use browser::Browser;
pub use certificates::{Authority, Certificate};
pub use command::{Finished, run};
pub use fake_server::{Connection, FakeServer};
pub use link::{Link, LinkState};
pub use log_capture::LogCapture;
pub use ports::{ClosedPort, free_port};
pub use redis_groups::{MASTER, RedisCluster, SentinelGroup};
pub use redis_server::{RECORD_KEY, RedisServer};
pub use relay_process::{CLIENT_KEY, Relay, SENTINEL, SETTINGS_TAKEN};
pub use setup::{SECRET, Setup, appid};
pub use small_disk::SmallDisk;
pub use tls_client::{TlsClient, is_presented};
pub use token_poller::{Seen, TokenPoller};
pub use wait::{PATIENCE, eventually};
