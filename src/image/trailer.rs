//! fwtool trailers: chunks appended behind an image, parsed from the end of the file backwards.
//!
//! A chunk is its payload and 16 bytes: magic `FWx0`, CRC-32 (big-endian, without the final inversion) over every byte
//! of the file up to these 16, type, three zero bytes, payload length + 16 (big-endian). Source: fwtool `fwimage.h`,
//! `fwtool.c`.

use serde::Serialize;

use super::Disk;
use crate::error::Result;

const MAGIC: [u8; 4] = *b"FWx0";
/// What follows a chunk's payload, bytes.
pub(super) const CHUNK_END: u64 = 16;
/// Longest chunk that is taken for one; fwtool itself stops at 32 KiB.
const LONGEST: u64 = 1024 * 1024;
/// Longest payload that fwtool takes for a signature, bytes.
pub(crate) const LONGEST_SIGNATURE: usize = 1024;
/// Most chunks that are looked for.
const MOST: usize = 64;

/// What a trailer chunk carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TrailerKind {
    /// A ucert chain, or the `# fake certificate` of official builds.
    Signature,
    /// JSON metadata.
    Info,
    /// Another type number.
    Other(u8),
}

impl TrailerKind {
    const fn number(self) -> u8 {
        match self {
            Self::Signature => 0,
            Self::Info => 1,
            Self::Other(other) => other,
        }
    }
}

/// The 16 bytes that end a chunk. `crc` has taken in the whole file up to them, the chunk's payload included.
pub(crate) fn chunk_end(kind: TrailerKind, payload_length: u32, crc: crc32fast::Hasher) -> [u8; 16] {
    let [m0, m1, m2, m3] = MAGIC;
    let [c0, c1, c2, c3] = (!crc.finalize()).to_be_bytes();
    let [s0, s1, s2, s3] = payload_length.saturating_add(16).to_be_bytes();
    [m0, m1, m2, m3, c0, c1, c2, c3, kind.number(), 0, 0, 0, s0, s1, s2, s3]
}

/// One fwtool chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Trailer {
    /// What it carries.
    pub(crate) kind: TrailerKind,
    /// Payload length in bytes.
    pub(crate) payload_length: u64,
    /// Whether its CRC matches the file up to it.
    pub(crate) crc_matches: bool,
}

/// A chunk and where its payload begins.
#[derive(Debug)]
pub(super) struct Chunk {
    /// First byte of the payload, counted in the bytes that were searched.
    pub(super) start: u64,
    pub(super) trailer: Trailer,
}

struct Found {
    start: u64,
    end: u64,
    kind: TrailerKind,
    crc: u32,
}

/// The chunks at the end of `bytes`, first one first. `before` is the CRC-32 of what precedes `bytes` in the file.
///
/// # Errors
/// None in practice: all ranges lie within `bytes`.
pub(super) fn find(bytes: &Disk, before: crc32fast::Hasher) -> Result<Vec<Chunk>> {
    let mut found = Vec::new();
    let mut end = bytes.length();
    while found.len() < MOST
        && let Some(chunk) = ending_at(bytes, end)?
    {
        end = chunk.start;
        found.push(chunk);
    }
    found.reverse();
    let mut crc = before;
    let mut position = 0;
    let mut chunks = Vec::new();
    for Found { start, end, kind, crc: stored } in found {
        hash(bytes, position, end - CHUNK_END, &mut crc)?;
        position = end - CHUNK_END;
        let crc_matches = !crc.clone().finalize() == stored;
        let payload_length = position - start;
        chunks.push(Chunk { start, trailer: Trailer { kind, payload_length, crc_matches } });
    }
    Ok(chunks)
}

fn ending_at(bytes: &Disk, end: u64) -> Result<Option<Found>> {
    let Some(at) = end.checked_sub(CHUNK_END) else {
        return Ok(None);
    };
    let mut raw = [0; 16];
    bytes.read_at(at, &mut raw)?;
    let [m0, m1, m2, m3, c0, c1, c2, c3, kind, _, _, _, s0, s1, s2, s3] = raw;
    let size = u64::from(u32::from_be_bytes([s0, s1, s2, s3]));
    if [m0, m1, m2, m3] != MAGIC || !(CHUNK_END..=LONGEST).contains(&size) {
        return Ok(None);
    }
    let kind = match kind {
        0 => TrailerKind::Signature,
        1 => TrailerKind::Info,
        other => TrailerKind::Other(other),
    };
    let crc = u32::from_be_bytes([c0, c1, c2, c3]);
    Ok(end.checked_sub(size).map(|start| Found { start, end, kind, crc }))
}

/// Adds the bytes from `start` to `end` to `crc`.
fn hash(bytes: &Disk, start: u64, end: u64, crc: &mut crc32fast::Hasher) -> Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    let mut position = start;
    while position < end {
        let count = usize::try_from(end - position).unwrap_or(usize::MAX).min(buffer.len());
        let Some(now) = buffer.get_mut(..count) else { break };
        bytes.read_at(position, now)?;
        crc.update(now);
        position += count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `payload` as a chunk behind `file`.
    fn chunk(file: &[u8], payload: &[u8], kind: TrailerKind) -> Vec<u8> {
        let mut bytes = [file, payload].concat();
        let mut crc = crc32fast::Hasher::new();
        crc.update(&bytes);
        bytes.extend_from_slice(&chunk_end(kind, payload.len() as u32, crc));
        bytes
    }

    fn found(bytes: &[u8]) -> Vec<Chunk> {
        find(&Disk::from_bytes(bytes), crc32fast::Hasher::new()).unwrap()
    }

    #[test]
    fn the_chunk_that_fwtool_itself_wrote_is_valid() {
        // Written by fwtool: `fwtool -S <(printf '# fake certificate')` on a file holding `hello-image-bytes`.
        let mut bytes = b"hello-image-bytes# fake certificate".to_vec();
        bytes.extend_from_slice(&[0x46, 0x57, 0x78, 0x30, 0x32, 0xFC, 0xAF, 0x3C, 0, 0, 0, 0, 0, 0, 0, 0x22]);
        assert_eq!(chunk(b"hello-image-bytes", b"# fake certificate", TrailerKind::Signature), bytes);
        let chunks = found(&bytes);
        assert_eq!(chunks.len(), 1);
        assert_eq!(chunks[0].start, 17);
        let expected = Trailer { kind: TrailerKind::Signature, payload_length: 18, crc_matches: true };
        assert_eq!(chunks[0].trailer, expected);
    }

    #[test]
    fn stacked_chunks_come_first_one_first() {
        let bytes = chunk(&chunk(b"image", b"{}", TrailerKind::Info), b"cert", TrailerKind::Signature);
        let chunks = found(&bytes);
        let kinds: Vec<_> = chunks.iter().map(|chunk| (chunk.start, chunk.trailer.kind)).collect();
        assert_eq!(kinds, [(5, TrailerKind::Info), (23, TrailerKind::Signature)]);
        assert!(chunks.iter().all(|chunk| chunk.trailer.crc_matches));
    }

    #[test]
    fn a_flipped_bit_in_front_of_a_chunk_unmatches_its_crc_only() {
        let mut bytes = chunk(b"image", b"cert", TrailerKind::Signature);
        bytes[2] ^= 1;
        let chunks = found(&bytes);
        assert_eq!(chunks[0].start, 5);
        assert!(!chunks[0].trailer.crc_matches);
    }

    #[test]
    fn a_size_field_that_reaches_before_the_file_or_below_the_trailer_is_no_chunk() {
        for size in [0u32, 15, 40, u32::MAX] {
            let mut bytes = chunk(b"image", b"cert", TrailerKind::Signature);
            let end = bytes.len();
            bytes[end - 4..].copy_from_slice(&size.to_be_bytes());
            assert!(found(&bytes).is_empty(), "size {size}");
        }
        assert!(found(b"short").is_empty());
    }
}
