//! What goes over the wire for an answer, once its fault is applied?

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::api::{Answer, ReplyFormat};
use crate::call_log::Outcome;
use crate::content::Content;
use crate::fault::Fault;
use crate::http::Reply;
use crate::model::Refusal;

mod odd;

/// What is sent, and whether the connection ends.
#[derive(Debug)]
pub(crate) enum WireReply {
    /// A reply and so many bytes of its body.
    Reply { reply: Reply, length: u64, then: Then },
    /// These bytes, then the end.
    Raw(Vec<u8>),
    /// Nothing, for ever.
    Hang,
    /// Nothing, and a reset.
    Reset,
}

/// What comes after a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The next request, unless the client wants no other.
    KeepAlive,
    /// The end of the connection.
    Close,
    /// Nothing, for ever.
    Silence,
    /// What is no chunk, and the end of the connection.
    Garbage,
}

/// What a reply also shows of its call.
pub(crate) struct ReplyContext<'a> {
    pub(crate) format: ReplyFormat,
    /// The path with its query.
    pub(crate) target: &'a str,
}

impl WireReply {
    fn complete(reply: Reply) -> Self {
        Self::Reply { length: reply.body.len(), reply, then: Then::KeepAlive }
    }

    fn half(reply: Reply, then: Then) -> Self {
        Self::Reply { length: reply.body.len() / 2, reply, then }
    }
}

impl ReplyContext<'_> {
    /// What the client gets, and how the call ends.
    pub(crate) fn wire_reply(&self, fault: &Fault, result: &Result<Answer, Refusal>) -> (WireReply, Outcome) {
        let reply = || self.format.result(result);
        let wire_reply = match fault {
            Fault::Pass | Fault::Slow(_) => return (WireReply::complete(reply()), outcome(result)),
            Fault::Chunked => return (WireReply::complete(reply().in_chunks()), outcome(result)),
            Fault::Gzip => return (WireReply::complete(compressed(reply())), outcome(result)),
            Fault::Errcode { code, message } => return self.refuse(*code, message.as_deref(), 0),
            Fault::PaddedErrcode { code, size } => return self.refuse(*code, None, *size),
            Fault::FalseRefusal => return self.refuse(self.format.false_refusal(), None, 0),
            Fault::Odd(odd) => match result.as_ref().ok().and_then(|answer| odd.body(answer)) {
                Some(body) => WireReply::complete(self.format.json(body)),
                None => return (WireReply::complete(reply()), outcome(result)),
            },
            Fault::Status(status) => WireReply::complete(Reply::html(*status)),
            Fault::Redirect => WireReply::complete(self.redirect()),
            Fault::Hang | Fault::StopReading(_) => WireReply::Hang,
            Fault::Reset => WireReply::Reset,
            Fault::Close | Fault::CloseReading(_) => WireReply::Raw(Vec::new()),
            Fault::Truncated => WireReply::half(reply(), Then::Close),
            Fault::Stall => WireReply::half(reply(), Then::Silence),
            Fault::BrokenChunk => WireReply::half(reply().in_chunks(), Then::Garbage),
            Fault::Empty => WireReply::complete(self.format.json(Vec::new())),
            Fault::Body(bytes) => WireReply::complete(self.format.json(bytes.clone())),
            Fault::Raw(bytes) => WireReply::Raw(bytes.clone()),
            Fault::Huge(least) => WireReply::complete(padded(reply(), *least)),
            Fault::Stream(size) => {
                WireReply::complete(Reply::new(200, "application/octet-stream", Content::filler(*size)))
            }
        };
        (wire_reply, Outcome::Faulted)
    }

    fn redirect(&self) -> Reply {
        Reply::html(302).with("Location", format!("https://elsewhere.invalid{}", self.target))
    }

    fn refuse(&self, errcode: i64, message: Option<&str>, size: usize) -> (WireReply, Outcome) {
        let reply = self.format.error(errcode, message);
        let reply = if size == 0 { reply } else { padded(reply, size) };
        (WireReply::complete(reply), Outcome::Refused(errcode))
    }
}

fn outcome(result: &Result<Answer, Refusal>) -> Outcome {
    match result {
        Ok(_) => Outcome::Granted,
        Err(refusal) => Outcome::Refused(refusal.errcode()),
    }
}

fn compressed(mut reply: Reply) -> Reply {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for piece in reply.body.pieces() {
        // Cannot fail: a `Vec` takes everything.
        let _ = encoder.write_all(&piece);
    }
    reply.body = encoder.finish().unwrap_or_default().into();
    reply.with("Content-Encoding", "gzip")
}

/// The same JSON object with a member of padding; what is no JSON gets more bytes behind its own.
fn padded(mut reply: Reply, least: usize) -> Reply {
    let mut body: Vec<u8> = reply.body.pieces().flatten().collect();
    let is_object = body.ends_with(b"}");
    if is_object {
        body.pop();
        body.extend_from_slice(br#","padding":""#);
    }
    let end: &[u8] = if is_object { br#""}"# } else { b"" };
    body.resize(body.len().max(least.saturating_sub(end.len())), b'x');
    body.extend_from_slice(end);
    reply.body = body.into();
    reply
}
