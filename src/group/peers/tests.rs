//! Who is gone, and what is shown of whom?

use proptest::prelude::*;

use super::*;

mod clocks;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_000_000_000_000).plus(s(seconds))
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn boot(name: &str) -> BootId {
    BootId::from_text(name)
}

const ME: ReplicaId = ReplicaId(1);
const OTHER: ReplicaId = ReplicaId(2);

fn peers() -> Peers {
    Peers::new(ME, boot("mine"))
}

/// What a relay shows of which only this matters.
fn sign(beat: u64) -> Presence {
    Presence { beat, boot_id: boot("theirs"), boot_at: at(0), heard: Vec::new(), clocks: Vec::new() }
}

/// A poll that is answered at once, and shows the other relay with this beat.
fn poll(peers: &mut Peers, now: Timestamp, beat: Option<u64>) {
    peers.showed(now, beat.map(|beat| (OTHER, sign(beat))).into_iter().collect());
    peers.contacted(now);
}

/// Polls each second of a relay that shows the same all the time.
fn polls(peers: &mut Peers, seconds: std::ops::Range<u64>, beat: Option<u64>) {
    seconds.for_each(|second| poll(peers, at(second), beat));
}

/// One poll of the relay that is watched: when it began, and when the store had it.
#[derive(Debug, Clone, Copy)]
struct Renewal {
    began: Timestamp,
    stored: Timestamp,
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A poll of the holder that had reached the store before this relay asked is no reason for a lease any more.
    #[test]
    fn nobody_is_gone_who_counts_on_a_lease(
        theirs in prop::collection::vec((0_u64..20_000, 0_u64..4000), 1..40),
        ours in prop::collection::vec((50_u64..4000, 0_u64..2000, 0_u64..2000), 1..60),
    ) {
        let ms = Duration::from_millis;
        let (mut now, mut renewals) = (at(0), Vec::new());
        for (pause, way) in theirs {
            let began = now.plus(ms(pause));
            now = began.plus(ms(way));
            renewals.push(Renewal { began, stored: now });
        }
        let (mut peers, mut now) = (peers(), at(0));
        for (pause, there, back) in ours {
            let asked = now.plus(ms(pause));
            let answered_for = asked.plus(ms(there));
            now = answered_for.plus(ms(back));
            let beat = renewals.iter().filter(|renewal| renewal.stored <= answered_for).count() as u64;
            peers.showed(now, (0 < beat).then(|| (OTHER, sign(beat))).into_iter().collect());
            peers.contacted(asked);
            let counts = renewals.iter().filter(|renewal| renewal.stored <= asked).map(|renewal| renewal.began.plus(LEASE));
            let lease_until = counts.max().unwrap_or(at(0));
            prop_assert!(!peers.is_gone(OTHER, at(0)) || lease_until.plus(SUCCESSION) <= asked);
        }
    }
}

#[test]
fn a_relay_is_gone_when_a_poll_that_began_fifteen_seconds_after_its_last_sign_was_answered() {
    let mut peers = peers();
    polls(&mut peers, 0..5, Some(7));
    poll(&mut peers, at(5), Some(8));
    polls(&mut peers, 6..20, Some(8));
    assert!(!peers.is_gone(OTHER, at(0)));
    poll(&mut peers, at(5).plus(TAKE_OVER), Some(8));
    assert!(peers.is_gone(OTHER, at(0)));
    assert_eq!(peers.gone().collect::<Vec<_>>(), [OTHER]);
    poll(&mut peers, at(21), Some(9));
    assert!(!peers.is_gone(OTHER, at(0)), "it was only frozen");
}

#[test]
fn one_that_never_showed_itself_is_gone_fifteen_seconds_after_it_was_first_read_of() {
    let mut peers = peers();
    polls(&mut peers, 0..25, None);
    assert!(!peers.is_gone(OTHER, at(10)));
    poll(&mut peers, at(25), None);
    assert!(peers.is_gone(OTHER, at(10)));
    assert!(!peers.is_gone(ME, at(0)), "this relay is here");
}

#[test]
fn after_the_store_was_away_all_have_three_seconds_to_show_themselves() {
    let mut peers = peers();
    polls(&mut peers, 0..5, Some(7));
    // nobody could reach the store
    poll(&mut peers, at(60), Some(7));
    assert!(!peers.is_gone(OTHER, at(0)) && !peers.is_gone(ReplicaId(3), at(0)));
    polls(&mut peers, 61..63, Some(7));
    assert!(!peers.is_gone(OTHER, at(0)));
    poll(&mut peers, at(60).plus(RETURN), Some(7));
    assert!(peers.is_gone(OTHER, at(0)) && peers.is_gone(ReplicaId(3), at(0)));
}

#[test]
fn a_lower_beat_is_no_sign_of_life() {
    let mut peers = peers();
    for second in 0..=15 {
        poll(&mut peers, at(second), Some(if second == 0 { 100 } else { 50 + second }));
    }
    assert!(peers.is_gone(OTHER, at(0)), "a store that went back shows beats again");
}

#[test]
fn a_presence_of_which_only_the_beat_can_be_read_shows_life_and_no_clock() {
    let mut peers = peers();
    for second in 0..40 {
        let beat_only = Presence { boot_id: BootId::default(), ..sign(second + 1) };
        peers.show(second + 1, at(second));
        assert!(!peers.showed(at(second), vec![(OTHER, beat_only)]));
        peers.contacted(at(second));
        assert!(!peers.is_gone(OTHER, at(0)) && peers.has_seen(OTHER));
        assert!(!peers.has_stranger(at(second)), "its clock is not waited for");
    }
}

#[test]
fn a_presence_lists_only_relays_that_show_themselves() {
    let mut peers = peers();
    let third = |beat| (ReplicaId(3), Presence { boot_id: boot("third"), ..sign(beat) });
    for second in 0..30 {
        peers.showed(at(second), vec![(OTHER, sign(second.min(9))), third(second)]);
        peers.contacted(at(second));
    }
    assert_eq!(peers.show(1, at(29)).heard, [(ReplicaId(3), 29)]);
}

#[test]
fn a_presence_is_removed_after_ten_minutes_without_a_sign_and_then_forgotten() {
    let mut peers = peers();
    polls(&mut peers, 0..600, Some(7));
    assert_eq!(peers.long_gone(at(599)), []);
    assert_eq!(peers.long_gone(at(600)), [OTHER]);
    poll(&mut peers, at(599), None);
    assert!(peers.has_seen(OTHER), "the store may have lost it");
    poll(&mut peers, at(600), None);
    assert!(!peers.has_seen(OTHER));
}

#[test]
fn a_new_relay_is_waited_for_three_seconds_and_one_whose_clock_is_known_not_at_all() {
    let mut peers = peers();
    let theirs = boot("theirs");
    poll(&mut peers, at(0), None);
    assert!(!peers.has_stranger(at(0)) && !peers.is_about_to_know(&theirs, at(0)));
    polls(&mut peers, 1..4, Some(7));
    assert!(peers.has_stranger(at(3)) && peers.is_about_to_know(&theirs, at(3)));
    assert!(!peers.has_stranger(at(4)) && !peers.is_about_to_know(&theirs, at(4)));
    assert!(peers.is_about_to_know(&theirs, at(8)), "the next poll may tell");
    poll(&mut peers, at(8), Some(8));
    peers.show(1, at(9));
    let answer = Presence { boot_at: at(3), heard: vec![(ME, 1)], ..sign(9) };
    assert!(peers.showed(at(10), vec![(OTHER, answer)]));
    assert!(!peers.has_stranger(at(10)) && !peers.is_about_to_know(&theirs, at(20)));
}

#[test]
fn a_new_relay_is_waited_for_again_when_it_shows_itself_again_but_not_for_ever() {
    let mut peers = peers();
    poll(&mut peers, at(0), Some(0));
    // it could not reach the store, or this one could not
    assert!(!peers.has_stranger(at(60)));
    for sign in 1..ACQUAINTANCE_SIGNS.into() {
        assert!(sign == 1 || peers.has_stranger(at(60 + sign)));
        poll(&mut peers, at(60 + sign), Some(sign));
    }
    assert!(!peers.has_stranger(at(60 + u64::from(ACQUAINTANCE_SIGNS))), "it never tells that it has seen this one");
}
