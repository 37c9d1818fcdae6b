//! Which headers pass, on the way up and on the way down?

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::issuer::upstream::HOP;

/// Which account a call without a token is for.
pub(super) const ACCOUNT: &str = "x-relay-account";

/// What concerns one connection only (RFC 9110, 7.6.1), and what `Connection` names beside them.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What is the relay's and not WeChat's: the key, what is answered here, and what would tell of the network behind it.
/// `Accept-Encoding` goes too, for a compressed reply would hide its errcode.
const NOT_PASSED_ON: [&str; 9] =
    ["authorization", "host", "expect", "accept-encoding", ACCOUNT, "forwarded", "via", "x-real-ip", HOP];

/// The headers of a call to WeChat.
pub(super) fn upwards(given: &HeaderMap) -> HeaderMap {
    let mut headers = without_hop_by_hop(given);
    let unwanted = |name: &HeaderName| name.as_str().starts_with("x-forwarded-");
    let forwarded: Vec<_> = headers.keys().filter(|name| unwanted(name)).cloned().collect();
    for name in forwarded {
        headers.remove(name);
    }
    for name in NOT_PASSED_ON {
        headers.remove(name);
    }
    headers.insert(HeaderName::from_static(HOP), HeaderValue::from_static("1"));
    headers
}

/// The headers of an answer, in which none of `secrets` stands any more.
pub(super) fn downwards(given: &HeaderMap, secrets: &[String]) -> HeaderMap {
    let mut headers = without_hop_by_hop(given);
    for value in headers.values_mut() {
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            if let Some(clean) = without(value.as_bytes(), secret.as_bytes()) {
                *value = HeaderValue::from_bytes(&clean).expect("a header's value without a part of it is one");
            }
        }
    }
    headers
}

fn without_hop_by_hop(given: &HeaderMap) -> HeaderMap {
    let mut headers = given.clone();
    for line in given.get_all(header::CONNECTION) {
        for name in line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            // A length is no option of a connection: without it a body would be framed in another way than it was.
            if let Ok(name) = HeaderName::from_bytes(name)
                && name != header::CONTENT_LENGTH
            {
                headers.remove(name);
            }
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    headers
}

/// `text` without `secret`; `None` where it is not in it.
fn without(text: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
    let find = |text: &[u8]| text.windows(secret.len()).position(|part| part == secret);
    let mut rest = text;
    let mut clean = Vec::new();
    while let Some(at) = find(rest) {
        clean.extend_from_slice(&rest[..at]);
        rest = &rest[at + secret.len()..];
    }
    if rest.len() == text.len() {
        return None;
    }
    clean.extend_from_slice(rest);
    Some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let lines = lines.iter();
        lines.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_is_the_relays_or_one_connections_does_not_go_up_and_the_rest_does() {
        let given = map(&[
            ("host", "relay"),
            ("authorization", "Bearer sentinel"),
            ("x-relay-account", "main"),
            ("accept-encoding", "gzip"),
            ("connection", "keep-alive, X-One-Hop, content-length"),
            ("x-one-hop", "1"),
            ("content-length", "5"),
            ("content-type", "multipart/form-data; boundary=x"),
            ("te", "trailers"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-anything", "1"),
            ("forwarded", "for=10.0.0.1"),
            ("via", "1.1 proxy"),
            ("range", "bytes=0-3"),
            ("wechatmp-signature", "a+b/c="),
        ]);
        let up = upwards(&given);
        assert_eq!(names(&up), ["content-length", "content-type", "range", HOP, "wechatmp-signature"]);
        assert_eq!(up["wechatmp-signature"], "a+b/c=");
    }

    #[test]
    fn a_secret_is_cut_out_of_every_header_and_nothing_else_is() {
        let given = map(&[
            ("location", "http://x/?access_token=75_tok&x=75_tok"),
            ("set-cookie", "a=75_to"),
            ("keep-alive", "timeout=5"),
            ("content-range", "bytes 0-3/9"),
        ]);
        let down = downwards(&given, &["75_tok".to_owned(), String::new()]);
        assert_eq!(down["location"], "http://x/?access_token=&x=");
        assert_eq!(names(&down), ["content-range", "location", "set-cookie"]);
        assert_eq!(down["set-cookie"], "a=75_to");
    }
}
