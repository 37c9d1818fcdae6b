//! Which relays are measured? Each as it is shipped, with what its name says.

use std::{
    fs,
    io::{self, Error},
    net::SocketAddr,
    path::Path,
    process::Command,
    rc::Rc,
};

use test_support::{Authority, TlsClient};
use token_relay::clock::{Clock, SystemClock};
use tokio::{net::TcpStream, time::sleep};
use wechat_sim::Sim;

use crate::{
    CONNECTIONS, many_accounts,
    others::request,
    side_by_side::{
        clients::Clients,
        contest::Entry,
        relay::{self, APPID, KEY, SECRET},
        server::{Cores, Server},
    },
    support::http_exchange::exchange,
};

const MANY: usize = 10_000;
/// For all of them to be served.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// A relay with these settings beside its own.
pub(crate) async fn with_one_account(
    cores: &Cores,
    home: &Path,
    settings: &[(&str, &str)],
) -> io::Result<(Sim, Entry)> {
    of_program(relay::BUILT, cores, home, settings).await
}

/// The same of another program.
pub(crate) async fn of_program(
    program: &str,
    cores: &Cores,
    home: &Path,
    settings: &[(&str, &str)],
) -> io::Result<(Sim, Entry)> {
    let sim = Sim::builder().app(APPID, SECRET).start().await.map_err(Error::other)?;
    let command = |address| with(relay::command_of(program, address, &sim, home), settings);
    let server = Server::start(cores, &request(), command).await?;
    let clients = Clients::connect(server.address(), CONNECTIONS, None, vec![request()]).await?;
    Ok((sim, Entry::new(Rc::new(server), clients)))
}

fn with(mut command: Command, settings: &[(&str, &str)]) -> Command {
    command.envs(settings.iter().map(|(key, value)| (format!("TOKEN_RELAY__{key}"), *value)));
    command
}

/// A relay whose listener is encrypted.
pub(crate) async fn with_tls(cores: &Cores, home: &Path) -> io::Result<(Sim, Entry)> {
    let sim = Sim::builder().app(APPID, SECRET).start().await.map_err(Error::other)?;
    let authority = Authority::new("bench");
    let certificate = authority.sign("localhost");
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| home.join(name).display().to_string());
    fs::write(&chain, certificate.chain())?;
    fs::write(&key, certificate.key())?;
    let settings = [("SERVER__TLS__CERT_FILE", chain.as_str()), ("SERVER__TLS__KEY_FILE", key.as_str())];
    let tls = TlsClient::new(&authority, None);
    let knock = async |address| Clients::connect(address, 1, Some(tls.clone()), vec![request()]).await.map(drop);
    let server =
        Server::answering(cores, knock, |address| with(relay::command(address, &sim, home), &settings)).await?;
    let clients = Clients::connect(server.address(), CONNECTIONS, Some(tls), vec![request()]).await?;
    Ok((sim, Entry::new(Rc::new(server), clients)))
}

/// One relay with 10,000 accounts, asked for one of them, and for each in turn.
pub(crate) async fn with_many_accounts(cores: &Cores, home: &Path) -> io::Result<(Sim, Entry, Entry)> {
    let sim = (0..MANY).fold(Sim::builder(), |sim, number| sim.app(many_accounts::appid(number), SECRET));
    let sim = sim.start().await.map_err(Error::other)?;
    let file = home.join("settings.toml");
    fs::write(&file, many_accounts::settings(MANY, SECRET, KEY))?;
    let command = |address: SocketAddr| {
        let mut command = relay::command(address, &sim, home);
        for key in ["ACCOUNTS__MAIN__APPID", "ACCOUNTS__MAIN__SECRET", "CLIENTS__BENCH__KEY"] {
            command.env_remove(format!("TOKEN_RELAY__{key}"));
        }
        command.arg("--config").arg(&file);
        command
    };
    let requests: Vec<_> = (0..MANY).map(|number| request_for(&many_accounts::name(number))).collect();
    let server = Server::answering(cores, async |address| TcpStream::connect(address).await.map(drop), command).await?;
    all_served(server.address(), &requests).await?;
    let one = Clients::connect(server.address(), CONNECTIONS, None, vec![requests[0].clone()]).await?;
    let each = Clients::connect(server.address(), CONNECTIONS, None, requests).await?;
    let server = Rc::new(server);
    Ok((sim, Entry::new(server.clone(), one), Entry::new(server, each)))
}

fn request_for(account: &str) -> Vec<u8> {
    String::from_utf8_lossy(&request()).replacen("/token", &format!("/token?account={account}"), 1).into()
}

async fn all_served(address: SocketAddr, requests: &[Vec<u8>]) -> io::Result<()> {
    let began = SystemClock.boot_now();
    for request in requests.iter().rev() {
        while !is_served(address, request).await {
            if SystemClock.boot_now().since(began) > PATIENCE {
                return Err(Error::other("the relay does not serve all accounts"));
            }
            sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

async fn is_served(address: SocketAddr, request: &[u8]) -> bool {
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    exchange(&mut stream, request).await.is_ok_and(|answer| answer.is_ok() && !answer.body.is_empty())
}
