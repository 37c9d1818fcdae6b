//! What goes over the wire?

use std::borrow::Cow;
use std::fmt::Write;
use std::time::SystemTime;

use crate::content::Content;

/// A whole reply, before a fault breaks it.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: Cow<'static, str>,
    /// Headers of this reply alone.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Content,
    is_chunked: bool,
}

impl Reply {
    /// WeChat's JSON: HTTP status 200, whatever happened. The media type is WeChat's own spelling.
    pub(crate) fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, "application/json; encoding=utf-8", body.into())
    }

    pub(crate) fn new(status: u16, content_type: impl Into<Cow<'static, str>>, body: impl Into<Content>) -> Self {
        Self { status, content_type: content_type.into(), headers: Vec::new(), body: body.into(), is_chunked: false }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same reply, its body in chunks and without a length.
    pub(crate) fn in_chunks(self) -> Self {
        Self { is_chunked: true, ..self }
    }

    /// A gateway's page. 204 and 304 have none.
    pub(crate) fn html(status: u16) -> Self {
        if matches!(status, 204 | 304) {
            return Self::new(status, "text/html", Vec::new());
        }
        let title = format!("{status} {}", reason(status));
        let page = format!(
            "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n<hr>\
             <center>nginx</center>\r\n</body>\r\n</html>\r\n"
        );
        Self::new(status, "text/html", page.into_bytes())
    }

    /// The status line and the headers. The length, if there is one, is that of the whole body.
    pub(crate) fn head(&self, date: SystemTime, keep_alive: bool) -> Vec<u8> {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Type: {}\r\n{}\r\nConnection: {}\r\n",
            self.status,
            reason(self.status),
            httpdate::fmt_http_date(date),
            self.content_type,
            self.framing(),
            if keep_alive { "keep-alive" } else { "close" },
        );
        for (name, value) in &self.headers {
            // Cannot fail: a `String` takes everything.
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    fn framing(&self) -> String {
        if self.is_chunked {
            "Transfer-Encoding: chunked".to_owned()
        } else {
            format!("Content-Length: {}", self.body.len())
        }
    }

    /// A piece of the body as it is sent.
    pub(crate) fn framed(&self, piece: Vec<u8>) -> Vec<u8> {
        if self.is_chunked { [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat() } else { piece }
    }

    /// What is sent behind the whole body.
    pub(crate) fn end(&self) -> &'static [u8] {
        if self.is_chunked { b"0\r\n\r\n" } else { b"" }
    }

    /// Head and body, for replies that are short and not in chunks.
    pub(crate) fn to_bytes(&self, date: SystemTime, keep_alive: bool) -> Vec<u8> {
        let mut bytes = self.head(date, keep_alive);
        self.body.pieces().for_each(|piece| bytes.extend(piece));
        bytes
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        416 => "Range Not Satisfiable",
        412 => "Precondition Failed",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        _ => "Unknown",
    }
}
