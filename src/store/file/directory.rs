//! What happens on the disk? Blocking calls, each relative to the open directory: if that is moved or mounted over, they go on in
//! it, and not into another relay's.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read as _, Seek as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Dir, FlockOperation, Mode, OFlags, Stat},
    io::Errno,
};
use tracing::warn;

use super::OpenError;
use crate::{
    clock::WallTime,
    store::{Sealed, StoreError},
};

/// The largest record, in bytes: hundreds of times a day's debits. Of a larger file one byte more is read, so that the
/// decoder finds no record in what is cut, and the file is set aside like any other that is not one.
const LARGEST_RECORD: usize = 1 << 20;

/// How many records that could not be read are kept for each account.
const KEPT_ASIDE: usize = 5;

const LOCK: &str = "lock";
const RECORD: &str = ".json";
const UNFINISHED: &str = ".json.tmp";
const ASIDE: &str = ".json.unreadable-";

/// An open, locked directory.
#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
    /// Holds the lock until it is closed, also by the end of the process.
    lock: File,
}

/// What has become of an open directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DirectoryState {
    There,
    /// Somebody has removed it: what is written into it now would be nowhere.
    Removed,
    /// Somebody has removed its lock: another relay may have taken a new one.
    Unlocked,
    /// NFS or FUSE know the descriptor no more, and it never comes back; the path may lead to a new one.
    Lost,
}

impl Directory {
    pub(super) fn open(dir: &Path) -> Result<Self, OpenError> {
        let path = create(dir).map_err(|error| unusable(dir, &error))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&path, flags, Mode::empty()).map_err(|errno| unusable(dir, &errno.into()))?;
        let lock = lock(&fd, &path)?;
        let directory = Self { fd, path, lock };
        if let Err(error) = directory.tidy() {
            warn!(directory = %directory.path.display(), %error, "the state directory could not be tidied");
        }
        Ok(directory)
    }

    /// Whether what is written into it now is kept.
    pub(super) fn state(&self) -> DirectoryState {
        let is_removed = |stat: &Stat| stat.st_nlink == 0;
        match rustix::fs::fstat(&self.fd) {
            Ok(directory) if is_removed(&directory) => DirectoryState::Removed,
            Ok(_) if rustix::fs::fstat(&self.lock).is_ok_and(|lock| is_removed(&lock)) => DirectoryState::Unlocked,
            Err(Errno::STALE | Errno::NOTCONN) => DirectoryState::Lost,
            Ok(_) | Err(_) => DirectoryState::There,
        }
    }

    /// The same with a new lock.
    pub(super) fn locked_again(&self) -> Result<Self, OpenError> {
        let fd = self.fd.try_clone().map_err(|error| unusable(&self.path, &error))?;
        Ok(Self { lock: lock(&fd, &self.path)?, fd, path: self.path.clone() })
    }

    /// Opens it again where its file system is back. Without its lock the directory there is another one: the one below the place where
    /// the file system belongs.
    pub(super) fn reopen(dir: &Path) -> Result<Self, OpenError> {
        if dir.join(LOCK).try_exists().unwrap_or(false) {
            return Self::open(dir);
        }
        Err(OpenError::Unusable { dir: dir.to_owned(), reason: "its file system has gone".to_owned() })
    }

    /// Where the record of `name` is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}{RECORD}"))
    }

    pub(super) fn read(&self, name: &str) -> Result<Option<Sealed>, StoreError> {
        let failed = |error: io::Error| self.failed("read", name, &error);
        // NONBLOCK: a FIFO in the record's place must not hold the thread for ever.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(&self.fd, format!("{name}{RECORD}"), flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(failed(errno.into())),
        };
        if !file.metadata().map_err(failed)?.is_file() {
            // As good as an empty file: no record, so it is set aside, where an error would be met at every start.
            return Ok(Some(Sealed::new(Vec::new())));
        }
        let mut bytes = Vec::new();
        file.take(LARGEST_RECORD as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        Ok(Some(Sealed::new(bytes)))
    }

    pub(super) fn replace(&self, name: &str, record: &[u8]) -> Result<(), StoreError> {
        let (record_name, unfinished) = (format!("{name}{RECORD}"), format!(".{name}{UNFINISHED}"));
        let write = || -> io::Result<()> {
            if record.len() > LARGEST_RECORD {
                return Err(io::Error::other("the record is too large"));
            }
            self.remove(&unfinished)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&self.fd, &unfinished, flags, Mode::RUSR | Mode::WUSR)?;
            let mut file = File::from(file);
            file.write_all(record)?;
            file.sync_all()?;
            rustix::fs::renameat(&self.fd, &unfinished, &self.fd, &record_name)?;
            Ok(())
        };
        write().map_err(|error| {
            // What is left takes the place that a full disk lacks; the next start would remove it as well.
            let _ = self.remove(&unfinished);
            self.failed("write", name, &error)
        })?;
        self.sync().map_err(|error| self.failed("sync", name, &error))
    }

    /// Renames the record of `name` out of the way and keeps the newest few of those.
    pub(super) fn set_aside(&self, name: &str, now: WallTime) -> Result<String, StoreError> {
        let failed = |error: io::Error| self.failed("set aside", name, &error);
        let mut earlier = self.aside(name).map_err(failed)?;
        // The wall clock may have been set back: a number beyond all others keeps the order.
        let number = u64::try_from(now.as_millis()).unwrap_or(0).max(earlier.last().map_or(0, |last| last + 1));
        let aside = format!("{name}{ASIDE}{number}");
        rustix::fs::renameat(&self.fd, format!("{name}{RECORD}"), &self.fd, &aside).map_err(|e| failed(e.into()))?;
        self.sync().map_err(failed)?;
        earlier.push(number);
        for old in earlier.iter().rev().skip(KEPT_ASIDE) {
            let _ = self.remove(&format!("{name}{ASIDE}{old}"));
        }
        Ok(self.path.join(aside).display().to_string())
    }

    /// The numbers of the records of `name` that were set aside, the oldest first.
    fn aside(&self, name: &str) -> io::Result<Vec<u64>> {
        let prefix = format!("{name}{ASIDE}");
        let mut numbers: Vec<u64> =
            self.names()?.iter().filter_map(|found| found.strip_prefix(&prefix)?.parse().ok()).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Removes what interrupted writes left and takes from others the permission to read. A directory that holds
    /// anything else is not ours to close: `file:/tmp` must not shut everybody out of /tmp.
    fn tidy(&self) -> io::Result<()> {
        let names = self.names()?;
        for name in &names {
            if name.starts_with('.') && name.ends_with(UNFINISHED) {
                self.remove(name)?;
            } else if name.ends_with(RECORD) || name.contains(ASIDE) {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                if let Ok(fd) = rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
                    close_to_others(&fd, Mode::RUSR | Mode::WUSR)?;
                }
            }
        }
        let ours = |name: &String| name == LOCK || name.contains(RECORD);
        if names.iter().all(ours) {
            return close_to_others(&self.fd, Mode::RWXU);
        }
        let mode = fs::metadata(&self.path)?.permissions().mode();
        if mode & 0o022 != 0 {
            warn!(directory = %self.path.display(), mode = format!("{mode:o}"), "others can write to the state directory");
        }
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            // A name that is not UTF-8 is none of ours, but it must be seen.
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    fn failed(&self, what: &str, name: &str, error: &io::Error) -> StoreError {
        StoreError(format!("cannot {what} {}: {error}", self.path(name).display()))
    }
}

/// Takes the lock in the directory `fd`, which is at `path`.
fn lock(fd: &OwnedFd, path: &Path) -> Result<File, OpenError> {
    let open = |flags| {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(fd, LOCK, flags, Mode::RUSR | Mode::WUSR)
    };
    let lock = match open(OFlags::RDWR | OFlags::CREATE) {
        // what is stored can be read all the same
        Err(Errno::ROFS) => open(OFlags::RDONLY).map_err(|_| Errno::ROFS),
        lock => lock,
    };
    let mut lock = lock.map(File::from).map_err(|errno| unusable(path, &errno.into()))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(OpenError::InUse { dir: path.to_owned(), pid: holder(&lock) }),
        Err(errno) => return Err(unusable(path, &errno.into())),
    }
    // Who holds it is only for the other's message: no error, a full disk least of all, may keep the relay from starting.
    let _ = lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| writeln!(lock, "{}", std::process::id()));
    Ok(lock)
}

fn unusable(dir: &Path, error: &io::Error) -> OpenError {
    OpenError::Unusable { dir: dir.to_owned(), reason: error.to_string() }
}

/// Creates `dir` and its parents for us alone, and makes sure that they stay.
fn create(dir: &Path) -> io::Result<PathBuf> {
    let is_new = !dir.exists();
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let path = fs::canonicalize(dir)?;
    if is_new {
        for parent in path.ancestors().skip(1) {
            // A parent that we may not read was not made by us.
            let _ = File::open(parent).and_then(|parent| parent.sync_all());
        }
    }
    Ok(path)
}

/// Sets `mode` where group or others have any permission; what is not ours to change stays.
fn close_to_others(fd: &OwnedFd, mode: Mode) -> io::Result<()> {
    let found = Mode::from_raw_mode(rustix::fs::fstat(fd)?.st_mode);
    if !found.intersects(Mode::RWXG | Mode::RWXO) {
        return Ok(());
    }
    match rustix::fs::fchmod(fd, mode) {
        Ok(()) | Err(Errno::PERM) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// The process that holds the lock, as it wrote itself down.
fn holder(mut lock: &File) -> Option<u32> {
    let mut text = String::new();
    lock.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
