//! What is published of a credential, and which bytes of an answer are made once per rotation?

use std::fmt;

use bytes::Bytes;

use crate::{
    clock::Timestamp,
    credential::{CredentialId, CredentialKind, Generation, TokenDigest},
    status::{Offer, Status},
};

/// A status, and the bytes that every answer with its token begins with.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// What is known.
    pub status: Status,
    pub(super) prepared: Option<Prepared>,
}

/// The bytes of an answer, made once per rotation.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Of which rotation.
    pub generation: Generation,
    /// `{"access_token":"…","expires_in":`, or `{"ticket":"…","expires_in":` — only the seconds and a brace are written per
    /// request.
    pub head: SecretBytes,
    /// `W/"main-1795348923000"`: the credential and the generation, never the token.
    pub etag: Bytes,
    /// By which the token is found when it comes back in a request.
    digest: TokenDigest,
}

impl Published {
    /// The answer and its seconds, if at least one second can be promised at `now`.
    pub fn servable(&self, now: Timestamp) -> Option<(&Prepared, u64)> {
        let (_, seconds) = self.status.servable(now)?;
        Some((self.prepared.as_ref()?, seconds))
    }

    /// What is published when this is what was last: of the same generation the bytes stay.
    pub(super) fn followed_by(&self, id: &CredentialId, status: Status) -> Self {
        let prepared = status.offer.as_ref().map(|offer| match &self.prepared {
            Some(same) if same.generation == offer.generation => same.clone(),
            _ => Prepared::of(id, offer),
        });
        Self { status, prepared }
    }

    /// Whether it was handed out, by this relay or another one of its group, and has not ended.
    pub(super) fn has_handed_out(&self, digest: TokenDigest, now: Timestamp) -> bool {
        let mut earlier = self.status.handed_out.iter();
        let current = self.prepared.as_ref().filter(|_| !self.status.is_revoked);
        current.is_some_and(|prepared| prepared.digest == digest)
            || earlier.any(|known| known.digest == digest && now < known.until)
    }
}

impl Prepared {
    fn of(id: &CredentialId, offer: &Offer) -> Self {
        let generation = offer.generation;
        let quoted = serde_json::to_string(offer.token.expose()).expect("a string is JSON");
        // As large as it is, and no larger: a text that is formatted grows by doubling.
        let member = match id.kind() {
            CredentialKind::AccessToken => "{\"access_token\":",
            CredentialKind::Ticket(_) => "{\"ticket\":",
        };
        let etag = format!("W/\"{id}-{generation}\"");
        // side by side: of many accounts few are in a core's cache
        let mut etag_and_head = Bytes::from([&etag, member, &quoted, ",\"expires_in\":"].concat());
        let etag = etag_and_head.split_to(etag.len());
        Self { generation, head: SecretBytes(etag_and_head), etag, digest: offer.token.digest() }
    }
}

/// Bytes that hold a token: `Debug` shows nothing.
#[derive(Clone)]
pub struct SecretBytes(pub Bytes);

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(…)")
    }
}
