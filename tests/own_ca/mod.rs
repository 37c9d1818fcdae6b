//! A CA of a test's own, and a process that trusts it: what depends on the environment only a child can have.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// A server's certificate, as PEM, and the CA that signed it.
pub(crate) struct Signed {
    pub(crate) ca_file: PathBuf,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Writes a CA to `dir`, and signs a certificate of `name`.
pub(crate) fn sign(dir: &Path, name: &str) -> Signed {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, format!("the CA of {name}"));
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let ca_file = dir.join(format!("{name}.ca.pem"));
    std::fs::write(&ca_file, ca.pem()).unwrap();
    Signed { ca_file, certificate: leaf.pem(), key: key.serialize_pem() }
}

/// Runs one ignored test of this binary in a process with this environment and without this one's certificates; it prints
/// its outcome in a line.
pub(crate) async fn outcome(child_test: &'static str, environment: &[(&str, &str)]) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", child_test, "--ignored", "--nocapture"]);
    child.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
    child.envs(environment.iter().copied());
    let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("outcome: ")).map(str::to_owned);
    line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}
