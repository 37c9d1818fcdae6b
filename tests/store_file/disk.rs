//! What if the disk is full or read-only?

use test_support::SmallDisk;
use token_relay::store::{Sealed, Store as _, Swap, file::FileStore};

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
async fn a_read_only_disk_is_told_at_the_start_and_its_record_survives() {
    let Some(disk) = SmallDisk::mount() else { return };
    let store = FileStore::open(disk.path()).unwrap();
    assert_eq!(store.swap(&account(), None, sealed("one")).await, Swap::Won);
    // The lock is open for writing, and a file system with such a file is not turned read-only.
    drop(store);
    disk.remount("ro");
    let error = open_again(disk.path()).unwrap_err();
    assert!(error.to_string().contains("Read-only file system"), "{error}");
    disk.remount("rw");
    assert_eq!(load(&open_again(disk.path()).unwrap()).await, Some(sealed("one")));
}
