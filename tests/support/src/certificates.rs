//! Where does a test get a certificate that only its own processes trust?

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use wechat_sim::Identity;

/// A CA of the test's own.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A server's or a client's certificate and the CA that signed it, all as PEM.
#[derive(Debug)]
pub struct Certificate {
    name: String,
    ca: String,
    chain: String,
    key: String,
}

impl Authority {
    /// One that has signed nothing yet.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate of the host `name`.
    pub fn sign(&self, name: &str) -> Certificate {
        self.signed(name, &CertificateParams::new(vec![name.to_owned()]).unwrap())
    }

    /// One that ended with the year 2020.
    pub fn sign_expired(&self, name: &str) -> Certificate {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        self.signed(name, &params)
    }

    /// A certificate with these DNS names, and this common name of its subject.
    pub fn sign_with(&self, dns: &[&str], common: &str) -> Certificate {
        let dns: Vec<_> = dns.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(dns).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common);
        // Python 3.13 asks for it
        params.use_authority_key_identifier_extension = true;
        self.signed(common, &params)
    }

    fn signed(&self, name: &str, params: &CertificateParams) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.0).unwrap().pem();
        Certificate { name: name.to_owned(), ca: self.pem(), chain, key: key.serialize_pem() }
    }
}

impl Certificate {
    /// A certificate of the host `name`, signed by a CA that signs nothing else.
    pub fn of(name: &str) -> Self {
        Authority::new(&format!("the CA of {name}")).sign(name)
    }

    /// Writes the CA to `dir`: the value of `SSL_CERT_FILE` for who shall trust the server.
    pub fn write_ca(&self, dir: &Path) -> String {
        self.write(dir, "ca", &self.ca)
    }

    /// The certificate.
    pub fn chain(&self) -> &str {
        &self.chain
    }

    /// Its key.
    pub fn key(&self) -> &str {
        &self.key
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
