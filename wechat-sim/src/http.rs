//! How do requests and replies look on the wire? Written by hand, because a fault must break what a library would mend.

pub(crate) use connection::{Connection, Socket};
pub(crate) use reply::Reply;
pub(crate) use request::Request;

mod connection;
mod reply;
mod request;
