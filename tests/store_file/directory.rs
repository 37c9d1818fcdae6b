//! What does the store do to its directory, and what if it is moved, missing or impossible?

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use tempfile::TempDir;
use token_relay::store::{
    Store as _, Swap,
    file::{FileStore, OpenError},
};

use crate::stores::{account, load, mode, names, sealed};

#[tokio::test]
async fn a_directory_that_is_replaced_under_the_store_gets_nothing_from_it() {
    let root = TempDir::new().unwrap();
    let (dir, moved) = (root.path().join("state"), root.path().join("moved"));
    let store = FileStore::open(&dir).unwrap();
    fs::rename(&dir, &moved).unwrap();
    let second = FileStore::open(&dir).expect("a new directory has a lock of its own");
    assert_eq!(store.swap(&account(), None, sealed("one")).await, Swap::Won);
    assert_eq!(load(&second).await, None);
    assert!(moved.join("main.json").exists());
    fs::remove_dir_all(&moved).unwrap();
    let Swap::Unknown(error) = store.swap(&account(), None, sealed("one")).await else { panic!("it is gone") };
    assert!(error.to_string().contains("in use by another relay"), "{error}");
    assert_eq!(names(&dir), ["lock"]);
}

#[tokio::test]
async fn what_interrupted_writes_left_is_removed_and_permissions_are_tightened() {
    let root = TempDir::new().unwrap();
    let dir = root.path().join("state");
    fs::create_dir(&dir).unwrap();
    for name in [".main.json.tmp", ".other.json.tmp", "main.json", "main.json.unreadable-7"] {
        fs::write(dir.join(name), "one").unwrap();
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    let store = FileStore::open(&dir).unwrap();
    assert_eq!(names(&dir), ["lock", "main.json", "main.json.unreadable-7"]);
    assert_eq!((mode(&dir), mode(&dir.join("main.json"))), (0o700, 0o600));
    assert_eq!(mode(&dir.join("main.json.unreadable-7")), 0o600);
    assert_eq!(load(&store).await, Some(sealed("one")));
}

#[tokio::test]
async fn a_directory_with_anything_else_in_it_keeps_its_mode() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("README"), "").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let store = FileStore::open(dir.path()).unwrap();
    assert_eq!(store.swap(&account(), None, sealed("one")).await, Swap::Won);
    assert_eq!((mode(dir.path()), mode(&dir.path().join("main.json"))), (0o1777, 0o600));
}

#[test]
fn a_directory_that_cannot_be_is_an_error_with_its_name() {
    let root = TempDir::new().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    for dir in [file.clone(), file.join("below"), PathBuf::from("/proc/state")] {
        let error = FileStore::open(&dir).unwrap_err();
        assert!(matches!(error, OpenError::Unusable { .. }));
        assert!(error.to_string().contains(&dir.display().to_string()), "{error}");
    }
}

#[tokio::test]
async fn a_directory_that_becomes_usable_is_opened_by_the_next_operation() {
    let root = TempDir::new().unwrap();
    let dir = root.path().join("late");
    fs::write(&dir, "in the way").unwrap();
    let store = FileStore::opened_later(&dir);
    assert!(store.load(&account()).await.is_err());
    assert!(matches!(store.swap(&account(), None, sealed("one")).await, Swap::Unknown(_)));
    fs::remove_file(&dir).unwrap();
    assert_eq!(store.swap(&account(), None, sealed("one")).await, Swap::Won);
    assert!(matches!(FileStore::open(&dir), Err(OpenError::InUse { .. })));
    assert_eq!(store.load(&account()).await.unwrap(), Some(sealed("one")));
}

#[tokio::test]
async fn a_lock_that_was_removed_is_taken_again_unless_another_relay_has_it() {
    let root = TempDir::new().unwrap();
    let dir = root.path().join("state");
    let store = FileStore::open(&dir).unwrap();
    fs::remove_file(dir.join("lock")).unwrap();
    assert_eq!(store.swap(&account(), None, sealed("one")).await, Swap::Won);
    assert!(matches!(FileStore::open(&dir), Err(OpenError::InUse { .. })));
    fs::remove_file(dir.join("lock")).unwrap();
    let other = FileStore::open(&dir).unwrap();
    let Swap::Unknown(error) = store.swap(&account(), Some(sealed("one")), sealed("two")).await else {
        panic!("two write into one directory")
    };
    assert!(error.to_string().contains("in use by another relay"), "{error}");
    assert_eq!(load(&other).await, Some(sealed("one")));
}

#[tokio::test]
async fn a_directory_that_was_removed_is_made_again() {
    let root = TempDir::new().unwrap();
    let dir = root.path().join("state");
    let store = FileStore::open(&dir).unwrap();
    assert_eq!(store.swap(&account(), None, sealed("one")).await, Swap::Won);
    fs::remove_dir_all(&dir).unwrap();
    assert_eq!(store.swap(&account(), Some(sealed("one")), sealed("two")).await, Swap::Lost(None));
    assert_eq!(store.swap(&account(), None, sealed("two")).await, Swap::Won);
    assert_eq!(fs::read(dir.join("main.json")).unwrap(), b"two");
    assert!(matches!(FileStore::open(&dir), Err(OpenError::InUse { .. })));
}
