//! Is a platform reached, and what time is it there? Asked without a secret and without a token.

use super::{
    Cause, IssueError,
    probe::PATH,
    reply::{errcode, object},
    upstream::{Call, Upstream},
};
use crate::clock::WallTime;

/// What a platform answers to a call that it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    /// The time there, in whole seconds, where the reply has a `Date`.
    pub date: Option<WallTime>,
}

/// Asks an API of both platforms, without the token that it takes: refused by 41001, and no account's quota is touched.
///
/// # Errors
/// No connection, no reply within `wechat.timeout`, or one that is no JSON object, as of a gateway on the way.
pub async fn greet(http: &Upstream) -> Result<Greeting, IssueError> {
    let call = Call { path: PATH, query: &[], json: None };
    let reply = http.call(&call, http.timeout()).await?;
    let status = reply.status.as_u16();
    object(&reply.body)
        .and_then(|answer| errcode(&answer))
        .map_err(|defect| IssueError::Unknown { cause: Cause::Unreadable { status, defect } })?;
    Ok(Greeting { date: reply.date })
}
