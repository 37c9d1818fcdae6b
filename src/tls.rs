//! Which cryptography does TLS use, and with which certificate does the relay serve?

mod names;
mod server;

pub use names::CertificateName;
pub(crate) use names::{CertificateNames, NotACertificateName};
pub use server::{ServerTls, TlsError};
pub(crate) use server::{TlsFile, names_of_client};

/// Installs ring as the process's one crypto provider; later calls change nothing. reqwest is built without a provider
/// of its own and panics where none is installed, so whoever makes a client calls this first.
pub(crate) fn install_provider() {
    // An error says that a provider is installed already: ours from an earlier call, or one that the embedding program chose.
    drop(rustls::crypto::ring::default_provider().install_default());
}
