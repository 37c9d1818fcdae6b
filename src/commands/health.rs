//! Is the relay that runs here alive?

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{CommandError, Outcome, unless_broken};
use crate::settings::Layers;

/// Of the whole check: below the time-outs that container runtimes give one.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks `GET /healthz` on the public listener, and where that does not answer, because all its places are taken or another
/// `server.listen` waits for a restart, on the admin listener, which has places of its own. Where the public listener speaks
/// TLS it asks the admin listener alone: the certificate names the relay as others call it, not its loopback address, and may
/// be wanted of clients too. Needs only these keys, so that neither an unreadable secret nor a mistake in a file edited since the
/// start makes a live relay look dead. Where the file cannot even be parsed, the environment and the defaults say where it listens;
/// where `server.listen` is no address, the admin listener alone is asked.
///
/// # Errors
/// Any answer but 200, or none within 3 s; no usable address of either; TLS without an admin listener.
pub fn health(config: Option<&Path>, env: impl IntoIterator<Item = (OsString, OsString)>) -> Outcome {
    let (layers, broken) = Layers::read_what_can_be(config, env);
    unless_broken(ask_one(&layers), broken)
}

fn ask_one(layers: &Layers) -> Outcome {
    let (address, admin) = match (layers.own_address(), layers.own_admin_address()) {
        (Ok(public), admin) if !layers.own_address_has_tls() => (public, admin.ok().flatten()),
        // it may listen where it did before this mistake; where nobody answers, the mistake is what is wrong
        (Err(error), Ok(Some(admin))) => return ask_at(admin, None).map_err(|_not_alive| error.into()),
        (Ok(_), Ok(Some(admin))) => (admin, None),
        (Err(error), _) | (Ok(_), Err(error)) => return Err(error.into()),
        (Ok(_), Ok(None)) => {
            let reason = "with server.tls.cert_file the admin listener is asked, and server.admin_listen is off";
            return Err(CommandError::Failed(reason.to_owned()));
        }
    };
    ask_at(address, admin)
}

/// Asks at the one address, and where that does not answer at the other.
fn ask_at(address: SocketAddr, admin: Option<SocketAddr>) -> Outcome {
    let failed = |reason: String| CommandError::Failed(format!("{address}: {reason}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| failed(e.to_string()))?;
    let answer = runtime.block_on(async {
        let Some(admin) = admin else { return tokio::time::timeout(TIMEOUT, ask(address)).await };
        let answer = tokio::time::timeout(TIMEOUT / 2, ask(address)).await;
        if matches!(answer, Ok(Ok(_))) {
            return answer;
        }
        match tokio::time::timeout(TIMEOUT / 2, ask(admin)).await {
            Ok(Ok(head)) => Ok(Ok(head)),
            Ok(Err(_)) | Err(_) => answer,
        }
    });
    match answer {
        Ok(Ok(head)) if head.status() == Some("200") => Ok("alive\n".to_owned()),
        Ok(Ok(head)) => Err(failed(head.status().map_or("no HTTP answer".to_owned(), |s| format!("answered {s}")))),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed("no answer within 3 s".to_owned())),
    }
}

/// The first bytes of the answer: enough for `HTTP/1.1 200`.
struct Head([u8; 12]);

impl Head {
    fn status(&self) -> Option<&str> {
        let status = std::str::from_utf8(&self.0).ok()?.strip_prefix("HTTP/1.1 ")?;
        status.bytes().all(|b| b.is_ascii_digit()).then_some(status)
    }
}

async fn ask(address: SocketAddr) -> io::Result<Head> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = Head([0; 12]);
    stream.read_exact(&mut head.0).await?;
    Ok(head)
}
