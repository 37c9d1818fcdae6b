//! Which bytes does a file or a reply have? Bytes that were kept, or made-up ones that take no memory.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use serde::Serialize;
use sha2::{Digest, Sha256};

/// Some bytes, or a part of them. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Content {
    source: Source,
    range: Range<u64>,
}

#[derive(Clone)]
enum Source {
    Kept(Arc<Vec<u8>>),
    /// Made when they are sent, each from its position.
    Filler,
}

/// How many bytes there are, and which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fingerprint {
    /// Their number.
    pub size: u64,
    /// Their SHA-256 in hex.
    pub sha256: String,
}

/// A fingerprint in the making.
#[derive(Default)]
pub(crate) struct Fingerprinter {
    size: u64,
    hash: Sha256,
}

/// What is sent at once.
const PIECE: u64 = 64 * 1024;

/// A JPEG's first bytes: what looks at the front of a file takes filler for a picture.
const JPEG: [u8; 4] = [0xff, 0xd8, 0xff, 0xe0];

impl Content {
    /// So many bytes that are made up. The same position has the same byte always, and the front is that of a JPEG.
    pub(crate) fn filler(size: u64) -> Self {
        Self { source: Source::Filler, range: 0..size }
    }

    /// How many bytes of memory it takes.
    pub(crate) fn in_memory(&self) -> u64 {
        match self.source {
            Source::Kept(_) => self.len(),
            Source::Filler => 0,
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// The part of these positions, or what there is of it.
    pub(crate) fn part(&self, part: Range<u64>) -> Self {
        let position = |of: u64| self.range.start.saturating_add(of).min(self.range.end);
        Self { source: self.source.clone(), range: position(part.start)..position(part.end.max(part.start)) }
    }

    /// The bytes from a position on, 64 KiB at most; none at the end.
    pub(crate) fn piece(&self, from: u64) -> Vec<u8> {
        let Range { start, end } = self.part(from..from.saturating_add(PIECE)).range;
        match &self.source {
            // Cannot fail: a range ends where the bytes end, or before.
            Source::Kept(bytes) => bytes[index(start)..index(end)].to_vec(),
            Source::Filler => filler(start, end),
        }
    }

    /// The pieces, one after the other.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Vec<u8>> {
        (0..self.len()).step_by(index(PIECE)).map(|from| self.piece(from))
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let mut fingerprint = Fingerprinter::default();
        self.pieces().for_each(|piece| fingerprint.add(&piece));
        fingerprint.finish()
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        let range = 0..u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Self { source: Source::Kept(Arc::new(bytes)), range }
    }
}

/// Shows no byte.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// A piece of filler. It is copied: in a test's build a gigabyte made byte by byte takes a minute.
fn filler(start: u64, end: u64) -> Vec<u8> {
    static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| (0..PERIOD).cycle().take(index(PIECE) + 251).collect());
    let from = index(start % u64::from(PERIOD));
    let mut piece = PATTERN[from..from + index(end - start)].to_vec();
    for (byte, front) in piece.iter_mut().zip(JPEG.iter().skip(index(start))) {
        *byte = *front;
    }
    piece
}

/// A prime: a piece at a wrong place shows, unless it is moved by a multiple of this.
const PERIOD: u8 = 251;

fn index(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

impl Fingerprinter {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.size += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.hash.update(bytes);
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn finish(self) -> Fingerprint {
        Fingerprint { size: self.size, sha256: hex::encode(self.hash.finalize()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(content: &Content) -> Vec<u8> {
        content.pieces().flatten().collect()
    }

    #[test]
    fn a_part_has_the_bytes_of_its_positions() {
        for content in [Content::from((0..=255).collect::<Vec<u8>>()), Content::filler(256)] {
            let whole = all(&content);
            assert_eq!(all(&content.part(10..20)), whole[10..20]);
            assert_eq!(all(&content.part(10..20).part(5..100)), whole[15..20]);
            assert_eq!(all(&content.part(250..9999)), whole[250..]);
            assert_eq!(content.part(300..400).len(), 0);
        }
    }

    #[test]
    fn filler_comes_in_pieces_and_looks_like_a_picture() {
        let content = Content::filler(200_000);
        let pieces: Vec<_> = content.pieces().map(|piece| piece.len()).collect();
        assert_eq!(pieces, [65_536, 65_536, 65_536, 3392]);
        let bytes = all(&content);
        assert_eq!(bytes[..6], [0xff, 0xd8, 0xff, 0xe0, 4, 5]);
        assert!((4..200_000).all(|position| usize::from(bytes[position]) == position % 251));
        assert_eq!(content.part(2..5).piece(0), [0xff, 0xe0, 4]);
        assert!(content.piece(200_000).is_empty());
    }

    #[test]
    fn a_fingerprint_counts_and_hashes() {
        let fingerprint = Content::from(b"abc".to_vec()).fingerprint();
        assert_eq!(fingerprint.size, 3);
        assert!(fingerprint.sha256.starts_with("ba7816bf8f01cfea"));
    }
}
