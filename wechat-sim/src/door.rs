//! Does the port accept connections?

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::server::{Shared, converse};

/// What the door is told to be, and what it is.
#[derive(Debug)]
pub(crate) struct Door {
    wanted: watch::Sender<Position>,
    actual: watch::Sender<Position>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    Open,
    Closed,
    /// Opens by itself after this long.
    ClosedFor(Duration),
}

impl Default for Door {
    fn default() -> Self {
        Self { wanted: watch::Sender::new(Position::Open), actual: watch::Sender::new(Position::Open) }
    }
}

impl Door {
    /// Returns when connections are refused and the old ones are gone.
    pub(crate) async fn close(&self) {
        self.wanted.send_replace(Position::Closed);
        self.reached(Position::Closed).await;
    }

    pub(crate) fn close_for(&self, while_closed: Duration) {
        self.wanted.send_replace(Position::ClosedFor(while_closed));
    }

    /// Returns when connections are accepted.
    pub(crate) async fn open(&self) {
        self.wanted.send_replace(Position::Open);
        self.reached(Position::Open).await;
    }

    async fn reached(&self, position: Position) {
        let mut actual = self.actual.subscribe();
        // Cannot fail: the sender is `self`.
        let _ = actual.wait_for(|now| *now == position).await;
    }
}

/// The port, held for as long as this lives: a socket that is bound and does not listen refuses connections, and keeps the
/// kernel from giving the port to another test while the door is closed.
#[derive(Debug)]
pub(crate) struct Port {
    addr: SocketAddr,
    _reservation: TcpSocket,
}

impl Port {
    pub(crate) fn reserve(wanted: SocketAddr) -> io::Result<Self> {
        let reservation = bound(wanted)?;
        Ok(Self { addr: reservation.local_addr()?, _reservation: reservation })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn listen(&self) -> io::Result<TcpListener> {
        bound(self.addr)?.listen(BACKLOG)
    }
}

const BACKLOG: u32 = 1024;

/// What a loop waits after an error that repeats itself at once, such as too many open files.
const BREATH: Duration = Duration::from_millis(20);

fn bound(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

/// Accepts connections while the door is to be open, for ever.
pub(crate) async fn attend(shared: Arc<Shared>, port: Port, first: TcpListener, tls: Option<TlsAcceptor>) {
    let mut listener = first;
    let mut wanted = shared.door.wanted.subscribe();
    loop {
        accept(&shared, listener, tls.as_ref(), &mut wanted).await;
        shared.door.actual.send_replace(Position::Closed);
        until_open(&shared, &mut wanted).await;
        listener = reopen(&port).await;
        shared.door.actual.send_replace(Position::Open);
    }
}

/// Serves until the door is to be closed; then the listener and all its connections end.
async fn accept(
    shared: &Arc<Shared>,
    listener: TcpListener,
    tls: Option<&TlsAcceptor>,
    wanted: &mut watch::Receiver<Position>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, peer)) => {
                    connections.spawn(greet(shared.clone(), socket, peer, tls.cloned()));
                }
                Err(_) => tokio::time::sleep(BREATH).await,
            },
            Some(_) = connections.join_next() => {}
            () = until_closing(wanted) => break,
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn greet(shared: Arc<Shared>, socket: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>) {
    // Without it small replies wait for the client's acknowledgement; where it can't be set they are only late.
    let _ = socket.set_nodelay(true);
    match tls {
        None => converse(shared, socket, peer.ip()).await,
        Some(tls) => {
            if let Ok(socket) = tls.accept(socket).await {
                converse(shared, socket, peer.ip()).await;
            }
        }
    }
}

async fn until_closing(wanted: &mut watch::Receiver<Position>) {
    // Cannot fail: the sender outlives the loops.
    let _ = wanted.wait_for(|position| *position != Position::Open).await;
}

async fn until_open(shared: &Shared, wanted: &mut watch::Receiver<Position>) {
    loop {
        let position = *wanted.borrow_and_update();
        match position {
            Position::Open => return,
            // Cannot fail: `shared` holds the sender.
            Position::Closed => drop(wanted.changed().await),
            Position::ClosedFor(delay) => {
                if tokio::time::timeout(delay, wanted.changed()).await.is_err() {
                    shared.door.wanted.send_replace(Position::Open);
                }
            }
        }
    }
}

async fn reopen(port: &Port) -> TcpListener {
    loop {
        match port.listen() {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(BREATH).await,
        }
    }
}
