//! Which client asks, and which account may it use?

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use axum::http::{HeaderMap, HeaderValue, Request, Uri, header, request::Parts};

use super::{problem::Problem, query, quota::ClientLimits};
use crate::{
    account::AccountName,
    registry::{Handle, Handles},
    relay_key::{KeyDigest, fits_urls},
    tls::{CertificateName, CertificateNames},
};

/// The account that is meant where several could be and none is named.
const DEFAULT: &str = "default";

/// The internal services, found by the digest of their key or by a name in their certificate.
///
/// The map is keyed by the first bytes of the digest: how long a look-up takes tells at most those. The whole is compared in
/// constant time.
#[derive(Debug)]
pub struct Clients {
    by_prefix: HashMap<[u8; 8], Vec<(KeyDigest, Arc<Client>)>>,
    by_certificate: HashMap<CertificateName, Arc<Client>>,
}

/// What a request presents of its sender.
#[derive(Debug, Clone, Copy)]
pub(super) struct Presented<'r> {
    pub(super) headers: &'r HeaderMap,
    /// The verified certificate of its connection.
    pub(super) certificate: Option<&'r CertificateNames>,
}

impl<'r> Presented<'r> {
    /// By a request.
    pub(super) fn by<B>(request: &'r Request<B>) -> Self {
        Self { headers: request.headers(), certificate: request.extensions().get() }
    }

    /// By one whose body was taken.
    pub(super) fn in_head(head: &'r Parts) -> Self {
        Self { headers: &head.headers, certificate: head.extensions.get() }
    }

    /// Who it says that it is.
    pub(super) fn sender(self) -> Result<Sender, Problem> {
        Ok(Sender { key: key_in(self.authorization())?, certificate: self.certificate.cloned() })
    }

    /// The values of `Authorization`.
    fn authorization(self) -> impl Iterator<Item = &'r [u8]> {
        self.headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes)
    }

    /// Whether it presents a key, good or bad.
    pub(super) fn has_key(self) -> bool {
        self.headers.contains_key(header::AUTHORIZATION)
    }
}

/// Who sends a request, without the request: to be asked again after a wait. `Debug` shows no key, for it has a digest of one.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    /// Of the key in `Authorization`, which counts before a certificate.
    key: Option<KeyDigest>,
    certificate: Option<CertificateNames>,
}

/// What a client may do.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// The accounts that it may use; `None` is all of them.
    pub accounts: Option<BTreeSet<AccountName>>,
    /// Whether its key opens the gateway.
    pub gateway: bool,
    /// Whether its key revokes tokens.
    pub admin: bool,
    /// How much it may ask for. Its keys share one.
    pub limits: Arc<ClientLimits>,
}

/// One internal service.
#[derive(Debug)]
pub struct Client {
    name: String,
    access: Access,
}

impl Clients {
    /// The clients by name, the digest of their key, and what they may do.
    pub fn new(clients: impl IntoIterator<Item = (String, KeyDigest, Access)>) -> Self {
        let mut by_prefix: HashMap<_, Vec<_>> = HashMap::new();
        for (name, key, access) in clients {
            by_prefix.entry(key.prefix()).or_default().push((key, Arc::new(Client { name, access })));
        }
        Self { by_prefix, by_certificate: HashMap::new() }
    }

    /// The same, with clients that are also known by the names in their certificates. No two have a name in common.
    #[must_use]
    pub fn with_certificates(
        mut self,
        clients: impl IntoIterator<Item = (String, BTreeSet<CertificateName>, Access)>,
    ) -> Self {
        for (name, certificates, access) in clients {
            let client = Arc::new(Client { name, access });
            self.by_certificate.extend(certificates.into_iter().map(|certificate| (certificate, client.clone())));
        }
        self
    }

    /// The client that presents its key in `Authorization`, or without one a certificate with its name.
    pub(super) fn identify(&self, presented: Presented<'_>) -> Result<&Arc<Client>, Problem> {
        self.identify_by(presented.authorization(), presented.certificate)
    }

    /// The same by the values of `Authorization`.
    pub(super) fn identify_by<'v>(
        &self,
        values: impl IntoIterator<Item = &'v [u8]>,
        certificate: Option<&CertificateNames>,
    ) -> Result<&Arc<Client>, Problem> {
        self.find(key_in(values)?.as_ref(), certificate)
    }

    /// The same by who said before that it is.
    pub(super) fn still(&self, sender: &Sender) -> Result<&Arc<Client>, Problem> {
        self.find(sender.key.as_ref(), sender.certificate.as_ref())
    }

    fn find(&self, key: Option<&KeyDigest>, certificate: Option<&CertificateNames>) -> Result<&Arc<Client>, Problem> {
        let Some(key) = key else { return self.by_certificate(certificate) };
        self.by_key(key).ok_or(Problem::Unauthorized("the relay key is not known"))
    }

    /// The digest of what an SDK presents as its secret, and the client whose key that is, if the key may stand in a URL.
    pub(super) fn by_secret(&self, secret: &str) -> (KeyDigest, Option<&Arc<Client>>) {
        let digest = KeyDigest::of(secret.as_bytes());
        let client = self.by_key(&digest).filter(|_| fits_urls(secret));
        (digest, client)
    }

    /// Who sends a request, as far as its head says so: by what an SDK presents as its secret, by `Authorization`, or by the
    /// certificate. The secret first, for a route that takes one looks at nothing else.
    pub(super) fn sender(&self, presented: Presented<'_>, uri: &Uri) -> Option<&Arc<Client>> {
        let parameters = uri.query().into_iter().flat_map(query::pairs);
        let secrets = parameters.filter(|(name, _)| matches!(*name, "secret" | "corpsecret"));
        let mut by_secret = secrets.filter_map(|(_, secret)| self.by_secret(&query::decode(secret)?).1);
        by_secret.next().or_else(|| self.identify(presented).ok())
    }

    /// The client with this key.
    fn by_key(&self, key: &KeyDigest) -> Option<&Arc<Client>> {
        self.by_prefix.get(&key.prefix())?.iter().find(|(known, _)| known == key).map(|(_, client)| client)
    }

    /// The client with one of these names. Rejected: to choose among several clients, for then one more client in the settings could
    /// change which client a service is.
    fn by_certificate(&self, names: Option<&CertificateNames>) -> Result<&Arc<Client>, Problem> {
        let missing = Problem::Unauthorized("Authorization: Bearer <relay key> is missing");
        let names = names.ok_or(missing)?;
        let mut clients = names.iter().filter_map(|name| self.by_certificate.get(name));
        let client = clients.next().ok_or(Problem::Unauthorized(
            "Authorization: Bearer <relay key> is missing, and the certificate of this connection names no client",
        ))?;
        if clients.all(|other| Arc::ptr_eq(client, other)) {
            Ok(client)
        } else {
            Err(Problem::Unauthorized("the certificate of this connection names several clients"))
        }
    }
}

impl Client {
    /// Its name in the settings.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How much it may ask for.
    pub(super) fn limits(&self) -> &ClientLimits {
        &self.access.limits
    }

    /// The access token of the account called `asked`; where none was asked for, of the only account that the client may
    /// use, or of the one called `default`.
    pub(super) fn authorize<'h>(&self, handles: &'h Handles, asked: Option<&str>) -> Result<&'h Arc<Handle>, Problem> {
        let name = asked
            .or_else(|| self.default_account(handles))
            .ok_or(Problem::BadQuery("this key may use several accounts: add ?account=NAME"))?;
        if !self.may_use(name) {
            return Err(Problem::ForeignAccount);
        }
        handles.access_token(name).ok_or(Problem::NoSuchAccount)
    }

    /// Whether it may read the account called `account`, which need not exist.
    pub(super) fn may_use(&self, account: &str) -> bool {
        self.access.accounts.as_ref().is_none_or(|allowed| allowed.contains(account))
    }

    /// Whether its key revokes tokens.
    pub(super) fn is_admin(&self) -> bool {
        self.access.admin
    }

    /// Whether its key opens the gateway.
    pub(super) fn may_use_gateway(&self) -> bool {
        self.access.gateway
    }

    /// The account of a request that names none.
    fn default_account<'a>(&'a self, handles: &'a Handles) -> Option<&'a str> {
        match &self.access.accounts {
            Some(allowed) => only(allowed.iter()).or_else(|| allowed.get(DEFAULT)).map(AccountName::as_str),
            None => only(handles.accounts())
                .map(AccountName::as_str)
                .or_else(|| handles.access_token(DEFAULT).map(|_| DEFAULT)),
        }
    }
}

fn only<'a>(mut names: impl Iterator<Item = &'a AccountName>) -> Option<&'a AccountName> {
    let first = names.next()?;
    names.next().is_none().then_some(first)
}

/// The digest of the key in the values of `Authorization`, of which there may be one.
fn key_in<'v>(values: impl IntoIterator<Item = &'v [u8]>) -> Result<Option<KeyDigest>, Problem> {
    let mut given = values.into_iter();
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let key =
                bearer(value).ok_or(Problem::Unauthorized("Authorization is not of the form Bearer <relay key>"))?;
            Ok(Some(KeyDigest::of(key)))
        }
        (Some(_), Some(_)) => Err(Problem::Unauthorized("Authorization is given more than once")),
    }
}

/// What follows `Bearer` and at least one space; the scheme in any case (RFC 9110, 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked("Bearer".len())?;
    let key = rest.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer") && rest.first() == Some(&b' ') && !key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_key_is_what_follows_the_scheme() {
        for (value, key) in [("Bearer k", Some("k")), ("bEaReR   k ", Some("k")), ("Bearer a b", Some("a b"))] {
            assert_eq!(bearer(value.as_bytes()), key.map(str::as_bytes), "{value}");
        }
        for value in ["", "Bearer", "Bearer ", "Bearerk", "Basic k", "Bearer\tk", "k"] {
            assert_eq!(bearer(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn a_client_is_found_by_its_key_and_shows_neither_key_nor_digest() {
        let key = KeyDigest::of(b"sentinel");
        let clients = Clients::new([("orders".to_owned(), key, Access::default())]);
        let client = clients.by_key(&key).unwrap();
        assert_eq!(client.name, "orders");
        assert!(clients.by_key(&KeyDigest::of(b"sentinel ")).is_none());
        let shown = format!("{client:?}");
        assert!(shown.starts_with("Client { name: \"orders\", access: Access { accounts: None, "), "{shown}");
        assert!(!shown.contains("sentinel") && !shown.contains(&hex::encode(key.as_bytes())), "{shown}");
    }

    #[test]
    fn two_digests_with_one_prefix_are_two_clients() {
        let (one, mut other) = ([7; 32], [7; 32]);
        other[31] = 8;
        let (one, other) = (KeyDigest::from_bytes(one), KeyDigest::from_bytes(other));
        let clients =
            Clients::new([("one".to_owned(), one, Access::default()), ("other".to_owned(), other, Access::default())]);
        assert_eq!(clients.by_prefix.values().map(Vec::len).collect::<Vec<_>>(), [2]);
        assert_eq!(clients.by_key(&other).unwrap().name, "other");
    }
}
