//! The same WeChat behind TLS.
#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

mod common;

use std::io::ErrorKind;
use std::sync::Arc;

use common::*;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use wechat_sim::{Fault, Identity, Kind, Op, Sim, Times};

fn certificate() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

async fn connect(sim: &Sim, trusted: &CertifiedKey<KeyPair>) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(sim.addr()).await?;
    TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), socket).await
}

async fn exchange(mut socket: TlsStream<TcpStream>) -> std::io::Result<String> {
    socket.write_all(token_request().as_bytes()).await?;
    let mut text = String::new();
    socket.read_to_string(&mut text).await?;
    Ok(text)
}

#[tokio::test]
async fn a_token_comes_over_tls_with_an_identity_from_pem_or_der() {
    let own = certificate();
    let (cert, key) = (&own.cert, &own.signing_key);
    let pem = Identity::from_pem(cert.pem(), key.serialize_pem()).unwrap();
    let der = Identity::from_der([cert.der().to_vec()], key.serialize_der()).unwrap();
    for identity in [pem, der] {
        let sim = sim().tls(identity).start().await.unwrap();
        assert_eq!(sim.base_url(), format!("https://localhost:{}", sim.addr().port()));
        assert!(exchange(connect(&sim, &own).await.unwrap()).await.unwrap().contains(r#"{"access_token":"75_"#));
    }
}

#[tokio::test]
async fn a_reset_reaches_through_tls() {
    let own = certificate();
    let sim =
        sim().tls(Identity::from_pem(own.cert.pem(), own.signing_key.serialize_pem()).unwrap()).start().await.unwrap();
    sim.fault(Op::Token, Fault::Reset.minting(), Times::Next(1));
    let error = exchange(connect(&sim, &own).await.unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(sim.mints(APP, Kind::Rotating), 1);
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_certificate_gets_nothing() {
    let own = certificate();
    let sim =
        sim().tls(Identity::from_pem(own.cert.pem(), own.signing_key.serialize_pem()).unwrap()).start().await.unwrap();
    assert!(connect(&sim, &certificate()).await.is_err());
    assert!(sim.calls(Op::Any).is_empty());
    assert!(exchange(connect(&sim, &own).await.unwrap()).await.is_ok());
}

#[test]
fn an_identity_that_is_none_is_refused() {
    let (one, other) = (certificate(), certificate());
    assert!(Identity::from_pem("no PEM", "no PEM").is_err());
    assert!(Identity::from_pem(one.cert.pem(), other.signing_key.serialize_pem()).is_err());
}
