//! How is a body read off its connection?

use std::io;

use futures_util::stream;
use multer::Multipart;

use super::body::{Decoder, Piece};
use super::request::{Intake, Received, ReceivedFile};
use super::{Connection, Head, Socket, Unreadable, unreadable};
use crate::content::{Content, Fingerprinter};

/// The most bytes of a body that is kept whole.
const MAX_WHOLE: u64 = 1024 * 1024;

/// The most bytes of a form: multer keeps what is in front of a file in memory.
const MAX_FORM: u64 = 1024 * 1024 * 1024;

/// After how many bytes of a body something else happens than reading on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadLimit {
    /// Nothing more is read, and the connection stays open.
    Wait(u64),
    /// Reading fails with `ConnectionAborted`.
    Fail(u64),
}

/// How a body is to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadPlan {
    pub(crate) intake: Intake,
    /// A file of more bytes is not kept.
    pub(crate) kept: u64,
    pub(crate) limit: Option<ReadLimit>,
}

impl ReadPlan {
    /// For all that is short.
    pub(crate) const WHOLE: Self = Self { intake: Intake::Whole, kept: 0, limit: None };
}

/// Reads one body, piece by piece.
struct BodyReader<'c, S> {
    connection: &'c mut Connection<S>,
    decoder: Decoder,
    limit: Option<ReadLimit>,
    read: u64,
}

impl<S: Socket> Connection<S> {
    /// Reads the body of this head. An end of the connection before the body's is an error of kind `UnexpectedEof`; what can't be
    /// read is one of kind `InvalidData`.
    pub(crate) async fn receive(&mut self, head: &Head, plan: ReadPlan) -> io::Result<Received> {
        let decoder = Decoder::new(head.framing);
        let mut reader = BodyReader { connection: self, decoder, limit: plan.limit, read: 0 };
        reader.send_continue(head).await?;
        match plan.intake {
            Intake::Whole => reader.whole(head).await.map(Received::Whole),
            Intake::Fingerprint => reader.fingerprint().await,
            Intake::File => {
                let boundary = head.header("content-type").and_then(|of| multer::parse_boundary(of).ok());
                let file = match boundary {
                    Some(boundary) => reader.file(boundary, plan.kept).await?,
                    None => None,
                };
                reader.skip().await?;
                Ok(Received::File(file))
            }
        }
    }
}

impl<S: Socket> BodyReader<'_, S> {
    /// Sends `100 Continue` to a client that waits for it.
    async fn send_continue(&mut self, head: &Head) -> io::Result<()> {
        if head.expects_continue && self.connection.has_nothing_unread() {
            self.connection.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        Ok(())
    }

    /// The next bytes; `None` at the body's end.
    async fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            match self.limit {
                Some(ReadLimit::Wait(bytes)) if self.read >= bytes => std::future::pending().await,
                Some(ReadLimit::Fail(bytes)) if self.read >= bytes => {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                _ => {}
            }
            match self.decoder.take(self.connection.unread()).map_err(unreadable)? {
                Piece::Bytes(bytes) => {
                    self.read += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    return Ok(Some(bytes));
                }
                Piece::End => return Ok(None),
                Piece::NotYet => {
                    if self.connection.read_more().await? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
    }

    async fn whole(&mut self, head: &Head) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        let mut announced = head.framing.announced();
        while announced <= MAX_WHOLE {
            let Some(bytes) = self.piece().await? else { return Ok(body) };
            body.extend(bytes);
            announced = announced.max(self.read);
        }
        Err(unreadable(Unreadable::TooLong))
    }

    async fn fingerprint(&mut self) -> io::Result<Received> {
        let mut fingerprint = Fingerprinter::default();
        while let Some(bytes) = self.piece().await? {
            fingerprint.add(&bytes);
        }
        Ok(Received::Fingerprint(fingerprint.finish()))
    }

    async fn skip(&mut self) -> io::Result<()> {
        while self.piece().await?.is_some() {}
        Ok(())
    }

    /// The first file of the form; `None` when there is none, or the form is broken.
    async fn file(&mut self, boundary: String, kept: u64) -> io::Result<Option<ReceivedFile>> {
        let pieces = stream::unfold(self, |reader| async move {
            // multer takes all that is ready before it looks at any of it. One pause after each piece keeps it to one piece.
            tokio::task::yield_now().await;
            reader.piece().await.transpose().map(|piece| (piece, reader))
        });
        let limits = multer::SizeLimit::new().whole_stream(MAX_FORM);
        let constraints = multer::Constraints::new().size_limit(limits);
        let form = Multipart::with_constraints(pieces, boundary, constraints);
        match first_file(form, kept).await {
            Ok(file) => Ok(file),
            Err(multer::Error::StreamReadFailed(error)) => Err(match error.downcast::<io::Error>() {
                Ok(error) => *error,
                Err(error) => io::Error::other(error),
            }),
            Err(_) => Ok(None),
        }
    }
}

async fn first_file(mut form: Multipart<'_>, kept: u64) -> multer::Result<Option<ReceivedFile>> {
    while let Some(mut field) = form.next_field().await? {
        let is_file = field.file_name().is_some();
        let content_type = field.content_type().map_or("application/octet-stream".to_owned(), ToString::to_string);
        let (mut fingerprint, mut bytes) = (Fingerprinter::default(), Some(Vec::new()));
        while let Some(chunk) = field.chunk().await? {
            fingerprint.add(&chunk);
            match &mut bytes {
                Some(bytes) if is_file && fingerprint.size() <= kept => bytes.extend_from_slice(&chunk),
                _ => bytes = None,
            }
        }
        if is_file {
            let content = bytes.map(Content::from);
            return Ok(Some(ReceivedFile { content_type, fingerprint: fingerprint.finish(), content }));
        }
    }
    Ok(None)
}
