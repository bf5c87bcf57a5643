//! Unpacking a kernel's payload, bounded by the size it states and by a limit.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};

use serde::Serialize;

use super::bytes::u32_at;
use crate::error::{Error, Result};
use crate::xz;

/// Largest kernel accepted, bytes unpacked.
const LARGEST_RESULT: u64 = 512 << 20;
/// Largest window (dictionary) a stream may ask for, bytes: what `xz_wrap.sh` and `zstd -22 --ultra` use.
const LARGEST_WINDOW: u32 = 128 << 20;
/// The same for lzma-rust2, in KiB, with room for its decoder's own tables.
const WINDOW_LIMIT_KIB: u32 = (128 << 10) + 2048;
/// Magic of LZ4's legacy frame, 02 21 4C 18.
const LZ4_MAGIC: u32 = 0x184C_2102;

/// How a kernel's payload is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Compression {
    /// Not at all: an ELF file.
    None,
    /// gzip.
    Gzip,
    /// xz, as a rule with the x86 branch filter and a large dictionary.
    Xz,
    /// Zstandard.
    Zstd,
    /// LZ4's legacy frame, as `lz4 -l` writes it.
    Lz4,
    /// LZMA alone.
    Lzma,
    /// lzop.
    Lzo,
    /// bzip2.
    Bzip2,
    /// None that the kernel's build knows.
    Unknown,
}

impl Compression {
    /// Told by the payload's first bytes (lib/decompress.c `compressed_formats`, with lzop's full magic).
    pub(crate) fn of(payload: &[u8]) -> Self {
        match payload {
            [0x7F, b'E', b'L', b'F', ..] => Self::None,
            [0x1F, 0x8B | 0x9E, ..] => Self::Gzip,
            [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xB5, 0x2F, 0xFD, ..] => Self::Zstd,
            [0x02, 0x21, 0x4C, 0x18, ..] => Self::Lz4,
            [0x5D, 0x00, 0x00, ..] => Self::Lzma,
            [0x89, b'L', b'Z', b'O', ..] => Self::Lzo,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            _ => Self::Unknown,
        }
    }

    /// The format's name, as a person would search for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Xz => "XZ",
            Self::Zstd => "zstd",
            Self::Lz4 => "LZ4",
            Self::Lzma => "LZMA",
            Self::Lzo => "LZO",
            Self::Bzip2 => "bzip2",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Unpacks `payload`, as [`super::KernelImage::payload`] gives it: one compressed stream whose unpacked size stands in the
/// last four bytes (scripts/Makefile.lib `size_append`; gzip's own trailer happens to hold the same).
///
/// The result has exactly that many bytes. Memory: the result, a window of at most [`LARGEST_WINDOW`] bytes, little else.
///
/// # Errors
/// Unsupported for LZO, bzip2 and unknown formats, for windows and results beyond the limits; corrupt when the stream is
/// broken or does not unpack to the size stated.
pub(crate) fn decompress(payload: &[u8]) -> Result<Cow<'_, [u8]>> {
    let compression = Compression::of(payload);
    if compression == Compression::None {
        return Ok(Cow::Borrowed(payload));
    }
    if matches!(compression, Compression::Lzo | Compression::Bzip2 | Compression::Unknown) {
        return Err(not_handled(compression, payload));
    }
    let size = stated_size(payload)?;
    let mut unpacked = Unpacked::new(size, payload.len());
    let outcome = match compression {
        Compression::Gzip => unpacked.fill(flate2::bufread::GzDecoder::new(payload)),
        Compression::Xz => unpacked.fill_from_xz(payload),
        Compression::Zstd => {
            ruzstd::decoding::StreamingDecoder::new_with_max_window_size(payload, LARGEST_WINDOW.into())
                .map_err(zstd_error)
                .and_then(|decoder| unpacked.fill(decoder))
        }
        Compression::Lz4 => unpack_lz4(payload, &mut unpacked),
        Compression::Lzma => lzma_rust2::LzmaReader::new_mem_limit(payload, WINDOW_LIMIT_KIB, None)
            .and_then(|reader| unpacked.fill(reader)),
        Compression::None | Compression::Lzo | Compression::Bzip2 | Compression::Unknown => Ok(()),
    };
    outcome.map_err(|error| broken(compression, &error, unpacked.bytes.len()))?;
    if unpacked.bytes.len() as u64 != size {
        let relation = if unpacked.bytes.len() as u64 > size { "more than" } else { "only" };
        let length = if unpacked.bytes.len() as u64 > size { size } else { unpacked.bytes.len() as u64 };
        return Err(Error::corrupt(format!(
            "the {compression} payload unpacks to {relation} {length} bytes; its last four bytes state {size}"
        )));
    }
    Ok(Cow::Owned(unpacked.bytes))
}

/// The unpacked size that the payload's last four bytes state, within [`LARGEST_RESULT`].
fn stated_size(payload: &[u8]) -> Result<u64> {
    let size = (payload.len() as u64).checked_sub(4).and_then(|offset| u32_at(payload, offset));
    let size = u64::from(size.ok_or_else(|| Error::corrupt(format!("the payload has only {} bytes", payload.len())))?);
    if size > LARGEST_RESULT {
        return Err(Error::unsupported(format!(
            "the payload states an unpacked size of {size} bytes; kernels above {LARGEST_RESULT} bytes are not handled"
        )));
    }
    Ok(size)
}

/// What has been unpacked so far, never more than one byte beyond the size stated.
struct Unpacked {
    bytes: Vec<u8>,
    size: u64,
}

impl Unpacked {
    /// Reserves by what the payload can plausibly hold, not by what it states.
    fn new(size: u64, payload: usize) -> Self {
        let plausible = (payload as u64).saturating_mul(8).min(size);
        Self { bytes: Vec::with_capacity(usize::try_from(plausible).unwrap_or(0)), size }
    }

    /// Reads `reader` to its end, or to one byte beyond the size stated.
    fn fill(&mut self, reader: impl Read) -> io::Result<()> {
        reader.take(self.size.saturating_add(1)).read_to_end(&mut self.bytes).map(|_| ())
    }

    /// Unpacks an xz stream: in one go as a rule.
    fn fill_from_xz(&mut self, payload: &[u8]) -> io::Result<()> {
        let longest = usize::try_from(self.size).unwrap_or(usize::MAX);
        match xz::unpack(payload, self.bytes.capacity(), longest, LARGEST_WINDOW) {
            Some(bytes) => self.bytes = bytes,
            None => self.fill(lzma_rust2::XzReader::new_mem_limit(payload, false, WINDOW_LIMIT_KIB))?,
        }
        Ok(())
    }
}

/// LZ4's legacy frame: the magic, then blocks, each behind its packed size (u32) and of at most 8 MiB unpacked; the
/// payload's last four bytes are not part of it (lib/decompress_unlz4.c).
fn unpack_lz4(payload: &[u8], unpacked: &mut Unpacked) -> io::Result<()> {
    const BLOCK: usize = 8 << 20;
    let end = payload.len().saturating_sub(4);
    let mut rest = payload.get(4..end).unwrap_or_default();
    let mut block = vec![0; BLOCK.min(usize::try_from(unpacked.size).unwrap_or(BLOCK))];
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        let packed = u32::from_le_bytes(*head);
        // Concatenated frames repeat the magic.
        if packed == LZ4_MAGIC {
            rest = tail;
            continue;
        }
        let length = usize::try_from(packed).unwrap_or(usize::MAX);
        let Some((packed, tail)) = tail.split_at_checked(length) else {
            let left = tail.len();
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("a block of {packed} bytes has only {left}"),
            ));
        };
        let length = lz4_flex::block::decompress_into(packed, &mut block)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        unpacked.bytes.extend_from_slice(block.get(..length).unwrap_or_default());
        if unpacked.bytes.len() as u64 > unpacked.size {
            break;
        }
        rest = tail;
    }
    Ok(())
}

/// A zstd frame that cannot even be begun.
fn zstd_error(error: ruzstd::decoding::errors::FrameDecoderError) -> io::Error {
    use ruzstd::decoding::errors::FrameDecoderError;
    let kind = match error {
        FrameDecoderError::WindowSizeTooBig { .. } => io::ErrorKind::OutOfMemory,
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error)
}

/// The decoders say `OutOfMemory` when a window exceeds the limit given to them.
fn broken(compression: Compression, error: &io::Error, unpacked: usize) -> Error {
    if error.kind() == io::ErrorKind::OutOfMemory {
        let limit = LARGEST_WINDOW >> 20;
        return Error::unsupported(format!(
            "the {compression} payload needs a window of more than {limit} MiB: {error}"
        ));
    }
    Error::corrupt(format!("the {compression} payload breaks after {unpacked} unpacked bytes: {error}"))
}

/// Formats that are named but not unpacked.
fn not_handled(compression: Compression, payload: &[u8]) -> Error {
    let error = match compression {
        Compression::Unknown => {
            let start: Vec<String> = payload.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
            Error::unsupported(format!("the kernel's payload starts with {}, no compression known", start.join(" ")))
        }
        _ => Error::unsupported(format!("the kernel is compressed with {compression}, which is not unpacked here")),
    };
    error.remedy(
        "build the kernel with KERNEL_XZ, KERNEL_GZIP, KERNEL_ZSTD, KERNEL_LZ4 or KERNEL_LZMA, or give its vmlinux",
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind;

    /// Some text that packs, with long-distance repetitions.
    fn sample() -> Vec<u8> {
        let mut bytes = b"\x7fELF".to_vec();
        for number in 0..60_000_u32 {
            bytes.extend_from_slice(format!("symbol_{} ", number % 4093).as_bytes());
        }
        bytes
    }

    /// `input` through a foreign packer.
    fn through(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} is needed by this test: {error}"));
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let feeder = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap().unwrap();
        assert!(output.status.success(), "{program} failed");
        output.stdout
    }

    /// As the kernel's build does: packed, with the size behind.
    fn payload(program: &str, arguments: &[&str], size: u32) -> Vec<u8> {
        let mut packed = through(program, arguments, &sample());
        packed.extend_from_slice(&size.to_le_bytes());
        packed
    }

    fn sample_size() -> u32 {
        u32::try_from(sample().len()).unwrap()
    }

    const XZ: (&str, &[&str]) = ("xz", &["--check=crc32", "--x86", "--lzma2=preset=9,dict=128MiB"]);

    #[test]
    fn each_packer_of_the_kernels_build_is_undone() {
        let packers: [(&str, &[&str], Compression); 5] = [
            (XZ.0, XZ.1, Compression::Xz),
            ("xz", &["--format=lzma", "-9"], Compression::Lzma),
            ("zstd", &["-22", "--ultra", "-c"], Compression::Zstd),
            ("lz4", &["-l", "-9", "-", "-"], Compression::Lz4),
            ("gzip", &["-n", "-9"], Compression::Gzip),
        ];
        for (program, arguments, compression) in packers {
            let packed = payload(program, arguments, sample_size());
            assert_eq!(Compression::of(&packed), compression);
            assert!(decompress(&packed).unwrap() == sample(), "{compression}");
        }
        // gzip's own last four bytes are the size, nothing is added.
        let gzip = through("gzip", &["-n", "-9"], &sample());
        assert!(decompress(&gzip).unwrap() == sample());
    }

    #[test]
    fn an_uncompressed_kernel_is_handed_through() {
        assert!(matches!(decompress(b"\x7fELF").unwrap(), Cow::Borrowed(b"\x7fELF")));
    }

    #[test]
    fn a_stream_longer_than_stated_stops_at_the_stated_size() {
        let error = decompress(&payload(XZ.0, XZ.1, sample_size() - 5)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let expected = sample_size() - 5;
        assert!(error.message().contains(&format!("unpacks to more than {expected} bytes")), "{error}");
    }

    #[test]
    fn a_stream_shorter_than_stated_is_corrupt() {
        let error = decompress(&payload("lz4", &["-l", "-", "-"], sample_size() + 5)).unwrap_err();
        assert!(error.message().contains(&format!("unpacks to only {} bytes", sample_size())), "{error}");
    }

    #[test]
    fn a_stated_size_beyond_the_limit_is_refused_before_unpacking() {
        let error = decompress(&payload(XZ.0, XZ.1, u32::MAX)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("4294967295 bytes"), "{error}");
    }

    #[test]
    fn a_window_beyond_the_limit_is_unsupported() {
        let packed = payload("xz", &["--lzma2=preset=0,dict=512MiB"], sample_size());
        let error = decompress(&packed).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("more than 128 MiB"), "{error}");
    }

    #[test]
    fn a_damaged_stream_says_where_it_breaks() {
        let mut packed = payload(XZ.0, XZ.1, sample_size());
        let middle = packed.len() / 2;
        packed[middle] ^= 0x55;
        let error = decompress(&packed).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.message().starts_with("the XZ payload breaks after "), "{error}");
    }

    #[test]
    fn formats_without_a_decoder_are_named() {
        let lzo = decompress(b"\x89LZO\0\r\n\x1a\nxxxx").unwrap_err();
        assert_eq!(lzo.kind(), ErrorKind::Unsupported);
        assert!(lzo.message().contains("compressed with LZO"), "{lzo}");
        let bzip2 = decompress(b"BZh91AY\x10\0\0\0").unwrap_err();
        assert!(bzip2.message().contains("compressed with bzip2"), "{bzip2}");
        let unknown = decompress(b"\x01\x02\x03\x04\0\0\0\0").unwrap_err();
        assert!(unknown.message().contains("starts with 01 02 03 04 00 00,"), "{unknown}");
        assert!(unknown.remedy_text().unwrap().contains("KERNEL_XZ"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn damaged_streams_never_panic_and_never_outgrow_the_stated_size(
            which in 0..5_usize, places in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..12), cut in any::<u8>()
        ) {
            static PACKED: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
            let packed = PACKED.get_or_init(|| {
                [
                    ("xz", &["--check=crc32", "--x86", "--lzma2=preset=6,dict=1MiB"][..]),
                    ("xz", &["--format=lzma", "-6"]),
                    ("zstd", &["-19", "-c"]),
                    ("lz4", &["-l", "-", "-"]),
                    ("gzip", &["-n"]),
                ]
                .map(|(program, arguments)| payload(program, arguments, sample_size()))
                .to_vec()
            });
            let mut bytes = packed[which].clone();
            let length = bytes.len() - 4;
            for (place, value) in places {
                // Half of the damage goes into the headers.
                let place = if place % 2 == 0 { usize::from(place) % 64 } else { usize::from(place) % length };
                bytes[place.max(4)] = value;
            }
            if cut < 64 {
                bytes.drain(length * usize::from(cut) / 64..length);
            }
            if let Ok(unpacked) = decompress(&bytes) {
                prop_assert_eq!(unpacked.len(), sample().len());
            }
        }
    }
}
