//! A Redis server of one's own, and stores on it.

use std::{
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use token_relay::{
    clock::{Clock, SystemClock},
    credential::CredentialId,
    settings::{SecretUrl, StateUrl},
    store::{Sealed, Store as _, StoreError, Swap, redis::RedisStore},
};

/// Much longer than an operation may take (5 s), so that a busy machine fails no test.
pub(crate) const LATEST: Duration = Duration::from_secs(9);

pub(crate) const KEY: &str = "token-relay:v1:main";

/// A running `redis-server`, killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    pub(crate) dir: TempDir,
    arguments: Vec<String>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// A server with more arguments; `--port` before others means that the test says on which port nothing listens.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        loop {
            let port = free_port();
            if let Some(child) = spawn(port, &dir, &arguments) {
                return Self { child, port, dir, arguments };
            }
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A store of a relay that has the account `main`.
    pub(crate) fn store(&self) -> RedisStore {
        store(&self.url())
    }

    /// What `redis-cli` would answer, as its first connection.
    pub(crate) fn tell(&self, command: &[&str]) -> redis::Value {
        self.tell_as("", command)
    }

    /// As [`Server::tell`], with `user:password@`.
    pub(crate) fn tell_as(&self, login: &str, command: &[&str]) -> redis::Value {
        let client = redis::Client::open(format!("redis://{login}127.0.0.1:{}", self.port)).unwrap();
        let mut connection = client.get_connection().unwrap();
        let mut question = redis::cmd(command[0]);
        command[1..].iter().for_each(|argument| {
            question.arg(argument);
        });
        question.query(&mut connection).unwrap()
    }

    pub(crate) fn info(&self, section: &str) -> String {
        let redis::Value::BulkString(info) = self.tell(&["INFO", section]) else { panic!("INFO is a string") };
        String::from_utf8(info).unwrap()
    }

    pub(crate) fn freeze(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
    }

    pub(crate) fn thaw(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).unwrap();
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts again on the same port, with nothing but what it saved.
    pub(crate) fn restart(&mut self) {
        let until = SystemClock.awake() + LATEST;
        loop {
            if let Some(child) = spawn(self.port, &self.dir, &self.arguments) {
                self.child = child;
                return;
            }
            assert!(SystemClock.awake() < until, "port {} is taken", self.port);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// `None` where the server ended at once: somebody took its port.
fn spawn(port: u16, dir: &TempDir, arguments: &[String]) -> Option<Child> {
    let port_text = port.to_string();
    let mut server = Command::new("redis-server");
    server.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"]).arg(dir.path());
    // with TLS, a plain port would be a second one
    let port_key = if arguments.iter().any(|argument| argument == "--tls-cert-file") { "--tls-port" } else { "--port" };
    server.args(["--port", "0"]).args([port_key, &port_text]).args(arguments);
    let log = std::fs::File::create(dir.path().join("log")).unwrap();
    let child = server.stdin(Stdio::null()).stdout(log).stderr(Stdio::null()).spawn();
    let mut child = child.expect("these tests need redis-server: apt-get install redis-server");
    let until = SystemClock.awake() + LATEST * 2;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
            assert!(log.contains("Address already in use"), "redis-server: {status}\n{log}");
            return None;
        }
        // asked on the port, another test's server might answer that got it first
        let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
        if log.contains("Ready to accept connections") {
            return Some(child);
        }
        assert!(SystemClock.awake() < until, "redis-server does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn account() -> CredentialId {
    CredentialId::access_token("main".parse().unwrap())
}

pub(crate) fn sealed(text: &str) -> Sealed {
    Sealed::new(text.as_bytes().to_vec())
}

pub(crate) fn secret_url(url: &str) -> SecretUrl {
    match url.parse() {
        Ok(StateUrl::Redis(url)) => url,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn store(url: &str) -> RedisStore {
    RedisStore::new(&secret_url(url), [account()])
}

pub(crate) async fn load(store: &RedisStore) -> Result<Option<Sealed>, StoreError> {
    in_time(store.load(&account())).await
}

pub(crate) async fn swap(store: &RedisStore, expected: Option<&str>, next: &str) -> Swap {
    in_time(store.swap(&account(), expected.map(sealed), sealed(next))).await
}

/// What a swap that must be unknown says.
pub(crate) async fn unknown(store: &RedisStore, expected: Option<&str>, next: &str) -> String {
    match swap(store, expected, next).await {
        Swap::Unknown(StoreError(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn in_time<T>(operation: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(LATEST, operation).await;
    outcome.expect("every operation answers within 5 s")
}

/// Loads until it works again.
pub(crate) async fn healed(store: &RedisStore) -> Option<Sealed> {
    let until = SystemClock.awake() + LATEST * 3;
    loop {
        match load(store).await {
            Ok(record) => return record,
            Err(error) => assert!(SystemClock.awake() < until, "it does not heal: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits for what takes a moment.
pub(crate) async fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = SystemClock.awake() + LATEST * 2;
    while !is_so() {
        assert!(SystemClock.awake() < until, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What is logged on this thread, at its loudest.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
        tracing::subscriber::set_default(subscriber.with_writer(move || log.clone()).finish())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    pub(crate) fn count(&self, mark: &str, level: &str) -> usize {
        self.text().lines().filter(|line| line.contains(mark) && line.contains(level)).count()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
