//! Where does a request's body end? Taken off the wire piece by piece, however long it is.

use super::Unreadable;

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

impl Framing {
    /// The length of the body, as far as the head has it.
    pub(super) fn announced(self) -> u64 {
        match self {
            Self::Length(length) => length,
            Self::Chunked => 0,
        }
    }
}

/// What is at the front of the buffer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Bytes(Vec<u8>),
    /// Too little to know.
    NotYet,
    /// Nothing of this body: it has ended.
    End,
}

/// The place within a body up to which it has been read.
#[derive(Clone, Copy)]
pub(super) enum Decoder {
    Plain {
        left: u64,
    },
    ChunkSize,
    Chunk {
        left: u64,
    },
    ChunkEnd,
    /// Behind the last chunk. Trailers are not read: no client of WeChat sends them.
    LastEnd,
    Ended,
}

/// The longest size line, extensions included.
const MAX_SIZE_LINE: usize = 1024;

impl Decoder {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(left) => Self::Plain { left },
            Framing::Chunked => Self::ChunkSize,
        }
    }

    /// Takes the next piece off the front of the buffer.
    pub(super) fn take(&mut self, buffer: &mut Vec<u8>) -> Result<Piece, Unreadable> {
        loop {
            match *self {
                Self::Plain { left: 0 } => *self = Self::Ended,
                Self::Chunk { left: 0 } => *self = Self::ChunkEnd,
                Self::Plain { left } => {
                    let Some((bytes, left)) = split(buffer, left) else { return Ok(Piece::NotYet) };
                    *self = Self::Plain { left };
                    return Ok(Piece::Bytes(bytes));
                }
                Self::Chunk { left } => {
                    let Some((bytes, left)) = split(buffer, left) else { return Ok(Piece::NotYet) };
                    *self = Self::Chunk { left };
                    return Ok(Piece::Bytes(bytes));
                }
                Self::ChunkSize => match httparse::parse_chunk_size(buffer).map_err(|_| Unreadable::Chunks)? {
                    httparse::Status::Complete((length, size)) => {
                        buffer.drain(..length);
                        *self = if size == 0 { Self::LastEnd } else { Self::Chunk { left: size } };
                    }
                    httparse::Status::Partial if buffer.len() > MAX_SIZE_LINE => return Err(Unreadable::Chunks),
                    httparse::Status::Partial => return Ok(Piece::NotYet),
                },
                Self::ChunkEnd | Self::LastEnd => {
                    let Some(end) = buffer.get(..2) else { return Ok(Piece::NotYet) };
                    if end != b"\r\n" {
                        return Err(Unreadable::Chunks);
                    }
                    buffer.drain(..2);
                    *self = if matches!(self, Self::ChunkEnd) { Self::ChunkSize } else { Self::Ended };
                }
                Self::Ended => return Ok(Piece::End),
            }
        }
    }
}

/// Up to `left` bytes off the front, and how many of them are left then; `None` when the buffer is empty.
fn split(buffer: &mut Vec<u8>, left: u64) -> Option<(Vec<u8>, u64)> {
    let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
    let rest = buffer.split_off(length);
    let bytes = std::mem::replace(buffer, rest);
    let taken = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    (!bytes.is_empty()).then_some((bytes, left - taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body, and what is left behind it.
    type Split = (Vec<u8>, Vec<u8>);

    /// What is read of a text that arrives in pieces of this size; `None` when its end does not come.
    fn read(framing: Framing, text: &[u8], size: usize) -> Result<Option<Split>, Unreadable> {
        let (mut decoder, mut buffer, mut body) = (Decoder::new(framing), Vec::new(), Vec::new());
        let mut arriving = text.chunks(size);
        loop {
            match decoder.take(&mut buffer)? {
                Piece::Bytes(bytes) => body.extend(bytes),
                Piece::End => return Ok(Some((body, [buffer, arriving.flatten().copied().collect()].concat()))),
                Piece::NotYet => match arriving.next() {
                    Some(bytes) => buffer.extend_from_slice(bytes),
                    None => return Ok(None),
                },
            }
        }
    }

    #[test]
    fn a_chunked_body_is_put_together_however_it_arrives() {
        let text = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nGET";
        for size in 1..text.len() {
            let (body, rest) = read(Framing::Chunked, text, size).unwrap().unwrap();
            assert_eq!((body.as_slice(), rest.as_slice()), (&b"abcde"[..], &b"GET"[..]));
        }
    }

    #[test]
    fn a_plain_body_ends_where_it_was_announced() {
        for size in 1..5 {
            let (body, rest) = read(Framing::Length(3), b"abcGET", size).unwrap().unwrap();
            assert_eq!((body.as_slice(), rest.as_slice()), (&b"abc"[..], &b"GET"[..]));
        }
        assert_eq!(read(Framing::Length(0), b"", 1).unwrap(), Some((Vec::new(), Vec::new())));
    }

    #[test]
    fn a_torn_body_waits_and_a_broken_one_is_refused() {
        assert_eq!(read(Framing::Length(5), b"abc", 9).unwrap(), None);
        assert_eq!(read(Framing::Chunked, b"3\r\nab", 9).unwrap(), None);
        assert!(read(Framing::Chunked, b"zz\r\n", 9).is_err());
        assert!(read(Framing::Chunked, b"3\r\nabcd\r\n", 9).is_err());
        assert!(read(Framing::Chunked, b"0\r\nX-Trailer: a\r\n\r\n", 99).is_err());
        assert!(read(Framing::Chunked, &[b"1;x=".as_slice(), &[b'x'; 2 * MAX_SIZE_LINE]].concat(), 99).is_err());
        assert_eq!(read(Framing::Chunked, b"ffffffffffffffff\r\n", 99).unwrap(), None, "it never ends");
    }
}
