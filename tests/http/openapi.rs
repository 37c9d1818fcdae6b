//! Is the OpenAPI document that is committed the one that a relay serves?

use std::{env, fs, path::Path};

use axum::http::Request;

use crate::fake_relay::FakeRelay;

const COMMITTED: &str = "docs/openapi.json";

/// Writes the file anew, by the value 1.
const RENEW: &str = "TOKEN_RELAY_RENEW";

#[tokio::test]
async fn the_committed_document_is_the_one_that_is_served_to_anybody() {
    let served = FakeRelay::serving("sentinel_token").send(Request::get("/openapi.json")).await;
    assert_eq!(served.status, 200);
    assert_eq!(served.headers["content-type"], "application/json");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(COMMITTED);
    if env::var_os(RENEW).is_some_and(|value| value == "1") {
        fs::write(&path, &served.body).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == served.body,
        "{COMMITTED} is not what the relay serves; renew it: {RENEW}=1 cargo test --test http openapi"
    );
}
