//! What of a disk is taken over from the stream that its base came from, and what is compressed anew.
//!
//! A block of that stream is good for the new one as long as neither what it unpacks to nor the 32 KiB before, to which
//! it may refer, changed (RFC 1951, 2). Long runs of zeroes in the rest are cut out: they have ready-made blocks.

use std::ops::Range;

use super::piece::{WINDOW, ZERO_UNIT};
use crate::image::{DeflateStream, Disk, PAGE};

/// Most bytes that are compressed in one piece.
const LONGEST_PIECE: u64 = 64 * 1024;
/// Least zeroes that are cut out.
const SHORTEST_ZEROES: u64 = 64 * 1024;
/// Least bytes of the stream that are taken over at a time: joining costs about thirty.
const SHORTEST_KEPT: u64 = 512;

const PAGE_U64: u64 = PAGE as u64;

/// A part of the disk; all parts together are the disk, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// The blocks between two marks of the stream, by the numbers of the marks.
    Kept(Range<usize>),
    /// Zeroes; how many is a multiple of [`ZERO_UNIT`].
    Zeroes(u64),
    /// Bytes to compress, at most [`LONGEST_PIECE`].
    Fresh(Range<u64>),
}

/// The parts of `disk`. Without a stream to take over from, none is [kept](Segment::Kept).
pub(super) fn segments(disk: &Disk, stream: Option<(&DeflateStream, u64)>) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut fresh_from = 0;
    if let Some((stream, common)) = stream {
        for run in kept_runs(disk, stream, common) {
            let (Some(first), Some(last)) = (stream.marks.get(run.start), stream.marks.get(run.end)) else {
                continue;
            };
            cut(disk, fresh_from..first.at, &mut segments);
            fresh_from = last.at;
            segments.push(Segment::Kept(run));
        }
    }
    cut(disk, fresh_from..disk.length(), &mut segments);
    segments
}

/// The runs of blocks that can be taken over, by the numbers of their marks, ascending.
fn kept_runs(disk: &Disk, stream: &DeflateStream, common: u64) -> Vec<Range<usize>> {
    let common = common.min(disk.length());
    let mut changed = disk.changed_pages().into_iter().map(|page| page * PAGE_U64).peekable();
    let mut runs: Vec<Range<usize>> = Vec::new();
    let pairs = stream.marks.iter().zip(stream.marks.iter().skip(1));
    for (number, (start, end)) in pairs.enumerate() {
        let reach = start.at.saturating_sub(WINDOW);
        while changed.next_if(|page| page + PAGE_U64 <= reach).is_some() {}
        let is_good = end.at <= common && changed.peek().is_none_or(|page| *page >= end.at);
        match runs.last_mut().filter(|run| run.end == number) {
            _ if !is_good => {}
            Some(run) => run.end = number + 1,
            None => runs.push(number..number + 1),
        }
    }
    let bit = |mark: usize| stream.marks.get(mark).map_or(0, |mark| mark.bit);
    runs.retain(|run| bit(run.end) - bit(run.start) >= SHORTEST_KEPT * 8);
    runs
}

/// Cuts `range` of the disk into zeroes and pieces to compress.
fn cut(disk: &Disk, range: Range<u64>, segments: &mut Vec<Segment>) {
    let mut fresh_from = range.start;
    let mut page = range.start.div_ceil(PAGE_U64);
    let end = range.end / PAGE_U64;
    while page < end {
        let run = (page..end).take_while(|page| disk.is_zero(page * PAGE_U64, PAGE_U64)).count() as u64;
        let zeroes = run * PAGE_U64 / ZERO_UNIT * ZERO_UNIT;
        if zeroes >= SHORTEST_ZEROES {
            fresh(fresh_from..page * PAGE_U64, segments);
            segments.push(Segment::Zeroes(zeroes));
            fresh_from = page * PAGE_U64 + zeroes;
        }
        page += run.max(1);
    }
    fresh(fresh_from..range.end, segments);
}

fn fresh(range: Range<u64>, segments: &mut Vec<Segment>) {
    let mut start = range.start;
    while start < range.end {
        let end = range.end.min(start + LONGEST_PIECE);
        segments.push(Segment::Fresh(start..end));
        start = end;
    }
}
