//! Where does the record of a credential outlive the process?
//!
//! A [`Store`] loads a record and swaps it, a compare-and-set of the whole. One that several relays use, a [`SharedStore`], also
//! says what has changed and who lives. Neither knows what is inside a record: what follows from it the keeper decides.

use std::fmt;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::{
    credential::CredentialId,
    presence::{Presence, ReplicaId},
};

pub mod file;
pub mod memory;
pub mod redis;

/// A record as bytes. It holds a token: `Debug` shows only its length.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// Wraps the bytes of a record.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes: for the store and the record's decoder only.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// How a [`Store::swap`] ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swap {
    /// The record is durable.
    Won,
    /// Somebody else's record stands; this is it.
    Lost(Option<Sealed>),
    /// It may have been written or not.
    Unknown(StoreError),
}

/// Why a store did not answer, in words for the operator; never with a byte of the record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// One record per credential, and one primitive. Every operation answers within 5 s, come what may: a stuck disk is
/// [`Swap::Unknown`] or a [`StoreError`]. A store of many records may let a swap wait before that, until
/// others have ended.
pub trait Store: Send + Sync + 'static {
    /// The record of `id`, `None` where there is none yet.
    fn load<'a>(&'a self, id: &'a CredentialId) -> BoxFuture<'a, Result<Option<Sealed>, StoreError>>;

    /// Writes `next` if the record still is `expected` (`None`: absent).
    fn swap<'a>(&'a self, id: &'a CredentialId, expected: Option<Sealed>, next: Sealed) -> BoxFuture<'a, Swap>;

    /// Keeps a record that cannot be read out of the way, for the operator to look at; returns where it is now. Only a
    /// store that nobody else uses can do so.
    fn set_aside<'a>(&'a self, id: &'a CredentialId) -> BoxFuture<'a, Result<String, StoreError>>;
}

/// How many records [`SharedStore::read`] is asked for at most: in Redis one reply of about 1 MB, and others are served between
/// two.
pub const READ_AT_ONCE: usize = 256;

/// Up to where a relay knows what was written: only equal nonces may be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Names one history of the store: another one after it was flushed, or found to have gone back.
    pub nonce: u64,
    /// The number of writes of all relays to all records in it.
    pub change: u64,
}

/// Which records are not what they were at the cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// Perhaps all: without a cursor, or when the store went back behind it.
    All,
    /// These, also where this relay wrote them, and perhaps some that it does not keep. Others were not written since by a
    /// relay.
    These(Vec<CredentialId>),
}

/// The answer to one poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poll {
    /// Up to where `changed` tells: the cursor of the next poll, for one that remembers what is still to be read.
    pub cursor: Cursor,
    /// What was written since.
    pub changed: Changed,
    /// What every relay last showed of itself, this one included; without those whose beat cannot be read.
    pub presences: Vec<(ReplicaId, Presence)>,
}

/// A store that several relays share. Everything answers within 5 s, like [`Store`]'s operations.
pub trait SharedStore: Store {
    /// Shows this relay's presence, and asks what has changed: one round trip, whatever the number of credentials. A presence
    /// whose beat is not greater than the stored one is not taken: it was sent before that and came late.
    fn poll(
        &self,
        me: ReplicaId,
        presence: Presence,
        cursor: Option<Cursor>,
    ) -> BoxFuture<'_, Result<Poll, StoreError>>;

    /// The records of `ids`, at most [`READ_AT_ONCE`], in their order: all of them or an error.
    fn read<'a>(&'a self, ids: &'a [CredentialId]) -> BoxFuture<'a, Result<Vec<Option<Sealed>>, StoreError>>;

    /// Removes the presences of relays that have long been gone.
    fn forget<'a>(&'a self, gone: &'a [ReplicaId]) -> BoxFuture<'a, Result<(), StoreError>>;

    /// A number that changes when another relay has written something: a reason to poll at once. Only a hint, which comes
    /// too often or never.
    fn hint(&self) -> watch::Receiver<u64>;
}
