#![doc = include_str!("../README.md")]

pub use call_log::{Call, Outcome, RouteCalls};
pub use content::Fingerprint;
pub use fault::{Fault, Odd, Plan, Target, Times};
pub use model::{
    Grant, IpRange, Kind, Login, LoginKind, Media, MediaKind, Model, Platform, Refusal, Rules, TicketKind,
};
pub use operation::Op;
pub use sim::{Builder, Sim, StartError};
pub use tls::{BadIdentity, Identity};
pub use token_id::TokenId;

mod acceptor;
mod api;
mod call_log;
mod clock;
mod content;
mod control;
mod exchange;
mod fault;
mod http;
pub mod model;
mod operation;
mod port;
mod server;
mod shared;
mod sim;
mod tls;
mod token_id;
mod wire_reply;
