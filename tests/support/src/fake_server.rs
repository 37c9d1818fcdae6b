//! What stands in for a server when a test writes every byte of its replies?

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// A server on a port of its own. Each connection is served on a thread of its own.
#[derive(Debug)]
pub struct FakeServer {
    /// Where it listens.
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

/// A client's connection to a [`FakeServer`].
#[derive(Debug)]
pub struct Connection {
    /// Both directions; it is closed when the connection is dropped.
    pub stream: TcpStream,
    requests: Arc<Mutex<Vec<String>>>,
}

impl FakeServer {
    /// Serves every connection with `serve`.
    pub fn new(serve: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let server =
            Self { address: listener.local_addr().unwrap(), connections: Arc::default(), requests: Arc::default() };
        let (serve, count, requests) = (Arc::new(serve), server.connections.clone(), server.requests.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::Relaxed);
                let (serve, connection) = (serve.clone(), Connection { stream, requests: requests.clone() });
                thread::spawn(move || serve(connection));
            }
        });
        server
    }

    /// Reads one HTTP request from each connection, answers it with these bytes and closes the connection.
    pub fn replying(reply: impl Into<Vec<u8>>) -> Self {
        let reply = reply.into();
        Self::new(move |mut connection| {
            connection.read_request();
            // The client may be gone. Closing with unread bytes would reset the connection; there are none.
            let _ = connection.stream.write_all(&reply);
        })
    }

    /// Closes every connection at once.
    pub fn closing() -> Self {
        Self::new(drop)
    }

    /// Reads everything and answers nothing.
    pub fn silent() -> Self {
        Self::new(|mut connection| drop(connection.stream.read_to_end(&mut Vec::new())))
    }

    /// Its address with a scheme, as `http`.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    /// How many connections it has taken.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// All that [`Connection::read_request`] has read.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Connection {
    /// Reads one HTTP request, its head and its body, and keeps it. Empty where the connection has ended.
    pub fn read_request(&mut self) -> String {
        let request = read_request(&self.stream).unwrap_or_default();
        self.requests.lock().unwrap().push(request.clone());
        request
    }

    /// Copies bytes between the client and `server` until either of them ends.
    pub fn splice(self, server: TcpStream) {
        let client = self.stream;
        let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || {
            let _ = io::copy(&mut from_client, &mut to_server);
            let _ = to_server.shutdown(std::net::Shutdown::Write);
        });
        let (mut from_server, mut to_client) = (server, client);
        let _ = io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(std::net::Shutdown::Both);
    }
}

fn read_request(stream: &TcpStream) -> io::Result<String> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    while reader.read_line(&mut request)? > 2 {}
    let lower = request.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(request + &String::from_utf8_lossy(&body))
}
