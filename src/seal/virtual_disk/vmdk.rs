//! VMDK, `monolithicSparse`: what `qemu-img convert -O vmdk` makes and OpenWrt publishes. Source: VMware's "Virtual Disk
//! Format 1.1", and QEMU's `block/vmdk.c` for the order of the parts.
//!
//! Sectors of 512 bytes: the header, a text that describes the disk, a grain directory with its grain tables, both once
//! more, and from the next border of a grain on the grains of 64 KiB.

use std::io::{self, Write};

use super::super::form::Subject;
use super::super::stream::Stream;
use super::blocks::{Blocks, count};
use super::identity::Identity;
use super::virtual_length;
use crate::image::SECTOR;

/// Sectors of a grain.
const GRAIN: u64 = 128;
/// Entries of a grain table, 4 bytes each.
const ENTRIES: usize = 512;
/// Sectors of a grain table.
const TABLE: u64 = TABLE_BYTES / SECTOR;
const TABLE_BYTES: u64 = ENTRIES as u64 * 4;
/// Sectors of the description, which follows the header.
const DESCRIPTION: u64 = 20;
/// Where the first grain directory is.
const DIRECTORY_AT: u64 = 1 + DESCRIPTION;
/// Heads and sectors per track of an IDE disk.
const HEADS: u64 = 16;
const SECTORS: u64 = 63;

/// Sectors of the parts, and where they are.
struct Layout {
    /// Of the disk.
    capacity: u64,
    tables: u64,
    /// Of one grain directory.
    directory: u64,
}

impl Layout {
    fn new(blocks: &Blocks<'_>, length: u64) -> Self {
        let tables = blocks.count().div_ceil(ENTRIES as u64);
        Self { capacity: length / SECTOR, tables, directory: (tables * 4).div_ceil(SECTOR) }
    }

    /// The second grain directory, the one that is used.
    fn directory_at(&self) -> u64 {
        DIRECTORY_AT + self.directory + self.tables * TABLE
    }

    fn tables_end(&self) -> u64 {
        self.directory_at() + self.directory + self.tables * TABLE
    }

    fn grains_at(&self) -> u64 {
        self.tables_end().next_multiple_of(GRAIN)
    }
}

/// Writes the disk as a VMDK file.
///
/// # Errors
/// Those of `out`; a disk whose sectors do not fit in 32 bits.
pub(in super::super) fn write_vmdk(subject: &Subject<'_>, out: &mut Stream<'_>) -> io::Result<()> {
    let blocks = Blocks::new(subject, GRAIN * SECTOR);
    let layout = Layout::new(&blocks, virtual_length(subject.disk));
    write_header(&layout, out)?;
    write_description(&layout, subject, out)?;
    for directory_at in [DIRECTORY_AT, layout.directory_at()] {
        write_directory(directory_at, &layout, out)?;
        write_grain_tables(&layout, &blocks, out)?;
    }
    out.zeroes((layout.grains_at() - layout.tables_end()) * SECTOR)?;
    blocks.write_used(out)
}

fn write_header(layout: &Layout, out: &mut Stream<'_>) -> io::Result<()> {
    let mut header = Vec::new();
    header.extend_from_slice(b"KDMV");
    header.extend_from_slice(&1_u32.to_le_bytes()); // 0x04 version
    header.extend_from_slice(&3_u32.to_le_bytes()); // 0x08 flags: newlines can be tested, there are two directories
    header.extend_from_slice(&layout.capacity.to_le_bytes()); // 0x0C
    header.extend_from_slice(&GRAIN.to_le_bytes()); // 0x14 grainSize
    header.extend_from_slice(&1_u64.to_le_bytes()); // 0x1C descriptorOffset
    header.extend_from_slice(&DESCRIPTION.to_le_bytes()); // 0x24 descriptorSize
    header.extend_from_slice(&512_u32.to_le_bytes()); // 0x2C numGTEsPerGT
    header.extend_from_slice(&DIRECTORY_AT.to_le_bytes()); // 0x30 rgdOffset
    header.extend_from_slice(&layout.directory_at().to_le_bytes()); // 0x38 gdOffset
    header.extend_from_slice(&layout.grains_at().to_le_bytes()); // 0x40 overHead
    header.push(0); // 0x48 uncleanShutdown
    header.extend_from_slice(b"\n \r\n"); // 0x49 for a transfer as text to be seen
    header.extend_from_slice(&0_u16.to_le_bytes()); // 0x4D compressAlgorithm
    out.write_all(&header)?;
    out.zeroes(SECTOR - header.len() as u64)
}

/// The text that describes the disk. It names the file itself, as the format asks for.
fn write_description(layout: &Layout, subject: &Subject<'_>, out: &mut Stream<'_>) -> io::Result<()> {
    let capacity = layout.capacity;
    let name = subject.name;
    let is_plain = name.len() <= 255 && name.chars().all(|c| c.is_ascii_graphic() && c != '"' || c == ' ');
    let name = if is_plain { name } else { "disk.vmdk" };
    // All ones stand for "no parent", all ones but the last for "not written yet".
    let content = Identity::of(subject.disk)?.number("VMDK content") & 0x7FFF_FFFF;
    let cylinders = (capacity / (HEADS * SECTORS)).min(65535);
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID={content:08x}\nparentCID=ffffffff\ncreateType=\"monolithicSparse\"\n\n\
         # Extent description\nRW {capacity} SPARSE \"{name}\"\n\n# The Disk Data Base\n#DDB\n\n\
         ddb.virtualHWVersion = \"4\"\nddb.geometry.cylinders = \"{cylinders}\"\nddb.geometry.heads = \"{HEADS}\"\n\
         ddb.geometry.sectors = \"{SECTORS}\"\nddb.adapterType = \"ide\"\nddb.toolsVersion = \"2147483647\"\n"
    );
    out.write_all(text.as_bytes())?;
    out.zeroes(DESCRIPTION * SECTOR - text.len() as u64)
}

/// The directory in sector `at`, whose tables follow it.
fn write_directory(at: u64, layout: &Layout, out: &mut Stream<'_>) -> io::Result<()> {
    for table in 0..layout.tables {
        out.write_all(&sector(at + layout.directory + table * TABLE)?)?;
    }
    out.zeroes(layout.directory * SECTOR - layout.tables * 4)
}

fn write_grain_tables(layout: &Layout, blocks: &Blocks<'_>, out: &mut Stream<'_>) -> io::Result<()> {
    let mut grain = layout.grains_at();
    for chunk in blocks.used().chunks(ENTRIES) {
        if count(chunk) == 0 {
            out.zeroes(TABLE_BYTES)?;
            continue;
        }
        for used in chunk {
            out.write_all(&sector(if *used { grain } else { 0 })?)?;
            grain += if *used { GRAIN } else { 0 };
        }
        out.zeroes(TABLE_BYTES - chunk.len() as u64 * 4)?;
    }
    Ok(())
}

fn sector(number: u64) -> io::Result<[u8; 4]> {
    let number = u32::try_from(number).map_err(|_| io::Error::other("a VMDK file ends at 2 TiB"))?;
    Ok(number.to_le_bytes())
}
