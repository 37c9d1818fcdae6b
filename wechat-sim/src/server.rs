//! How does a connection carry requests, one after the other?

use std::net::IpAddr;
use std::sync::Arc;

use crate::control;
use crate::exchange;
use crate::http::{Connection, Head, ReadPlan, Request, Socket};
use crate::shared::Shared;

/// Answers the requests of one connection.
pub(crate) async fn serve_connection<S: Socket>(shared: Arc<Shared>, socket: S, ip: IpAddr) {
    let mut connection = Connection::new(socket);
    loop {
        let again = match connection.head().await {
            Ok(Some(head)) if control::handles(&head) => command(&shared, connection, head).await,
            Ok(Some(head)) => exchange::call(&shared, connection, head, ip).await,
            Ok(None) => return,
            Err(error) => return connection.end_unread(&error, shared.clock.wall()).await,
        };
        match again {
            Some(kept) => connection = kept,
            None => return,
        }
    }
}

async fn command<S: Socket>(shared: &Shared, mut connection: Connection<S>, head: Head) -> Option<Connection<S>> {
    let received = match connection.receive(&head, ReadPlan::WHOLE).await {
        Ok(received) => received,
        Err(error) => {
            connection.end_unread(&error, shared.clock.wall()).await;
            return None;
        }
    };
    let request = Request { head, received };
    let (reply, after) = control::answer(shared, &request);
    connection.send(&reply.to_bytes(shared.clock.wall(), request.keep_alive)).await.ok()?;
    if let Some(refusal) = after {
        shared.port.close_for(refusal);
    }
    connection.finish(request.keep_alive).await
}
