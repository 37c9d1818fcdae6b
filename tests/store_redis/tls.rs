//! Encrypted, with a CA of our own: it comes from the environment, which only a process of its own can have.

use std::path::{Path, PathBuf};

use token_relay::store::Swap;

use crate::{
    house::{Server, load, sealed, store, swap},
    own_ca,
};

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
    let environment = [("SSL_CERT_FILE", ca.to_str().unwrap()), (URL, url)];
    own_ca::outcome("tls::use_the_store_as_the_environment_says", &environment).await
}

/// Writes a CA, and a certificate of `name` under it with its key; where the CA is.
fn identity(dir: &Path, name: &str) -> PathBuf {
    let signed = own_ca::sign(dir, name);
    for (file, pem) in [("cert", signed.certificate), ("key", signed.key)] {
        std::fs::write(dir.join(format!("{name}.{file}.pem")), pem).unwrap();
    }
    signed.ca_file
}

#[tokio::test]
async fn rediss_is_encrypted_and_the_server_s_certificate_is_verified() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let our_ca = identity(dir.path(), "localhost");
    let other_ca = identity(dir.path(), "elsewhere.invalid");
    let encrypted = |name: &str| {
        let [ca, cert, key] = ["ca", "cert", "key"].map(|part| file(&format!("{name}.{part}.pem")));
        let [ca, cert, key] = [&ca, &cert, &key].map(|path| path.to_str().unwrap());
        let tls =
            ["--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca, "--tls-auth-clients", "no"];
        Server::with(&tls)
    };
    let server = encrypted("localhost");
    let url = format!("rediss://localhost:{}", server.port);
    assert_eq!(outcome(&url, &our_ca).await, "Won");
    let told = outcome(&url, &other_ca).await;
    assert!(told.contains("UnknownIssuer") && told.contains("SSL_CERT_FILE"), "{told}");
    let misnamed = encrypted("elsewhere.invalid");
    let told = outcome(&format!("rediss://localhost:{}", misnamed.port), &other_ca).await;
    assert!(told.contains("not valid for name"), "{told}");
    let told = outcome(&url, &file("missing.pem")).await;
    assert!(told.contains("cannot connect") && told.contains("SSL_CERT_FILE"), "{told}");
    let plain = Server::start();
    let told = outcome(&plain.url().replace("redis", "rediss"), &our_ca).await;
    assert!(told.contains("without TLS, state.url begins with redis://"), "{told}");
    let told = outcome(&format!("redis://localhost:{}", server.port), &our_ca).await;
    assert!(told.contains("rediss://") || told.contains("connection"), "{told}");
}
