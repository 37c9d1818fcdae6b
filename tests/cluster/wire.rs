//! What lies between a relay and Redis: a wire that a test can stall or cut.

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

/// What becomes of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// They wait, both ways, as behind a firewall that drops packets.
    Stalled,
    /// What is asked arrives; the answers wait.
    Deaf,
    /// Connections are closed, also new ones.
    Cut,
    /// A new connection reaches nobody before it is let go, whatever becomes of the others meanwhile.
    Held,
}

/// A listener that carries every connection to one port.
pub(crate) struct Wire {
    pub(crate) port: u16,
    way: watch::Sender<Way>,
    /// Counts how often those that are held were let go.
    releases: watch::Sender<u64>,
    held: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Wire {
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (way, seen) = watch::channel(Way::Open);
        let (releases, let_go) = watch::channel(0);
        let held = Arc::<AtomicUsize>::default();
        let count = held.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut carried = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (way, mut let_go) = (seen.clone(), let_go.clone());
                let is_held = *way.borrow() == Way::Held;
                count.fetch_add(usize::from(is_held), Ordering::Relaxed);
                carried.spawn(async move {
                    if is_held {
                        let_go.mark_unchanged();
                        let _ = let_go.changed().await;
                    }
                    carry(client, target, way).await.unwrap_or_default();
                });
            }
        });
        Self { port, way, releases, held, _tasks: tasks }
    }

    pub(crate) fn put(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// Lets go the connections that are held.
    pub(crate) fn release(&self) {
        self.releases.send_modify(|releases| *releases += 1);
    }

    /// How many connections were held so far.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

async fn carry(client: TcpStream, target: u16, way: watch::Receiver<Way>) -> io::Result<()> {
    if *way.borrow() == Way::Cut {
        return Ok(());
    }
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = cut(way.clone()) => Ok(()),
        end = pump(from_client, to_server, way.clone(), &[Way::Stalled]) => end,
        end = pump(from_server, to_client, way, &[Way::Stalled, Way::Deaf]) => end,
    }
}

async fn cut(mut way: watch::Receiver<Way>) {
    let _ = way.wait_for(|way| *way == Way::Cut).await;
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut way: watch::Receiver<Way>,
    waits_in: &[Way],
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut bytes).await?;
        let _ = way.wait_for(|way| !waits_in.contains(way)).await;
        if length == 0 {
            return Ok(());
        }
        to.write_all(&bytes[..length]).await?;
    }
}
