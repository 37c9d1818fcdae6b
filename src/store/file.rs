//! One file per credential in a directory of its own: what a single relay needs.
//!
//! A record `NAME.json` is replaced by writing `.NAME.json.tmp` beside it, syncing it, renaming it over the old one and
//! syncing the directory: whenever the power goes, one whole record is there, the old or the new. A lock on the
//! directory, held as long as the store lives, keeps a second relay out; it ends with the process, however it ends.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;

use super::{Sealed, Store, StoreError, Swap};
use crate::clock::{Clock, SystemClock};
use crate::credential::CredentialId;

mod directory;
mod serial_queue;

use directory::{Directory, DirectoryState};
use serial_queue::SerialQueue;

/// The longest that an operation may take. A disk slower than this counts as stuck.
const LIMIT: Duration = Duration::from_secs(5);

/// Why a directory cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another relay, or another store in this process, holds the directory.
    #[error("the state directory {} is in use by another relay{}", dir.display(), holder(*pid))]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The holder, as it sees itself: in another container its number means nothing here.
        pid: Option<u32>,
    },
    /// It cannot be created, locked or written to.
    #[error("the state directory {} cannot be used: {reason}", dir.display())]
    Unusable {
        /// The directory.
        dir: PathBuf,
        /// What happened, with the operating system's words.
        reason: String,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// A store in a directory of files, for one relay.
#[derive(Debug)]
pub struct FileStore {
    state: Arc<StateDirectory>,
    /// One for each credential: its operations keep their order, and a stuck disk holds at most one thread for each.
    queues: Mutex<HashMap<CredentialId, SerialQueue>>,
}

impl FileStore {
    /// Opens `dir`: creates it (mode 0700) with its parents, locks it, removes what an interrupted write left, and takes
    /// from others the permission to read records. It blocks: call it before serving.
    ///
    /// # Errors
    ///
    /// [`OpenError::InUse`] while another store holds the directory, [`OpenError::Unusable`] where it cannot be created,
    /// locked or written to.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        Ok(Self { state: StateDirectory::new(dir, Some(Directory::open(dir)?)), queues: Mutex::default() })
    }

    /// A store in a `dir` that cannot be used yet (a full disk, a mount that is late): every operation tries to open it,
    /// and fails until one succeeds.
    pub fn opened_later(dir: &Path) -> Self {
        Self { state: StateDirectory::new(dir, None), queues: Mutex::default() }
    }

    fn queue(&self, id: &CredentialId) -> SerialQueue {
        // A map of handles cannot be left half changed, so a panic elsewhere poisons nothing.
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.entry(id.clone()).or_default().clone()
    }

    async fn run<T: Send + 'static>(
        &self,
        id: &CredentialId,
        operation: impl FnOnce(&Directory, &str) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (state, name) = (Arc::clone(&self.state), id.to_string());
        let done = self.queue(id).run(LIMIT, move || operation(&*state.directory()?, &name)).await;
        done.map_err(|stuck| StoreError(format!("the record of {id} in {}: {stuck}", self.state.dir.display())))?
    }
}

/// A directory that is open, or will be.
#[derive(Debug)]
struct StateDirectory {
    dir: PathBuf,
    directory: Mutex<Option<Arc<Directory>>>,
}

impl StateDirectory {
    fn new(dir: &Path, directory: Option<Directory>) -> Arc<Self> {
        Arc::new(Self { dir: dir.to_owned(), directory: Mutex::new(directory.map(Arc::new)) })
    }

    /// The open directory; opened now where it was not, or is not there any more.
    fn directory(&self) -> Result<Arc<Directory>, StoreError> {
        let mut open = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = match open.as_ref().map(|directory| (directory, directory.state())) {
            Some((directory, DirectoryState::There)) => return Ok(directory.clone()),
            Some((directory, DirectoryState::Unlocked)) => directory.locked_again(),
            Some((_, DirectoryState::Lost)) => Directory::reopen(&self.dir),
            Some((_, DirectoryState::Removed)) | None => Directory::open(&self.dir),
        };
        let directory = directory.map_err(|error| StoreError(error.to_string()))?;
        Ok(open.insert(Arc::new(directory)).clone())
    }
}

/// Compares with what is on the disk, not with a copy in memory: a record that the operator removed or restored is seen.
/// The lock keeps other relays out, and each credential's operations run one after the other.
impl Store for FileStore {
    fn load<'a>(&'a self, id: &'a CredentialId) -> BoxFuture<'a, Result<Option<Sealed>, StoreError>> {
        Box::pin(self.run(id, Directory::read))
    }

    fn swap<'a>(&'a self, id: &'a CredentialId, expected: Option<Sealed>, next: Sealed) -> BoxFuture<'a, Swap> {
        Box::pin(async move {
            let compare_and_set = move |directory: &Directory, name: &str| {
                let current = directory.read(name)?;
                if current != expected {
                    return Ok(Swap::Lost(current));
                }
                directory.replace(name, next.expose())?;
                Ok(Swap::Won)
            };
            self.run(id, compare_and_set).await.unwrap_or_else(Swap::Unknown)
        })
    }

    fn set_aside<'a>(&'a self, id: &'a CredentialId) -> BoxFuture<'a, Result<String, StoreError>> {
        let now = SystemClock.now().wall;
        Box::pin(self.run(id, move |directory, name| directory.set_aside(name, now)))
    }
}
