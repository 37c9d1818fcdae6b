//! What is this relay among those on its store, and may it call?

use super::{
    Knowledge, Now, RotationMode, StoreTrouble, Timestamp,
    replica::{Obstacle, Role},
};
use crate::{
    keeper::schedule::{LEASE, SUCCESSION},
    status::Lease,
};

impl Knowledge {
    /// Whether the record is ours to write and names this relay as the lease's holder.
    pub(super) fn is_holder(&self) -> bool {
        let replica = self.replica.as_ref().filter(|replica| replica.obstacle.is_none());
        replica.is_some_and(|replica| self.record.holder == Some(replica.me()))
    }

    pub(super) fn role(&self) -> Role {
        let Some(replica) = &self.replica else { return Role::Alone };
        match (replica.obstacle, replica.contact_at) {
            (Some(obstacle), _) => Role::Blocked(obstacle),
            (None, Some(at)) if replica.is_confirmed && self.is_holder() => Role::Holder { until: at.plus(LEASE) },
            (None, _) => Role::Follower,
        }
    }

    /// Which relay calls, as far as this one knows. A holder whom the store does not answer may have lost its lease by now, and does
    /// not count on it for longer than [`LEASE`].
    pub(super) fn lease(&self) -> Lease {
        match self.role() {
            Role::Alone => Lease::Alone,
            Role::Holder { .. } if self.writer.trouble.is_some() => Lease::Nobody,
            Role::Holder { .. } => Lease::Ours,
            Role::Blocked(Obstacle::Foreign) => Lease::Nobody,
            Role::Follower if self.record.holder.is_none() => Lease::Nobody,
            Role::Follower | Role::Blocked(Obstacle::Anothers(_)) if self.is_lease_free() => Lease::Nobody,
            Role::Follower | Role::Blocked(Obstacle::Anothers(_)) => Lease::Another,
        }
    }

    /// Up to when this relay may begin a call: alone always; of several the holder; and with a sticky issuer anybody while the
    /// store is away, since all are given the same token. Not where another deployment's record stands, which the intent would
    /// be written over as soon as the store is back.
    pub(super) fn may_call_until(&self) -> Timestamp {
        let is_free_for_all =
            self.charge.policy.issuer.rotation == RotationMode::Sticky && self.writer.trouble.is_some();
        match self.role() {
            Role::Blocked(_) => Timestamp::LONG_AGO,
            Role::Alone => Timestamp::NEVER,
            _ if is_free_for_all => Timestamp::NEVER,
            Role::Holder { until } => until,
            Role::Follower => Timestamp::LONG_AGO,
        }
    }

    pub(super) fn may_call(&self, now: Now) -> bool {
        now.boot < self.may_call_until()
    }

    /// What is stored must not be written over, but by a relay that takes the lease.
    pub(super) fn is_blocked(&self) -> bool {
        matches!(self.role(), Role::Blocked(_))
    }

    /// Whether a store that can be read works as far as this relay can tell: one that is full or read-only can be read too, and is
    /// known to work again by a write. Where another deployment's record stands there will be none.
    pub(super) fn has_store_back(&self) -> bool {
        match self.role() {
            Role::Blocked(Obstacle::Foreign) => false,
            Role::Blocked(Obstacle::Anothers(_)) => true,
            Role::Alone | Role::Holder { .. } | Role::Follower => !self.writer.is_dirty,
        }
    }

    /// Reported as long as another deployment writes under this credential's name.
    pub(super) fn others_record(&self) -> Option<StoreTrouble> {
        matches!(self.role(), Role::Blocked(Obstacle::Anothers(_))).then_some(StoreTrouble::AnothersRecord)
    }

    /// The last contact with the store: other relays' calls after it may be in no record that this one knows. `None`: nobody else
    /// calls, or no call ends the token.
    pub(super) fn watched_until(&self) -> Option<Timestamp> {
        let replica = self.replica.as_ref().filter(|_| self.record.is_replaced_while_it_lives(self.issuer()))?;
        Some(replica.contact_at.unwrap_or(Timestamp::LONG_AGO))
    }

    /// Another relay, after a contact with the store at `at`, calls for the first time after this moment, if the store has lost nothing:
    /// it may have lost that this one has the lease.
    pub(super) fn another_calls_after(&self, at: Timestamp) -> Timestamp {
        let lease_ends = if self.has_lease() { at.plus(LEASE) } else { at };
        lease_ends.plus(SUCCESSION)
    }

    pub(super) fn has_lease(&self) -> bool {
        matches!(self.role(), Role::Holder { .. })
    }
}
