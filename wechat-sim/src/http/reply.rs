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
}

impl Reply {
    /// WeChat's JSON: HTTP status 200, whatever happened. The media type is WeChat's own spelling.
    pub(crate) fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, "application/json; encoding=utf-8", body.into())
    }

    pub(crate) fn new(status: u16, content_type: impl Into<Cow<'static, str>>, body: impl Into<Content>) -> Self {
        Self { status, content_type: content_type.into(), headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// A gateway's page.
    pub(crate) fn html(status: u16) -> Self {
        let title = format!("{status} {}", reason(status));
        let page = format!(
            "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n<hr>\
             <center>nginx</center>\r\n</body>\r\n</html>\r\n"
        );
        Self::new(status, "text/html", page.into_bytes())
    }

    /// The status line and the headers, with the length of the whole body.
    pub(crate) fn head(&self, date: SystemTime, keep_alive: bool) -> Vec<u8> {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: {}\r\n",
            self.status,
            reason(self.status),
            httpdate::fmt_http_date(date),
            self.content_type,
            self.body.len(),
            if keep_alive { "keep-alive" } else { "close" },
        );
        for (name, value) in &self.headers {
            // Cannot fail: a `String` takes everything.
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// Head and body, for replies that are short.
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
        301 => "Moved Permanently",
        302 => "Found",
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
