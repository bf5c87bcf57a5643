//! A deflate stream that is kept as it was read, with a map of its blocks: what lets a disk be written again without
//! compressing again what did not change.

/// Least bytes that two neighbouring marks are apart in the unpacked bytes; shorter blocks share a mark, so that the
/// map of a stream of tiny blocks stays smaller than the stream.
pub(super) const SPACING: u64 = 16 * 1024;

/// A border between two deflate blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Where it is in the stream, in bits from its first one. Bit 0 of a byte is its lowest (RFC 1951, 3.1.1).
    pub(crate) bit: u64,
    /// How many bytes the blocks before it unpack to.
    pub(crate) at: u64,
    /// CRC-32 of those bytes.
    pub(crate) crc: u32,
}

/// A deflate stream and its map.
#[derive(Debug)]
pub(crate) struct DeflateStream {
    /// What was read, up to the byte that holds the last bit of the last block.
    pub(super) bytes: Vec<u8>,
    /// Where the first block begins in it, in bytes.
    pub(super) start: usize,
    /// Borders between blocks, ascending: the first at 0, the last behind the final block.
    pub(crate) marks: Vec<Mark>,
    /// Where the final block begins, in bits: the place of its BFINAL (RFC 1951, 3.2.3).
    pub(crate) final_block: u64,
}

impl DeflateStream {
    /// The stream, from its first block to the byte that holds the last bit of its last one.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}
