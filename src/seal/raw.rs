//! A disk as it is, with holes where it is zero.

use std::io::{self, Write};

use super::stream::Stream;
use crate::image::Disk;
use crate::progress::Progress;

/// Bytes written in one piece, and the shortest hole: filesystems store files in pieces no larger than that.
const BLOCK: usize = 64 * 1024;

/// Holes are hashed in pieces of this many bytes, so that the progress does not stand still.
const LONGEST_HOLE: u64 = 16 << 20;

/// Writes `disk` to `out`.
///
/// # Errors
/// Those of `out`.
pub(super) fn write_raw(disk: &Disk, out: &mut Stream<'_>, progress: &dyn Progress) -> io::Result<()> {
    let mut buffer = vec![0; BLOCK];
    let (mut position, mut hole) = (0, 0);
    while position < disk.length() {
        let count = (disk.length() - position).min(BLOCK as u64);
        if disk.is_zero(position, count) {
            hole += count;
            if hole >= LONGEST_HOLE {
                out.zeroes(std::mem::take(&mut hole))?;
            }
        } else {
            out.zeroes(std::mem::take(&mut hole))?;
            let block = usize::try_from(count).ok().and_then(|count| buffer.get_mut(..count));
            let block = block.ok_or_else(|| io::Error::other("block size"))?;
            disk.read_at(position, block).map_err(io::Error::other)?;
            out.write_all(block)?;
        }
        position += count;
        progress.advance(count);
    }
    out.zeroes(hole)
}
