//! How much memory does a connection take that was used once and is idle?

use std::io;

use tokio::net::TcpStream;

use crate::{
    others::request, side_by_side::server::Server, support::http_exchange::exchange, support::machine::verdict,
};

/// As many as `server.max_connections` allows, but for those of others; each end takes a file.
const CONNECTIONS: u32 = 9_900;
/// KiB, the target.
const MOST: f64 = 8.0;

/// What `server`, called `name`, holds more of RAM with them than without.
pub(crate) async fn measure(name: &str, server: &Server) -> io::Result<()> {
    let before = server.resident()?.now;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(server.address()).await?;
        exchange(&mut stream, &request()).await?;
        idle.push(stream);
    }
    let each = f64::from(server.resident()?.now.saturating_sub(before)) / f64::from(CONNECTIONS);
    println!("an idle connection at {name}: {each:.1} KiB   target at most {MOST}: {}", verdict(each <= MOST));
    Ok(())
}
