//! Which certificates and which proxies does the environment decide about? Each test runs a child with an environment of its
//! own.

use std::{io::Write as _, net::TcpStream};

use secrecy::SecretString;
use test_support::{Certificate, ClosedPort, FakeServer, child_test};
use token_relay::issuer::{upstream::Upstream, wechat::ERRORS};
use wechat_sim::{Op, Sim};

use crate::call::{APPID, SECRET, ask_token, settings, sim};

const URL: &str = "ISSUER_URL";
const PROXY: &str = "ISSUER_PROXY";

/// Not a test: what a child does. It prints the outcome in one line.
#[tokio::test]
#[ignore = "runs in a child process of the tests below"]
async fn ask_as_the_environment_says() {
    let mut settings = settings(&std::env::var(URL).unwrap());
    settings.proxy = std::env::var(PROXY).ok().map(SecretString::from);
    match Upstream::new(settings.clone()) {
        Err(error) => println!("\noutcome: {error}"),
        Ok(_) => match ask_token(settings).await {
            Ok((token, _)) => println!("\noutcome: issued {token}"),
            Err(error) => println!("\noutcome: {error}; hint: {}", ERRORS.hint(&error)),
        },
    }
}

/// Runs the child without this process's certificates and proxies.
async fn outcome(url: &str, environment: &[(&str, &str)]) -> String {
    let environment = [environment, &[(URL, url)]].concat();
    child_test::outcome("environment::ask_as_the_environment_says", &environment).await
}

async fn encrypted(certificate: &Certificate) -> Sim {
    Sim::builder().app(APPID, SECRET).tls(certificate.identity()).start().await.unwrap()
}

#[tokio::test]
async fn certificates_are_verified_by_the_bundle_that_ssl_cert_file_names() {
    let dir = tempfile::tempdir().unwrap();
    let [good, misnamed] = ["localhost", "elsewhere.invalid"].map(Certificate::of);
    let [ca, other_ca] = [&good, &misnamed].map(|certificate| certificate.write_ca(dir.path()));
    let sim = encrypted(&good).await;
    let told = outcome(&sim.base_url(), &[("SSL_CERT_FILE", &ca)]).await;
    assert!(told.starts_with("issued "), "{told}");
    let hint = format!("; hint: {}", ERRORS.certificate.english);
    let told = outcome(&sim.base_url(), &[("SSL_CERT_FILE", &other_ca)]).await;
    assert!(told.starts_with("not sent: ") && told.contains("UnknownIssuer"), "{told}");
    assert!(told.ends_with(&hint), "{told}");
    let told = outcome(&encrypted(&misnamed).await.base_url(), &[("SSL_CERT_FILE", &other_ca)]).await;
    assert!(told.starts_with("not sent: ") && told.contains("not valid for name"), "{told}");
    assert!(told.ends_with(&hint), "{told}");
    assert_eq!(sim.calls(Op::Token).len(), 1);
}

#[tokio::test]
async fn a_missing_bundle_is_told_and_plain_http_needs_none() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for bundle in [empty.to_str().unwrap(), "/nonexistent/bundle.pem"] {
        let told = outcome("https://localhost:1", &[("SSL_CERT_FILE", bundle)]).await;
        assert!(told.starts_with("no CA certificates found: "), "{told}");
        let told = outcome(&sim().await.base_url(), &[("SSL_CERT_FILE", bundle)]).await;
        assert!(told.starts_with("issued "), "{told}");
    }
}

#[tokio::test]
async fn a_proxy_in_the_environment_is_not_used_and_one_in_the_settings_tunnels_tls() {
    let dir = tempfile::tempdir().unwrap();
    let certificate = Certificate::of("localhost");
    let ca = certificate.write_ca(dir.path());
    let closed = ClosedPort::bind();
    let away = closed.url();
    let none: Vec<(&str, &str)> = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
        .map(|key| (key, &*away))
        .into();
    let told = outcome(&sim().await.base_url(), &none).await;
    assert!(told.starts_with("issued "), "{told}");
    let sim = encrypted(&certificate).await;
    let target = sim.addr();
    let proxy = FakeServer::new(move |mut connection| {
        connection.read_request();
        connection.stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
        connection.splice(TcpStream::connect(target).unwrap());
    });
    let told = outcome(&sim.base_url(), &[(PROXY, &proxy.url("http")), ("SSL_CERT_FILE", &ca)]).await;
    assert!(told.starts_with("issued "), "{told}");
    let requests = proxy.requests();
    assert!(
        requests.len() == 1 && requests[0].starts_with("CONNECT localhost:") && !requests[0].contains(SECRET),
        "{requests:?}"
    );
}
