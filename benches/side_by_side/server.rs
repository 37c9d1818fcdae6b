//! How is a server started on one core, and what has it used?

use std::{
    fs, io,
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use token_relay::clock::{Clock, SystemClock};
use tokio::{net::TcpStream, time::sleep};

use crate::support::{
    http_exchange::exchange,
    process::{Process, free_address},
};

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

/// Whether there is this program; says so where it is missing.
pub(crate) fn is_installed(program: &str, version: &str, package: &str) -> bool {
    let found = Command::new(program).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        println!("left out: there is no {program} (apt-get install {package})");
    }
    found
}

/// A running server.
pub(crate) struct Server {
    process: Process,
    address: SocketAddr,
    started_in: Duration,
}

/// Memory in KiB.
pub(crate) struct Resident {
    pub(crate) now: u32,
    pub(crate) peak: u32,
}

impl Server {
    /// Starts what `command` makes for a free port of loopback, and waits for its first 200 to `request`.
    pub(crate) async fn start(
        cores: &Cores,
        request: &[u8],
        command: impl FnOnce(SocketAddr) -> Command,
    ) -> io::Result<Self> {
        let knock = async |address| {
            let mut stream = TcpStream::connect(address).await?;
            if exchange(&mut stream, request).await?.is_ok() { Ok(()) } else { Err(io::Error::other("another status")) }
        };
        Self::answering(cores, knock, command).await
    }

    /// The same, of one that answers to `knock`.
    pub(crate) async fn answering(
        cores: &Cores,
        knock: impl AsyncFn(SocketAddr) -> io::Result<()>,
        command: impl FnOnce(SocketAddr) -> Command,
    ) -> io::Result<Self> {
        let address = free_address()?;
        let mut command = command(address);
        let began = SystemClock.boot_now();
        // A child begins on the core of the thread that starts it.
        pin(cores.servers)?;
        let process = Process::start(&mut command);
        pin(cores.load)?;
        let mut server = Self { process: process?, address, started_in: Duration::ZERO };
        while knock(address).await.is_err() {
            server.process.still_runs()?;
            if SystemClock.boot_now().since(began) > PATIENCE {
                return Err(io::Error::other("the server does not answer"));
            }
            sleep(KNOCK).await;
        }
        server.started_in = SystemClock.boot_now().since(began);
        Ok(server)
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
        for thread in fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            // A thread may end meanwhile.
            let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            nanoseconds += text.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or_default();
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// How much of its memory is in RAM, now and at most.
    pub(crate) fn resident(&self) -> io::Result<Resident> {
        Ok(Resident { now: self.process.kib("VmRSS")?, peak: self.process.kib("VmHWM")? })
    }

    /// Ends it as an operator would.
    pub(crate) fn stop(self) -> io::Result<()> {
        self.process.stop()
    }
}
