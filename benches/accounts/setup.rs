//! Which accounts are there, where do relays keep their state, and who is WeChat?

use std::{
    fmt::Write as _,
    fs,
    io::{self, Error},
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use wechat_sim::{Op, Sim};

pub(crate) const KEY: &str = "trk_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const SECRET: &str = "a-secret-of-no-real-account";
/// In memory on most Linux machines: what is measured is the relay and not a disk.
const SHARED_MEMORY: &str = "/dev/shm";

/// The accounts, by their numbers from 0, and what all relays share.
pub(crate) struct Setup {
    pub(crate) accounts: usize,
    pub(crate) sim: Sim,
    pub(crate) is_in_memory: bool,
    home: TempDir,
}

impl Setup {
    pub(crate) async fn new(accounts: usize) -> io::Result<Self> {
        let is_in_memory = is_tmpfs(SHARED_MEMORY)?;
        let mut home = tempfile::Builder::new();
        let home = home.prefix("token-relay-bench-");
        let home = if is_in_memory { home.tempdir_in(SHARED_MEMORY)? } else { home.tempdir()? };
        let sim = (0..accounts).fold(Sim::builder(), |sim, number| sim.app(appid(number), SECRET));
        Ok(Self { accounts, sim: sim.start().await.map_err(Error::other)?, is_in_memory, home })
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// A settings file with the first `accounts` accounts and one client that may read all of them.
    pub(crate) fn settings(&self, accounts: usize) -> io::Result<PathBuf> {
        let mut text = format!("[clients.bench]\nkey = \"{KEY}\"\n");
        for number in 0..accounts {
            let (name, appid) = (name(number), appid(number));
            write!(text, "\n[accounts.{name}]\nappid = \"{appid}\"\nsecret = \"{SECRET}\"\n").map_err(Error::other)?;
        }
        let path = self.home().join(format!("{accounts}.toml"));
        fs::write(&path, text)?;
        Ok(path)
    }

    /// How many calls WeChat has had.
    pub(crate) fn calls(&self) -> usize {
        self.sim.calls(Op::Any).len()
    }
}

/// The name of an account.
pub(crate) fn name(number: usize) -> String {
    format!("a{number:05}")
}

pub(crate) fn appid(number: usize) -> String {
    format!("wx{number:016}")
}

fn is_tmpfs(mount_point: &str) -> io::Result<bool> {
    let mounts = fs::read_to_string("/proc/mounts")?;
    Ok(mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == Some(mount_point) && fields.next() == Some("tmpfs")
    }))
}
