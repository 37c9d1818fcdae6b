//! What does the client ask for?

/// The most bytes of a request's head, and of its body.
pub(super) const MAX_HEAD: usize = 64 * 1024;
pub(super) const MAX_BODY: usize = 1024 * 1024;

/// A request that has arrived as a whole. No `Debug`: the query and the body hold secrets.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    query: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) keep_alive: bool,
}

/// The request can't be read. The texts name nothing of its content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("the head is not HTTP/1")]
    Head,
    #[error("the head or the body is too long")]
    TooLong,
    #[error("the chunks of the body are torn")]
    Chunks,
}

/// How the end of the body is found.
#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
}

impl Request {
    /// The first value of a query parameter, decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Reads one request off the front of the buffer; `None` when it has not arrived as a whole.
    pub(super) fn parse(buffer: &mut Vec<u8>) -> Result<Option<Self>, Unreadable> {
        let Some(head) = Head::parse(buffer)? else { return Ok(None) };
        let rest = &buffer[head.length..];
        let Some((body, consumed)) = head.framing.body(rest)? else { return Ok(None) };
        let end = head.length + consumed;
        let request = head.request(body);
        buffer.drain(..end);
        Ok(Some(request))
    }

    /// Does the head in the buffer wait for `100 Continue` before it sends its body?
    pub(super) fn expects_continue(buffer: &[u8]) -> bool {
        matches!(Head::parse(buffer), Ok(Some(head)) if head.expects_continue && buffer.len() == head.length)
    }
}

struct Head {
    method: String,
    target: String,
    keep_alive: bool,
    expects_continue: bool,
    framing: Framing,
    length: usize,
}

impl Head {
    fn parse(buffer: &[u8]) -> Result<Option<Self>, Unreadable> {
        let mut headers = [httparse::EMPTY_HEADER; 128];
        let mut parsed = httparse::Request::new(&mut headers);
        let length = match parsed.parse(buffer) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if buffer.len() > MAX_HEAD => return Err(Unreadable::TooLong),
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(Unreadable::Head),
        };
        let has = |name: &str, value: &str| {
            let mut lines = parsed.headers.iter().filter(|line| line.name.eq_ignore_ascii_case(name));
            lines.any(|line| line.value.to_ascii_lowercase().windows(value.len()).any(|part| part == value.as_bytes()))
        };
        let keep_alive =
            if parsed.version == Some(0) { has("connection", "keep-alive") } else { !has("connection", "close") };
        Ok(Some(Self {
            method: parsed.method.unwrap_or_default().to_owned(),
            target: parsed.path.unwrap_or_default().to_owned(),
            keep_alive,
            expects_continue: has("expect", "100-continue"),
            framing: if has("transfer-encoding", "chunked") { Framing::Chunked } else { announced(parsed.headers)? },
            length,
        }))
    }

    fn request(self, body: Vec<u8>) -> Request {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        Request {
            method: self.method,
            path: path.to_owned(),
            query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            body,
            keep_alive: self.keep_alive,
        }
    }
}

fn announced(headers: &[httparse::Header<'_>]) -> Result<Framing, Unreadable> {
    let Some(line) = headers.iter().find(|line| line.name.eq_ignore_ascii_case("content-length")) else {
        return Ok(Framing::Length(0));
    };
    let text = std::str::from_utf8(line.value).map_err(|_| Unreadable::Head)?;
    match text.trim().parse() {
        Ok(length) if length <= MAX_BODY => Ok(Framing::Length(length)),
        Ok(_) => Err(Unreadable::TooLong),
        Err(_) => Err(Unreadable::Head),
    }
}

impl Framing {
    /// The body and how many bytes of the buffer it took.
    fn body(self, rest: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Unreadable> {
        match self {
            Framing::Length(length) => Ok(rest.get(..length).map(|body| (body.to_vec(), length))),
            Framing::Chunked => chunks(rest),
        }
    }
}

/// Trailers are not read: no client of WeChat sends them.
fn chunks(rest: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Unreadable> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let (start, size) = match httparse::parse_chunk_size(&rest[at..]).map_err(|_| Unreadable::Chunks)? {
            httparse::Status::Complete((start, size)) => (at + start, usize::try_from(size).unwrap_or(usize::MAX)),
            httparse::Status::Partial => return Ok(None),
        };
        if size > MAX_BODY || body.len() + size > MAX_BODY {
            return Err(Unreadable::TooLong);
        }
        let Some(chunk) = rest.get(start..start + size + 2) else { return Ok(None) };
        body.extend_from_slice(&chunk[..size]);
        at = start + size + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Request>, Unreadable> {
        Request::parse(&mut text.as_bytes().to_vec())
    }

    #[test]
    fn a_query_is_decoded_and_the_first_of_two_counts() {
        let request = read("GET /a?x=1&x=2&y=%41%20b&z HTTP/1.1\r\n\r\n").unwrap().unwrap();
        assert_eq!((request.parameter("x"), request.parameter("y")), (Some("1"), Some("A b")));
        assert_eq!((request.parameter("z"), request.parameter("w")), (Some(""), None));
    }

    #[test]
    fn odd_queries_do_no_harm() {
        for query in ["?", "??", "%", "?%zz&&==&a=%ff%fe", "?=", "#x?y", "?access_token=%00"] {
            assert!(read(&format!("GET /cgi-bin/token{query} HTTP/1.1\r\n\r\n")).unwrap().is_some(), "{query}");
        }
    }

    #[test]
    fn a_chunked_body_is_put_together() {
        let mut buffer =
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET".to_vec();
        assert_eq!(Request::parse(&mut buffer).unwrap().unwrap().body, b"abcde");
        assert_eq!(buffer, b"GET");
        assert!(read("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab").unwrap().is_none());
        assert!(read("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").is_err());
        assert!(read("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n").is_err());
    }

    #[test]
    fn a_torn_request_waits_and_a_foreign_one_is_refused() {
        assert!(read("GET / HT").unwrap().is_none());
        assert!(read("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc").unwrap().is_none());
        assert!(read("\u{16}\u{3}\u{1} hello").is_err());
        assert!(read("POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n").is_err());
        assert!(read("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n").is_err());
    }
}
