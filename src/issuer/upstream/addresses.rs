//! Which hosts are connected at given addresses, without a look-up?

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// The addresses of some hosts, in the order in which they are tried: `wechat.resolve`. Clones share them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostAddresses(Arc<BTreeMap<String, Vec<SocketAddr>>>);

impl HostAddresses {
    /// Hosts in lower case, each as often as it has addresses.
    pub fn new(addresses: impl IntoIterator<Item = (String, IpAddr)>) -> Self {
        let mut hosts = BTreeMap::<_, Vec<_>>::new();
        for (host, address) in addresses {
            hosts.entry(host).or_default().push(SocketAddr::new(address, 0));
        }
        Self(Arc::new(hosts))
    }

    /// Those of `host`, which is in lower case as in every URL; `None` where its name is to be looked up. The port is 0, which to
    /// both HTTP clients is that of the URL.
    pub fn of(&self, host: &str) -> Option<&[SocketAddr]> {
        self.0.get(host).map(Vec::as_slice)
    }

    /// Every host with its addresses.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[SocketAddr])> {
        self.0.iter().map(|(host, addresses)| (host.as_str(), addresses.as_slice()))
    }
}
