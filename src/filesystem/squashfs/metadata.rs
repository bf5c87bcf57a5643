//! Metadata blocks: 8 KiB of a table, packed, behind a u16 with the packed length and, in bit 15, "not packed".

use std::collections::BTreeMap;

use super::compressor::Compressor;
use super::fields::Fields;
use super::packer::Packer;
use crate::error::{Error, Result};
use crate::image::Volume;

/// Bytes in every metadata block of a table but the last.
pub(super) const BLOCK: usize = 8192;
/// Set in a block's head when its bytes are stored as they are.
const PLAIN: u16 = 1 << 15;
/// At most so many bytes of tables are held in memory.
const LARGEST_TABLES: usize = 128 << 20;

/// A metadata block in memory.
struct Block {
    bytes: Vec<u8>,
    next: u64,
}

/// Reads metadata blocks, each once.
pub(super) struct Reader<'a> {
    volume: &'a Volume,
    compressor: &'a Compressor,
    used: u64,
    blocks: BTreeMap<u64, Block>,
    held: usize,
}

impl<'a> Reader<'a> {
    /// A reader of the blocks below byte `used` of `volume`.
    pub(super) fn new(volume: &'a Volume, compressor: &'a Compressor, used: u64) -> Self {
        Self { volume, compressor, used, blocks: BTreeMap::new(), held: 0 }
    }

    /// The volume's bytes from `place` on, below the end of the filesystem.
    ///
    /// # Errors
    /// Corrupt: behind the end.
    pub(super) fn raw(&self, place: u64, length: usize) -> Result<Vec<u8>> {
        if place.checked_add(length as u64).is_none_or(|end| end > self.used) {
            let used = self.used;
            let message = format!("squashfs: {length} bytes at byte {place} reach behind the end at {used}");
            return Err(Error::corrupt(message));
        }
        let mut bytes = vec![0; length];
        self.volume.read_at(place, &mut bytes)?;
        Ok(bytes)
    }

    fn block(&mut self, place: u64) -> Result<&Block> {
        if !self.blocks.contains_key(&place) {
            let block = read_block(self, place)?;
            self.held += block.bytes.len();
            if self.held > LARGEST_TABLES {
                let message = format!("squashfs: tables of more than {LARGEST_TABLES} bytes are not held in memory");
                return Err(Error::unsupported(message));
            }
            self.blocks.insert(place, block);
        }
        self.blocks.get(&place).ok_or_else(|| Error::corrupt("squashfs: a metadata block is missing"))
    }

    /// A stream of the bytes from `offset` of the block at byte `place` on.
    pub(super) fn stream(&mut self, place: u64, offset: usize) -> Stream<'_, 'a> {
        Stream { reader: self, place, offset }
    }

    /// The `length` bytes of a table whose blocks are listed from byte `index` on, and the place of its first block.
    ///
    /// # Errors
    /// Corrupt blocks or lengths.
    pub(super) fn indexed(&mut self, index: u64, length: usize) -> Result<(Vec<u8>, u64)> {
        let count = length.div_ceil(BLOCK);
        let places = self.raw(index, count.saturating_mul(8))?;
        let mut places = Fields::new("the index of a table", &places);
        let mut bytes = Vec::new();
        let mut first = index;
        for number in 0..count {
            let place = places.u64()?;
            if number == 0 {
                first = place;
            }
            let block = self.block(place)?;
            let wanted = BLOCK.min(length - number * BLOCK);
            if block.bytes.len() != wanted {
                let found = block.bytes.len();
                let message = format!("squashfs: a table's block at byte {place} has {found} bytes, not {wanted}");
                return Err(Error::corrupt(message));
            }
            bytes.extend(&block.bytes);
        }
        Ok((bytes, first))
    }
}

fn read_block(reader: &Reader<'_>, place: u64) -> Result<Block> {
    let head = Fields::new("a metadata block", &reader.raw(place, 2)?).u16()?;
    let length = usize::from(head & !PLAIN);
    if length == 0 || length > BLOCK {
        let message = format!("squashfs: a metadata block of {length} bytes at byte {place}, not 1 to {BLOCK}");
        return Err(Error::corrupt(message));
    }
    let bytes = reader.raw(place + 2, length)?;
    let bytes = if head & PLAIN != 0 { bytes } else { reader.compressor.unpack(&bytes, BLOCK)? };
    Ok(Block { bytes, next: place + 2 + length as u64 })
}

/// The unpacked bytes of a table, from one place on.
pub(super) struct Stream<'r, 'a> {
    reader: &'r mut Reader<'a>,
    place: u64,
    offset: usize,
}

impl Stream<'_, '_> {
    /// The next `length` bytes.
    ///
    /// # Errors
    /// Corrupt: the table ends, or a block in it is damaged.
    pub(super) fn take(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut taken = Vec::new();
        loop {
            let wanted = length - taken.len();
            let block = self.reader.block(self.place)?;
            let rest = block.bytes.get(self.offset..).unwrap_or_default();
            let now = rest.get(..wanted.min(rest.len())).unwrap_or_default();
            taken.extend(now);
            self.offset += now.len();
            if taken.len() == length {
                return Ok(taken);
            }
            // Only the last block of a table is short, and an offset is always within its block.
            if block.bytes.len() != BLOCK || self.offset > BLOCK {
                let (place, bytes) = (self.place, block.bytes.len());
                let message = format!("squashfs: a table ends in the metadata block of {bytes} bytes at byte {place}");
                return Err(Error::corrupt(message));
            }
            self.place = block.next;
            self.offset = 0;
        }
    }
}

/// Packs a table, block by block.
pub(super) struct Writer<'a> {
    packer: Packer<'a>,
    plain: bool,
    pending: Vec<u8>,
    packed: Vec<u8>,
}

impl<'a> Writer<'a> {
    /// An empty table, stored as it is when `plain`.
    pub(super) fn new(packer: Packer<'a>, plain: bool) -> Self {
        Self { packer, plain, pending: Vec::new(), packed: Vec::new() }
    }

    /// Where the next byte goes: the place of its block from the table's start on, and its offset in that block.
    pub(super) fn position(&self) -> (u64, usize) {
        (self.packed.len() as u64, self.pending.len())
    }

    /// Adds `bytes`.
    ///
    /// # Errors
    /// The packer fails.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(BLOCK - self.pending.len()));
            self.pending.extend(now);
            rest = later;
            if self.pending.len() == BLOCK {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let packed = if self.plain { None } else { self.packer.pack(&self.pending, false)? };
        let mark = if packed.is_none() { PLAIN } else { 0 };
        let bytes = packed.as_deref().unwrap_or(&self.pending);
        let length =
            u16::try_from(bytes.len()).map_err(|_| Error::corrupt("squashfs: a metadata block is too long"))?;
        self.packed.extend((length | mark).to_le_bytes());
        self.packed.extend(bytes);
        self.pending.clear();
        Ok(())
    }

    /// The packed table.
    ///
    /// # Errors
    /// The packer fails.
    pub(super) fn finish(mut self) -> Result<Vec<u8>> {
        if !self.pending.is_empty() {
            self.flush()?;
        }
        Ok(self.packed)
    }
}

/// A table of `bytes` that begins at byte `place`, with its index behind it: the bytes, and where the index begins.
///
/// # Errors
/// The packer fails.
pub(super) fn indexed(packer: Packer<'_>, plain: bool, bytes: &[u8], place: u64) -> Result<(Vec<u8>, u64)> {
    let mut writer = Writer::new(packer, plain);
    let mut index = Vec::new();
    for block in bytes.chunks(BLOCK) {
        index.extend((place + writer.position().0).to_le_bytes());
        writer.push(block)?;
    }
    let mut table = writer.finish()?;
    let start = place + table.len() as u64;
    table.extend(index);
    Ok((table, start))
}
