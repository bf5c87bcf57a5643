//! Reading an image out of zstd frames, with the numbers that a person needs when they are broken.

use std::io::{self, BufRead, ErrorKind, Read};

use super::disk::{Disk, DiskBuilder};
use super::input::Input;
use crate::error::{Error, Result};
use crate::zstd::{Frames, LARGEST_WINDOW};

/// Bytes unpacked in one step.
const STEP: usize = 128 * 1024;

/// Unpacks the zstd frames that fill the input from its position to its end.
///
/// # Errors
/// Corrupt when a frame is cut, broken or followed by something else, or its checksum wrong; unsupported when a frame needs
/// a window of more than 128 MiB, or above the limits of which `grown` knows, which is called whenever the disk grew; I/O.
pub(super) fn unpack(input: &mut Input<'_>, mut grown: impl FnMut(&DiskBuilder) -> Result<()>) -> Result<Disk> {
    let mut frames = Frames::new(Source { input, failed: None });
    let mut builder = DiskBuilder::default();
    let mut buffer = vec![0; STEP];
    loop {
        match frames.read(&mut buffer) {
            Ok(0) => return Ok(builder.build()),
            Ok(count) => builder.push(buffer.get(..count).unwrap_or_default()),
            Err(error) => return Err(frames.source().cause(&error, builder.length())),
        }
        grown(&builder)?;
    }
}

/// The input as the decoder reads it.
struct Source<'a, 'b> {
    input: &'a mut Input<'b>,
    /// Why the input could not be read on.
    failed: Option<Error>,
}

impl Source<'_, '_> {
    /// What the decoder's `error` is, after `unpacked` bytes.
    fn cause(&mut self, error: &io::Error, unpacked: u64) -> Error {
        if let Some(failed) = self.failed.take() {
            return failed;
        }
        let at = self.input.position();
        match error.kind() {
            ErrorKind::OutOfMemory => {
                let limit = LARGEST_WINDOW >> 20;
                Error::unsupported(format!("the zstd data needs a window of more than {limit} MiB: {error}"))
                    .remedy("pack it again: zstd -dc --long=31 FILE | zstd -19 > SMALLER.img.zst")
            }
            ErrorKind::UnexpectedEof => {
                Error::corrupt(format!("the zstd data ends too early, at byte {at}; {unpacked} bytes were unpacked"))
                    .remedy("the file was cut: download or build it again")
            }
            _ => Error::corrupt(format!(
                "the zstd data is broken before byte {at}, after {unpacked} unpacked bytes: {error}"
            ))
            .remedy("the file is damaged: download or build it again"),
        }
    }
}

impl Read for Source<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Source<'_, '_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.input.peek() {
            Ok(bytes) => Ok(bytes),
            Err(error) => {
                let told = io::Error::other(error.to_string());
                self.failed = Some(error);
                Err(told)
            }
        }
    }

    fn consume(&mut self, count: usize) {
        self.input.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::super::input::with_digest;
    use super::*;
    use crate::error::ErrorKind as Kind;
    use crate::progress::Silent;

    fn content() -> Vec<u8> {
        (0..300_000_u32).flat_map(|number| (number / 7 % 8191).to_le_bytes()).collect()
    }

    /// `content` in frames of 400,000 bytes.
    fn frames(content: &[u8]) -> Vec<u8> {
        content.chunks(400_000).flat_map(|part| compress_to_vec(part, CompressionLevel::Fastest)).collect()
    }

    fn unpacked(mut bytes: &[u8]) -> Result<Vec<u8>> {
        let name = Path::new("router.img.zst");
        let (disk, _) = with_digest(&mut bytes, name, None, &Silent, |input| unpack(input, |_| Ok(())))?;
        disk.read_vec(0, usize::try_from(disk.length()).unwrap())
    }

    /// The error of `bytes`, which is corrupt.
    fn refusal(bytes: &[u8]) -> String {
        let error = unpacked(bytes).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        error.message().to_owned()
    }

    #[test]
    fn frames_are_read_one_after_another_and_skippable_ones_are_skipped() {
        let skippable = b"\x5a\x2a\x4d\x18\x03\x00\x00\x00abc";
        let (first, second) = (frames(&content()), frames(b"end"));
        let bytes = [&skippable[..], &first, skippable, &second, skippable].concat();
        assert!(unpacked(&bytes).unwrap() == [&content()[..], b"end"].concat());
    }

    #[test]
    fn a_cut_a_wrong_checksum_and_bytes_behind_are_told_with_their_place() {
        let bytes = frames(&content());
        let half = &bytes[..bytes.len() / 2];
        let expected = format!("the zstd data ends too early, at byte {}; ", half.len());
        assert!(refusal(half).starts_with(&expected), "{}", refusal(half));
        let mut flipped = bytes.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let expected = format!(
            "the zstd data is broken before byte {}, after 1200000 unpacked bytes: the checksum of ",
            bytes.len()
        );
        assert!(refusal(&flipped).starts_with(&expected), "{}", refusal(&flipped));
        let longer = [&bytes[..], b"something else"].concat();
        assert!(refusal(&longer).contains("after 1200000 unpacked bytes"), "{}", refusal(&longer));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn damaged_frames_never_panic_and_never_unpack_to_something_else(
            place in any::<prop::sample::Index>(), flip in 1..=255_u8, cut in prop::option::of(any::<prop::sample::Index>())
        ) {
            let mut bytes = frames(&content());
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            // Cut between two frames it is sound, and shorter.
            if let Ok(unpacked) = unpacked(&bytes) {
                prop_assert!(unpacked == content() || unpacked.len() < content().len());
            }
        }
    }
}
