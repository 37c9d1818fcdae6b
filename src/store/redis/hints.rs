//! Whose record has another relay just changed?

use std::{collections::HashMap, time::Duration};

use futures_util::StreamExt;
use redis::{
    Msg, RedisError,
    aio::{PubSubSink, PubSubStream},
};
use tokio::{
    sync::watch,
    time::{error::Elapsed, sleep, timeout},
};
use tracing::{debug, warn};

use super::{CONNECT_LIMIT, PAUSE, REPLY_LIMIT, address::Address, key as channel, words};
use crate::credential::CredentialId;

/// A connection that nothing came from for so long is asked whether it lives.
const SILENCE: Duration = Duration::from_secs(5);

/// The longest wait before the next attempt to listen. Polling tells the same, a little later.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What is heard on the channels of all credentials. Only a hint: messages get lost, and nothing is told of a flush.
pub(super) struct Hints {
    /// How this store's own messages are known.
    writer: String,
    /// By channel.
    changes: HashMap<String, watch::Sender<u64>>,
}

/// Why listening ended.
enum Deaf {
    /// The server does not allow it.
    Refused(String),
    /// The connection was lost, or there was none.
    Lost(String),
}

impl Hints {
    pub(super) fn new(ids: impl IntoIterator<Item = CredentialId>) -> Self {
        let changes = ids.into_iter().map(|id| (channel(&id), watch::Sender::new(0))).collect();
        Self { writer: format!("{:016x}", fastrand::u64(..)), changes }
    }

    /// The message of this store's own changes.
    pub(super) fn writer(&self) -> &str {
        &self.writer
    }

    pub(super) fn of(&self, id: &CredentialId) -> Option<watch::Receiver<u64>> {
        self.changes.get(&channel(id)).map(watch::Sender::subscribe)
    }

    /// Listens for ever.
    pub(super) async fn listen(&self, address: &Address) {
        let (mut pause, mut is_told) = (PAUSE, false);
        while !self.changes.is_empty() {
            let deaf = match self.subscribe(address).await {
                Ok((sink, messages)) => {
                    debug!(server = address.shown(), "listening for hints");
                    (pause, is_told) = (PAUSE, false);
                    self.hear(address, sink, messages).await
                }
                Err(deaf) => deaf,
            };
            match deaf {
                Deaf::Refused(reason) if !is_told => {
                    is_told = true;
                    warn!(
                        server = address.shown(),
                        reason, "no hints from Redis: others' rotations are seen by polling"
                    );
                }
                Deaf::Refused(reason) | Deaf::Lost(reason) => debug!(server = address.shown(), reason, "no hints"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn subscribe(&self, address: &Address) -> Result<(PubSubSink, PubSubStream), Deaf> {
        let channels: Vec<&String> = self.changes.keys().collect();
        let subscribing = async {
            let (mut sink, messages) = address.subscriber.get_async_pubsub().await?.split();
            sink.subscribe(channels).await?;
            Ok((sink, messages))
        };
        let subscribed = timeout(CONNECT_LIMIT, subscribing).await;
        let listening = subscribed.map_err(|_: Elapsed| Deaf::Lost(words::no_answer(address)))?;
        listening.map_err(|error: RedisError| {
            let reason = words::no_connection(address, &error);
            if error.code() == Some("NOPERM") { Deaf::Refused(reason) } else { Deaf::Lost(reason) }
        })
    }

    async fn hear(&self, address: &Address, mut sink: PubSubSink, mut messages: PubSubStream) -> Deaf {
        // What was published before cannot be known.
        self.changes.values().for_each(count);
        loop {
            match timeout(SILENCE, messages.next()).await {
                Ok(Some(message)) => self.heard(&message),
                Ok(None) => return Deaf::Lost("the server closed the connection".to_owned()),
                // Whatever comes back shows that somebody is there.
                Err(_) => match timeout(REPLY_LIMIT, sink.ping::<redis::Value>()).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return Deaf::Lost(words::connection_lost(address, &error)),
                    Err(_) => return late(REPLY_LIMIT),
                },
            }
        }
    }

    fn heard(&self, message: &Msg) {
        let change = self.changes.get(message.get_channel_name());
        if let Some(change) = change.filter(|_| message.get_payload_bytes() != self.writer.as_bytes()) {
            count(change);
        }
    }
}

fn count(change: &watch::Sender<u64>) {
    change.send_modify(|changes| *changes = changes.wrapping_add(1));
}

fn late(limit: Duration) -> Deaf {
    Deaf::Lost(format!("no reply within {}", humantime::format_duration(limit)))
}
