//! What is read after which poll, on what may be counted meanwhile, and when is the next poll?

use proptest::prelude::*;

use super::*;
use crate::{clock::BootId, group::peers::TAKE_OVER};

fn at(ms: u64) -> Timestamp {
    Timestamp::from_micros(1_000_000_000).plus(Duration::from_millis(ms))
}

fn id(number: usize) -> CredentialId {
    CredentialId::access_token(format!("a{number:05}").parse().unwrap())
}

/// A relay that keeps so many, of which everything was read once.
fn caught_up(count: usize) -> Poller {
    let mut poller = begun(count);
    while let Some(reading) = poller.more() {
        poller.read(&reading);
    }
    poller
}

/// One that has had its first poll, and has read one batch.
fn begun(count: usize) -> Poller {
    let mut poller = Poller::new(ReplicaId(1), BootId::from_text("mine"));
    (0..count).for_each(|number| poller.add(id(number)));
    let reading = poll(&mut poller, 0, Changed::All);
    poller.read(&reading);
    poller
}

/// A poll that is answered at once, by a store in which nobody else shows itself.
fn poll(poller: &mut Poller, ms: u64, changed: Changed) -> Reading {
    poll_showing(poller, ms, changed, Vec::new())
}

fn poll_showing(poller: &mut Poller, ms: u64, changed: Changed, presences: Vec<(ReplicaId, Presence)>) -> Reading {
    poller.begin(at(ms));
    poller.answered(at(ms), at(ms), Poll { cursor: Cursor { nonce: 7, change: ms }, changed, presences })
}

fn these(numbers: &[usize]) -> Changed {
    Changed::These(numbers.iter().map(|number| id(*number)).collect())
}

fn away() -> StoreError {
    StoreError("no answer".to_owned())
}

fn counts_on(poller: &Poller, number: usize) -> Option<Timestamp> {
    poller.peers_of(&id(number)).contact_at()
}

/// All that is read until nothing is left, each batch at once.
fn read_all(poller: &mut Poller, first: Reading) -> Vec<CredentialId> {
    let (mut read, mut next) = (Vec::new(), Some(first));
    while let Some(reading) = next {
        poller.read(&reading);
        read.extend(reading.ids);
        next = poller.more();
    }
    read
}

#[test]
fn what_has_changed_and_what_is_wanted_is_read_and_nothing_that_is_not_kept() {
    let mut poller = caught_up(1000);
    poller.want(id(5));
    poller.want(id(4000));
    let reading = poll(&mut poller, 1000, these(&[7, 5000, 9]));
    let read = read_all(&mut poller, reading);
    for number in [5, 7, 9] {
        assert_eq!(read.iter().filter(|read| **read == id(number)).count(), 1, "{number}");
    }
    assert!(read.iter().all(|read| *read < id(1000)));
    poller.want(id(5));
    poller.remove(&id(5));
    let reading = poll(&mut poller, 2000, these(&[5]));
    assert!(!read_all(&mut poller, reading).contains(&id(5)), "it is kept no longer");
    poller.add(id(5));
    let reading = poll(&mut poller, 3000, these(&[]));
    assert!(read_all(&mut poller, reading).contains(&id(5)), "it is kept again");
}

#[test]
fn the_next_poll_asks_from_where_the_last_answer_ended_whatever_became_of_the_reading() {
    let mut poller = Poller::new(ReplicaId(1), BootId::from_text("mine"));
    poller.add(id(0));
    assert_eq!(poller.begin(at(0)).1, None);
    let reading = poll(&mut poller, 0, Changed::All);
    poller.failed(Some(reading), away());
    assert_eq!(poller.begin(at(1000)).1, Some(Cursor { nonce: 7, change: 0 }));
    poller.failed(None, away());
    let reading = poll(&mut poller, 2000, these(&[]));
    assert_eq!(reading.ids, [id(0)], "it was named, and was not read");
}

#[test]
fn within_one_round_of_the_sweep_each_record_is_read_again() {
    for count in [1, 2, SWEEP_PARTS - 1, SWEEP_PARTS, SWEEP_PARTS + 1, 1000, 10_000] {
        let mut poller = caught_up(count);
        let (mut read, mut most) = (BTreeSet::new(), 0);
        for round in 1..=2 * SWEEP_PARTS as u64 * SWEEP_EVERY {
            let reading = poll(&mut poller, 1000 * round, these(&[]));
            let part = read_all(&mut poller, reading);
            most = most.max(part.len());
            read.extend(part);
        }
        assert_eq!(read.len(), count);
        assert!(most <= count.div_ceil(SWEEP_PARTS), "{count}: not all at once, but {most}");
    }
}

#[test]
fn nothing_is_swept_while_something_is_left_to_be_read() {
    let mut poller = begun(10_000);
    let mut left: BTreeSet<_> = (READ_AT_ONCE..10_000).map(id).collect();
    for second in 1..1000 {
        if left.is_empty() {
            break;
        }
        let reading = poll(&mut poller, 1000 * second, these(&[]));
        poller.read(&reading);
        assert!(reading.ids.iter().all(|read| left.remove(read)), "each was read for the first time");
    }
    assert_eq!(left.len(), 0);
}

#[test]
fn a_keeper_counts_on_a_poll_that_did_not_name_it_or_once_its_record_is_read() {
    let mut poller = caught_up(1000);
    let numbers: Vec<_> = (0..READ_AT_ONCE + 2).collect();
    let first = poll(&mut poller, 1000, these(&numbers));
    let last = READ_AT_ONCE + 1;
    assert_eq!([0, last, last + 1].map(|number| counts_on(&poller, number)), [0, 0, 1000].map(|ms| Some(at(ms))));
    poller.read(&first);
    assert_eq!([0, last].map(|number| counts_on(&poller, number)), [1000, 0].map(|ms| Some(at(ms))));
    // a poll in between moves only those that are not behind, and the record is behind from where it was named first
    let second = poll(&mut poller, 2000, these(&[last]));
    assert_eq!([0, last].map(|number| counts_on(&poller, number)), [2000, 0].map(|ms| Some(at(ms))));
    poller.failed(Some(second), away());
    assert_eq!(counts_on(&poller, last), Some(at(0)));
    let third = poll(&mut poller, 3000, these(&[]));
    assert!(third.ids.contains(&id(last)));
    poller.read(&third);
    assert_eq!(counts_on(&poller, last), Some(at(3000)));
}

#[test]
fn trouble_lasts_until_what_could_not_be_read_is_read_though_polls_are_answered() {
    let mut poller = caught_up(3);
    let reading = poll(&mut poller, 1000, these(&[1]));
    assert!(poller.failed(Some(reading), away()), "that is new");
    let reading = poll(&mut poller, 2000, these(&[]));
    assert_eq!(poller.peers().trouble(), Some(&away()));
    assert!(!poller.failed(Some(reading), away()), "and now it is known");
    let reading = poll(&mut poller, 3000, these(&[]));
    assert!(poller.read(&reading), "that it answers is news");
    assert_eq!(poller.peers().trouble(), None);
    let reading = poll(&mut poller, 4000, these(&[1]));
    assert!(!poller.read(&reading));
}

fn sign(beat: u64) -> (ReplicaId, Presence) {
    let boot_at = at(beat);
    (
        ReplicaId(2),
        Presence { beat, boot_id: BootId::from_text("theirs"), boot_at, heard: Vec::new(), clocks: Vec::new() },
    )
}

#[test]
fn all_look_again_when_a_relay_is_gone_or_back_or_its_clock_is_known_though_the_reading_fails() {
    let mut poller = caught_up(3);
    let mut look = |second: u64, beat| {
        let reading = poll_showing(&mut poller, 1000 * second, these(&[]), vec![sign(beat)]);
        poller.read(&reading)
    };
    let news: Vec<_> = (1..40).filter(|second| look(*second, if *second < 30 { 1 } else { 2 })).collect();
    assert_eq!(news, [1 + TAKE_OVER.as_secs(), 30]);
    let reading = poll(&mut poller, 40_000, these(&[]));
    poller.failed(Some(reading), away());
    let mut answer = sign(3);
    answer.1.heard = vec![(ReplicaId(1), poller.beat)];
    let reading = poll_showing(&mut poller, 41_000, these(&[]), vec![answer]);
    assert!(poller.failed(Some(reading), away()));
}

#[test]
fn a_poll_a_second_and_five_while_a_relay_is_new_whose_clock_is_not_known() {
    let mut poller = caught_up(1);
    assert_eq!(poller.pace(at(0)), POLL);
    let mut paces = (1..30).map(|second| {
        poll_showing(&mut poller, 1000 * second, these(&[]), vec![sign(1)]);
        poller.pace(at(1000 * second))
    });
    assert!(paces.by_ref().take(3).all(|pace| pace == FAST_POLL));
    assert_eq!(paces.last(), Some(POLL), "it does not answer");
}

#[test]
fn a_presence_is_removed_long_after_its_last_sign() {
    let mut poller = caught_up(1);
    for second in 1..=601 {
        let reading = poll_showing(&mut poller, 1000 * second, these(&[]), vec![sign(1)]);
        poller.read(&reading);
        assert_eq!(poller.long_gone(at(1000 * second)).len(), usize::from(second == 601));
    }
}

/// What happens to a store and to the relay that follows it.
#[derive(Debug, Clone)]
enum Happens {
    Write(usize),
    Want(usize),
    Poll { is_answered: bool },
    Read { is_answered: bool },
    Flush,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => (0_usize..300).prop_map(Happens::Write),
        1 => (0_usize..300).prop_map(Happens::Want),
        3 => any::<bool>().prop_map(|is_answered| Happens::Poll { is_answered }),
        3 => any::<bool>().prop_map(|is_answered| Happens::Read { is_answered }),
        1 => Just(Happens::Flush),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Whatever fails in between, and in whatever order: whoever counts on a moment was given what was written up to then.
    #[test]
    fn nobody_counts_on_a_moment_without_having_read_what_was_written_before(
        steps in prop::collection::vec(happens(), 1..200)
    ) {
        let mut poller = Poller::new(ReplicaId(1), BootId::from_text("mine"));
        (0..300).for_each(|number| poller.add(id(number)));
        // by credential: when it was last written, and when it was last read
        let (mut written, mut read) = (vec![0_u64; 300], vec![None; 300]);
        let (mut nonce, mut left) = (1, None);
        for (step, happens) in (1_u64..).zip(steps) {
            match happens {
                Happens::Write(number) => written[number] = step,
                Happens::Want(number) => poller.want(id(number)),
                Happens::Flush => nonce += 1,
                Happens::Poll { is_answered } => {
                    if let Some(reading) = left.take() {
                        poller.failed(Some(reading), away());
                    }
                    let (_, cursor) = poller.begin(at(step));
                    if !is_answered {
                        poller.failed(None, away());
                        continue;
                    }
                    let changed = match cursor.filter(|cursor| cursor.nonce == nonce) {
                        None => Changed::All,
                        Some(cursor) => these(&(0..300).filter(|n| cursor.change < written[*n]).collect::<Vec<_>>()),
                    };
                    let poll = Poll { cursor: Cursor { nonce, change: step }, changed, presences: Vec::new() };
                    left = Some(poller.answered(at(step), at(step), poll));
                }
                Happens::Read { is_answered } => {
                    let Some(reading) = left.take().or_else(|| poller.more()) else { continue };
                    prop_assert!(reading.ids.len() <= READ_AT_ONCE);
                    if is_answered {
                        let numbers = (0..300).filter(|number| reading.ids.contains(&id(*number)));
                        numbers.for_each(|number| read[number] = Some(step));
                        poller.read(&reading);
                    } else {
                        poller.failed(Some(reading), away());
                    }
                }
            }
            for number in 0..300 {
                let Some(contact_at) = counts_on(&poller, number) else { continue };
                let is_given = read[number].is_some_and(|read| written[number] <= read || contact_at < at(written[number]));
                prop_assert!(is_given, "{number} counts on {contact_at:?}, written {}, read {:?}", written[number], read[number]);
            }
        }
    }
}
