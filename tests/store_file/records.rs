//! Is there one record for each account, and what becomes of one that was edited, is too large or cannot be read?

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;
use token_relay::{
    credential::CredentialId,
    store::{Sealed, Store as _, Swap, file::FileStore},
};

use crate::stores::{account, load, mode, names, new_store, open_again, sealed};

#[tokio::test]
async fn a_record_is_there_after_the_store_is_opened_again_and_only_for_us() {
    let root = TempDir::new().unwrap();
    let dir = root.path().join("deep/state");
    let store = FileStore::open(&dir).unwrap();
    assert_eq!(load(&store).await, None);
    assert_eq!(store.swap(&account(), None, sealed("one")).await, Swap::Won);
    assert_eq!(store.swap(&account(), None, sealed("two")).await, Swap::Lost(Some(sealed("one"))));
    assert_eq!(store.swap(&account(), Some(sealed("two")), sealed("three")).await, Swap::Lost(Some(sealed("one"))));
    assert_eq!(store.swap(&account(), Some(sealed("one")), sealed("two")).await, Swap::Won);
    drop(store);
    assert_eq!(load(&open_again(&dir).unwrap()).await, Some(sealed("two")));
    assert_eq!(names(&dir), ["lock", "main.json"]);
    assert_eq!((mode(&dir), mode(&root.path().join("deep"))), (0o700, 0o700));
    assert_eq!((mode(&dir.join("main.json")), mode(&dir.join("lock"))), (0o600, 0o600));
}

#[tokio::test]
async fn each_account_has_a_record_of_its_own() {
    let (_dir, store) = new_store();
    let other = CredentialId::access_token("main_2".parse().unwrap());
    assert_eq!(store.swap(&account(), None, sealed("one")).await, Swap::Won);
    assert_eq!(store.load(&other).await, Ok(None));
    assert_eq!(store.swap(&other, None, sealed("two")).await, Swap::Won);
    assert_eq!(load(&store).await, Some(sealed("one")));
}

#[tokio::test]
async fn of_many_swaps_at_once_one_wins() {
    let (_dir, store) = new_store();
    let mut current = None;
    for round in 0..10 {
        let account = account();
        let swaps = (0..20).map(|n| store.swap(&account, current.clone(), sealed(&format!("{round} {n}"))));
        let outcomes = futures_util::future::join_all(swaps).await;
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Swap::Won).count(), 1);
        current = load(&store).await;
    }
}

#[tokio::test]
async fn what_the_operator_changes_on_the_disk_is_seen() {
    let (dir, store) = new_store();
    let record = dir.path().join("main.json");
    assert_eq!(store.swap(&account(), None, sealed("one")).await, Swap::Won);
    fs::write(&record, "edited").unwrap();
    assert_eq!(store.swap(&account(), Some(sealed("one")), sealed("two")).await, Swap::Lost(Some(sealed("edited"))));
    fs::remove_file(&record).unwrap();
    assert_eq!(load(&store).await, None);
    assert_eq!(store.swap(&account(), Some(sealed("edited")), sealed("two")).await, Swap::Lost(None));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_kept_aside_and_only_the_newest_five_of_them() {
    let (dir, store) = new_store();
    let error = store.set_aside(&account()).await.unwrap_err();
    assert!(error.to_string().contains("main.json"), "{error}");
    fs::write(dir.path().join("main.json.unreadable-99999999999999999"), "far future").unwrap();
    fs::write(dir.path().join("main_2.json.unreadable-1"), "another account's").unwrap();
    for round in 0..8 {
        fs::write(dir.path().join("main.json"), format!("torn {round}")).unwrap();
        let kept = PathBuf::from(store.set_aside(&account()).await.unwrap());
        assert_eq!(fs::read_to_string(&kept).unwrap(), format!("torn {round}"));
        assert_eq!(load(&store).await, None);
    }
    let kept: Vec<String> = names(dir.path()).into_iter().filter(|name| name.starts_with("main.json.")).collect();
    let contents: Vec<String> = kept.iter().map(|name| fs::read_to_string(dir.path().join(name)).unwrap()).collect();
    assert_eq!(contents, ["torn 3", "torn 4", "torn 5", "torn 6", "torn 7"]);
    assert!(dir.path().join("main_2.json.unreadable-1").exists());
}

#[tokio::test]
async fn a_file_that_is_too_large_is_cut_so_that_no_decoder_takes_it() {
    let (dir, store) = new_store();
    let largest = Sealed::new(vec![b'x'; 1 << 20]);
    assert_eq!(store.swap(&account(), None, largest.clone()).await, Swap::Won);
    assert_eq!(load(&store).await, Some(largest.clone()));
    let larger = Sealed::new(vec![b'x'; (1 << 20) + 1]);
    assert!(matches!(store.swap(&account(), Some(largest), larger).await, Swap::Unknown(_)));
    fs::File::create(dir.path().join("main.json")).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(load(&store).await.unwrap().expose().len(), (1 << 20) + 1);
    assert!(store.set_aside(&account()).await.is_ok());
    assert_eq!(store.swap(&account(), None, sealed("one")).await, Swap::Won);
}

#[tokio::test]
async fn what_is_not_a_file_holds_nobody_up_and_can_be_set_aside_like_an_empty_one() {
    let (dir, store) = new_store();
    let record = dir.path().join("main.json");
    assert!(Command::new("mkfifo").arg(&record).status().unwrap().success());
    for _ in 0..2 {
        assert_eq!(store.load(&account()).await.unwrap(), Some(sealed("")));
        assert_eq!(store.swap(&account(), None, sealed("one")).await, Swap::Lost(Some(sealed(""))));
        let aside = store.set_aside(&account()).await.unwrap();
        assert!(Path::new(&aside).exists());
        assert_eq!(store.load(&account()).await.unwrap(), None);
        fs::create_dir(&record).unwrap();
    }
}
