//! How do requests and replies look on the wire? Written by hand, because a fault must break what a library would mend.

use std::io;

pub(crate) use connection::{After, Connection, Socket};
pub(crate) use head::Head;
pub(crate) use reader::{ReadLimit, ReadPlan};
pub(crate) use reply::Reply;
pub(crate) use request::{Intake, Received, Request};

mod body;
mod connection;
mod head;
mod reader;
mod reply;
mod request;

/// The request can't be read. The texts name nothing of its content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("the head is not HTTP/1")]
    Head,
    #[error("the head or the body is too long")]
    TooLong,
    #[error("the chunks of the body are torn")]
    Chunks,
}

fn unreadable(why: Unreadable) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
