//! How many wrong keys has an address presented of late?

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lru::LruCache;

use super::window::Window;
use crate::{clock::Timestamp, metrics::Refusal};

/// Addresses that are remembered at once, in half a MiB. One more, and the address whose last wrong key is the oldest is
/// forgotten and counts anew: so a flood from more addresses than these costs no more memory, and each gets 40125 for longer.
const ADDRESSES: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");
/// Wrong keys of one address that are answered as such in [`WINDOW`].
const WRONG_KEYS: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// One address is logged as a warning once in this time,
const WARNING_EVERY: Duration = Duration::from_secs(3600);
/// and all together so many times in [`WINDOW`].
const WARNINGS: u32 = 10;

/// Wrong keys by their source. Nothing of a key is kept, and a right key is not looked up here: many services may share one
/// address with one that has a wrong key.
#[derive(Debug)]
pub struct Throttle(Mutex<Table>);

#[derive(Debug)]
struct Table {
    sources: LruCache<IpAddr, Source>,
    warnings: Window,
}

/// What is remembered of one source.
#[derive(Debug, Default)]
struct Source {
    wrong_keys: Window,
    warnings: Window,
}

/// What a wrong key is answered.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http) struct WrongKey {
    pub(in crate::http) refusal: Refusal,
    /// Whether it is worth a warning.
    pub(in crate::http) is_news: bool,
}

impl Default for Throttle {
    fn default() -> Self {
        Self(Mutex::new(Table { sources: LruCache::new(ADDRESSES), warnings: Window::default() }))
    }
}

impl Throttle {
    /// Counts a wrong key from `peer`.
    pub(in crate::http) fn wrong_key(&self, peer: IpAddr, now: Timestamp) -> WrongKey {
        // A table of counts cannot be left half changed, so a panic elsewhere poisons nothing.
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Table { sources, warnings } = &mut *table;
        let source = sources.get_or_insert_mut(network(peer), Source::default);
        let is_too_many = source.wrong_keys.count(now, WINDOW) > WRONG_KEYS;
        WrongKey {
            refusal: if is_too_many { Refusal::TooManyWrongKeys } else { Refusal::WrongKey },
            is_news: source.warnings.count(now, WARNING_EVERY) == 1 && warnings.count(now, WINDOW) <= WARNINGS,
        }
    }
}

/// What counts as one source: an IPv4 address, or the /64 of an IPv6 address, for that much every host has to itself.
pub(super) fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        IpAddr::V4(address) => address.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::default().plus(Duration::from_secs(seconds))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// The refusals of so many wrong keys that are not 45011.
    fn answered(throttle: &Throttle, peer: &str, seconds: u64, keys: u32) -> usize {
        let refusals = (0..keys).map(|_| throttle.wrong_key(address(peer), at(seconds)).refusal);
        refusals.filter(|refusal| *refusal == Refusal::WrongKey).count()
    }

    #[test]
    fn ten_wrong_keys_of_an_address_are_answered_in_a_minute_and_ten_in_the_next() {
        let throttle = Throttle::default();
        assert_eq!(answered(&throttle, "192.0.2.1", 0, 4), 4);
        assert_eq!(answered(&throttle, "192.0.2.1", 59, 20), 6);
        assert_eq!(answered(&throttle, "192.0.2.2", 59, 20), 10);
        assert_eq!(answered(&throttle, "192.0.2.1", 60, 20), 10);
    }

    #[test]
    fn an_ipv6_network_counts_as_one_and_a_mapped_address_as_what_it_is() {
        let throttle = Throttle::default();
        assert_eq!(answered(&throttle, "2001:db8:1:2::1", 0, 6), 6);
        assert_eq!(answered(&throttle, "2001:db8:1:2:ffff:ffff:ffff:ffff", 0, 6), 4);
        assert_eq!(answered(&throttle, "2001:db8:1:3::1", 0, 6), 6);
        assert_eq!(answered(&throttle, "::ffff:192.0.2.1", 0, 6), 6);
        assert_eq!(answered(&throttle, "192.0.2.1", 0, 6), 4);
        assert_eq!(answered(&throttle, "::ffff:192.0.2.2", 0, 6), 6);
    }

    #[test]
    fn a_flood_of_addresses_fills_the_table_and_no_more_and_the_oldest_make_room() {
        let throttle = Throttle::default();
        assert_eq!(answered(&throttle, "192.0.2.1", 0, 11), 10);
        let flood = |from: u32, count: u32| {
            for number in from..from + count {
                throttle.wrong_key(IpAddr::from(number.to_be_bytes()), at(1));
            }
        };
        flood(0, 4095);
        assert_eq!(answered(&throttle, "192.0.2.1", 1, 1), 0, "it is the oldest, and still there");
        flood(5000, 100_000);
        assert_eq!(throttle.0.lock().unwrap().sources.len(), ADDRESSES.get());
        assert_eq!(answered(&throttle, "192.0.2.1", 1, 11), 10, "it was forgotten");
    }

    #[test]
    fn an_address_is_news_once_an_hour_and_a_flood_ten_times_a_minute() {
        let throttle = Throttle::default();
        let is_news = |peer: IpAddr, seconds| throttle.wrong_key(peer, at(seconds)).is_news;
        assert!(is_news(address("192.0.2.1"), 0));
        assert!((1..60).all(|minute| !is_news(address("192.0.2.1"), minute * 60)));
        assert!(is_news(address("192.0.2.1"), 3600));
        let flood = |seconds| (0..100).filter(|host| is_news(address(&format!("198.51.100.{host}")), seconds)).count();
        assert_eq!(flood(4000), 10);
        assert_eq!(flood(8000), 10);
    }
}
