//! Does a record survive kills, full disks, second relays and operators with a text editor?

#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, but clippy does not see that these helpers are theirs"
)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use token_relay::{
    credential::CredentialId,
    store::{
        Sealed, Store as _, Swap,
        file::{FileStore, OpenError},
    },
};

const DIR: &str = "STORE_FILE_DIR";

fn account() -> CredentialId {
    CredentialId::access_token("main".parse().unwrap())
}

fn sealed(text: &str) -> Sealed {
    Sealed::new(text.as_bytes().to_vec())
}

/// Opens a directory that was just given up. A child that another test is starting holds every lock for the moment between
/// its fork and its exec.
fn open_again(dir: &Path) -> Result<FileStore, OpenError> {
    for _ in 0..3000 {
        match FileStore::open(dir) {
            Err(OpenError::InUse { .. }) => std::thread::sleep(Duration::from_millis(10)),
            opened => return opened,
        }
    }
    FileStore::open(dir)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

async fn load(store: &FileStore) -> Option<Sealed> {
    store.load(&account()).await.unwrap()
}

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
    let dir = TempDir::new().unwrap();
    let store = FileStore::open(dir.path()).unwrap();
    let other = CredentialId::access_token("main_2".parse().unwrap());
    assert_eq!(store.swap(&account(), None, sealed("one")).await, Swap::Won);
    assert_eq!(store.load(&other).await, Ok(None));
    assert_eq!(store.swap(&other, None, sealed("two")).await, Swap::Won);
    assert_eq!(load(&store).await, Some(sealed("one")));
}

#[tokio::test]
async fn of_many_swaps_at_once_one_wins() {
    let dir = TempDir::new().unwrap();
    let store = FileStore::open(dir.path()).unwrap();
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
    let dir = TempDir::new().unwrap();
    let store = FileStore::open(dir.path()).unwrap();
    let record = dir.path().join("main.json");
    assert_eq!(store.swap(&account(), None, sealed("one")).await, Swap::Won);
    fs::write(&record, "edited").unwrap();
    assert_eq!(store.swap(&account(), Some(sealed("one")), sealed("two")).await, Swap::Lost(Some(sealed("edited"))));
    fs::remove_file(&record).unwrap();
    assert_eq!(load(&store).await, None);
    assert_eq!(store.swap(&account(), Some(sealed("edited")), sealed("two")).await, Swap::Lost(None));
}

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

#[tokio::test]
async fn a_record_that_cannot_be_read_is_kept_aside_and_only_the_newest_five_of_them() {
    let dir = TempDir::new().unwrap();
    let store = FileStore::open(dir.path()).unwrap();
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
    let dir = TempDir::new().unwrap();
    let store = FileStore::open(dir.path()).unwrap();
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
    let dir = TempDir::new().unwrap();
    let store = FileStore::open(dir.path()).unwrap();
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

#[test]
fn a_second_store_in_the_same_process_is_refused_until_the_first_is_gone() {
    let dir = TempDir::new().unwrap();
    let first = FileStore::open(dir.path()).unwrap();
    let error = FileStore::open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::InUse { pid: Some(pid), .. } if pid == std::process::id()));
    assert!(error.to_string().contains(dir.path().to_str().unwrap()), "{error}");
    drop(first);
    open_again(dir.path()).unwrap();
}

/// A child that runs one of the functions below on `dir`.
fn child(role: &str, dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("child::{role}"), "--ignored", "--nocapture"])
        .env(DIR, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The numbers after `word` on the child's lines, as they come; a line that a kill cut off is none.
fn told(child: &mut Child, word: &'static str) -> impl Iterator<Item = u64> + use<> {
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    std::iter::from_fn(move || {
        let mut line = String::new();
        (lines.read_line(&mut line).unwrap_or(0) > 0).then_some(line)
    })
    .filter_map(move |line| line.split_once(word)?.1.strip_suffix('\n')?.trim().parse().ok())
}

/// Record number `number`: its number, and a length that says whether it is whole.
fn numbered(number: u64) -> Sealed {
    let body = "x".repeat(usize::try_from(number * 7919 % 100_000).unwrap());
    sealed(&format!("{number} {} {body}", body.len()))
}

fn number_of(record: &Sealed) -> u64 {
    let text = String::from_utf8(record.expose().to_vec()).unwrap();
    let number = text.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(*record, numbered(number), "a torn record");
    number
}

mod child {
    //! Not tests: what the child processes do.

    use super::*;

    fn dir() -> PathBuf {
        std::env::var_os(DIR).expect("run by a test").into()
    }

    #[test]
    #[ignore = "runs in a child process"]
    fn hold() {
        let _store = FileStore::open(&dir()).unwrap();
        println!("\nopened 1");
        std::thread::sleep(Duration::from_secs(600));
    }

    #[tokio::test]
    #[ignore = "runs in a child process"]
    async fn write_for_ever() {
        let store = FileStore::open(&dir()).unwrap();
        let mut current = load(&store).await;
        let mut number = current.as_ref().map_or(0, number_of);
        println!("\nwon {number}");
        loop {
            number += 1;
            let next = numbered(number);
            assert_eq!(store.swap(&account(), current, next.clone()).await, Swap::Won);
            println!("won {number}");
            std::io::stdout().flush().unwrap();
            current = Some(next);
        }
    }
}

#[test]
fn a_second_process_is_refused_by_name_and_gets_in_when_the_first_is_killed() {
    let dir = TempDir::new().unwrap();
    let mut holder = child("hold", dir.path());
    assert_eq!(told(&mut holder, "opened ").next(), Some(1));
    let error = FileStore::open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::InUse { pid: Some(pid), .. } if pid == holder.id()));
    assert!(error.to_string().contains(&format!("in use by another relay (process {})", holder.id())), "{error}");
    holder.kill().unwrap();
    holder.wait().unwrap();
    FileStore::open(dir.path()).unwrap();
}

#[tokio::test]
async fn a_process_killed_at_any_moment_leaves_a_whole_record_and_never_less_than_it_reported() {
    const KILLS: u32 = 60;
    let dir = TempDir::new().unwrap();
    let mut dice = fastrand::Rng::with_seed(11);
    let mut last = 0;
    for _ in 0..KILLS {
        let mut writer = child("write_for_ever", dir.path());
        let mut reported = told(&mut writer, "won ").peekable();
        // now and then before it has begun
        if dice.u8(..) < 200 {
            reported.next();
            reported.peek();
        }
        std::thread::sleep(Duration::from_millis(dice.u64(..50)));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let reported = reported.max().unwrap_or(last);
        let store = FileStore::open(dir.path()).unwrap();
        let found = load(&store).await.as_ref().map_or(0, number_of);
        assert!(found == reported || found == reported + 1 || reported == last, "{found} after {reported}");
        assert!(found >= last.max(reported), "{found} after {reported}");
        assert!(names(dir.path()).iter().all(|name| ["lock", "main.json"].contains(&name.as_str())));
        last = found;
    }
    println!("{last} records written over {KILLS} kills");
    assert!(last > u64::from(KILLS) / 4, "the writer hardly ever got to write");
}

/// A file system of its own, where that is allowed: unmounted when dropped.
struct Mounted(TempDir);

impl Mounted {
    fn small() -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let mounted = Self::mount(&["-t", "tmpfs", "-o", "size=64k", "tmpfs"], dir.path());
        mounted.then(|| Self(dir))
    }

    fn remount(&self, how: &str) {
        assert!(Self::mount(&["-o", &format!("remount,{how}")], self.0.path()));
    }

    fn mount(arguments: &[&str], dir: &Path) -> bool {
        let mount = Command::new("mount").args(arguments).arg(dir).stderr(Stdio::null()).status();
        mount.is_ok_and(|status| status.success())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

async fn unknown(store: &FileStore, expected: Option<Sealed>, next: Sealed, why: &str) {
    let Swap::Unknown(error) = store.swap(&account(), expected, next).await else { panic!("written: {why}") };
    assert!(error.to_string().contains("main.json: ") && error.to_string().contains(why), "{error}");
}

#[tokio::test]
async fn a_full_disk_keeps_the_old_record_and_leaves_no_rest() {
    let Some(disk) = Mounted::small() else { return println!("skipped: not allowed to mount a tmpfs") };
    let dir = disk.0.path();
    let store = FileStore::open(dir).unwrap();
    assert_eq!(store.swap(&account(), None, sealed("one")).await, Swap::Won);
    unknown(&store, Some(sealed("one")), sealed(&"x".repeat(100_000)), "No space left").await;
    assert_eq!(load(&store).await, Some(sealed("one")));
    assert_eq!(names(dir), ["lock", "main.json"]);
    let ballast = fs::write(dir.join("ballast"), "x".repeat(100_000));
    assert!(ballast.is_err(), "the disk is full to its last page");
    unknown(&store, Some(sealed("one")), sealed("two"), "No space left").await;
    drop(store);
    let store = open_again(dir).expect("a full disk does not keep the relay from starting");
    assert_eq!(load(&store).await, Some(sealed("one")));
    fs::remove_file(dir.join("ballast")).unwrap();
    assert_eq!(store.swap(&account(), Some(sealed("one")), sealed("two")).await, Swap::Won);
}

#[tokio::test]
async fn a_read_only_disk_is_told_at_the_start_and_its_record_survives() {
    let Some(disk) = Mounted::small() else { return println!("skipped: not allowed to mount a tmpfs") };
    let store = FileStore::open(disk.0.path()).unwrap();
    assert_eq!(store.swap(&account(), None, sealed("one")).await, Swap::Won);
    // The lock is open for writing, and a file system with such a file is not turned read-only.
    drop(store);
    disk.remount("ro");
    let error = open_again(disk.0.path()).unwrap_err();
    assert!(error.to_string().contains("Read-only file system"), "{error}");
    disk.remount("rw");
    assert_eq!(load(&open_again(disk.0.path()).unwrap()).await, Some(sealed("one")));
}
