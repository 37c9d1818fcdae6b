//! What does the issuer send, and what does it make of all that a server, a proxy or a network can do? Real sockets, real
//! clock.

#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, but clippy does not see that these helpers are theirs"
)]

mod call;
mod environment;
mod fallback;
mod not_sent;
mod probe;
mod proxies;
mod replies;
mod requests;
mod resolve;
mod secrecy;
mod ticket;
mod wecom;
