//! How is a server started on one core, and what has it used?

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use token_relay::clock::{Clock, SystemClock};
use tokio::{net::TcpStream, time::sleep};

use crate::{load, request};

/// A server that does not answer within this time does not run.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two knocks at a server that is about to start: how exactly a start is timed.
const KNOCK: Duration = Duration::from_micros(200);

/// One core for the servers, another for the load.
pub(crate) struct Cores {
    pub(crate) servers: usize,
    pub(crate) load: usize,
}

impl Cores {
    /// The first two cores that this process may use; it moves to the second.
    pub(crate) fn of_this_machine() -> io::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let (Some(servers), Some(load)) = (cores.next(), cores.next()) else {
            return Err(io::Error::other("two cores are needed: one for the servers, one for the load"));
        };
        pin(load)?;
        Ok(Self { servers, load })
    }
}

fn pin(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}

/// A running server; dropping it kills it.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    started_in: Duration,
}

/// Memory in KiB.
pub(crate) struct Resident {
    pub(crate) now: u32,
    pub(crate) peak: u32,
}

impl Server {
    /// Starts what `command` makes for a free port of loopback, and waits for its first 200.
    pub(crate) async fn start(cores: &Cores, command: impl FnOnce(SocketAddr) -> Command) -> io::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = command(address);
        // Its standard input is a pipe that ends when this process does.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let began = SystemClock.boot_now();
        // A child begins on the core of the thread that starts it.
        pin(cores.servers)?;
        let child = command.spawn();
        pin(cores.load)?;
        let mut server = Self { child: child?, address, started_in: Duration::ZERO };
        while server.knock().await.is_err() {
            if let Some(status) = server.child.try_wait()? {
                return Err(io::Error::other(format!("the server ended: {status}")));
            }
            if SystemClock.boot_now().since(began) > PATIENCE {
                return Err(io::Error::other("the server does not answer"));
            }
            sleep(KNOCK).await;
        }
        server.started_in = SystemClock.boot_now().since(began);
        Ok(server)
    }

    async fn knock(&self) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.address).await?;
        load::ask(&mut stream, request().as_bytes()).await.map(drop)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From before its process was made to its first 200.
    pub(crate) fn started_in(&self) -> Duration {
        self.started_in
    }

    /// What all its threads have used so far, user and system, as the scheduler counts it: in nanoseconds, where
    /// /proc/PID/stat has ticks of 10 ms.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // A thread may end meanwhile.
            let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            nanoseconds += text.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or_default();
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// How much of its memory is in RAM, now and at most.
    pub(crate) fn resident(&self) -> io::Result<Resident> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kib = |key: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(key));
            value.and_then(|value| value.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
        };
        Ok(Resident { now: kib("VmRSS:"), peak: kib("VmHWM:") })
    }

    /// Ends it as an operator would.
    pub(crate) fn stop(mut self) -> io::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        self.child.wait().map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already, or there is nobody left to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
