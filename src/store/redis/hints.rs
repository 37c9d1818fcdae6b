//! Has another relay just changed a record?

use std::time::Duration;

use futures_util::StreamExt;
use redis::{
    ErrorKind, Msg, RedisError,
    aio::{PubSubSink, PubSubStream},
};
use tokio::{
    sync::watch,
    time::{error::Elapsed, sleep, timeout},
};
use tracing::{debug, warn};

use super::{CONNECT_LIMIT, PAUSE, REPLY_LIMIT, address::Address, connection::Connection, errors};

/// A connection that nothing came from for so long is pinged.
const SILENCE: Duration = Duration::from_secs(5);

/// The longest wait before the next attempt to listen. Polling finds the same, a little later.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What comes on the channel of the group. Only a hint: messages get lost, and a flush publishes none.
pub(super) struct Hints {
    channel: String,
    /// Marks this store's own messages.
    writer: String,
    changes: watch::Sender<u64>,
}

/// Why listening ended.
enum ListenError {
    /// The server does not allow it.
    Refused(String),
    /// The connection was lost, or there was none.
    Lost(String),
}

impl Hints {
    pub(super) fn on(channel: String) -> Self {
        Self { channel, writer: format!("{:016x}", fastrand::u64(..)), changes: watch::Sender::new(0) }
    }

    /// The message of this store's own changes.
    pub(super) fn writer(&self) -> &str {
        &self.writer
    }

    /// A number that grows with each message of another store, and with each subscription.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Listens for ever, at the server that the relays' keys are on.
    pub(super) async fn listen(&self, connection: &Connection) {
        let (mut pause, mut is_warned) = (PAUSE, false);
        loop {
            let mut servers = connection.servers();
            // why there is no connection was logged where it was made
            if let Ok(address) = connection.server().await {
                let server = address.shown();
                let ended = match self.connect(&address).await {
                    Ok((sink, messages)) => {
                        debug!(server, "listening for hints");
                        (pause, is_warned) = (PAUSE, false);
                        tokio::select! {
                            ended = self.receive(&address, sink, messages) => ended,
                            () = another_than(&address, &mut servers) => {
                                ListenError::Lost("the keys are on another server".to_owned())
                            }
                        }
                    }
                    Err(error) => error,
                };
                match ended {
                    ListenError::Refused(reason) if !is_warned => {
                        is_warned = true;
                        warn!(server, reason, "no hints from Redis: others' rotations are seen by polling");
                    }
                    ListenError::Refused(reason) | ListenError::Lost(reason) => debug!(server, reason, "no hints"),
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn connect(&self, address: &Address) -> Result<(PubSubSink, PubSubStream), ListenError> {
        let subscribing = async {
            let (mut sink, messages) = address.subscriber.get_async_pubsub().await?.split();
            sink.subscribe(&self.channel).await?;
            Ok((sink, messages))
        };
        let subscribed = timeout(CONNECT_LIMIT, subscribing).await;
        let listening =
            subscribed.map_err(|_: Elapsed| ListenError::Lost(errors::no_answer(address, CONNECT_LIMIT)))?;
        listening.map_err(|error: RedisError| {
            let reason = errors::no_connection(address, &error);
            let is_refused = error.code() == Some("NOPERM") || error.kind() == ErrorKind::AuthenticationFailed;
            if is_refused { ListenError::Refused(reason) } else { ListenError::Lost(reason) }
        })
    }

    async fn receive(&self, address: &Address, mut sink: PubSubSink, mut messages: PubSubStream) -> ListenError {
        // What was published before cannot be known.
        self.count();
        loop {
            match timeout(SILENCE, messages.next()).await {
                Ok(Some(message)) => self.handle(&message),
                Ok(None) => return ListenError::Lost("the server closed the connection".to_owned()),
                // Any reply shows that the server is there.
                Err(_) => match timeout(REPLY_LIMIT, sink.ping::<redis::Value>()).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return ListenError::Lost(errors::connection_lost(address, &error)),
                    Err(_) => return no_reply(REPLY_LIMIT),
                },
            }
        }
    }

    fn handle(&self, message: &Msg) {
        if message.get_payload_bytes() != self.writer.as_bytes() {
            self.count();
        }
    }

    fn count(&self) {
        self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
    }
}

/// Ends when a connection was made to another server than this one.
async fn another_than(address: &Address, servers: &mut watch::Receiver<Option<Address>>) {
    let is_another = |server: &Option<Address>| server.as_ref().is_some_and(|server| server.shown() != address.shown());
    if servers.wait_for(is_another).await.is_err() {
        std::future::pending::<()>().await; // the connection outlives this
    }
}

fn no_reply(limit: Duration) -> ListenError {
    ListenError::Lost(format!("no reply within {}", humantime::format_duration(limit)))
}
