//! A disk as it is, with holes where it is zero.

use std::io::{self, Seek, SeekFrom, Write};

use crate::image::Disk;
use crate::progress::Progress;

/// Bytes written in one piece.
const BLOCK: usize = 1024 * 1024;

/// Writes `disk` to the empty `out`, skipping blocks of zeroes, and shows every byte to `observe`. The caller sets the
/// length: a hole at the end leaves `out` shorter than the disk.
///
/// # Errors
/// Those of `out`.
pub(crate) fn write_raw<W: Write + Seek>(
    disk: &Disk,
    out: &mut W,
    mut observe: impl FnMut(&[u8]),
    progress: &dyn Progress,
) -> io::Result<()> {
    let mut buffer = vec![0; BLOCK];
    let mut position = 0;
    while position < disk.length() {
        let count = (disk.length() - position).min(BLOCK as u64);
        let block = usize::try_from(count).ok().and_then(|count| buffer.get_mut(..count));
        let block = block.ok_or_else(|| io::Error::other("block size"))?;
        disk.read_at(position, block).map_err(io::Error::other)?;
        observe(block);
        if !disk.is_zero(position, count) {
            out.seek(SeekFrom::Start(position))?;
            out.write_all(block)?;
        }
        position += count;
        progress.advance(count);
    }
    Ok(())
}
