//! Where does a test get a certificate that only its own processes trust?

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use wechat_sim::Identity;

/// A server's certificate and the CA that signed it, all as PEM.
#[derive(Debug)]
pub struct Certificate {
    name: String,
    ca: String,
    chain: String,
    key: String,
}

impl Certificate {
    /// A certificate of the host `name`, signed by a CA that signs nothing else.
    pub fn of(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, format!("the CA of {name}"));
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
        Self { name: name.to_owned(), ca: ca.pem(), chain: leaf.pem(), key: key.serialize_pem() }
    }

    /// Writes the CA to `dir`: the value of `SSL_CERT_FILE` for who shall trust the server.
    pub fn write_ca(&self, dir: &Path) -> String {
        self.write(dir, "ca", &self.ca)
    }

    /// The server's side, for the simulator.
    pub fn identity(&self) -> Identity {
        Identity::from_pem(&self.chain, &self.key).unwrap()
    }

    /// The server's side, for a redis-server: its arguments, and the files that they name in `dir`.
    pub fn redis_arguments(&self, dir: &Path) -> Vec<String> {
        let (ca, chain) = (self.write_ca(dir), self.write(dir, "cert", &self.chain));
        let key = self.write(dir, "key", &self.key);
        let arguments =
            ["--tls-cert-file", &chain, "--tls-key-file", &key, "--tls-ca-cert-file", &ca, "--tls-auth-clients", "no"];
        arguments.map(str::to_owned).into()
    }

    fn write(&self, dir: &Path, part: &str, pem: &str) -> String {
        let path: PathBuf = dir.join(format!("{}.{part}.pem", self.name));
        std::fs::write(&path, pem).unwrap();
        path.to_str().unwrap().to_owned()
    }
}
