//! Which port is it, and does it accept connections?

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

/// Whether the port is to accept connections, and whether it does.
#[derive(Debug)]
pub(crate) struct PortSwitch {
    wanted: watch::Sender<PortState>,
    actual: watch::Sender<PortState>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortState {
    Open,
    Closed,
    /// Opens by itself after this long.
    ClosedFor(Duration),
}

impl Default for PortSwitch {
    fn default() -> Self {
        Self { wanted: watch::Sender::new(PortState::Open), actual: watch::Sender::new(PortState::Open) }
    }
}

impl PortSwitch {
    /// Returns when connections are refused and the old ones are gone.
    pub(crate) async fn close(&self) {
        self.wanted.send_replace(PortState::Closed);
        self.reached(PortState::Closed).await;
    }

    pub(crate) fn close_for(&self, while_closed: Duration) {
        self.wanted.send_replace(PortState::ClosedFor(while_closed));
    }

    /// Returns when connections are accepted.
    pub(crate) async fn open(&self) {
        self.wanted.send_replace(PortState::Open);
        self.reached(PortState::Open).await;
    }

    /// For the acceptor: which state it is to reach.
    pub(crate) fn wanted(&self) -> watch::Receiver<PortState> {
        self.wanted.subscribe()
    }

    /// For the acceptor: the time of [`PortState::ClosedFor`] is over.
    pub(crate) fn reopen(&self) {
        self.wanted.send_replace(PortState::Open);
    }

    /// For the acceptor: it has reached this state.
    pub(crate) fn set_actual(&self, state: PortState) {
        self.actual.send_replace(state);
    }

    async fn reached(&self, state: PortState) {
        let mut actual = self.actual.subscribe();
        // Cannot fail: the sender is `self`.
        let _ = actual.wait_for(|now| *now == state).await;
    }
}

/// The port, held for as long as this lives: a socket that is bound and does not listen refuses connections, and keeps the
/// kernel from giving the port to another test meanwhile.
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

fn bound(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}
