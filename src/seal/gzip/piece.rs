//! Pieces of a deflate stream that begin and end at a byte border, so that they can be put one behind the other.

use std::io;
use std::sync::OnceLock;

use flate2::{Compress, Compression, FlushCompress};

/// Bytes of history that deflate can refer to (RFC 1951, 2).
pub(super) const WINDOW: u64 = 32 * 1024;
/// Ready-made runs of zeroes come in multiples of this.
pub(super) const ZERO_UNIT: u64 = 4096;
/// The longest ready-made run is this many times twice the shortest: 1 MiB.
const ZERO_DOUBLINGS: usize = 8;

/// A compressed piece and the CRC-32 of what it holds.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    pub(super) crc: u32,
}

/// Compresses `bytes` from `history` on, with what is before as the dictionary. An empty stored block at the end leads
/// to a byte border (RFC 1951, 3.2.4).
pub(super) fn compress(bytes: &[u8], history: usize, level: u32) -> io::Result<Piece> {
    let (history, content) = bytes.split_at(history.min(bytes.len()));
    let mut deflate = Compress::new(Compression::new(level), false);
    // A history of zeroes helps nobody, and leaves the cost of priming.
    if history.iter().any(|byte| *byte != 0) {
        deflate.set_dictionary(history).map_err(io::Error::other)?;
    }
    let mut out = Vec::with_capacity(content.len() / 2 + 1024);
    loop {
        let done = usize::try_from(deflate.total_in()).map_err(io::Error::other)?;
        let rest = content.get(done..).unwrap_or_default();
        deflate.compress_vec(rest, &mut out, FlushCompress::Sync).map_err(io::Error::other)?;
        // A flush is complete when it leaves room in the output (zlib.h, deflate).
        if out.len() < out.capacity() && deflate.total_in() == content.len() as u64 {
            break;
        }
        out.reserve(content.len() / 2 + 1024);
    }
    Ok(Piece { bytes: out, crc: crc32fast::hash(content) })
}

/// Calls `each` with the pieces that stand for `count` zeroes, a multiple of [`ZERO_UNIT`]. They refer to nothing before
/// them.
pub(super) fn zeroes(count: u64, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut left = count;
    for doublings in (0..=ZERO_DOUBLINGS).rev() {
        let length = ZERO_UNIT << doublings;
        while left >= length {
            each(zero_piece(doublings)?)?;
            left -= length;
        }
    }
    Ok(())
}

/// The piece that stands for [`ZERO_UNIT`] zeroes, doubled `doublings` times. Each is compressed once in a process.
fn zero_piece(doublings: usize) -> io::Result<&'static [u8]> {
    static PIECES: [OnceLock<Vec<u8>>; ZERO_DOUBLINGS + 1] = [const { OnceLock::new() }; ZERO_DOUBLINGS + 1];
    let piece = PIECES.get(doublings).ok_or_else(|| io::Error::other("no run of zeroes is that long"))?;
    if let Some(piece) = piece.get() {
        return Ok(piece);
    }
    let length = usize::try_from(ZERO_UNIT << doublings).map_err(io::Error::other)?;
    // The level is a constant, so that all processes make the same.
    let made = compress(&vec![0; length], 0, super::DEFAULT_LEVEL)?.bytes;
    Ok(piece.get_or_init(|| made))
}
