//! What if the network between a relay and a server stalls or breaks? A link that a test controls lies between them.

use std::{
    io,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// What becomes of the connections and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Everything passes.
    Open,
    /// Bytes wait in both directions, as behind a firewall that drops packets.
    Stalled,
    /// Requests arrive; the replies wait.
    RepliesStalled,
    /// Connections are closed, also new ones.
    Cut,
    /// A new connection reaches the server only when it is released, whatever the state is by then.
    Held,
}

/// A listener that carries every connection to one port.
#[derive(Debug)]
pub struct Link {
    /// Where clients connect.
    pub port: u16,
    state: watch::Sender<LinkState>,
    /// Counts how often the held connections were released.
    releases: watch::Sender<u64>,
    held: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Link {
    /// A link to a port of the loopback.
    pub async fn to(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, seen) = watch::channel(LinkState::Open);
        let (releases, release) = watch::channel(0);
        let held = Arc::<AtomicUsize>::default();
        let count = held.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut carried = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (state, mut release) = (seen.clone(), release.clone());
                let is_held = *state.borrow() == LinkState::Held;
                count.fetch_add(usize::from(is_held), Ordering::Relaxed);
                carried.spawn(async move {
                    if is_held {
                        release.mark_unchanged();
                        let _ = release.changed().await;
                    }
                    carry(client, target, state).await.unwrap_or_default();
                });
            }
        });
        Self { port, state, releases, held, _tasks: tasks }
    }

    /// Changes the state, of the open connections too.
    pub fn set(&self, state: LinkState) {
        self.state.send_replace(state);
    }

    /// Lets the held connections pass.
    pub fn release(&self) {
        self.releases.send_modify(|releases| *releases += 1);
    }

    /// How many connections were held so far.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

async fn carry(client: TcpStream, target: u16, state: watch::Receiver<LinkState>) -> io::Result<()> {
    if *state.borrow() == LinkState::Cut {
        return Ok(());
    }
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = cut(state.clone()) => Ok(()),
        end = pump(from_client, to_server, state.clone(), &[LinkState::Stalled]) => end,
        end = pump(from_server, to_client, state, &[LinkState::Stalled, LinkState::RepliesStalled]) => end,
    }
}

async fn cut(mut state: watch::Receiver<LinkState>) {
    let _ = state.wait_for(|state| *state == LinkState::Cut).await;
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<LinkState>,
    waits_in: &[LinkState],
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut bytes).await?;
        let _ = state.wait_for(|state| !waits_in.contains(state)).await;
        if length == 0 {
            return Ok(());
        }
        to.write_all(&bytes[..length]).await?;
    }
}
