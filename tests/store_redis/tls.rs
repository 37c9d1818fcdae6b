//! Encrypted, with a CA of our own: it comes from the environment, which only a process of its own can have.

use std::{path::Path, process::Command};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use token_relay::store::Swap;

use crate::house::{Server, load, sealed, store, swap};

const URL: &str = "STORE_REDIS_URL";

/// Not a test: what a child does. It prints the outcome in one line.
#[tokio::test]
#[ignore = "runs in a child process of the test below"]
async fn use_the_store_as_the_environment_says() {
    let store = store(&std::env::var(URL).unwrap());
    match swap(&store, None, "one").await {
        Swap::Unknown(error) => println!("\noutcome: {error}"),
        outcome => {
            assert_eq!(load(&store).await, Ok(Some(sealed("one"))));
            println!("\noutcome: {outcome:?}");
        }
    }
}

async fn outcome(url: &str, ca: &Path) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "tls::use_the_store_as_the_environment_says", "--ignored", "--nocapture"]);
    child.env_remove("SSL_CERT_DIR").env("SSL_CERT_FILE", ca).env(URL, url);
    let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("outcome: ")).map(str::to_owned);
    line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Writes a CA, and a certificate of `name` under it with its key.
fn identity(dir: &Path, name: &str) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, format!("the CA of {name}"));
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    for (file, pem) in [("ca", ca.pem()), ("cert", leaf.pem()), ("key", key.serialize_pem())] {
        std::fs::write(dir.join(format!("{name}.{file}.pem")), pem).unwrap();
    }
}

#[tokio::test]
async fn rediss_is_encrypted_and_the_server_s_certificate_is_verified() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    identity(dir.path(), "localhost");
    identity(dir.path(), "elsewhere.invalid");
    let encrypted = |name: &str| {
        let [ca, cert, key] = ["ca", "cert", "key"].map(|part| file(&format!("{name}.{part}.pem")));
        let [ca, cert, key] = [&ca, &cert, &key].map(|path| path.to_str().unwrap());
        let tls =
            ["--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca, "--tls-auth-clients", "no"];
        Server::with(&tls)
    };
    let server = encrypted("localhost");
    let url = format!("rediss://localhost:{}", server.port);
    assert_eq!(outcome(&url, &file("localhost.ca.pem")).await, "Won");
    let told = outcome(&url, &file("elsewhere.invalid.ca.pem")).await;
    assert!(told.contains("UnknownIssuer") && told.contains("SSL_CERT_FILE"), "{told}");
    let misnamed = encrypted("elsewhere.invalid");
    let told = outcome(&format!("rediss://localhost:{}", misnamed.port), &file("elsewhere.invalid.ca.pem")).await;
    assert!(told.contains("not valid for name"), "{told}");
    let told = outcome(&url, &file("missing.pem")).await;
    assert!(told.contains("cannot connect") && told.contains("SSL_CERT_FILE"), "{told}");
    let plain = Server::start();
    let told = outcome(&plain.url().replace("redis", "rediss"), &file("localhost.ca.pem")).await;
    assert!(told.contains("without TLS, state.url begins with redis://"), "{told}");
    let told = outcome(&format!("redis://localhost:{}", server.port), &file("localhost.ca.pem")).await;
    assert!(told.contains("rediss://") || told.contains("connection"), "{told}");
}
