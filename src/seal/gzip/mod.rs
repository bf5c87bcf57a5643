//! A deterministic, parallel gzip writer: one member, no name, time 0.
//!
//! A disk that came from a gzip image and was edited is written by splicing: deflate blocks that did not change are taken
//! over as they are ([`segment`], [`joint`]). The rest, or a disk without such a past, is compressed in pieces, each by
//! itself, primed with the 32 KiB before it ([`piece`]). The bytes depend on the disk and its stream alone: they are
//! the same with any number of threads.
//!
//! Many disks of one base: open the base once, [keeping](crate::image::Keep) its stream, clone its disk, edit the clones and write each, from as many threads as there are. Clones share the bytes and the stream; to
//! write one costs as much as its edits, and copying the rest. Where all of them have many edits in common, make those
//! first, found the disk on them ([`Disk::founded`]), and let a [`Rehearsal`] compress them once. A clone becomes the same
//! bytes with it and without.

mod joint;
mod piece;
mod rehearsal;
mod segment;

use std::io::{self, Write};
use std::sync::Arc;

use rayon::prelude::*;

use crate::crc;
use crate::digest::Sha256Hex;
use crate::image::{DeflateStream, Disk};
use crate::progress::Progress;
use joint::Run;
use piece::{Piece, WINDOW};
pub(crate) use rehearsal::Rehearsal;
use segment::Segment;

/// Pieces compressed at a time, per thread.
const PIECES_PER_THREAD: usize = 32;

/// The level in use. On 100 MB of a system's files level 9 makes the output 4 % smaller than level 6 and takes four times as long.
const DEFAULT_LEVEL: u32 = 6;

/// What `gzip -9n` writes: deflate, no flags, time 0, XFL 2 (slowest), OS 3 (Unix). Readers ignore XFL and OS; they
/// stay fixed so that the header does not tell levels or systems apart.
const HEADER: [u8; 10] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 2, 3];
/// An empty final block with fixed codes: bits 1 (final), 01 (fixed), 0000000 (end of block).
const FINAL_BLOCK: [u8; 2] = [0x03, 0x00];

/// What a member is written to. It may take in a digest of what it is given.
pub(super) trait Target: Write {
    /// The digest of what comes until [`Target::resume`] is known: it need not be taken in.
    fn pause(&mut self) {}

    /// `digest` is that of all that came so far; what follows is to be taken in again.
    fn resume(&mut self, _digest: Sha256Hex) {}
}

impl Target for Vec<u8> {}

/// Writes `disk` as one gzip member to `out`, taking over what it can of the [stream](Disk::stream) that it came from, and
/// of a `rehearsal`.
///
/// # Errors
/// Those of `out`.
pub(crate) fn write_gzip(
    disk: &Disk,
    rehearsal: Option<&Rehearsal>,
    out: &mut dyn Target,
    progress: &dyn Progress,
) -> io::Result<()> {
    write(disk, disk.stream(), rehearsal, DEFAULT_LEVEL, out, progress)
}

fn write(
    disk: &Disk,
    stream: Option<(&DeflateStream, u64)>,
    rehearsal: Option<&Rehearsal>,
    level: u32,
    out: &mut dyn Target,
    progress: &dyn Progress,
) -> io::Result<()> {
    let segments = segment::segments(disk, stream);
    let stream = stream.map(|(stream, _)| stream);
    let piece = |segment: &Segment| match (segment, rehearsal) {
        (Segment::Fresh(range), Some(rehearsal)) => match rehearsal.piece(disk, range) {
            Some(piece) => Ok(Some(piece)),
            None => piece(disk, segment, level),
        },
        _ => piece(disk, segment, level),
    };
    let mut known = rehearsal.and_then(|rehearsal| rehearsal.known(disk, &segments));
    if known.is_some() {
        out.pause();
    }
    out.write_all(&HEADER)?;
    let mut member = Member { stream, out, crc: 0, is_complete: false };
    let window = rayon::current_num_threads() * PIECES_PER_THREAD;
    let mut done = 0;
    for segments in windows(&segments, window) {
        let pieces: Vec<io::Result<Option<Arc<Piece>>>> = segments.par_iter().map(&piece).collect();
        for (segment, piece) in segments.iter().zip(pieces) {
            progress.advance(member.put(segment, piece?, disk.length())?);
            done += 1;
            if let Some((_, digest)) = known.take_if(|(count, _)| *count == done) {
                member.out.resume(digest);
            }
        }
    }
    if !member.is_complete {
        member.out.write_all(&FINAL_BLOCK)?;
    }
    let crc = member.crc;
    out.write_all(&crc.to_le_bytes())?;
    // RFC 1952, 2.3.1: the length modulo 2^32.
    let [a, b, c, d, ..] = disk.length().to_le_bytes();
    out.write_all(&[a, b, c, d])
}

/// Cuts `segments` into stretches with at most `window` pieces to compress.
fn windows(segments: &[Segment], window: usize) -> impl Iterator<Item = &[Segment]> {
    let mut rest = segments;
    std::iter::from_fn(move || {
        let mut pieces = 0;
        let is_within = |segment: &&Segment| {
            pieces += usize::from(matches!(segment, Segment::Fresh(_)));
            pieces <= window
        };
        let count = rest.iter().take_while(is_within).count();
        let (now, later) = rest.split_at(count);
        rest = later;
        (!now.is_empty()).then_some(now)
    })
}

/// A segment compressed, where that is needed.
fn piece(disk: &Disk, segment: &Segment, level: u32) -> io::Result<Option<Arc<Piece>>> {
    let Segment::Fresh(range) = segment else {
        return Ok(None);
    };
    let history = range.start.min(WINDOW);
    let count = usize::try_from(history + range.end - range.start).map_err(io::Error::other)?;
    let bytes = disk.read_vec(range.start - history, count).map_err(io::Error::other)?;
    let piece = piece::compress(&bytes, usize::try_from(history).map_err(io::Error::other)?, level)?;
    Ok(Some(Arc::new(piece)))
}

/// A gzip member in the making.
struct Member<'a, T: Write + ?Sized> {
    stream: Option<&'a DeflateStream>,
    out: &'a mut T,
    /// CRC-32 of what was put in so far.
    crc: u32,
    /// Whether the final block is there.
    is_complete: bool,
}

impl<T: Write + ?Sized> Member<'_, T> {
    /// Appends a segment of a disk of `length` bytes, with its piece where it needs one; returns its length.
    fn put(&mut self, segment: &Segment, piece: Option<Arc<Piece>>, length: u64) -> io::Result<u64> {
        match segment {
            Segment::Fresh(range) => {
                let piece = piece.ok_or_else(|| io::Error::other("a piece is missing"))?;
                self.out.write_all(&piece.bytes)?;
                let count = range.end - range.start;
                self.crc = crc::joined(self.crc, piece.crc, count);
                Ok(count)
            }
            Segment::Zeroes(count) => {
                piece::zeroes(*count, |bytes| self.out.write_all(bytes))?;
                self.crc = crc::with_zeroes(self.crc, *count);
                Ok(*count)
            }
            Segment::Kept(run) => {
                let stream = self.stream.ok_or_else(|| io::Error::other("no stream to take over from"))?;
                let (Some(first), Some(last)) = (stream.marks.get(run.start), stream.marks.get(run.end)) else {
                    return Err(io::Error::other("no such mark"));
                };
                let holds_final = last.bit > stream.final_block;
                let is_end = holds_final && last.at == length;
                let clear = (holds_final && !is_end).then_some(stream.final_block);
                let run = Run { start: first.bit, end: last.bit, clear, is_end };
                joint::take_over(stream.bytes(), run, |bytes| self.out.write_all(bytes))?;
                let count = last.at - first.at;
                self.crc = crc::joined(self.crc, crc::of_end(last.crc, first.crc, count), count);
                self.is_complete = is_end;
                Ok(count)
            }
        }
    }
}

#[cfg(test)]
mod tests;
