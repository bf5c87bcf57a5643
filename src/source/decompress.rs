//! Streams told apart by their first bytes: gzip, xz, zstd, or as they are.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

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
    } else if is_zstd(start) {
        Box::new(ZstdReader { source, frame: FrameDecoder::new(), is_in_frame: false })
    } else {
        Box::new(source)
    })
}

/// A zstd frame (RFC 8878, 3.1.1) or a skippable one (3.1.2).
fn is_zstd(start: &[u8]) -> bool {
    start.starts_with(b"\x28\xb5\x2f\xfd")
        || (start.get(1..4) == Some(b"\x2a\x4d\x18") && start.first().is_some_and(|b| b >> 4 == 5))
}

/// Zstd frames one after another; the decoder itself reads a single one.
struct ZstdReader<R> {
    source: R,
    frame: FrameDecoder,
    is_in_frame: bool,
}

impl<R: BufRead> ZstdReader<R> {
    /// Whether another frame begins.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.frame.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let length = u64::from(length);
                    let skipped = io::copy(&mut self.source.by_ref().take(length), &mut io::sink())?;
                    if skipped != length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error.to_string())),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.is_in_frame && !self.next_frame()? {
                return Ok(0);
            }
            self.is_in_frame = true;
            while self.frame.can_collect() == 0 && !self.frame.is_finished() {
                let step = self.frame.decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1));
                step.map_err(|error| io::Error::other(error.to_string()))?;
            }
            let count = self.frame.read(buffer)?;
            if count != 0 {
                return Ok(count);
            }
            self.is_in_frame = false;
        }
    }
}
