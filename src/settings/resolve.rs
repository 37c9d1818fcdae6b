//! Which addresses have the hosts of the platforms, where their names must not be looked up?

use std::net::IpAddr;

use super::entry::Entry;
use super::{BaseUrl, HostAddresses, SettingsError};

/// The items `HOST=ADDRESS` of `wechat.resolve`, each for one of `urls`: for any other it would be without effect.
pub(super) fn resolve(entry: &Entry<'_>, urls: &[&BaseUrl]) -> Result<HostAddresses, SettingsError> {
    let hosts: Vec<_> = urls.iter().filter_map(|url| url.at("/").domain().map(str::to_owned)).collect();
    let items = entry.list_or_empty()?.into_iter().enumerate();
    let addresses = items.map(|(index, item)| {
        let refused = |problem: &str| entry.error(format!("entry {} {problem}", index + 1));
        let shape = || refused("must be HOST=ADDRESS, such as api.weixin.qq.com=203.0.113.7");
        let (host, address) = item.split_once('=').ok_or_else(shape)?;
        let address: IpAddr = address.trim().parse().map_err(|_| shape())?;
        let host = host.trim().to_ascii_lowercase();
        if hosts.contains(&host) {
            Ok((host, address))
        } else {
            Err(refused("names no host of wechat.base_url, wechat.fallback_base_url or wecom.base_url"))
        }
    });
    addresses.collect::<Result<Vec<_>, _>>().map(HostAddresses::new)
}
