//! What is worked out of a disk for the clones of it: the pieces that it is compressed in, and how the digest of its member
//! comes about.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::piece::{Piece, WINDOW};
use super::segment::{Segment, segments};
use super::{DEFAULT_LEVEL, HEADER, Member, piece};
use crate::digest::Sha256Hex;
use crate::image::{Disk, PAGE};

/// A disk compressed, for the clones of it.
pub(crate) struct Rehearsal {
    disk: Disk,
    /// Range → what it is compressed to.
    pieces: BTreeMap<(u64, u64), Arc<Piece>>,
    /// The parts of its member, each with the digest of the member up to its end.
    digests: Vec<(Segment, Sha256Hex)>,
}

impl Rehearsal {
    /// Compresses what [has to be](Segment::Fresh) of `disk`, which is [founded](Disk::founded) on what its clones will
    /// have in common.
    ///
    /// # Errors
    /// Those of the compressor.
    pub(crate) fn of(disk: &Disk) -> io::Result<Self> {
        let segments = segments(disk, disk.stream());
        let compressed: io::Result<Vec<Option<Arc<Piece>>>> =
            segments.par_iter().map(|segment| piece(disk, segment, DEFAULT_LEVEL)).collect();
        let mut digest = Digest::default();
        digest.write_all(&HEADER)?;
        let stream = disk.stream().map(|(stream, _)| stream);
        let mut member = Member { stream, out: &mut digest, crc: 0, is_complete: false };
        let (mut pieces, mut digests) = (BTreeMap::new(), Vec::with_capacity(segments.len()));
        for (segment, piece) in segments.into_iter().zip(compressed?) {
            member.put(&segment, piece.clone(), disk.length())?;
            if let (Segment::Fresh(range), Some(piece)) = (&segment, piece) {
                pieces.insert((range.start, range.end), piece);
            }
            digests.push((segment, member.out.0.clone()));
        }
        Ok(Self { disk: disk.clone(), pieces, digests })
    }

    /// The piece for `range` of `disk`, if the disk has there, and in the history before it, what this one has.
    pub(super) fn piece(&self, disk: &Disk, range: &Range<u64>) -> Option<Arc<Piece>> {
        let piece = self.pieces.get(&(range.start, range.end))?;
        let pages = range.start.saturating_sub(WINDOW) / PAGE as u64..range.end.div_ceil(PAGE as u64);
        disk.shares(&self.disk, pages).then(|| Arc::clone(piece))
    }

    /// How many of the `segments` of `disk` become the bytes that stand at the beginning of this one's member, and the digest
    /// of the member up to there; `None` when the first one does not.
    ///
    /// That needs no comparing: clones of one disk have one stream and one length, so that the same blocks are taken over as the
    /// same bytes; zeroes have ready-made ones; and what is compressed is this disk's own [piece](Self::piece).
    pub(super) fn known(&self, disk: &Disk, segments: &[Segment]) -> Option<(usize, Sha256Hex)> {
        // Of no pages: whether it is a clone at all.
        if !disk.shares(&self.disk, 0..0) {
            return None;
        }
        let is_same = |segment: &Segment| match segment {
            Segment::Fresh(range) => self.piece(disk, range).is_some(),
            Segment::Zeroes(_) | Segment::Kept(_) => true,
        };
        let pairs = self.digests.iter().zip(segments);
        let same = pairs.take_while(|((own, _), other)| own == *other && is_same(other));
        let (count, ((_, digest), _)) = same.enumerate().last()?;
        Some((count + 1, digest.clone()))
    }
}

impl fmt::Debug for Rehearsal {
    /// Its sizes; the pieces would fill books.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rehearsal").field("disk", &self.disk).field("pieces", &self.pieces.len()).finish()
    }
}

/// Takes in the digest of what is written, and nothing else.
#[derive(Default)]
struct Digest(Sha256Hex);

impl Write for Digest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
