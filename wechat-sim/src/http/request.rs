//! What does the client send?

use std::ops::Deref;

use super::Head;
use crate::content::{Content, Fingerprint};

/// A request that has arrived as a whole. No `Debug`: the query and the body hold secrets.
pub(crate) struct Request {
    pub(crate) head: Head,
    pub(crate) received: Received,
}

/// How a body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intake {
    /// Into memory. A body of more than 1 MiB can't be read.
    Whole,
    /// In pieces of which nothing is kept.
    Fingerprint,
    /// In pieces, as a form with a file.
    File,
}

/// What has become of a body.
pub(crate) enum Received {
    Whole(Vec<u8>),
    Fingerprint(Fingerprint),
    /// `None`: it was no form, or one without a file.
    File(Option<ReceivedFile>),
}

/// The file of a form.
#[derive(Clone)]
pub(crate) struct ReceivedFile {
    pub(crate) content_type: String,
    pub(crate) fingerprint: Fingerprint,
    /// `None`: it was longer than what was to be kept.
    pub(crate) content: Option<Content>,
}

impl Request {
    /// The body, where it was to be kept whole.
    pub(crate) fn body(&self) -> &[u8] {
        match &self.received {
            Received::Whole(body) => body,
            Received::Fingerprint(_) | Received::File(_) => &[],
        }
    }
}

impl Deref for Request {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.head
    }
}
