//! Listings of directories: runs of up to 256 entries behind a head that names the metadata block of their inodes.

use super::fields::Fields;
use super::inode::Listing;
use super::metadata::{BLOCK, Writer};
use crate::error::{Error, Result};

/// Entries behind one head.
const LONGEST_RUN: usize = 256;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The name.
    pub(super) name: Vec<u8>,
    /// The inode: block in the inode table << 16 | offset in the block.
    pub(super) inode: u64,
    /// The inode's number.
    pub(super) number: u32,
    /// The inode's basic type.
    pub(super) basic: u16,
}

/// The entries of the listing `bytes`, in their order.
///
/// # Errors
/// Corrupt.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Entry>> {
    let mut fields = Fields::new("a directory", bytes);
    let mut entries = Vec::new();
    while !fields.is_empty() {
        let count = u64::from(fields.u32()?) + 1;
        let block = u64::from(fields.u32()?);
        let base = fields.u32()?;
        if count > LONGEST_RUN as u64 {
            return Err(Error::corrupt(format!("squashfs: a directory has {count} entries behind one head, not 256")));
        }
        for _ in 0..count {
            let offset = u64::from(fields.u16()?);
            let number = base.wrapping_add_signed(fields.i16()?.into());
            let basic = fields.u16()?;
            let length = usize::from(fields.u16()?) + 1;
            let name = fields.take(length)?.to_vec();
            if length > 256 || name.contains(&b'/') || name.contains(&0) || name == b"." || name == b".." {
                let shown = String::from_utf8_lossy(&name).into_owned();
                return Err(Error::corrupt(format!("squashfs: a name in a directory is {shown:?}")));
            }
            entries.push(Entry { name, inode: block << 16 | offset, number, basic });
        }
    }
    Ok(entries)
}

/// A run of entries that is being made.
struct Run {
    /// Where its head begins in the listing.
    start: usize,
    block: u64,
    base: u32,
    count: u32,
    entries: Vec<u8>,
}

impl Run {
    fn takes(&self, entry: &Entry, delta: i64, block_of: impl Fn(usize) -> usize) -> bool {
        let here = self.start + 12 + self.entries.len();
        (self.count as usize) < LONGEST_RUN
            && self.block == entry.inode >> 16
            && i16::try_from(delta).is_ok()
            // A new head in every metadata block, so that the index can lead there.
            && block_of(here) == block_of(self.start)
    }
}

/// Writes `entries`, which are in the order of their names, to the directory table.
///
/// # Errors
/// A listing beyond what the format can hold, or the packer fails.
pub(super) fn write(table: &mut Writer<'_>, entries: &[Entry]) -> Result<Listing> {
    let beyond = || Error::unsupported("squashfs: a directory or a table grows beyond what the format can hold");
    let (block, offset) = table.position();
    let mut listing = Listing {
        block: u32::try_from(block).map_err(|_| beyond())?,
        offset: u16::try_from(offset).map_err(|_| beyond())?,
        ..Listing::default()
    };
    let block_of = |position: usize| (offset + position) / BLOCK;
    let mut position = 0;
    let mut indexed = block_of(0);
    let mut run: Option<Run> = None;
    for entry in entries {
        let delta = |run: &Run| i64::from(entry.number) - i64::from(run.base);
        if run.as_ref().is_none_or(|run| !run.takes(entry, delta(run), block_of)) {
            position += put_run(table, run.take())?;
            if block_of(position) != indexed {
                indexed = block_of(position);
                put_index(&mut listing, table, position, &entry.name).ok_or_else(beyond)?;
            }
            let (block, base) = (entry.inode >> 16, entry.number);
            run = Some(Run { start: position, block, base, count: 0, entries: Vec::new() });
        }
        if let Some(run) = &mut run {
            let delta = i16::try_from(delta(run)).map_err(|_| beyond())?;
            put_entry(run, entry, delta).ok_or_else(beyond)?;
        }
    }
    position += put_run(table, run)?;
    listing.length = u32::try_from(position).ok().filter(|length| *length < 1 << 31).ok_or_else(beyond)?;
    Ok(listing)
}

fn put_entry(run: &mut Run, entry: &Entry, delta: i16) -> Option<()> {
    let length = u16::try_from(entry.name.len().checked_sub(1)?).ok()?;
    let offset = u16::try_from(entry.inode & 0xFFFF).ok()?;
    run.count += 1;
    run.entries.extend(offset.to_le_bytes());
    run.entries.extend(delta.to_le_bytes());
    run.entries.extend(entry.basic.to_le_bytes());
    run.entries.extend(length.to_le_bytes());
    run.entries.extend(&entry.name);
    Some(())
}

/// Gives the bytes written.
fn put_run(table: &mut Writer<'_>, run: Option<Run>) -> Result<usize> {
    let Some(run) = run else { return Ok(0) };
    let block =
        u32::try_from(run.block).map_err(|_| Error::unsupported("squashfs: the inode table grows beyond 4 GiB"))?;
    for field in [run.count.saturating_sub(1), block, run.base] {
        table.push(&field.to_le_bytes())?;
    }
    table.push(&run.entries)?;
    Ok(12 + run.entries.len())
}

/// An index entry: the head at `position` of the listing, in the metadata block that is being filled, whose first
/// entry is `name`.
fn put_index(listing: &mut Listing, table: &Writer<'_>, position: usize, name: &[u8]) -> Option<()> {
    // An index that is full only makes lookups slower.
    let Some(count) = listing.index.0.checked_add(1) else { return Some(()) };
    let (block, _) = table.position();
    listing.index.0 = count;
    for field in [position, usize::try_from(block).ok()?, name.len().checked_sub(1)?] {
        listing.index.1.extend(u32::try_from(field).ok()?.to_le_bytes());
    }
    listing.index.1.extend(name);
    Some(())
}
