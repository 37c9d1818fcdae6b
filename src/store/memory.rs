//! Nothing outlives the process: tests and throwaway runs.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::future::{BoxFuture, FutureExt, ready};

use super::{Sealed, Store, StoreError, Swap};
use crate::credential::CredentialId;

/// A store in memory, with a real compare-and-set: it may be shared by several keepers in a test.
#[derive(Debug, Default)]
pub struct MemoryStore {
    records: Mutex<HashMap<CredentialId, Sealed>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn records(&self) -> MutexGuard<'_, HashMap<CredentialId, Sealed>> {
        // No code under this lock leaves a record half changed, so a panic elsewhere poisons nothing.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn load<'a>(&'a self, id: &'a CredentialId) -> BoxFuture<'a, Result<Option<Sealed>, StoreError>> {
        ready(Ok(self.records().get(id).cloned())).boxed()
    }

    fn swap<'a>(&'a self, id: &'a CredentialId, expected: Option<Sealed>, next: Sealed) -> BoxFuture<'a, Swap> {
        let mut records = self.records();
        let outcome = if records.get(id) == expected.as_ref() {
            records.insert(id.clone(), next);
            Swap::Won
        } else {
            Swap::Lost(records.get(id).cloned())
        };
        ready(outcome).boxed()
    }

    fn set_aside<'a>(&'a self, id: &'a CredentialId) -> BoxFuture<'a, Result<String, StoreError>> {
        let outcome = match self.records().remove(id) {
            Some(_) => Ok(format!("nowhere: the memory store dropped the record of {id}")),
            None => Err(StoreError(format!("the memory store has no record of {id}"))),
        };
        ready(outcome).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_swap_that_knows_the_current_record_wins() {
        let (store, id) = (MemoryStore::new(), CredentialId::access_token("main".parse().unwrap()));
        let record = |text: &str| Sealed::new(text.as_bytes().to_vec());
        assert_eq!(store.load(&id).await, Ok(None));
        assert_eq!(store.swap(&id, Some(record("a")), record("b")).await, Swap::Lost(None));
        assert_eq!(store.swap(&id, None, record("a")).await, Swap::Won);
        assert_eq!(store.swap(&id, None, record("b")).await, Swap::Lost(Some(record("a"))));
        assert_eq!(store.swap(&id, Some(record("a")), record("b")).await, Swap::Won);
        assert_eq!(store.load(&id).await, Ok(Some(record("b"))));
        assert!(store.set_aside(&id).await.is_ok());
        assert_eq!(store.load(&id).await, Ok(None));
        assert!(store.set_aside(&id).await.is_err());
    }
}
