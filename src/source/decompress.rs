//! Streams told apart by their first bytes: gzip, xz, zstd, or as they are.

use std::io::{self, BufRead, Read};

use crate::zstd;

/// Memory for one xz dictionary, in KiB: `xz -9` needs 65 MiB, the largest preset-free use in Linux builds 128 MiB.
const XZ_MEMORY_KIB: u32 = 256 << 10;

/// The content of `source`, decompressed if it begins as a compressed stream does. Several members, streams or frames
/// one after another are read as one.
///
/// # Errors
/// Reading failed. Damage shows up later, as an error of the returned reader.
pub(crate) fn decoder<'a>(mut source: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let start = source.fill_buf()?;
    Ok(if start.starts_with(b"\x1f\x8b") {
        Box::new(flate2::bufread::MultiGzDecoder::new(source))
    } else if start.starts_with(b"\xfd7zXZ\0") {
        Box::new(lzma_rust2::XzReader::new_mem_limit(source, true, XZ_MEMORY_KIB))
    } else if zstd::begins(start) {
        Box::new(zstd::Frames::new(source))
    } else {
        Box::new(source)
    })
}
