//! How does a connection carry requests, one after the other?

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use crate::control;
use crate::exchange;
use crate::http::{After, Connection, Head, ReadPlan, Reply, Request, Socket};
use crate::shared::Shared;

/// Answers the requests of one connection.
pub(crate) async fn serve_connection<S: Socket>(shared: Arc<Shared>, socket: S, ip: IpAddr) {
    let mut connection = Connection::new(socket);
    loop {
        match next(&shared, &mut connection, ip).await {
            Ok(After::Next) => {}
            Ok(After::Close) => return connection.close().await,
            Ok(After::Reset) => return connection.reset(),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return unreadable(&shared, connection).await,
            Err(_) => return,
        }
    }
}

/// Answers the next request. An error means that the client is gone, or, of kind `InvalidData`, that it can't be understood.
async fn next<S: Socket>(shared: &Shared, connection: &mut Connection<S>, ip: IpAddr) -> io::Result<After> {
    match connection.head().await? {
        Some(head) if control::handles(&head) => command(shared, connection, head).await,
        Some(head) => exchange::call(shared, connection, head, ip).await,
        None => Ok(After::Close),
    }
}

async fn command<S: Socket>(shared: &Shared, connection: &mut Connection<S>, head: Head) -> io::Result<After> {
    let received = connection.receive(&head, ReadPlan::WHOLE).await?;
    let request = Request { head, received };
    let (reply, after) = control::answer(shared, &request);
    connection.send(&reply.to_bytes(shared.clock.wall(), request.keep_alive)).await?;
    if let Some(refusal) = after {
        shared.port.close_for(refusal);
    }
    Ok(After::kept(request.keep_alive))
}

async fn unreadable<S: Socket>(shared: &Shared, mut connection: Connection<S>) {
    let bytes = Reply::html(400).to_bytes(shared.clock.wall(), false);
    // A client that is gone already needs no answer.
    let _ = connection.send(&bytes).await;
    connection.close().await;
}
