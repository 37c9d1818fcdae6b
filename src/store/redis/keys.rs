//! Under which names are the relays' keys in Redis?

use crate::credential::CredentialId;

/// Names the group of relays that share their records: 1 to 64 of `A-Z a-z 0-9 _ . -`. Relays with another prefix share nothing
/// with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// `None` where it is no prefix.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        ((1..=64).contains(&text.len()) && is_plain).then(|| Self(text.to_owned()))
    }
}

impl Default for Prefix {
    fn default() -> Self {
        Self("token-relay".to_owned())
    }
}

/// The names of one group. `v2` is the version of this layout; a record tells its own.
pub(super) struct Keys {
    prefix: String,
    /// A hash: `nonce` names the history of the group, `change` counts its writes.
    pub(super) group: String,
    /// A sorted set: the ids of credentials, by the change number of their last write.
    pub(super) changes: String,
    /// A hash: the relays' presences, by their ids.
    pub(super) relays: String,
    /// A channel: who has written something.
    pub(super) hints: String,
}

impl Keys {
    /// The names of a group. The braces in each key are a hash tag: in a Redis Cluster all keys of a group lie in one slot, so
    /// that a script may use several.
    pub(super) fn of(Prefix(group): &Prefix) -> Self {
        let prefix = format!("{{{group}}}:v2:");
        let name = |end: &str| format!("{prefix}{end}");
        let [group, changes, relays, hints] = ["group", "changes", "relays", "hints"].map(name);
        Self { prefix, group, changes, relays, hints }
    }

    /// A string: the record of `id`.
    pub(super) fn record(&self, id: &CredentialId) -> String {
        format!("{}record:{id}", self.prefix)
    }
}
