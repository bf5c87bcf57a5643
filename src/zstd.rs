//! Reading zstd data (RFC 8878): frames one after another, checksums held against the content.

use std::io::{self, BufRead, ErrorKind, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, DEFAULT_MAX_WINDOW_SIZE, FrameDecoder};

/// Largest window of a frame that is read, in bytes: that of `zstd --ultra -22` and `zstd --long`.
pub(crate) const LARGEST_WINDOW: u64 = DEFAULT_MAX_WINDOW_SIZE;

/// Whether `start`, the first bytes of a file, begin a zstd frame (RFC 8878, 3.1.1) or a skippable one (3.1.2).
pub(crate) fn begins(start: &[u8]) -> bool {
    start.starts_with(b"\x28\xb5\x2f\xfd")
        || (start.get(1..4) == Some(b"\x2a\x4d\x18") && start.first().is_some_and(|byte| byte >> 4 == 5))
}

/// Zstd frames one after another, as one content; skippable ones are skipped. The decoder itself reads a single one.
pub(crate) struct Frames<R> {
    source: R,
    frame: FrameDecoder,
    is_in_frame: bool,
}

impl<R: BufRead> Frames<R> {
    /// The frames of `source`, which holds nothing else up to its end.
    pub(crate) fn new(source: R) -> Self {
        Self { source, frame: FrameDecoder::new(), is_in_frame: false }
    }

    /// What is read from.
    pub(crate) fn source(&mut self) -> &mut R {
        &mut self.source
    }

    /// Whether another frame begins.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.frame.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let length = u64::from(length);
                    let skipped = io::copy(&mut self.source.by_ref().take(length), &mut io::sink())?;
                    if skipped != length {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(self.broken(error)),
            }
        }
        Ok(false)
    }

    /// Unpacks until some content is there, or the frame is over.
    fn fill(&mut self) -> io::Result<()> {
        while self.frame.can_collect() == 0 && !self.frame.is_finished() {
            let step = self.frame.decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1));
            step.map_err(|error| self.broken(error))?;
        }
        Ok(())
    }

    /// The frame is over, and all of it was read.
    fn check(&self) -> io::Result<()> {
        match (self.frame.get_checksum_from_data(), self.frame.get_calculated_checksum()) {
            (Some(stored), Some(computed)) if stored != computed => Err(io::Error::new(
                ErrorKind::InvalidData,
                format!("the checksum of a frame is {computed:#010x}, the frame says {stored:#010x}"),
            )),
            _ => Ok(()),
        }
    }

    /// The decoder's error: out of memory when a window exceeds the limit, an unexpected end when nothing is left to read.
    fn broken(&mut self, error: FrameDecoderError) -> io::Error {
        let kind = match (&error, self.source.fill_buf()) {
            (FrameDecoderError::WindowSizeTooBig { .. }, _) => ErrorKind::OutOfMemory,
            (_, Err(error)) => return error,
            (_, Ok([])) => ErrorKind::UnexpectedEof,
            (_, Ok(_)) => ErrorKind::InvalidData,
        };
        io::Error::new(kind, error.to_string())
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.is_in_frame && !self.next_frame()? {
                return Ok(0);
            }
            self.is_in_frame = true;
            self.fill()?;
            let count = self.frame.read(buffer)?;
            if count != 0 {
                return Ok(count);
            }
            self.check()?;
            self.is_in_frame = false;
        }
    }
}
