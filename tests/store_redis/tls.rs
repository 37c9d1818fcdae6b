//! Is the connection encrypted, and is the server's certificate verified? The CA comes from the environment, which only a
//! process of its own can have.

use test_support::{Certificate, RedisServer, child_test};
use token_relay::store::Swap;

use crate::stores::{load, sealed, store, swap};

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

async fn outcome(url: &str, ca: &str) -> String {
    child_test::outcome("tls::use_the_store_as_the_environment_says", &[("SSL_CERT_FILE", ca), (URL, url)]).await
}

#[tokio::test]
async fn rediss_is_encrypted_and_the_server_s_certificate_is_verified() {
    let dir = tempfile::tempdir().unwrap();
    let [ours, other] = ["localhost", "elsewhere.invalid"].map(Certificate::of);
    let [our_ca, other_ca] = [&ours, &other].map(|certificate| certificate.write_ca(dir.path()));
    let server = RedisServer::with(&ours.redis_arguments(dir.path()));
    let url = format!("rediss://localhost:{}", server.port);
    assert_eq!(outcome(&url, &our_ca).await, "Won");
    let told = outcome(&url, &other_ca).await;
    assert!(told.contains("UnknownIssuer") && told.contains("SSL_CERT_FILE"), "{told}");
    let misnamed = RedisServer::with(&other.redis_arguments(dir.path()));
    let told = outcome(&format!("rediss://localhost:{}", misnamed.port), &other_ca).await;
    assert!(told.contains("not valid for name"), "{told}");
    let told = outcome(&url, "/no/such/bundle.pem").await;
    assert!(told.contains("cannot connect") && told.contains("SSL_CERT_FILE"), "{told}");
    let plain = RedisServer::start();
    let told = outcome(&plain.url().replace("redis", "rediss"), &our_ca).await;
    assert!(told.contains("without TLS, state.url begins with redis://"), "{told}");
    let told = outcome(&format!("redis://localhost:{}", server.port), &our_ca).await;
    assert!(told.contains("rediss://") || told.contains("connection"), "{told}");
}
