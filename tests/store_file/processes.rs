//! What if a second process opens the directory, or the first one is killed while it writes?

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use test_support::child_test;
use token_relay::store::{
    Sealed, Store as _, Swap,
    file::{FileStore, OpenError},
};

use crate::stores::{account, load, names, open_again, sealed};

const DIR: &str = "STORE_FILE_DIR";

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

/// A child that runs one of the two functions below on `dir`.
fn child(role: &str, dir: &Path) -> Child {
    child_test::command(&format!("processes::{role}"))
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

fn dir() -> PathBuf {
    std::env::var_os(DIR).expect("run by a test").into()
}

/// Not a test: what a child does.
#[test]
#[ignore = "runs in a child process"]
fn hold() {
    let _store = FileStore::open(&dir()).unwrap();
    println!("\nopened 1");
    std::thread::sleep(Duration::from_secs(600));
}

/// Not a test: what a child does.
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
    let mut rng = fastrand::Rng::with_seed(11);
    let mut last = 0;
    for _ in 0..KILLS {
        let mut writer = child("write_for_ever", dir.path());
        let mut reported = told(&mut writer, "won ").peekable();
        // now and then before it has begun
        if rng.u8(..) < 200 {
            reported.next();
            reported.peek();
        }
        std::thread::sleep(Duration::from_millis(rng.u64(..50)));
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
