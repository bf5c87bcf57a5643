//! A deterministic, parallel gzip writer: one member, no name, time 0.
//!
//! A disk that came from a gzip image and was edited is written by splicing: deflate blocks that did not change are taken
//! over as they are ([`segment`], [`joint`]). The rest, or a disk without such a past, is compressed in pieces, each by
//! itself, primed with the 32 KiB before it ([`piece`]). The bytes depend on the disk and its stream alone: they are
//! the same with any number of threads.
//!
//! Many disks of one base: open the base once, [keeping](crate::image::Keep) its stream, clone its disk, edit the clones and write each, from as many threads as there are. Clones share the bytes and the stream; to
//! write one costs as much as its edits, and copying the rest. Where all of them have many edits in common, make those
//! first, and let [`settled`] turn the result into the base.

mod joint;
mod piece;
mod segment;

use std::io::{self, Write};
use std::path::Path;

use rayon::prelude::*;

use crate::crc;
use crate::error::{Error, Result};
use crate::image::{DeflateStream, Disk};
use crate::progress::Progress;
use joint::Run;
use piece::{Piece, WINDOW};
use segment::Segment;

/// Pieces compressed at a time, per thread.
const PIECES_PER_THREAD: usize = 8;

/// The level in use. On 100 MB of a system's files level 9 makes the output 4 % smaller than level 6 and takes four times as long.
const DEFAULT_LEVEL: u32 = 6;

/// What `gzip -9n` writes: deflate, no flags, time 0, XFL 2 (slowest), OS 3 (Unix). Readers ignore XFL and OS; they
/// stay fixed so that the header does not tell levels or systems apart.
const HEADER: [u8; 10] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 2, 3];
/// An empty final block with fixed codes: bits 1 (final), 01 (fixed), 0000000 (end of block).
const FINAL_BLOCK: [u8; 2] = [0x03, 0x00];

/// Writes `disk` as one gzip member to `out`, taking over what it can of the [stream](Disk::stream) that it came from.
///
/// # Errors
/// Those of `out`.
pub(crate) fn write_gzip(disk: &Disk, out: &mut (dyn Write + Send), progress: &dyn Progress) -> io::Result<()> {
    write(disk, disk.stream(), DEFAULT_LEVEL, out, progress)
}

/// `disk` as the base of many that have its edits in common: its own gzip member is made and read back, so that
/// nothing of it counts as changed any more.
///
/// # Errors
/// Corrupt when the member does not read back, which would be our mistake; I/O.
#[cfg_attr(not(test), expect(dead_code, reason = "waits for its first user"))]
pub(crate) fn settled(disk: &Disk, progress: &dyn Progress) -> Result<Disk> {
    let mut member = Vec::new();
    let written = write_gzip(disk, &mut member, progress);
    written.map_err(|error| Error::io("compress", Path::new("the image in memory"), error))?;
    Disk::from_gzip(&member)
}

fn write(
    disk: &Disk,
    stream: Option<(&DeflateStream, u64)>,
    level: u32,
    out: &mut (dyn Write + Send),
    progress: &dyn Progress,
) -> io::Result<()> {
    let segments = segment::segments(disk, stream);
    let stream = stream.map(|(stream, _)| stream);
    out.write_all(&HEADER)?;
    let mut member = Member { stream, out, crc: 0, is_complete: false };
    let window = rayon::current_num_threads() * PIECES_PER_THREAD;
    for segments in windows(&segments, window) {
        let pieces: Vec<io::Result<Option<Piece>>> =
            segments.par_iter().map(|segment| piece(disk, segment, level)).collect();
        for (segment, piece) in segments.iter().zip(pieces) {
            progress.advance(member.put(segment, piece?, disk.length())?);
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
fn piece(disk: &Disk, segment: &Segment, level: u32) -> io::Result<Option<Piece>> {
    let Segment::Fresh(range) = segment else {
        return Ok(None);
    };
    let history = range.start.min(WINDOW);
    let count = usize::try_from(history + range.end - range.start).map_err(io::Error::other)?;
    let bytes = disk.read_vec(range.start - history, count).map_err(io::Error::other)?;
    piece::compress(&bytes, usize::try_from(history).map_err(io::Error::other)?, level).map(Some)
}

/// A gzip member in the making.
struct Member<'a> {
    stream: Option<&'a DeflateStream>,
    out: &'a mut (dyn Write + Send),
    /// CRC-32 of what was put in so far.
    crc: u32,
    /// Whether the final block is there.
    is_complete: bool,
}

impl Member<'_> {
    /// Appends a segment of a disk of `length` bytes, with its piece where it needs one; returns its length.
    fn put(&mut self, segment: &Segment, piece: Option<Piece>, length: u64) -> io::Result<u64> {
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
                joint::take_over(&stream.bytes, run, |bytes| self.out.write_all(bytes))?;
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
