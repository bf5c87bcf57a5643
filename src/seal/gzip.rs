//! A deterministic, parallel gzip writer: one member, no name, time 0.
//!
//! The disk is cut into chunks of a fixed size. Each is compressed by itself, primed with the 32 KiB before it, and
//! ends in an empty stored block, so that the pieces join at byte borders (RFC 1951, 3.2.4; RFC 1952, 2.3). What a
//! chunk becomes depends on nothing but the disk's bytes: the output is the same with any number of threads.

use std::io::{self, Write};

use flate2::{Compress, Compression, FlushCompress};
use rayon::prelude::*;

use crate::image::Disk;
use crate::progress::Progress;

/// Bytes compressed in one piece.
const CHUNK: usize = 256 * 1024;
/// Bytes of history that deflate can refer to.
const WINDOW: usize = 32 * 1024;
/// Chunks in memory at a time, per thread.
const CHUNKS_PER_THREAD: usize = 8;

/// The level in use. On 100 MB of a system's files level 9 makes the output 4 % smaller than level 6 and takes four times as long.
pub(super) const DEFAULT_LEVEL: u32 = 6;

/// What `gzip -9n` writes: deflate, no flags, time 0, XFL 2 (slowest), OS 3 (Unix). Readers ignore XFL and OS; they
/// stay fixed so that the header does not tell levels or systems apart.
const HEADER: [u8; 10] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 2, 3];
/// An empty final block with fixed codes: bits 1 (final), 01 (fixed), 0000000 (end of block).
const FINAL_BLOCK: [u8; 2] = [0x03, 0x00];

/// A compressed piece and the CRC-32 of what it holds.
#[derive(Clone)]
struct Piece {
    bytes: Vec<u8>,
    crc: crc32fast::Hasher,
}

/// Writes `disk` as one gzip member to `out`. `level` is 1 (fast) to 9 (small).
///
/// # Errors
/// Those of `out`; `InvalidInput` for another level.
pub(crate) fn write_gzip(
    disk: &Disk,
    level: u32,
    out: &mut (dyn Write + Send),
    progress: &dyn Progress,
) -> io::Result<()> {
    if !(1..=9).contains(&level) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("compression level {level}, expected 1 to 9")));
    }
    let zero = compress(&[0; CHUNK], 0, level)?;
    let chunks = disk.length().div_ceil(CHUNK as u64);
    let window = (rayon::current_num_threads() * CHUNKS_PER_THREAD) as u64;
    out.write_all(&HEADER)?;
    let mut crc = crc32fast::Hasher::new();
    let mut start = 0;
    while start < chunks {
        let end = chunks.min(start + window);
        let pieces: Vec<io::Result<Option<Piece>>> =
            (start..end).into_par_iter().map(|chunk| piece(disk, chunk, level, progress)).collect();
        for piece in pieces {
            let piece = piece?;
            let piece = piece.as_ref().unwrap_or(&zero);
            crc.combine(&piece.crc);
            out.write_all(&piece.bytes)?;
        }
        start = end;
    }
    out.write_all(&FINAL_BLOCK)?;
    out.write_all(&crc.finalize().to_le_bytes())?;
    // RFC 1952: the length modulo 2^32.
    let [a, b, c, d, ..] = disk.length().to_le_bytes();
    out.write_all(&[a, b, c, d])
}

/// The chunk with the number `chunk`, compressed; `None` for a whole chunk of zeroes.
fn piece(disk: &Disk, chunk: u64, level: u32, progress: &dyn Progress) -> io::Result<Option<Piece>> {
    let start = chunk * CHUNK as u64;
    let length = (disk.length() - start).min(CHUNK as u64);
    let piece = if length == CHUNK as u64 && disk.is_zero(start, length) {
        None
    } else {
        let history = start.min(WINDOW as u64);
        let count = usize::try_from(history + length).map_err(io::Error::other)?;
        let bytes = disk.read_vec(start - history, count).map_err(io::Error::other)?;
        Some(compress(&bytes, usize::try_from(history).map_err(io::Error::other)?, level)?)
    };
    progress.advance(length);
    Ok(piece)
}

/// Compresses `bytes` from `history` on, with what is before as the dictionary, up to a byte border.
fn compress(bytes: &[u8], history: usize, level: u32) -> io::Result<Piece> {
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
    let mut crc = crc32fast::Hasher::new();
    crc.update(content);
    Ok(Piece { bytes: out, crc })
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Command, Stdio};

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;
    use crate::progress::Silent;

    fn gzip(disk: &Disk, level: u32, threads: usize) -> Vec<u8> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut out = Vec::new();
        pool.install(|| write_gzip(disk, level, &mut out, &Silent)).unwrap();
        out
    }

    /// Unpacks one member and asserts that nothing follows it.
    fn unpack(bytes: &[u8]) -> Vec<u8> {
        let mut decoder = GzDecoder::new(bytes);
        let mut all = Vec::new();
        decoder.read_to_end(&mut all).unwrap();
        assert!(decoder.into_inner().is_empty(), "bytes behind the member");
        all
    }

    /// A few chunks with text, noise, zeroes and a ragged end.
    fn mixture() -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..CHUNK as u32 / 5).flat_map(|i| i.to_le_bytes()).collect();
        bytes.resize(4 * CHUNK, 0);
        let mut state = 1u32;
        bytes.extend((0..CHUNK).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        }));
        bytes.extend(b"the end ".repeat(12_345));
        bytes
    }

    /// What `command` prints when `input` is its standard input.
    fn through(command: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new(command[0])
            .args(&command[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} is needed: {error}", command[0]));
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.status.success(), "{command:?}: {}", output.status);
        output.stdout
    }

    #[test]
    fn foreign_programs_unpack_what_was_written() {
        let bytes = mixture();
        let packed = gzip(&Disk::from_bytes(&bytes), DEFAULT_LEVEL, 2);
        let zlib = "import sys,zlib;d=zlib.decompressobj(31);\
            sys.stdout.buffer.write(d.decompress(sys.stdin.buffer.read()));assert d.eof and not d.unused_data";
        let gzip_module = "import sys,gzip;sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))";
        for command in [
            &["gzip", "-dc"][..],
            &["pigz", "-dc"],
            &["busybox", "zcat"],
            &["python3", "-c", zlib],
            &["python3", "-c", gzip_module],
        ] {
            assert!(through(command, &packed) == bytes, "{command:?} unpacked something else");
        }
    }

    #[test]
    fn the_header_names_no_file_and_no_time() {
        let packed = gzip(&Disk::from_bytes(b"x"), 1, 1);
        assert_eq!(packed[..10], [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 2, 3]);
    }

    #[test]
    fn a_disk_of_a_gibibyte_of_zeroes_stays_small_and_whole() {
        let mut builder = crate::image::DiskBuilder::default();
        for _ in 0..1024 {
            builder.push(&vec![0; 1024 * 1024]);
        }
        builder.push(&[1]);
        let packed = gzip(&builder.build(), DEFAULT_LEVEL, 2);
        assert!(packed.len() < 2 * 1024 * 1024, "{} bytes", packed.len());
        let mut decoder = GzDecoder::new(packed.as_slice());
        assert_eq!(io::copy(&mut decoder, &mut io::sink()).unwrap(), (1 << 30) + 1);
    }

    #[test]
    fn a_level_out_of_range_is_refused() {
        let error = write_gzip(&Disk::from_bytes(b"x"), 10, &mut Vec::new(), &Silent).unwrap_err();
        assert_eq!(error.to_string(), "compression level 10, expected 1 to 9");
    }

    #[test]
    fn an_empty_disk_is_an_empty_member() {
        assert_eq!(unpack(&gzip(&Disk::from_bytes(b""), DEFAULT_LEVEL, 1)), b"");
    }

    /// Runs of one byte, counted up, or noise.
    fn content() -> impl Strategy<Value = Vec<u8>> {
        let run = prop_oneof![
            (any::<u8>(), 0..200_000usize).prop_map(|(byte, length)| vec![byte; length]),
            (0..300_000usize).prop_map(|length| vec![0; length]),
            prop::collection::vec(any::<u8>(), 0..20_000),
            (1..250u8, 0..100_000usize)
                .prop_map(|(step, length)| (0..length).map(|i| (i as u8).wrapping_mul(step)).collect()),
        ];
        prop::collection::vec(run, 0..8).prop_map(|runs| runs.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_content_comes_back_and_threads_do_not_matter(bytes in content(), level in 1..10u32) {
            let disk = Disk::from_bytes(&bytes);
            let packed = gzip(&disk, level, 1);
            prop_assert!(unpack(&packed) == bytes);
            prop_assert!(gzip(&disk, level, 2) == packed);
            prop_assert!(gzip(&disk, level, 8) == packed);
        }
    }
}
