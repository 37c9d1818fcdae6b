//! How is a process started, watched and ended?

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// A running process; dropping it kills it.
pub(crate) struct Process(Child);

impl Process {
    /// Starts `command`, with its output thrown away.
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        // Its standard input is a pipe that ends when this process does.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(Self)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// An error when it has ended by itself.
    pub(crate) fn still_runs(&mut self) -> io::Result<()> {
        match self.0.try_wait()? {
            None => Ok(()),
            Some(status) => Err(io::Error::other(format!("a server ended: {status}"))),
        }
    }

    /// A line of /proc/PID/status that counts KiB: `VmRSS` is the memory in RAM, `VmHWM` the most that it ever was.
    pub(crate) fn kib(&self, key: &str) -> io::Result<u32> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let value = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let value = value.and_then(|value| value.trim().trim_end_matches(" kB").parse().ok());
        value.ok_or_else(|| io::Error::other(format!("no {key} in /proc/PID/status")))
    }

    /// Ends it as an operator would.
    pub(crate) fn stop(mut self) -> io::Result<()> {
        kill_process(Pid::from_child(&self.0), Signal::TERM)?;
        self.0.wait().map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, or there is nobody left to tell.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address of loopback that was free a moment ago.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
