//! What if the disk is full or read-only?

use test_support::SmallDisk;
use token_relay::store::{
    Sealed, Store as _, Swap,
    file::{FileStore, OpenError},
};

use crate::stores::{account, load, names, open_again, sealed};

async fn unknown(store: &FileStore, expected: Option<Sealed>, next: Sealed, why: &str) {
    let Swap::Unknown(error) = store.swap(&account(), expected, next).await else { panic!("written: {why}") };
    assert!(error.to_string().contains("main.json: ") && error.to_string().contains(why), "{error}");
}

#[tokio::test]
async fn a_full_disk_keeps_the_old_record_and_leaves_no_rest() {
    let Some(disk) = SmallDisk::mount() else { return };
    let dir = disk.path();
    let store = FileStore::open(dir).unwrap();
    assert_eq!(store.swap(&account(), None, sealed("one")).await, Swap::Won);
    unknown(&store, Some(sealed("one")), sealed(&"x".repeat(100_000)), "No space left").await;
    assert_eq!(load(&store).await, Some(sealed("one")));
    assert_eq!(names(dir), ["lock", "main.json"]);
    disk.fill();
    unknown(&store, Some(sealed("one")), sealed("two"), "No space left").await;
    drop(store);
    let store = open_again(dir).expect("a full disk does not keep the relay from starting");
    assert_eq!(load(&store).await, Some(sealed("one")));
    disk.free();
    assert_eq!(store.swap(&account(), Some(sealed("one")), sealed("two")).await, Swap::Won);
}

#[tokio::test]
async fn of_a_disk_that_is_read_only_at_the_start_the_record_is_read_and_written_again_later() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = FileStore::open(disk.path()).unwrap();
    assert_eq!(store.swap(&account(), None, sealed("one")).await, Swap::Won);
    // The lock is open for writing, and a file system with such a file is not turned read-only.
    drop(store);
    disk.remount("ro");
    let store = open_again(disk.path()).expect("what is stored can be read");
    assert_eq!(load(&store).await, Some(sealed("one")));
    unknown(&store, Some(sealed("one")), sealed("two"), "Read-only file system").await;
    assert!(matches!(FileStore::open(disk.path()), Err(OpenError::InUse { .. })), "it is locked");
    disk.remount("rw");
    assert_eq!(store.swap(&account(), Some(sealed("one")), sealed("two")).await, Swap::Won);
}
