#![doc = include_str!("../README.md")]

pub use fault::{Fault, Odd, Plan, Times};
pub use journal::{Call, Outcome};
pub use model::{Grant, IpRange, Kind, Model, Refusal, Rules};
pub use op::Op;
pub use sim::{Builder, Sim, StartError};
pub use tls::{BadIdentity, Identity};

mod ask;
mod clock;
mod control;
mod delivery;
mod door;
mod fault;
mod http;
mod journal;
pub mod model;
mod op;
mod server;
mod sim;
mod tls;
