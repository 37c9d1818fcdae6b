//! What does the client ask for, before its body?

use super::Unreadable;
use super::body::Framing;

/// The most bytes of a request's head.
const MAX_HEAD: usize = 64 * 1024;

/// The head of a request. No `Debug`: the query holds secrets.
#[derive(Clone)]
pub(crate) struct Head {
    pub(crate) method: String,
    /// Path and query, as they were sent.
    pub(crate) target: String,
    pub(crate) path: String,
    /// Without the `?`.
    pub(crate) query: String,
    parameters: Vec<(String, String)>,
    /// In their order and spelling.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) keep_alive: bool,
    pub(super) expects_continue: bool,
    pub(super) framing: Framing,
}

impl Head {
    /// The first value of a query parameter, decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a header, when it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let line = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(&line.1).ok()
    }

    /// Reads one head off the front of the buffer; `None` when it has not arrived as a whole.
    pub(super) fn parse(buffer: &mut Vec<u8>) -> Result<Option<Self>, Unreadable> {
        let mut headers = [httparse::EMPTY_HEADER; 128];
        let mut parsed = httparse::Request::new(&mut headers);
        let length = match parsed.parse(buffer) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if buffer.len() > MAX_HEAD => return Err(Unreadable::TooLong),
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(Unreadable::Head),
        };
        let head = Self::of(&parsed)?;
        buffer.drain(..length);
        Ok(Some(head))
    }

    fn of(parsed: &httparse::Request<'_, '_>) -> Result<Self, Unreadable> {
        let has = |name: &str, value: &str| {
            let mut lines = parsed.headers.iter().filter(|line| line.name.eq_ignore_ascii_case(name));
            lines.any(|line| line.value.to_ascii_lowercase().windows(value.len()).any(|part| part == value.as_bytes()))
        };
        let keep_alive =
            if parsed.version == Some(0) { has("connection", "keep-alive") } else { !has("connection", "close") };
        let target = parsed.path.unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Ok(Self {
            method: parsed.method.unwrap_or_default().to_owned(),
            target: target.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            parameters: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            headers: parsed.headers.iter().map(|line| (line.name.to_owned(), line.value.to_vec())).collect(),
            keep_alive,
            expects_continue: has("expect", "100-continue"),
            framing: if has("transfer-encoding", "chunked") { Framing::Chunked } else { announced(parsed.headers)? },
        })
    }
}

fn announced(headers: &[httparse::Header<'_>]) -> Result<Framing, Unreadable> {
    let Some(line) = headers.iter().find(|line| line.name.eq_ignore_ascii_case("content-length")) else {
        return Ok(Framing::Length(0));
    };
    let text = std::str::from_utf8(line.value).map_err(|_| Unreadable::Head)?;
    text.trim().parse().map(Framing::Length).map_err(|_| Unreadable::Head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Head>, Unreadable> {
        Head::parse(&mut text.as_bytes().to_vec())
    }

    #[test]
    fn a_query_is_decoded_and_the_first_of_two_counts() {
        let head = read("GET /a?x=1&x=2&y=%41%20b&z HTTP/1.1\r\n\r\n").unwrap().unwrap();
        assert_eq!((head.parameter("x"), head.parameter("y")), (Some("1"), Some("A b")));
        assert_eq!((head.parameter("z"), head.parameter("w")), (Some(""), None));
        assert_eq!(head.query, "x=1&x=2&y=%41%20b&z");
    }

    #[test]
    fn odd_queries_do_no_harm() {
        for query in ["?", "??", "%", "?%zz&&==&a=%ff%fe", "?=", "#x?y", "?access_token=%00"] {
            assert!(read(&format!("GET /cgi-bin/token{query} HTTP/1.1\r\n\r\n")).unwrap().is_some(), "{query}");
        }
    }

    #[test]
    fn a_torn_head_waits_and_a_foreign_one_is_refused() {
        assert!(read("GET / HT").unwrap().is_none());
        assert!(read("\u{16}\u{3}\u{1} hello").is_err());
        assert!(read("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n").is_err());
        assert!(read(&format!("GET /{} HTTP/1.1\r\n", "x".repeat(MAX_HEAD))).is_err());
    }

    #[test]
    fn what_is_behind_a_head_stays_in_the_buffer() {
        let mut buffer = b"POST / HTTP/1.1\r\nX-Test: a\r\nContent-Length: 3\r\n\r\nabc".to_vec();
        let head = Head::parse(&mut buffer).unwrap().unwrap();
        assert_eq!((head.header("x-test"), buffer.as_slice()), (Some("a"), &b"abc"[..]));
    }
}
