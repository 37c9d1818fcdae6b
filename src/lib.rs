//! The central WeChat access_token server (access_token 中控服务器): one process fetches, everyone reads.
//!
//! WeChat gives a team one `access_token` per account, and every call that fetches a new one ends the old. So exactly one
//! process may fetch, and everybody else asks it. This crate is that process.
//!
//! # The story
//!
//! For every account of the [`settings`] there is a [`keeper`]: a task that owns one [`credential`]. It takes the stored record
//! from its [`store`], asks its [`issuer`] when a new token is due, stores what it got, and publishes an
//! [`status::Status`]. [`http`] handlers read that from memory: a read waits neither for WeChat nor for a disk. The
//! one way back is a report, a client's statement that the token is bad.
//!
//! What is done when is decided in one place, [`keeper::machine`], which does no I/O and reads no clock: it is given the
//! time and what happened, and answers with actions. Its one idea: a credential has a set of moments at which it may die, and
//! the earliest counts.
//!
//! # The map
//!
//! Start at [`commands`] and [`serve`]; then
//!
//! | module | answers |
//! |---|---|
//! | [`settings`], [`account`], [`cli`] | which settings does the relay run with? |
//! | [`registry`], [`status`], [`credential`] | which credentials are kept, what is known of each, and for how long is it good? |
//! | [`keepers`], [`keeper`] | which keepers run, how is a credential kept alive, and what is done next? |
//! | [`report`] | what may a client say of it? |
//! | [`issuer`] | who hands it out, and what does each failure call for? |
//! | [`store`] | where does it outlive the process? |
//! | [`group`], [`presence`] | which other relays are on the same store, and what has changed there? |
//! | [`http`], [`language`] | what do clients and operators see, and in which language? |
//! | [`metrics`], [`logs`], `telemetry`, [`recent`], [`heartbeat`] | what is counted and logged, what happened of late, and is every keeper alive? |
//! | [`lifecycle`], [`clock`], [`systemd`] | when does it end, what time is it, and what does systemd learn? |
//! | [`relay_key`], `timing`, `secret_url`, [`page_url`], `printable`, `tls` | what do several of them share? |
//!
//! Comments cite the promises I1 to I13; `docs/ARCHITECTURE.md` lists them, each with its place and its tests. The crate is the
//! library behind the `token-relay` binary and its tests; its API follows their needs and promises nothing to others.

pub mod account;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod credential;
pub mod group;
pub mod heartbeat;
pub mod http;
pub mod issuer;
pub mod keeper;
pub mod keepers;
pub mod language;
mod last_look;
pub mod lifecycle;
pub mod logs;
pub mod metrics;
pub mod page_url;
pub mod presence;
mod printable;
pub mod recent;
pub mod registry;
pub mod relay_key;
pub mod report;
mod secret_url;
pub mod serve;
pub mod settings;
pub mod status;
pub mod store;
pub mod systemd;
mod telemetry;
mod timing;
mod tls;
