//! Which machines may use the AppSecret?

use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One entry of an app's IP whitelist: `1.2.3.4`, or `1.2.3.0/24` as WeChat accepts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IpRange {
    base: IpAddr,
    prefix: u32,
}

/// The text is neither an address nor an address with a prefix length.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is neither an address nor a range like 1.2.3.0/24")]
pub struct BadIpRange(String);

impl IpRange {
    /// Is the address within the range? An IPv4 address mapped into IPv6 counts as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let (ours, ours_width) = bits(self.base);
        let (theirs, theirs_width) = bits(ip.to_canonical());
        let shift = ours_width - self.prefix;
        ours_width == theirs_width && ours.checked_shr(shift) == theirs.checked_shr(shift)
    }
}

fn bits(ip: IpAddr) -> (u128, u32) {
    match ip {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

impl FromStr for IpRange {
    type Err = BadIpRange;

    fn from_str(text: &str) -> Result<Self, BadIpRange> {
        let bad = || BadIpRange(text.to_owned());
        let (base, prefix) = text.split_once('/').map_or((text, None), |(base, prefix)| (base, Some(prefix)));
        let base: IpAddr = base.parse().map_err(|_| bad())?;
        let width = bits(base).1;
        let prefix = prefix.map_or(Ok(width), str::parse).map_err(|_| bad())?;
        if prefix > width { Err(bad()) } else { Ok(Self { base, prefix }) }
    }
}

impl TryFrom<String> for IpRange {
    type Error = BadIpRange;

    fn try_from(text: String) -> Result<Self, BadIpRange> {
        text.parse()
    }
}

impl From<IpRange> for String {
    fn from(range: IpRange) -> Self {
        format!("{}/{}", range.base, range.prefix)
    }
}

impl From<IpAddr> for IpRange {
    fn from(base: IpAddr) -> Self {
        Self { base, prefix: bits(base).1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_addresses_and_no_others() {
        let range: IpRange = "10.1.2.0/24".parse().unwrap();
        assert!(range.contains("10.1.2.255".parse().unwrap()));
        assert!(range.contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!range.contains("10.1.3.0".parse().unwrap()));
        assert!("0.0.0.0/0".parse::<IpRange>().unwrap().contains("9.9.9.9".parse().unwrap()));
        assert!("::/0".parse::<IpRange>().unwrap().contains("::1".parse().unwrap()));
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "host", "1.2.3.4/-1"] {
            assert!(bad.parse::<IpRange>().is_err(), "{bad}");
        }
    }
}
