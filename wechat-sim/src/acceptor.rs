//! Who accepts the connections, and closes them all when the port is to be closed?

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::port::{Port, PortState};
use crate::server::serve_connection;
use crate::shared::Shared;

/// The pause after an error that repeats itself at once, such as too many open files.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Accepts connections while the port is to be open, for ever.
pub(crate) async fn accept_forever(shared: Arc<Shared>, port: Port, first: TcpListener, tls: Option<TlsAcceptor>) {
    let mut listener = first;
    let mut wanted = shared.port.wanted();
    loop {
        accept_until_closed(&shared, listener, tls.as_ref(), &mut wanted).await;
        shared.port.set_actual(PortState::Closed);
        until_open(&shared, &mut wanted).await;
        listener = reopen(&port).await;
        shared.port.set_actual(PortState::Open);
    }
}

/// Serves until the port is to be closed; then the listener and all its connections end.
async fn accept_until_closed(
    shared: &Arc<Shared>,
    listener: TcpListener,
    tls: Option<&TlsAcceptor>,
    wanted: &mut watch::Receiver<PortState>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => {
                    connections.spawn(serve_socket(shared.clone(), socket, peer, tls.cloned()));
                }
                Err(_) => tokio::time::sleep(RETRY_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
            () = until_closing(wanted) => break,
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn serve_socket(shared: Arc<Shared>, socket: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>) {
    // Without it small replies wait for the client's acknowledgement; where it can't be set they are only late.
    let _ = socket.set_nodelay(true);
    match tls {
        None => serve_connection(shared, socket, peer.ip()).await,
        Some(tls) => {
            if let Ok(socket) = tls.accept(socket).await {
                serve_connection(shared, socket, peer.ip()).await;
            }
        }
    }
}

async fn until_closing(wanted: &mut watch::Receiver<PortState>) {
    // Cannot fail: the sender outlives the loops.
    let _ = wanted.wait_for(|state| *state != PortState::Open).await;
}

async fn until_open(shared: &Shared, wanted: &mut watch::Receiver<PortState>) {
    loop {
        let state = *wanted.borrow_and_update();
        match state {
            PortState::Open => return,
            // Cannot fail: `shared` holds the sender.
            PortState::Closed => drop(wanted.changed().await),
            PortState::ClosedFor(delay) => {
                if tokio::time::timeout(delay, wanted.changed()).await.is_err() {
                    shared.port.reopen();
                }
            }
        }
    }
}

async fn reopen(port: &Port) -> TcpListener {
    loop {
        match port.listen() {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(RETRY_PAUSE).await,
        }
    }
}
