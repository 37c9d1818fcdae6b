//! Which servers do the same job? Each looks the key up and answers with one body and the relay's headers; Redis is asked for the token.

use std::{
    fs,
    io::{self, Error},
    net::SocketAddr,
    path::Path,
    process::Command,
    rc::Rc,
};

use tokio::net::TcpStream;

use crate::{
    CONNECTIONS,
    side_by_side::{
        clients::Clients,
        contest::Entry,
        nginx,
        relay::KEY,
        server::{Cores, Server, is_installed},
    },
};

const REDIS_KEY: &str = "token";

/// The request that everybody but Redis gets.
pub(crate) fn request() -> Vec<u8> {
    format!("GET /token HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {KEY}\r\nAccept: */*\r\n\r\n").into()
}

/// hyper alone: it looks at no path and no key.
pub(crate) async fn reference(cores: &Cores, home: &Path, answer: &[u8]) -> io::Result<Entry> {
    let file = home.join("answer");
    fs::write(&file, answer)?;
    http(cores, |address| {
        let program = std::env::current_exe().expect("the system knows the running program");
        let mut command = Command::new(program);
        command.arg("reference").arg(address.to_string()).arg(&file);
        command
    })
    .await
}

/// Those of the others that are installed.
pub(crate) async fn installed(cores: &Cores, home: &Path, answer: &[u8]) -> io::Result<Vec<(&'static str, Entry)>> {
    let (headers, body) = parts(answer)?;
    let mut entries = Vec::new();
    if is_installed("nginx", "-v", "nginx-light") {
        let command = |address| nginx_command(address, home, &headers, &body);
        entries.push(("nginx", http(cores, command).await?));
    }
    if is_installed("go", "version", "golang") {
        let program = built_by_go(home)?;
        let command = |address: SocketAddr| with_answer(Command::new(&program), address, &headers, &body);
        entries.push(("Go net/http", http(cores, command).await?));
    }
    if is_installed("node", "--version", "nodejs") {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/reads/server.mjs");
        let mut node = Command::new("node");
        node.arg(script);
        entries.push(("Node http", http(cores, |address| with_answer(node, address, &headers, &body)).await?));
    }
    if is_installed("redis-server", "--version", "redis-server") {
        entries.push(("Redis GET", redis(cores, home, &body).await?));
    }
    Ok(entries)
}

async fn http(cores: &Cores, command: impl FnOnce(SocketAddr) -> Command) -> io::Result<Entry> {
    let request = request();
    let server = Server::start(cores, &request, command).await?;
    let clients = Clients::connect(server.address(), CONNECTIONS, None, vec![request]).await?;
    Ok(Entry::new(Rc::new(server), clients))
}

/// The relay's own headers, but those that every server writes itself, and the body.
pub(crate) fn parts(answer: &[u8]) -> io::Result<(Vec<(String, String)>, String)> {
    let answer = std::str::from_utf8(answer).map_err(Error::other)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let headers = head.lines().filter_map(|line| line.split_once(": "));
    let own = headers.filter(|(name, _)| !["date", "content-length"].contains(name));
    Ok((own.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(), body.to_owned()))
}

/// A server of ours in another language: where to listen, the key, the headers and the body.
fn with_answer(mut command: Command, address: SocketAddr, headers: &[(String, String)], body: &str) -> Command {
    let headers = serde_json::to_string(headers).expect("strings are JSON");
    command.env("ADDRESS", address.to_string()).env("KEY", KEY).env("HEADERS", headers).env("BODY", body);
    command
}

fn built_by_go(home: &Path) -> io::Result<std::path::PathBuf> {
    let program = home.join("server-in-go");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/reads/server.go");
    let status =
        Command::new("go").args(["build", "-o"]).arg(&program).arg(source).env("GOCACHE", home.join("go")).status()?;
    if status.success() { Ok(program) } else { Err(Error::other("go build failed")) }
}

/// The key is looked up by `map`.
fn nginx_command(address: SocketAddr, home: &Path, headers: &[(String, String)], body: &str) -> Command {
    let header = |(name, value): &(String, String)| match name.as_str() {
        "content-type" => format!("default_type {value};"),
        name => format!("add_header {name} '{value}';"),
    };
    let headers: String = headers.iter().map(header).collect();
    nginx::command(
        home,
        &format!(
            "map_hash_bucket_size 256;
            map $http_authorization $is_known {{ default 0; 'Bearer {KEY}' 1; }}
            server {{
              listen {address};
              location = /token {{ if ($is_known = 0) {{ return 401; }} {headers} return 200 '{body}'; }}
            }}"
        ),
    )
}

async fn redis(cores: &Cores, home: &Path, body: &str) -> io::Result<Entry> {
    let server = Server::answering(
        cores,
        async |address| TcpStream::connect(address).await.map(drop),
        |address| {
            let mut command = Command::new("redis-server");
            command
                .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
                .arg(home);
            command
        },
    )
    .await?;
    let mut stream = TcpStream::connect(server.address()).await?;
    let set = format!("*3\r\n$3\r\nSET\r\n${}\r\n{REDIS_KEY}\r\n${}\r\n{body}\r\n", REDIS_KEY.len(), body.len());
    tokio::io::AsyncWriteExt::write_all(&mut stream, set.as_bytes()).await?;
    let mut stored = [0; 5];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut stored).await?;
    let get = format!("*2\r\n$3\r\nGET\r\n${}\r\n{REDIS_KEY}\r\n", REDIS_KEY.len());
    let clients = Clients::connect(server.address(), CONNECTIONS, None, vec![get.into()]).await?;
    Ok(Entry::new(Rc::new(server), clients))
}
