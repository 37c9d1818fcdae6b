//! For which of many accounts was a token handed out?
//!
//! To ask each account takes longer with each of them, and the gateway asks for each of its calls. So what was found is
//! remembered, as a hint: whether it is still so, what is published says.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
};

use lru::LruCache;

use crate::{account::AccountName, credential::TokenDigest};

/// With the token before, those of 8,000 accounts in use: about 2 MiB.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(16_384).expect("it is not zero");

/// Where tokens were found of late.
#[derive(Debug)]
pub(super) struct Found(Mutex<LruCache<TokenDigest, AccountName>>);

impl Default for Found {
    fn default() -> Self {
        let mut cache = LruCache::unbounded(); // takes no memory before it is used
        cache.resize(REMEMBERED);
        Self(Mutex::new(cache))
    }
}

impl Found {
    /// Where it was found last.
    pub(super) fn hint(&self, digest: TokenDigest) -> Option<AccountName> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned()
    }

    /// It is this account's.
    pub(super) fn remember(&self, digest: TokenDigest, account: &AccountName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(digest, account.clone());
    }
}
