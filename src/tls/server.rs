//! What does the relay need to speak TLS to its clients, and until when is its certificate valid?

use std::{fmt, io, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::CertificateNames;
use crate::clock::WallTime;

/// What clients may negotiate: HTTP/1.1, or nothing.
const HTTP_1_1: &[u8] = b"http/1.1";

/// The relay's side of TLS: its certificate with its key, and whose certificates it asks of clients. `Debug` shows neither.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
    not_before: WallTime,
    not_after: WallTime,
}

/// What cannot be used, and in which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// No block `CERTIFICATE`.
    #[error("has no certificate in PEM")]
    NoCertificate,
    /// Not what a certificate looks like inside.
    #[error("has a certificate that cannot be read")]
    BadCertificate,
    /// No block `PRIVATE KEY`.
    #[error("has no private key in PEM without a password")]
    NoKey,
    /// Neither RSA of a usual size, nor ECDSA, nor Ed25519.
    #[error("has a private key that cannot be used: RSA of 2048 to 4096 bits, ECDSA P-256 or P-384, or Ed25519 can")]
    BadKey,
    /// The two do not belong together.
    #[error("is not the key of the certificate in server.tls.cert_file")]
    AnotherKey,
    /// No certificate of a CA, or one that cannot be read.
    #[error("has no certificate of a CA in PEM that can be used")]
    BadClientCa,
}

/// Which file something is wrong with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsFile {
    /// `server.tls.cert_file`
    Certificate,
    /// `server.tls.key_file`
    Key,
    /// `server.tls.client_ca_file`
    ClientCa,
}

impl TlsError {
    /// Which file it is about.
    pub(crate) const fn file(self) -> TlsFile {
        match self {
            Self::NoCertificate | Self::BadCertificate => TlsFile::Certificate,
            Self::NoKey | Self::BadKey | Self::AnotherKey => TlsFile::Key,
            Self::BadClientCa => TlsFile::ClientCa,
        }
    }
}

impl ServerTls {
    /// From PEM: the server's certificate with those between it and its CA, its key, and the CAs of the clients, if each client
    /// shall present a certificate. A certificate that has expired is taken: what clients make of it is theirs to decide.
    ///
    /// # Errors
    /// What cannot be used.
    pub fn from_pem(chain: &str, key: &str, client_ca: Option<&str>) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let chain = certificates(chain).ok_or(TlsError::BadCertificate)?;
        // a damaged one between the leaf and its CA would be sent to every client, which refuses the whole
        let read = chain.iter().map(|certificate| X509Certificate::from_der(certificate));
        let read = read.collect::<Result<Vec<_>, _>>().map_err(|_| TlsError::BadCertificate)?;
        let (_, leaf) = read.first().ok_or(TlsError::NoCertificate)?;
        let [not_before, not_after] = [leaf.validity().not_before, leaf.validity().not_after]
            .map(|at| WallTime::from_millis(at.timestamp().saturating_mul(1000)));
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| TlsError::NoKey)?;
        let clients = client_ca.map(|ca| verifier(ca, &provider)).transpose()?;
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("ring speaks TLS 1.2 and 1.3");
        let config = match clients {
            Some(clients) => config.with_client_cert_verifier(clients),
            None => config.with_no_client_auth(),
        };
        let mut config = config.with_single_cert(chain, key).map_err(|error| refusal(&error))?;
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        if client_ca.is_some() {
            // a resumed session brings the certificate of the first along, and nobody looks again whether it has ended
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), not_before, not_after })
    }

    /// When its certificate ends.
    pub const fn not_after(&self) -> WallTime {
        self.not_after
    }

    /// Whether its certificate counts at `now`: it has begun, and has not ended.
    pub fn is_valid_at(&self, now: WallTime) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    /// Shakes hands with a client. It has no time limit of its own.
    ///
    /// # Errors
    /// The client does not speak TLS, refuses the certificate, or has none that is asked for.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        self.acceptor.accept(stream).await
    }
}

/// The names of the client at the other end, if it has presented a certificate, which is then a verified one.
pub(crate) fn names_of_client<S>(stream: &TlsStream<S>) -> Option<CertificateNames> {
    let (_, session) = stream.get_ref();
    session.peer_certificates()?.first().map(|certificate| CertificateNames::of(certificate))
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// All certificates of a text; `None` where one is damaged.
fn certificates(pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().ok()
}

fn verifier(ca: &str, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca).ok_or(TlsError::BadClientCa)? {
        roots.add(certificate).map_err(|_| TlsError::BadClientCa)?;
    }
    // it refuses to be without any root
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    verifier.map_err(|_| TlsError::BadClientCa)
}

fn refusal(error: &rustls::Error) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(_) => TlsError::AnotherKey,
        rustls::Error::InvalidCertificate(_) => TlsError::BadCertificate,
        _ => TlsError::BadKey,
    }
}
