//! How does a test get a Redis server of its own, to stop, fill up and restart as it likes?

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::ports::free_port;

/// Where the relay keeps the record of the account `main`.
pub const RECORD_KEY: &str = "{token-relay}:v2:record:main";

/// Longer than the server needs to start, on a busy machine too.
const START: Duration = Duration::from_secs(18);

/// Makes a server a node of a cluster. It then listens on a second port as well, [`CLUSTER_BUS`] above its own.
pub(crate) const CLUSTER_ENABLED: &str = "--cluster-enabled";

/// Redis 7 could be told another port, Redis 6 could not.
const CLUSTER_BUS: u16 = 10_000;

/// In the order in which they are looked for. Valkey is the fork of Redis that some systems ship instead.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

/// A running server without persistence on the loopback, killed when dropped.
#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    /// Its port; with TLS it has no other one.
    pub port: u16,
    /// Where it saves, if a test makes it save.
    pub dir: TempDir,
    arguments: Vec<String>,
    is_sentinel: bool,
}

impl RedisServer {
    /// A server as it comes, without a password.
    pub fn start() -> Self {
        Self::with::<&str>(&[])
    }

    /// A server with more arguments.
    pub fn with<A: AsRef<str>>(arguments: &[A]) -> Self {
        let arguments = arguments.iter().map(|argument| argument.as_ref().to_owned()).collect();
        Self::on_a_free_port(TempDir::new().unwrap(), arguments, false)
    }

    /// A sentinel with these lines of configuration.
    pub fn sentinel(lines: &str) -> Self {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join(SENTINEL_FILE), format!("{lines}\n")).unwrap();
        Self::on_a_free_port(dir, Vec::new(), true)
    }

    fn on_a_free_port(dir: TempDir, arguments: Vec<String>, is_sentinel: bool) -> Self {
        loop {
            let port = free_port();
            if arguments.iter().any(|argument| argument == CLUSTER_ENABLED) && port > u16::MAX - CLUSTER_BUS {
                continue;
            }
            if let Some(child) = spawn(port, &dir, &arguments, is_sentinel) {
                return Self { child, port, dir, arguments, is_sentinel };
            }
        }
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What `redis-cli` would answer, as its first connection.
    pub fn tell(&self, command: &[&str]) -> redis::Value {
        self.tell_as("", command)
    }

    /// As [`RedisServer::tell`], with `user:password@`.
    pub fn tell_as(&self, login: &str, command: &[&str]) -> redis::Value {
        self.query(login, command).unwrap()
    }

    /// As [`RedisServer::tell`], where it may be refused.
    pub fn try_tell(&self, command: &[&str]) -> redis::RedisResult<redis::Value> {
        self.query("", command)
    }

    fn query(&self, login: &str, command: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(format!("redis://{login}127.0.0.1:{}", self.port))?;
        redis::cmd(command[0]).arg(&command[1..]).query(&mut client.get_connection()?)
    }

    /// As [`RedisServer::tell`], where the answer is a text.
    pub fn text(&self, command: &[&str]) -> String {
        redis::from_redis_value(self.tell(command)).unwrap()
    }

    /// Closes the connections of all clients, subscribers included.
    pub fn part(&self, login: &str) {
        for kind in ["normal", "pubsub"] {
            self.tell_as(login, &["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]);
        }
    }

    /// A section of `INFO`.
    pub fn info(&self, section: &str) -> String {
        self.text(&["INFO", section])
    }

    /// Whether it is a replica and has what its primary has. A server that changes its role closes its clients' connections.
    pub fn follows(&self) -> bool {
        let info = self.try_tell(&["INFO", "replication"]);
        matches!(info, Ok(redis::Value::BulkString(info)) if String::from_utf8_lossy(&info).contains("master_link_status:up"))
    }

    /// Stops the process (SIGSTOP); its kernel still accepts connections.
    pub fn freeze(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
    }

    /// Lets it go on after [`RedisServer::freeze`].
    pub fn thaw(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).unwrap();
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts again on the same port, with nothing but what it saved.
    pub fn restart(&mut self) {
        let asked = Instant::now();
        loop {
            if let Some(child) = spawn(self.port, &self.dir, &self.arguments, self.is_sentinel) {
                self.child = child;
                return;
            }
            assert!(asked.elapsed() < START, "port {} is taken", self.port);
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A sentinel needs a file, where it also keeps what it learns.
const SENTINEL_FILE: &str = "sentinel.conf";

/// `None` where the server ended at once: another process took its port.
fn spawn(port: u16, dir: &TempDir, arguments: &[String], is_sentinel: bool) -> Option<Child> {
    let program = program(&env::var_os("PATH").unwrap_or_default());
    let mut server = Command::new(program.unwrap_or_else(|message| panic!("{message}")));
    let ready = if is_sentinel {
        let file = dir.path().join(SENTINEL_FILE);
        server
            .arg(file)
            .args(["--sentinel", "--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"])
            .arg(dir.path());
        "Sentinel ID is"
    } else {
        server.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"]).arg(dir.path());
        // with TLS, a plain port would be a second one
        let is_tls = arguments.iter().any(|argument| argument == "--tls-cert-file");
        let port_key = if is_tls { "--tls-port" } else { "--port" };
        server.args(["--port", "0"]).args([port_key, &port.to_string()]).args(arguments);
        "Ready to accept connections"
    };
    let log = File::create(dir.path().join("log")).unwrap();
    let mut child = server.stdin(Stdio::null()).stdout(log).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            let log = fs::read_to_string(dir.path().join("log")).unwrap();
            assert!(log.contains("Address already in use"), "redis-server: {status}\n{log}");
            return None;
        }
        // asked on the port, another test's server might answer that got it first
        let log = fs::read_to_string(dir.path().join("log")).unwrap();
        if log.contains(ready) {
            return Some(child);
        }
        assert!(started.elapsed() < START, "redis-server does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The server's program in these directories, or one line that says what to install.
fn program(path: &OsStr) -> Result<PathBuf, String> {
    let is_here = |program: &PathBuf| is_executable(program);
    let find = |name: &str| env::split_paths(path).map(|dir| dir.join(name)).find(is_here);
    let missing = "this test needs a Redis server: install the package redis-server or valkey-server (./test.sh does)";
    PROGRAMS.iter().find_map(|name| find(name)).ok_or_else(|| missing.to_owned())
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Two directories of a `PATH`, with these programs in the first and in the second.
    fn path_with(programs: [&[&str]; 2]) -> (TempDir, std::ffi::OsString) {
        let root = TempDir::new().unwrap();
        let dirs = ["first", "second"].map(|name| root.path().join(name));
        for (dir, names) in dirs.iter().zip(programs) {
            fs::create_dir(dir).unwrap();
            for name in names {
                fs::write(dir.join(name), "").unwrap();
                fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        let path = env::join_paths(&dirs).unwrap();
        (root, path)
    }

    #[test]
    fn redis_is_preferred_and_valkey_is_taken_where_there_is_no_redis() {
        let (both, path) = path_with([&["valkey-server"], &["redis-server"]]);
        assert_eq!(program(&path), Ok(both.path().join("second/redis-server")));
        let (valkey, path) = path_with([&[], &["valkey-server"]]);
        assert_eq!(program(&path), Ok(valkey.path().join("second/valkey-server")));
    }

    #[test]
    fn where_there_is_no_server_one_line_says_what_to_install() {
        let (dir, path) = path_with([&[], &["redis-cli"]]);
        fs::write(dir.path().join("first/redis-server"), "no program").unwrap();
        let message = program(&path).unwrap_err();
        assert_eq!(message.lines().count(), 1);
        assert!(message.contains("install the package redis-server or valkey-server"), "{message}");
    }
}
