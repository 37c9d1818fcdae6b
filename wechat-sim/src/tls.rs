//! Who does the simulator claim to be over TLS?

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

/// A certificate chain and its private key, ready to serve. `Debug` shows neither.
#[derive(Clone)]
pub struct Identity(TlsAcceptor);

/// The chain or the key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BadIdentity {
    /// A file can't be read.
    #[error("`{0}` can't be read")]
    File(String, #[source] io::Error),
    /// A text is no PEM, or lacks a certificate or a key.
    #[error("the PEM can't be read")]
    Pem(#[source] pem::Error),
    /// rustls refuses them, for example because they do not belong together.
    #[error("the certificate and the key can't be used")]
    Refused(#[source] rustls::Error),
}

impl Identity {
    /// From PEM texts: the chain with the server's own certificate first, and a PKCS #8, PKCS #1 or SEC 1 key.
    pub fn from_pem(chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self, BadIdentity> {
        let chain =
            CertificateDer::pem_slice_iter(chain.as_ref()).collect::<Result<_, _>>().map_err(BadIdentity::Pem)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_ref()).map_err(BadIdentity::Pem)?;
        Self::new(chain, key)
    }

    /// From DER bytes: the chain with the server's own certificate first, and a PKCS #8 key.
    pub fn from_der(chain: impl IntoIterator<Item = Vec<u8>>, key: Vec<u8>) -> Result<Self, BadIdentity> {
        Self::new(chain.into_iter().map(CertificateDer::from).collect(), PrivateKeyDer::Pkcs8(key.into()))
    }

    /// From PEM files.
    pub fn from_pem_files(chain: &Path, key: &Path) -> Result<Self, BadIdentity> {
        let read = |path: &Path| std::fs::read(path).map_err(|e| BadIdentity::File(path.display().to_string(), e));
        Self::from_pem(read(chain)?, read(key)?)
    }

    fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, BadIdentity> {
        // The provider is named here, not installed: a library does not decide for the whole process.
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
        Ok(Self(TlsAcceptor::from(Arc::new(config.map_err(BadIdentity::Refused)?))))
    }

    pub(crate) fn acceptor(self) -> TlsAcceptor {
        self.0
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}
