//! What is a client called by its certificate?

use std::{fmt, str::FromStr, sync::Arc};

use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

/// The longest name of a host in DNS.
const LONGEST: usize = 253;

/// A name in the certificate of a client: 1 to 253 letters, digits, `.`, `-` and `_`, kept in lower case. A wildcard is none: it
/// names no one service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateName(Box<str>);

/// Not a [`CertificateName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a name such as orders.internal: 1 to 253 letters, digits, '.', '-' and '_'")]
pub struct NotACertificateName;

impl FromStr for CertificateName {
    type Err = NotACertificateName;

    fn from_str(text: &str) -> Result<Self, NotACertificateName> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let is_name = (1..=LONGEST).contains(&text.len()) && text.bytes().all(is_allowed);
        if is_name { Ok(Self(text.to_ascii_lowercase().into())) } else { Err(NotACertificateName) }
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The names in a client's certificate: its DNS names, or without any the common names of its subject (RFC 6125, 6.4.4). What is
/// no [`CertificateName`] is left out. Clones share the names.
#[derive(Debug, Clone)]
pub(crate) struct CertificateNames(Arc<[CertificateName]>);

impl CertificateNames {
    /// Those of a certificate in DER.
    pub(super) fn of(certificate: &[u8]) -> Self {
        let names = X509Certificate::from_der(certificate).map(|(_, certificate)| names(&certificate));
        Self(names.unwrap_or_default().into())
    }

    /// Each of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &CertificateName> {
        self.0.iter()
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<CertificateName> {
    let alternatives = match certificate.subject_alternative_name() {
        Ok(Some(extension)) => extension.value.general_names.as_slice(),
        Ok(None) => &[],
        // given twice: nobody can tell which one counts
        Err(_) => return Vec::new(),
    };
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    };
    let mut given: Vec<_> = alternatives.iter().filter_map(dns).collect();
    if given.is_empty() {
        let common = certificate.subject().iter_common_name();
        given = common.filter_map(|name| name.as_str().ok().map(str::to_owned)).collect();
    }
    given.iter().filter_map(|name| name.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_without_regard_to_case_and_nothing_else_passes() {
        let name = |text: &str| text.parse::<CertificateName>().map(|name| name.to_string());
        assert_eq!(name("Orders.Internal"), Ok("orders.internal".to_owned()));
        assert_eq!(name("orders_1-a"), Ok("orders_1-a".to_owned()));
        assert!(name(&"a".repeat(LONGEST)).is_ok());
        for text in ["", "*.internal", "Orders Service", "订单", "a/b", &"a".repeat(LONGEST + 1)] {
            assert_eq!(name(text), Err(NotACertificateName), "{text}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_name() {
        for bytes in [&b""[..], b"nonsense"] {
            assert_eq!(CertificateNames::of(bytes).iter().count(), 0);
        }
    }
}
