//! What goes wrong with a reply?

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::operation::Op;

pub(crate) use queue::Queue;

mod json;
mod queue;

/// One way to fail. By itself a fault happens *instead of* the operation: nothing is minted, checked or counted.
/// [`Fault::minting`] lets the operation happen first, and only its reply is lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Nothing goes wrong: fills a place in a script.
    Pass,
    /// A business error, with HTTP status 200 and ` rid: …` after the message.
    Errcode {
        /// The number, -1 and -1000 included.
        code: i64,
        /// The text before the rid; the documented one is used when left out.
        #[serde(default)]
        message: Option<String>,
    },
    /// This HTTP status with a gateway's HTML page.
    Status(u16),
    /// No byte of an answer, until the client leaves.
    Hang,
    /// The connection is reset (RST) without an answer.
    Reset,
    /// The connection is closed in order (FIN) without an answer.
    Close,
    /// The right answer, late. The operation happens at the end of the delay, even if the client has left by then;
    /// with [`Fault::minting`] at its beginning.
    Slow(#[serde(with = "json::duration")] Duration),
    /// The head of a good reply, half of its body, and the end of the connection.
    Truncated,
    /// HTTP status 200 and an empty body.
    Empty,
    /// HTTP status 200 and this body, which need not be JSON or UTF-8.
    Body(#[serde(with = "json::bytes")] Vec<u8>),
    /// These bytes instead of an HTTP reply, then the end of the connection.
    Raw(#[serde(with = "json::bytes")] Vec<u8>),
    /// A good reply in JSON, blown up to at least this many bytes. Over 64 KiB a client should refuse it.
    Huge(usize),
    /// A reply that looks like success and is not quite one.
    Odd(Odd),
    /// The head of a good reply, half of its body, and then nothing, until the client leaves.
    Stall,
    /// HTTP status 200 and so many bytes, which take no memory here.
    Stream(u64),
    /// The right answer in chunks.
    Chunked,
    /// Half of a good reply in chunks, then what is no chunk, and the end of the connection.
    BrokenChunk,
    /// The right answer, compressed, whether the client takes it or not.
    Gzip,
    /// HTTP status 302 to another host, with the path and the whole query: the token is in `Location`.
    Redirect,
    /// A business error with the documented text, blown up to this many bytes.
    PaddedErrcode {
        /// The number.
        code: i64,
        /// The length of the body, when it is more than what has to be in it.
        size: usize,
    },
    /// After about so many bytes of the request's body nothing more is read, and nothing is answered. What reads no body in pieces
    /// hangs. Nobody notices when the client leaves: the call stays pending.
    StopReading(u64),
    /// After about so many bytes of the request's body the connection is closed. What reads no body in pieces closes after it.
    CloseReading(u64),
    /// A call with a good token is refused all the same, as WeChat does at times (40001; 40014 at WeCom). The token stays good.
    FalseRefusal,
}

/// A success that is not quite one. Those that carry a token mint it, whatever [`Fault::minting`] says: a test must be able to
/// tell whether a token that was taken is alive. In the reply of a ticket call `ticket` is meant where `access_token` stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Odd {
    /// `"access_token":""`
    EmptyToken,
    /// `"access_token":null`
    NullToken,
    /// No `access_token` at all.
    NoToken,
    /// `{"errcode":-1000,"errmsg":"system error","access_token":null,"expires_in":0}`, as was seen.
    SystemError,
    /// A good token with this JSON value as `expires_in`.
    ExpiresIn(serde_json::Value),
    /// A good token without `expires_in`.
    NoExpiresIn,
    /// A good token, but with a line feed and a NUL in its middle.
    ControlCharacters,
    /// A good reply with `"errcode":0,"errmsg":"ok"` in front, as WeCom does it.
    ErrcodeZero,
}

impl Fault {
    /// A business error with the documented text.
    pub fn errcode(code: i64) -> Self {
        Self::Errcode { code, message: None }
    }

    /// The operation happens, then its reply fails: the token was minted and reached no one.
    pub fn minting(self) -> Plan {
        Plan { fault: self, minting: true }
    }
}

/// A fault and the moment at which it happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What goes wrong.
    pub fault: Fault,
    /// Does the operation happen first?
    #[serde(default)]
    pub minting: bool,
}

impl From<Fault> for Plan {
    fn from(fault: Fault) -> Self {
        Self { fault, minting: false }
    }
}

impl Plan {
    /// Does WeChat do what it was asked for?
    pub(crate) fn happens(&self) -> bool {
        let inherent = match &self.fault {
            Fault::Pass | Fault::Slow(_) | Fault::Chunked | Fault::Gzip => true,
            Fault::Odd(odd) => odd.carries_token(),
            Fault::Errcode { .. }
            | Fault::Status(_)
            | Fault::Hang
            | Fault::Reset
            | Fault::Close
            | Fault::Truncated
            | Fault::Empty
            | Fault::Body(_)
            | Fault::Raw(_)
            | Fault::Huge(_)
            | Fault::Stall
            | Fault::Stream(_)
            | Fault::BrokenChunk
            | Fault::Redirect
            | Fault::PaddedErrcode { .. }
            | Fault::StopReading(_)
            | Fault::CloseReading(_)
            | Fault::FalseRefusal => false,
        };
        self.minting || inherent
    }

    /// The delays before and after the operation.
    pub(crate) fn delays(&self) -> (Duration, Duration) {
        match self.fault {
            Fault::Slow(delay) if self.minting => (Duration::ZERO, delay),
            Fault::Slow(delay) => (delay, Duration::ZERO),
            _ => (Duration::ZERO, Duration::ZERO),
        }
    }
}

impl Odd {
    fn carries_token(&self) -> bool {
        match self {
            Odd::EmptyToken | Odd::NullToken | Odd::NoToken | Odd::SystemError => false,
            Odd::ExpiresIn(_) | Odd::NoExpiresIn | Odd::ControlCharacters | Odd::ErrcodeZero => true,
        }
    }
}

/// Which calls a fault concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Those of an operation.
    Op(Op),
    /// Those of one path, for faults that must not meet a probe, which is of the same operation.
    Path(String),
}

impl Target {
    fn covers(&self, op: Op, path: &str) -> bool {
        match self {
            Self::Op(target) => target.covers(op),
            Self::Path(target) => target == path,
        }
    }
}

impl From<Op> for Target {
    fn from(op: Op) -> Self {
        Self::Op(op)
    }
}

impl From<&str> for Target {
    fn from(path: &str) -> Self {
        Self::Path(path.to_owned())
    }
}

/// How often a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// For so many calls.
    Next(u32),
    /// Until the faults are cleared.
    Always,
}

impl Serialize for Times {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Times::Next(calls) => serializer.serialize_u32(*calls),
            Times::Always => serializer.serialize_str("always"),
        }
    }
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) if text == "always" => Ok(Times::Always),
            other => serde_json::from_value(other)
                .map(Times::Next)
                .map_err(|_| serde::de::Error::custom("`times` is a number of calls or \"always\"")),
        }
    }
}
