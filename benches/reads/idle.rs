//! How much memory does a connection take that was used once and is idle?

use std::io;

use tokio::net::TcpStream;

use crate::{others::request, side_by_side::server::Server, support::http_exchange::exchange};

/// As many as `server.max_connections` allows, but for those of others; each end takes a file.
const CONNECTIONS: u32 = 9_900;

/// How many KiB `server` holds more of RAM for each of them.
pub(crate) async fn measure(server: &Server) -> io::Result<f64> {
    let before = server.resident()?.now;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(server.address()).await?;
        exchange(&mut stream, &request()).await?;
        idle.push(stream);
    }
    let more = server.resident()?.now.saturating_sub(before);
    Ok(f64::from(more) / f64::from(CONNECTIONS))
}
