//! How does a test open a store, and what does it find in its directory?

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use tempfile::TempDir;
use token_relay::{
    credential::CredentialId,
    store::{
        Sealed, Store as _,
        file::{FileStore, OpenError},
    },
};

pub(crate) fn account() -> CredentialId {
    CredentialId::access_token("main".parse().unwrap())
}

pub(crate) fn sealed(text: &str) -> Sealed {
    Sealed::new(text.as_bytes().to_vec())
}

/// A store in a new directory.
pub(crate) fn new_store() -> (TempDir, FileStore) {
    let dir = TempDir::new().unwrap();
    let store = FileStore::open(dir.path()).unwrap();
    (dir, store)
}

/// Opens a directory that was just given up. A child that another test is starting holds every lock for the moment between
/// its fork and its exec.
pub(crate) fn open_again(dir: &Path) -> Result<FileStore, OpenError> {
    for _ in 0..3000 {
        match FileStore::open(dir) {
            Err(OpenError::InUse { .. }) => std::thread::sleep(Duration::from_millis(10)),
            opened => return opened,
        }
    }
    FileStore::open(dir)
}

pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(crate) async fn load(store: &FileStore) -> Option<Sealed> {
    store.load(&account()).await.unwrap()
}
