//! Which accounts are there, where do relays keep their state, and who is WeChat?

use std::{
    fs,
    io::{self, Error},
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use wechat_sim::{Op, Sim};

use crate::many_accounts;

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
        let sim = (0..accounts).fold(Sim::builder(), |sim, number| sim.app(many_accounts::appid(number), SECRET));
        Ok(Self { accounts, sim: sim.start().await.map_err(Error::other)?, is_in_memory, home })
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// A settings file with the first `accounts` accounts and one client that may read all of them.
    pub(crate) fn settings(&self, accounts: usize) -> io::Result<PathBuf> {
        let path = self.home().join(format!("{accounts}.toml"));
        fs::write(&path, many_accounts::settings(accounts, SECRET, KEY))?;
        Ok(path)
    }

    /// How many calls WeChat has had.
    pub(crate) fn calls(&self) -> usize {
        self.sim.calls(Op::Any).len()
    }
}

fn is_tmpfs(mount_point: &str) -> io::Result<bool> {
    let mounts = fs::read_to_string("/proc/mounts")?;
    Ok(mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == Some(mount_point) && fields.next() == Some("tmpfs")
    }))
}
