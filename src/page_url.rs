//! For which pages may a JS-SDK signature be made?
//!
//! Whoever has a signature for a page can open WeChat's features there in the account's name. So a page is taken only where a
//! browser cannot read its URL in another way than the relay does.

use std::{fmt, str::FromStr, sync::Arc};

use reqwest::Url;

/// The longest URL that is signed, in bytes. A request's head has room for twice that.
pub const LONGEST_URL: usize = 4096;

/// The name of a host under which pages are signed, in lower case: `shop.example.com`. It stands for the names below it too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageDomain(Arc<str>);

/// A text that is no name of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the name of a host without scheme, port and path, such as \"shop.example.com\"")]
pub struct NotADomain;

impl FromStr for PageDomain {
    type Err = NotADomain;

    fn from_str(text: &str) -> Result<Self, NotADomain> {
        let label = |label: &str| {
            let is_plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            (1..=63).contains(&label.len()) && is_plain && !label.starts_with('-') && !label.ends_with('-')
        };
        // a single label may be a whole country; one that the URL standard takes for an address is none
        let fits = text.len() <= 253 && text.contains('.') && text.split('.').all(label);
        let is_domain = || Url::parse(&format!("https://{text}/")).is_ok_and(|url| url.domain().is_some());
        if fits && is_domain() { Ok(Self(text.to_ascii_lowercase().into())) } else { Err(NotADomain) }
    }
}

impl fmt::Display for PageDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl PageDomain {
    /// Whether `host`, in lower case, is this name or one below it.
    fn covers(&self, host: &str) -> bool {
        let above = host.strip_suffix(&*self.0);
        above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
    }
}

/// Why a page is not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageRefused {
    /// It is longer than [`LONGEST_URL`].
    #[error("url is longer than {LONGEST_URL} bytes")]
    TooLong,
    /// Not what a browser shows of a page.
    #[error(
        "url is not the URL of a page as location.href has it: http:// or https://, a host, printable ASCII, no backslash"
    )]
    NotAPage,
    /// Something stands before the host.
    #[error("url has a user name or a password before its host")]
    UserInfo,
    /// Its host is an IP address.
    #[error("url has an address in place of a host's name")]
    Address,
    /// Its host is another one.
    #[error("the host of url is none of the account's jssdk_domains, nor below one of them")]
    ForeignHost,
}

/// The part of `url` that is signed: all before `#`, as it was given.
///
/// # Errors
/// Why it is not to be signed.
pub fn signed_part<'u>(url: &'u str, domains: &[PageDomain]) -> Result<&'u str, PageRefused> {
    if url.len() > LONGEST_URL {
        return Err(PageRefused::TooLong);
    }
    // A browser's address has nothing else; a parser mends a backslash, a space or a line end, each in its own way.
    if !url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return Err(PageRefused::NotAPage);
    }
    let (page, _fragment) = url.split_once('#').unwrap_or((url, ""));
    let (scheme, rest) = page.split_once("://").ok_or(PageRefused::NotAPage)?;
    if !matches!(scheme, "http" | "https") {
        return Err(PageRefused::NotAPage);
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(PageRefused::UserInfo);
    }
    let parsed = Url::parse(page).map_err(|_| PageRefused::NotAPage)?;
    let host = parsed.domain().ok_or(PageRefused::Address)?;
    // The parser has decoded escapes and dropped slashes: what it found must stand there.
    let name = authority.split_once(':').map_or(authority, |(name, _port)| name);
    if !name.eq_ignore_ascii_case(host) {
        return Err(PageRefused::NotAPage);
    }
    if domains.iter().any(|domain| domain.covers(host)) { Ok(page) } else { Err(PageRefused::ForeignHost) }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    fn domains() -> Vec<PageDomain> {
        ["shop.example.com", "Example.org"].map(|domain| domain.parse().unwrap()).into()
    }

    fn signed(url: &str) -> Result<&str, PageRefused> {
        signed_part(url, &domains())
    }

    #[test]
    fn a_page_under_a_domain_is_signed_as_it_was_given_without_its_fragment() {
        for (url, part) in [
            ("https://shop.example.com", "https://shop.example.com"),
            ("http://shop.example.com/", "http://shop.example.com/"),
            ("https://shop.example.com/a?b=c&d=%E4%BB%A4#top", "https://shop.example.com/a?b=c&d=%E4%BB%A4"),
            ("https://shop.example.com/a#b#c", "https://shop.example.com/a"),
            ("https://shop.example.com#", "https://shop.example.com"),
            ("https://shop.example.com:8443/a", "https://shop.example.com:8443/a"),
            ("https://shop.example.com?q=a@b://c", "https://shop.example.com?q=a@b://c"),
            ("https://SHOP.example.COM/A", "https://SHOP.example.COM/A"),
            ("https://m.shop.example.com/", "https://m.shop.example.com/"),
            ("https://a.b.example.org/", "https://a.b.example.org/"),
            ("https://example.org/../a/./b", "https://example.org/../a/./b"),
        ] {
            assert_eq!(signed(url), Ok(part));
        }
    }

    #[test]
    fn a_host_that_only_looks_like_one_of_the_domains_is_refused() {
        for url in [
            "https://example.com/",
            "https://xshop.example.com/",
            "https://shop.example.com.evil.com/",
            "https://shop.example.comevil.com/",
            "https://evil.com/shop.example.com",
            "https://evil.com/https://shop.example.com/",
            "https://evil.com?shop.example.com",
            "https://shop.example.com./",
            "https://shop-example.com/",
            "https://notexample.org/",
            "https://org/",
        ] {
            assert_eq!(signed(url), Err(PageRefused::ForeignHost), "{url}");
        }
    }

    #[test]
    fn what_one_parser_reads_in_another_way_than_the_next_is_refused() {
        for (url, why) in [
            ("https://shop.example.com@evil.com/", PageRefused::UserInfo),
            ("https://evil.com@shop.example.com/", PageRefused::UserInfo),
            ("https://a:b@shop.example.com/", PageRefused::UserInfo),
            ("https://@shop.example.com/", PageRefused::UserInfo),
            ("https://shop.example.com\\@evil.com/", PageRefused::NotAPage),
            ("https://evil.com\\.shop.example.com/", PageRefused::NotAPage),
            ("https:\\\\shop.example.com/", PageRefused::NotAPage),
            ("https:/shop.example.com/", PageRefused::NotAPage),
            ("https:shop.example.com/", PageRefused::NotAPage),
            ("https:///shop.example.com/", PageRefused::NotAPage),
            ("//shop.example.com/", PageRefused::NotAPage),
            ("shop.example.com/", PageRefused::NotAPage),
            ("", PageRefused::NotAPage),
            ("https://", PageRefused::NotAPage),
            ("https://#shop.example.com", PageRefused::NotAPage),
            ("https://?shop.example.com", PageRefused::NotAPage),
            (" https://shop.example.com/", PageRefused::NotAPage),
            ("https://shop.example.com/ ", PageRefused::NotAPage),
            ("https://shop.exam\nple.com/", PageRefused::NotAPage),
            ("https://shop.example.com/\t", PageRefused::NotAPage),
            ("https://shop.example.com/令", PageRefused::NotAPage),
            ("https://ｓｈｏｐ.example.com/", PageRefused::NotAPage),
            ("https://%73hop.example.com/", PageRefused::NotAPage),
            ("https://shop.example.com%2eevil.com/", PageRefused::NotAPage),
            ("https://shop.example.com%2f.evil.com/", PageRefused::NotAPage),
            ("https://shop.example.com:80:80/", PageRefused::NotAPage),
            ("https://shop.example.com:evil.com/", PageRefused::NotAPage),
            ("https://[shop.example.com]/", PageRefused::NotAPage),
            ("HTTPS://shop.example.com/", PageRefused::NotAPage),
            ("ftp://shop.example.com/", PageRefused::NotAPage),
            ("javascript://shop.example.com/%0aalert(1)", PageRefused::NotAPage),
            ("data://shop.example.com/", PageRefused::NotAPage),
            ("file://shop.example.com/", PageRefused::NotAPage),
            ("view-source:https://shop.example.com/", PageRefused::NotAPage),
            ("blob:https://shop.example.com/x", PageRefused::NotAPage),
            ("https://127.0.0.1/", PageRefused::Address),
            ("https://[::1]/", PageRefused::Address),
            ("https://2130706433/", PageRefused::Address),
            ("https://0x7f.1/", PageRefused::Address),
        ] {
            assert_eq!(signed(url), Err(why), "{url}");
        }
        let long = format!("https://shop.example.com/{}", "a".repeat(LONGEST_URL));
        assert_eq!(signed(&long), Err(PageRefused::TooLong));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4096) })]

        /// The second parser is that of the HTTP library, which is of another hand.
        #[test]
        fn whatever_is_signed_two_parsers_find_its_host_below_a_domain_and_nobody_before_it(
            parts in vec(select(&["https", "http", ":", "//", "/", "\\", "@", "shop.example.com", "evil.com", "m.", ".", "#", "?",
                "%2e", "%40", "[", "]", ":80", "127.0.0.1", "\t", " ", "令", "a"]), 0..12),
            begins_well in any::<bool>(),
        ) {
            let url = if begins_well { "https://" } else { "" }.to_owned() + &parts.concat();
            let Ok(page) = signed(&url) else { return Ok(()) };
            prop_assert!(url.starts_with(page));
            let below = |host: &str| host == "shop.example.com" || host.ends_with(".shop.example.com");
            let (ours, theirs) = (Url::parse(page).unwrap(), page.parse::<axum::http::Uri>());
            prop_assert!(ours.domain().is_some_and(below) && ours.username().is_empty() && ours.password().is_none());
            if let Ok(theirs) = theirs {
                prop_assert!(theirs.host().is_some_and(below), "{page}");
            }
        }
    }

    #[test]
    fn without_a_domain_nothing_is_signed() {
        assert_eq!(signed_part("https://shop.example.com/", &[]), Err(PageRefused::ForeignHost));
    }

    #[test]
    fn a_domain_is_the_name_of_a_host_and_nothing_more() {
        assert_eq!("Shop.Example.COM".parse::<PageDomain>().unwrap().to_string(), "shop.example.com");
        assert!("xn--fsq.example.com".parse::<PageDomain>().is_ok());
        for text in [
            "",
            ".",
            "com",
            "localhost",
            ".example.com",
            "example.com.",
            "a..b",
            "*.example.com",
            "https://example.com",
            "example.com/",
            "example.com:443",
            "a b.com",
            "-a.com",
            "a-.com",
            "a_b.com",
            "127.0.0.1",
            "0x7f.1",
            "例子.com",
        ] {
            assert_eq!(text.parse::<PageDomain>(), Err(NotADomain), "{text}");
        }
        assert!(format!("{}.com", "a".repeat(64)).parse::<PageDomain>().is_err());
    }
}
