//! What does an internal service see that speaks TLS with a relay?

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    },
};

use crate::{
    certificates::{Authority, Certificate},
    client::{Answer, LATEST, request},
};

/// A client that trusts one CA, and asks for `localhost`.
#[derive(Clone)]
pub struct TlsClient(TlsConnector);

impl std::fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsClient").finish_non_exhaustive()
    }
}

impl TlsClient {
    /// One that trusts `ca`, and presents `own` where it is asked for a certificate.
    pub fn new(ca: &Authority, own: Option<&Certificate>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let mut config = match own {
            None => config.with_no_client_auth(),
            Some(own) => {
                let chain = vec![CertificateDer::from_pem_slice(own.chain().as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(own.key().as_bytes()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self(TlsConnector::from(Arc::new(config)))
    }

    /// A connection. Whether the relay takes the client's certificate shows only when something is read from it.
    pub async fn connect(&self, at: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(at).await?;
        self.0.connect(ServerName::try_from("localhost").unwrap(), stream).await
    }

    /// `GET` on a connection of its own, with a client's key or without one.
    pub async fn get(&self, at: SocketAddr, target: &str, key: Option<&str>) -> io::Result<Answer> {
        let exchange = async {
            let mut stream = self.connect(at).await?;
            stream.write_all(request("GET", target, key, "", "").as_bytes()).await?;
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await?;
            Answer::read(&bytes)
        };
        timeout(LATEST, exchange).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// The certificate that is presented there.
    pub async fn presented_at(&self, at: SocketAddr) -> io::Result<CertificateDer<'static>> {
        let stream = self.connect(at).await?;
        let (_, session) = stream.get_ref();
        Ok(session.peer_certificates().and_then(|chain| chain.first()).expect("a server presents one").clone())
    }
}

/// Whether `presented` is this certificate.
pub fn is_presented(certificate: &Certificate, presented: &CertificateDer<'_>) -> bool {
    CertificateDer::from_pem_slice(certificate.chain().as_bytes()).unwrap() == *presented
}
