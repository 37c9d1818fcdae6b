//! What goes over the wire for an answer, once its fault is applied?

use std::net::IpAddr;

use crate::api::{Answer, error_body};
use crate::call_log::Outcome;
use crate::fault::Fault;
use crate::http::Reply;
use crate::model::Refusal;

mod odd;

/// What is sent, and whether the connection ends.
#[derive(Debug)]
pub(crate) enum WireReply {
    /// A whole reply.
    Complete(Reply),
    /// The head of a reply and half of its body, then the end.
    HalfBody(Reply),
    /// These bytes, then the end.
    Raw(Vec<u8>),
    /// Nothing, for ever.
    Hang,
    /// Nothing, and a reset.
    Reset,
}

/// What a reply also shows of its call.
pub(crate) struct ReplyContext<'a> {
    pub(crate) rid: &'a str,
    pub(crate) ip: IpAddr,
}

impl ReplyContext<'_> {
    /// What the client gets, and how the call ends.
    pub(crate) fn wire_reply(&self, fault: &Fault, result: &Result<Answer, Refusal>) -> (WireReply, Outcome) {
        let outcome = outcome(result);
        let complete = || WireReply::Complete(self.reply(result));
        let reply = match fault {
            Fault::Pass | Fault::Slow(_) => return (complete(), outcome),
            Fault::Errcode { code, message } => return self.refuse(*code, message.as_deref()),
            Fault::FalseRefusal => return self.refuse(40001, None),
            Fault::Odd(odd) => match result.as_ref().ok().and_then(|answer| odd.body(answer)) {
                Some(body) => WireReply::Complete(Reply::json(body)),
                None => return (complete(), outcome),
            },
            Fault::Status(status) => WireReply::Complete(Reply::html(*status)),
            Fault::Hang => WireReply::Hang,
            Fault::Reset => WireReply::Reset,
            Fault::Close => WireReply::Raw(Vec::new()),
            Fault::Truncated => WireReply::HalfBody(self.reply(result)),
            Fault::Empty => WireReply::Complete(Reply::json(Vec::new())),
            Fault::Body(bytes) => WireReply::Complete(Reply::json(bytes.clone())),
            Fault::Raw(bytes) => WireReply::Raw(bytes.clone()),
            Fault::Huge(least) => WireReply::Complete(padded(self.reply(result), *least)),
        };
        (reply, Outcome::Faulted)
    }

    fn refuse(&self, errcode: i64, message: Option<&str>) -> (WireReply, Outcome) {
        let text = message.map_or_else(|| Refusal::documented_text(errcode, self.ip), str::to_owned);
        (WireReply::Complete(Reply::json(error_body(errcode, &text, self.rid))), Outcome::Refused(errcode))
    }

    fn reply(&self, result: &Result<Answer, Refusal>) -> Reply {
        match result {
            Ok(answer) => answer.reply(),
            Err(refusal) => Reply::json(error_body(refusal.errcode(), &refusal.to_string(), self.rid)),
        }
    }
}

fn outcome(result: &Result<Answer, Refusal>) -> Outcome {
    match result {
        Ok(_) => Outcome::Granted,
        Err(refusal) => Outcome::Refused(refusal.errcode()),
    }
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
