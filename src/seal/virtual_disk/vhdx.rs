//! VHDX, version 1, of dynamic size: what Hyper-V makes. Source: Microsoft's \[MS-VHDX\].
//!
//! One MiB with the identifier, two headers and two region tables; an empty log; the metadata; the block allocation
//! table; the blocks of 1 MiB, the size that Microsoft advises for Linux. All parts begin at a whole MiB.

use std::io::{self, Write};

use super::super::form::Subject;
use super::super::stream::Stream;
use super::blocks::Blocks;
use super::identity::Identity;
use super::virtual_length;
use crate::image::SECTOR;

const MIB: u64 = 1 << 20;
/// Bytes of the identifier, of each header with what is reserved behind it, and of each region table.
const PART: usize = 64 * 1024;
/// Bytes of a header.
const HEADER: usize = 4096;
const BLOCK: u32 = 1 << 20;
const LOG_AT: u64 = MIB;
const METADATA_AT: u64 = 2 * MIB;
const TABLE_AT: u64 = 3 * MIB;
/// Blocks that one sector bitmap would cover (2.5): their entries are followed by one of that bitmap, which only
/// differencing disks have.
const CHUNK: usize = (1 << 23) * 512 / BLOCK as usize;
/// States of a block (2.5.1.1).
const ZERO: u64 = 2;
const PRESENT: u64 = 6;
/// Where the items begin within the metadata.
const ITEMS_AT: u32 = 64 * 1024;

/// GUIDs as they are stored.
type Guid = [u8; 16];
/// 2DC27766-F623-4200-9D64-115E9BFD4A08 (2.2.3.2).
const TABLE_REGION: Guid = *b"\x66\x77\xC2\x2D\x23\xF6\x00\x42\x9D\x64\x11\x5E\x9B\xFD\x4A\x08";
/// 8B7CA206-4790-4B9A-B8FE-575F050F886E (2.2.3.2).
const METADATA_REGION: Guid = *b"\x06\xA2\x7C\x8B\x90\x47\x9A\x4B\xB8\xFE\x57\x5F\x05\x0F\x88\x6E";
/// CAA16737-FA36-4D43-B3B6-33F0AA44E76B (2.6.2.1).
const FILE_PARAMETERS: Guid = *b"\x37\x67\xA1\xCA\x36\xFA\x43\x4D\xB3\xB6\x33\xF0\xAA\x44\xE7\x6B";
/// 2FA54224-CD1B-4876-B211-5DBED83BF4B8 (2.6.2.2).
const DISK_SIZE: Guid = *b"\x24\x42\xA5\x2F\x1B\xCD\x76\x48\xB2\x11\x5D\xBE\xD8\x3B\xF4\xB8";
/// BECA12AB-B2E6-4523-93EF-C309E000C746 (2.6.2.3).
const DISK_ID: Guid = *b"\xAB\x12\xCA\xBE\xE6\xB2\x23\x45\x93\xEF\xC3\x09\xE0\x00\xC7\x46";
/// 8141BF1D-A96F-4709-BA47-F233A8FAAB5F (2.6.2.4).
const LOGICAL_SECTOR: Guid = *b"\x1D\xBF\x41\x81\x6F\xA9\x09\x47\xBA\x47\xF2\x33\xA8\xFA\xAB\x5F";
/// CDA348C7-445D-4471-9CC9-E9885251C556 (2.6.2.5).
const PHYSICAL_SECTOR: Guid = *b"\xC7\x48\xA3\xCD\x5D\x44\x71\x44\x9C\xC9\xE9\x88\x52\x51\xC5\x56";

/// CRC-32C (2.2), as iSCSI has it.
const CRC: crc::Crc<u32, crc::Table<16>> = crc::Crc::<u32, crc::Table<16>>::new(&crc::CRC_32_ISCSI);

/// Writes the disk as a VHDX file.
///
/// # Errors
/// Those of `out`.
pub(in super::super) fn write_vhdx(subject: &Subject<'_>, out: &mut Stream<'_>) -> io::Result<()> {
    let blocks = Blocks::new(subject, u64::from(BLOCK));
    let identity = Identity::of(subject.disk)?;
    let table = table(&blocks);
    let regions = regions(table.len() as u64)?;
    out.write_all(&part(b"vhdxfile".iter().copied().chain(utf16("ibwrt")).collect()))?;
    for sequence in [1, 2] {
        out.write_all(&header(sequence, &identity))?;
    }
    for _ in 0..2 {
        out.write_all(&regions)?;
    }
    // The rest of the first MiB, and the log.
    out.zeroes(METADATA_AT - 5 * PART as u64)?;
    let metadata = metadata(virtual_length(subject.disk), &identity)?;
    out.write_all(&metadata)?;
    out.zeroes(TABLE_AT - METADATA_AT - metadata.len() as u64)?;
    out.write_all(&table)?;
    blocks.write_used(out)
}

/// 2.2.2. The second header has the greater sequence number and counts.
fn header(sequence: u64, identity: &Identity) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend_from_slice(b"head");
    header.extend_from_slice(&[0; 4]); // checksum
    header.extend_from_slice(&sequence.to_le_bytes());
    header.extend_from_slice(&identity.uuid("VHDX file write"));
    header.extend_from_slice(&identity.uuid("VHDX data write"));
    header.extend_from_slice(&[0; 16]); // log GUID: the log is empty
    header.extend_from_slice(&0_u16.to_le_bytes()); // log version
    header.extend_from_slice(&1_u16.to_le_bytes()); // version
    header.extend_from_slice(&BLOCK.to_le_bytes()); // log length
    header.extend_from_slice(&LOG_AT.to_le_bytes());
    header.resize(HEADER, 0);
    part(with_checksum(header))
}

/// 2.2.3. The table has `table_length` bytes.
fn regions(table_length: u64) -> io::Result<Vec<u8>> {
    let table_length = u32::try_from(table_length).map_err(|_| io::Error::other("the disk is too long for VHDX"))?;
    let mut table = Vec::new();
    table.extend_from_slice(b"regi");
    table.extend_from_slice(&[0; 4]); // checksum
    table.extend_from_slice(&2_u32.to_le_bytes()); // entries
    table.extend_from_slice(&[0; 4]);
    for (guid, at, length) in [(TABLE_REGION, TABLE_AT, table_length), (METADATA_REGION, METADATA_AT, BLOCK)] {
        table.extend_from_slice(&guid);
        table.extend_from_slice(&at.to_le_bytes());
        table.extend_from_slice(&length.to_le_bytes());
        table.extend_from_slice(&1_u32.to_le_bytes()); // a reader must know it
    }
    table.resize(PART, 0);
    Ok(with_checksum(table))
}

/// 2.6: the metadata table and its items, which all are required.
fn metadata(length: u64, identity: &Identity) -> io::Result<Vec<u8>> {
    /// Of the file.
    const FILE: u32 = 4;
    /// Of the virtual disk.
    const DISK: u32 = 6;

    let sector = u32::try_from(SECTOR).map_err(io::Error::other)?;
    let parameters = [BLOCK.to_le_bytes(), [0; 4]].concat(); // blocks may be left out, there is no parent
    let items: [(Guid, u32, Vec<u8>); 5] = [
        (FILE_PARAMETERS, FILE, parameters),
        (DISK_SIZE, DISK, length.to_le_bytes().to_vec()),
        (DISK_ID, DISK, identity.uuid("VHDX disk").to_vec()),
        (LOGICAL_SECTOR, DISK, sector.to_le_bytes().to_vec()),
        (PHYSICAL_SECTOR, DISK, sector.to_le_bytes().to_vec()),
    ];
    let mut table = b"metadata".to_vec();
    table.extend_from_slice(&[0; 2]);
    table.extend_from_slice(&5_u16.to_le_bytes());
    table.extend_from_slice(&[0; 20]);
    let mut at = ITEMS_AT;
    for (guid, flags, item) in &items {
        let length = u32::try_from(item.len()).map_err(io::Error::other)?;
        table.extend_from_slice(guid);
        table.extend_from_slice(&at.to_le_bytes());
        table.extend_from_slice(&length.to_le_bytes());
        table.extend_from_slice(&flags.to_le_bytes());
        table.extend_from_slice(&[0; 4]);
        at += length;
    }
    let mut metadata = part(table);
    metadata.extend(items.into_iter().flat_map(|(_, _, item)| item));
    Ok(metadata)
}

/// 2.5: the block allocation table, up to a whole MiB.
fn table(blocks: &Blocks<'_>) -> Vec<u8> {
    let entries = blocks.count() + blocks.count().saturating_sub(1) / CHUNK as u64;
    let length = (entries * 8).next_multiple_of(MIB).max(MIB);
    let mut table = Vec::new();
    for (index, number) in blocks.numbered().enumerate() {
        if index > 0 && index % CHUNK == 0 {
            table.extend_from_slice(&[0; 8]); // no sector bitmap
        }
        let entry = number.map_or(ZERO, |number| (TABLE_AT + length + number * u64::from(BLOCK)) | PRESENT);
        table.extend_from_slice(&entry.to_le_bytes());
    }
    table.resize(usize::try_from(length).unwrap_or(table.len()), 0);
    table
}

/// `bytes` with the CRC-32C of them all, computed over zeroes in its place, at byte 4.
fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = CRC.checksum(&bytes).to_le_bytes();
    for (byte, new) in bytes.iter_mut().skip(4).zip(checksum) {
        *byte = new;
    }
    bytes
}

/// `bytes` in a part of their own.
fn part(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(PART, 0);
    bytes
}

fn utf16(text: &str) -> impl Iterator<Item = u8> + '_ {
    text.encode_utf16().flat_map(u16::to_le_bytes)
}
