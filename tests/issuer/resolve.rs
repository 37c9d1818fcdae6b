//! Is a host connected at the addresses that are given for it, whatever DNS says?

use std::net::{IpAddr, Ipv4Addr};

use token_relay::issuer::upstream::{HostAddresses, UpstreamSettings};
use wechat_sim::Op;

use crate::call::{ask_token, not_sent, settings, sim};

/// A host that DNS does not know, with these addresses and the port of `base`.
fn with_addresses(base: &str, addresses: &[Ipv4Addr]) -> UpstreamSettings {
    let port = base.rsplit(':').next().unwrap();
    let given = addresses.iter().map(|address| ("api.wechat.invalid".to_owned(), IpAddr::from(*address)));
    UpstreamSettings { resolve: HostAddresses::new(given), ..settings(&format!("http://api.wechat.invalid:{port}")) }
}

#[tokio::test]
async fn a_host_with_addresses_is_not_looked_up_and_they_are_tried_in_turn() {
    let sim = sim().await;
    // nobody listens at the first
    let addresses = [Ipv4Addr::new(127, 77, 0, 1), Ipv4Addr::LOCALHOST];
    assert!(ask_token(with_addresses(&sim.base_url(), &addresses)).await.is_ok());
    assert!(ask_token(with_addresses(&sim.base_url(), &addresses[1..])).await.is_ok());
    let reason = not_sent(ask_token(with_addresses(&sim.base_url(), &addresses[..1])).await);
    assert!(reason.starts_with("api.wechat.invalid: "), "{reason}");
    not_sent(ask_token(with_addresses(&sim.base_url(), &[])).await);
    assert_eq!(sim.calls(Op::Token).len(), 2);
}
