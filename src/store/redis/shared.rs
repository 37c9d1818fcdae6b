//! What has changed in the group, and which relays are in it?

use futures_util::future::BoxFuture;
use redis::{Cmd, Value};
use tokio::sync::watch;

use super::{RedisStore, history};
use crate::{
    credential::CredentialId,
    presence::{Presence, ReplicaId},
    store::{Changed, Cursor, Poll, Sealed, SharedStore, StoreError},
};

const POLL: &str = concat!(include_str!("group.lua"), include_str!("poll.lua"));

/// Where more have changed, reading all costs little more than naming them.
const MOST_NAMED: usize = 5000;

impl RedisStore {
    async fn ask(&self, me: ReplicaId, presence: Presence, cursor: Option<Cursor>) -> Result<Poll, StoreError> {
        let mut eval = self.eval(POLL, &self.keys.relays);
        history::add_cursor(&mut eval, cursor);
        let json = serde_json::to_string(&presence).expect("numbers and a text can be written as JSON");
        eval.arg(me.0).arg(presence.beat).arg(json).arg(MOST_NAMED + 1);
        let poll = Self::poll_of(self.connection.write(&eval).await?);
        // or somebody else has written into it
        let of_key = || format!("EVAL for the key {}", self.keys.relays);
        let poll = poll.ok_or_else(|| self.connection.odd_reply(&of_key()))?;
        self.history.saw(poll.cursor);
        Ok(poll)
    }

    fn poll_of(reply: Value) -> Option<Poll> {
        let Value::Array(reply) = reply else { return None };
        let [nonce, change, Value::Array(relays), changed] = <[Value; 4]>::try_from(reply).ok()? else { return None };
        let changed = match changed {
            Value::Nil => Changed::All,
            // what no relay of this version keeps is passed over
            Value::Array(ids) => Changed::These(ids.iter().filter_map(|id| text_of(id)?.parse().ok()).collect()),
            _ => return None,
        };
        let presences = relays.chunks_exact(2).filter_map(|relay| presence_of(&relay[0], &relay[1])).collect();
        Some(Poll { cursor: history::cursor(&nonce, &change)?, changed, presences })
    }

    async fn get_all(&self, ids: &[CredentialId]) -> Result<Vec<Option<Sealed>>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new()); // MGET takes no empty list
        }
        let keys: Vec<String> = ids.iter().map(|id| self.keys.record(id)).collect();
        match self.connection.send(Cmd::new().arg("MGET").arg(keys)).await? {
            Value::Array(found) if found.len() == ids.len() => {
                found.into_iter().map(|value| self.record_of(value, "MGET")).collect()
            }
            _ => Err(self.connection.odd_reply("MGET")),
        }
    }

    async fn remove(&self, gone: &[ReplicaId]) -> Result<(), StoreError> {
        if gone.is_empty() {
            return Ok(());
        }
        let relays: Vec<u64> = gone.iter().map(|relay| relay.0).collect();
        match self.connection.send(Cmd::new().arg("HDEL").arg(&self.keys.relays).arg(relays)).await? {
            Value::Int(_) => Ok(()),
            _ => Err(self.connection.odd_reply("HDEL")),
        }
    }
}

fn text_of(value: &Value) -> Option<&str> {
    let Value::BulkString(bytes) = value else { return None };
    std::str::from_utf8(bytes).ok()
}

/// `None` where no beat can be read: what shows no life.
fn presence_of(relay: &Value, presence: &Value) -> Option<(ReplicaId, Presence)> {
    let relay = ReplicaId(text_of(relay)?.parse().ok()?);
    Some((relay, serde_json::from_str(text_of(presence)?).ok()?))
}

/// All answer within 4 s, as [`super::Store`]'s operations do. A poll that cannot write is an error, also where the server
/// could answer: a relay that cannot show its presence must not count on its leases.
impl SharedStore for RedisStore {
    fn poll(
        &self,
        me: ReplicaId,
        presence: Presence,
        cursor: Option<Cursor>,
    ) -> BoxFuture<'_, Result<Poll, StoreError>> {
        Box::pin(self.ask(me, presence, cursor))
    }

    /// What is no string reads as absent, as MGET answers: it harms one credential and not all, for its swaps say what is wrong.
    fn read<'a>(&'a self, ids: &'a [CredentialId]) -> BoxFuture<'a, Result<Vec<Option<Sealed>>, StoreError>> {
        Box::pin(self.get_all(ids))
    }

    fn forget<'a>(&'a self, gone: &'a [ReplicaId]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.remove(gone))
    }

    fn hint(&self) -> watch::Receiver<u64> {
        self.hints.subscribe()
    }
}
