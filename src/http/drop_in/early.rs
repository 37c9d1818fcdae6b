//! Which client asks again long before what it was given runs out?
//!
//! SDKs that WeChat answers with 40001 fetch again within milliseconds, and nothing in the request says so.

use std::{
    net::IpAddr,
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lru::LruCache;

use super::{throttle::network, window::Window};
use crate::{
    account::AccountName, clock::Timestamp, credential::Generation, relay_key::KeyDigest, report::Grounds,
    status::Status,
};

/// Clients and accounts that are remembered at once, in 2 MiB. One more, and the least recently used is forgotten:
/// its next fetch does not count as early.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");
/// So many early fetches of one key and address within [`BURST_WITHIN`] are no accident.
const BURST: u32 = 10;
const BURST_WITHIN: Duration = Duration::from_secs(10);

/// Who fetches, and for which account. All processes that share a key are one client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Fetcher {
    account: AccountName,
    /// The beginning of its key's digest.
    key: [u8; 8],
}

impl Fetcher {
    pub(super) fn new(account: AccountName, key: &KeyDigest) -> Self {
        Self { account, key: key.prefix() }
    }
}

/// What the clients of the drop-in routes were given last.
#[derive(Debug)]
pub struct EarlyFetches(Mutex<Tables>);

#[derive(Debug)]
struct Tables {
    given: LruCache<Fetcher, Given>,
    bursts: LruCache<(Fetcher, IpAddr), Window>,
}

#[derive(Debug, Clone, Copy)]
struct Given {
    generation: Generation,
    until: Timestamp,
}

impl Default for EarlyFetches {
    fn default() -> Self {
        Self(Mutex::new(Tables { given: LruCache::new(REMEMBERED), bursts: LruCache::new(REMEMBERED) }))
    }
}

impl EarlyFetches {
    /// On which grounds a fetch at `now` makes the token doubtful that `status` offers, if it does.
    pub(super) fn grounds(&self, by: &Fetcher, peer: IpAddr, status: &Status, now: Timestamp) -> Option<Grounds> {
        let current = status.offer.as_ref()?.generation;
        let mut tables = self.tables();
        let given = tables.given.get(by).filter(|given| given.generation == current)?;
        if given.until.since(now) <= status.doubt.margin {
            return None;
        }
        let burst = tables.bursts.get_or_insert_mut((by.clone(), network(peer)), Window::default);
        let is_burst = burst.count(now, BURST_WITHIN) >= BURST;
        match status.doubt {
            doubt if doubt.from <= now => Some(Grounds::EarlyFetch),
            doubt if is_burst && doubt.burst_from <= now => Some(Grounds::Burst),
            _ => None,
        }
    }

    /// It is given `generation`, until this moment.
    pub(super) fn given(&self, by: Fetcher, generation: Generation, until: Timestamp) {
        self.tables().given.put(by, Given { generation, until });
    }

    fn tables(&self) -> std::sync::MutexGuard<'_, Tables> {
        // Neither table can be left half changed, so a panic elsewhere poisons nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        credential::{Promise, Token},
        status::{Doubt, Offer},
    };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::default().plus(Duration::from_secs(seconds))
    }

    fn client(key: &str) -> Fetcher {
        Fetcher::new("main".parse().unwrap(), &KeyDigest::of(key.as_bytes()))
    }

    /// A token of this generation, that may be doubted from `from` on and by a burst from `burst_from` on.
    fn status(generation: u64, from: u64, burst_from: u64) -> Status {
        let promise = Promise { until: Timestamp::NEVER, sliding: None, verified_until: None };
        let token = Token::try_from("token".to_owned()).unwrap();
        let doubt = Doubt { margin: Duration::from_secs(1600), from: at(from), burst_from: at(burst_from) };
        Status { offer: Some(Offer { generation: Generation(generation), token, promise }), doubt, ..Status::default() }
    }

    #[test]
    fn a_client_is_early_with_more_than_the_margin_left_of_the_current_token() {
        let early = EarlyFetches::default();
        let peer = IpAddr::from([192, 0, 2, 1]);
        let grounds = |key, generation, now| early.grounds(&client(key), peer, &status(generation, 0, 0), at(now));
        assert_eq!(grounds("one", 1, 0), None, "it was given nothing yet");
        early.given(client("one"), Generation(1), at(7200));
        assert_eq!(grounds("one", 1, 5599), Some(Grounds::EarlyFetch));
        assert_eq!(grounds("one", 1, 5600), None, "as silenceper does");
        assert_eq!(grounds("one", 2, 10), None, "it had the token before");
        assert_eq!(grounds("other", 1, 10), None, "another client");
    }

    #[test]
    fn ten_early_fetches_of_an_address_within_ten_seconds_break_a_long_calm_and_no_short_one() {
        let early = EarlyFetches::default();
        early.given(client("one"), Generation(1), at(7200));
        let ask = |host: u8, now: u64| {
            early.grounds(&client("one"), IpAddr::from([192, 0, 2, host]), &status(1, 600, 60), at(now))
        };
        assert!((0..40).all(|_| ask(1, 59).is_none()));
        assert!((0..9).all(|_| ask(1, 70).is_none()));
        assert!((0..9).all(|_| ask(2, 70).is_none()));
        assert_eq!(ask(1, 79), Some(Grounds::Burst));
        assert!((0..9).all(|_| ask(2, 80).is_none()), "the ten seconds began anew");
        assert_eq!(ask(2, 600), Some(Grounds::EarlyFetch));
    }
}
