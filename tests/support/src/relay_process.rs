//! How does a test start a relay, send it signals, ask it, read its log and wait for its end?

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    client::{self, Answer},
    wait::{PATIENCE, eventually},
};

/// Begins every secret of these tests and appears in none of their other texts.
pub const SENTINEL: &str = "sentinel-";
/// The key of the client `orders`, which may use every account.
pub const CLIENT_KEY: &str = "sentinel-client-key-of-orders-0123456789";
/// A relay says so when it has read its settings again.
pub const SETTINGS_TAKEN: &str = "the settings were read again, and count from now on";
/// How often a start or an end is looked for.
const POLL: Duration = Duration::from_millis(2);

/// A relay that was started; it is killed when this is dropped.
#[derive(Debug)]
pub struct Relay {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    has_leaked: Arc<AtomicBool>,
    readers: Vec<JoinHandle<()>>,
    /// Where clients connect, once it serves.
    pub public: SocketAddr,
    /// Where operators connect, once it serves.
    pub admin: SocketAddr,
}

impl Relay {
    /// Starts `command` with these variables and nothing else in its environment, as another user if need be.
    pub fn spawn(command: &[String], env: &BTreeMap<String, String>, uid: Option<u32>) -> Self {
        let (program, arguments) = command.split_first().unwrap();
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        let mut child = command.spawn().unwrap();
        let (log, has_leaked) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let reader = |from: Box<dyn Read + Send>| {
            let (log, has_leaked) = (log.clone(), has_leaked.clone());
            thread::spawn(move || copy(from, &log, &has_leaked))
        };
        let readers =
            vec![reader(Box::new(child.stdout.take().unwrap())), reader(Box::new(child.stderr.take().unwrap()))];
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Self { child, log, has_leaked, readers, public: nowhere, admin: nowhere }
    }

    /// Waits until it says where it serves.
    pub async fn serving(&mut self) {
        let started = Instant::now();
        loop {
            let event = self.events("token-relay serves").into_iter().next();
            if let Some(event) = event {
                self.public = event["listen"].as_str().unwrap().parse().unwrap();
                self.admin = event["admin_listen"].as_str().unwrap().parse().unwrap();
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && started.elapsed() < PATIENCE, "no start ({ended:?}):\n{}", self.text());
            sleep(POLL).await;
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Sends it SIGHUP and waits until it has read its settings again.
    pub async fn reload(&self) {
        let before = self.events(SETTINGS_TAKEN).len();
        self.signal(Signal::HUP);
        eventually(SETTINGS_TAKEN, async || self.events(SETTINGS_TAKEN).len() > before).await;
    }

    /// A line of `/proc/PID/status` that counts KiB: `VmRSS` is the memory in RAM, `VmHWM` the most that it ever was.
    pub fn kib(&self, line: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let found = status.lines().find(|text| text.split_once(':').is_some_and(|(name, _)| name == line)).unwrap();
        found.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Ends it as a power failure would: no signal handler, no last word.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it by a signal of which the system makes a core dump, where that is allowed; whether it has made one.
    pub fn dumps_core(mut self) -> bool {
        self.signal(Signal::ABORT);
        self.child.wait().unwrap().core_dumped()
    }

    /// Waits for its end: the exit code, `None` after a signal.
    pub async fn ended(&mut self) -> Option<i32> {
        let asked = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                for reader in self.readers.drain(..) {
                    reader.join().unwrap();
                }
                return status.code();
            }
            assert!(asked.elapsed() < PATIENCE, "it does not end:\n{}", self.text());
            sleep(POLL).await;
        }
    }

    /// All that it wrote so far.
    pub fn text(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Its log events with this message.
    pub fn events(&self, message: &str) -> Vec<Value> {
        let log = self.log.lock().unwrap();
        let events = log.iter().filter(|line| line.contains(message));
        events.filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(|e| e["message"] == message).collect()
    }

    /// `GET` on the public listener with the key of `orders`.
    pub async fn get(&self, target: &str) -> Answer {
        client::get(self.public, target, Some(CLIENT_KEY))
            .await
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// `GET` on the admin listener.
    pub async fn look(&self, target: &str) -> Answer {
        client::get(self.admin, target, None).await.unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Reports that `token` is bad.
    pub async fn report(&self, token: &str) -> Answer {
        client::report(self.public, CLIENT_KEY, "", token).await.unwrap()
    }

    /// The value of one metric, with its labels.
    pub async fn metric(&self, series: &str) -> u64 {
        let page = self.look("/metrics").await.body;
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{series} is not in\n{page}")).parse().unwrap()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        if thread::panicking() {
            // Cargo shows what a failed test has printed.
            println!("--- log of the relay ---\n{}", self.text());
        } else {
            assert!(!self.has_leaked.load(Ordering::Relaxed), "a secret is in the log (I9)");
        }
    }
}

/// Keeps what a relay writes, and looks for secrets in it.
fn copy(from: Box<dyn Read + Send>, log: &Mutex<Vec<String>>, has_leaked: &AtomicBool) {
    let mut lines = BufReader::new(from);
    let mut bytes = Vec::new();
    while lines.read_until(b'\n', &mut bytes).is_ok_and(|length| length > 0) {
        let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        if line.contains(SENTINEL) {
            has_leaked.store(true, Ordering::Relaxed);
        }
        log.lock().unwrap().push(line);
        bytes.clear();
    }
}
