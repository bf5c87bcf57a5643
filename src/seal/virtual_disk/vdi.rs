//! VDI, version 1.1, of dynamic size: what VirtualBox makes. Source: the header comment and structures of QEMU's
//! `block/vdi.c`, which describe VirtualBox's format.
//!
//! A header of 512 bytes, a map with 4 bytes for each block of 1 MiB, and from the next MiB on the blocks.

use std::io::{self, Write};

use super::super::form::Subject;
use super::super::stream::Stream;
use super::blocks::Blocks;
use super::identity::Identity;
use super::virtual_length;
use crate::image::SECTOR;

const BLOCK: u32 = 1 << 20;
/// Where the map begins.
const MAP_AT: u32 = 512;
/// Length of the header from byte 0x48 on.
const HEADER_LENGTH: u32 = 0x190;
/// In the map: a block that is not stored and reads as zeroes.
const FREE: u32 = 0xFFFF_FFFF;

/// Writes the disk as a VDI file.
///
/// # Errors
/// Those of `out`; a disk whose blocks do not fit in 32 bits.
pub(in super::super) fn write_vdi(subject: &Subject<'_>, out: &mut Stream<'_>) -> io::Result<()> {
    let blocks = Blocks::new(subject, u64::from(BLOCK));
    let map_end = u64::from(MAP_AT) + blocks.count() * 4;
    let data_at = map_end.next_multiple_of(u64::from(BLOCK));
    let header = header(subject, &blocks, narrow(data_at)?)?;
    out.write_all(&header)?;
    out.zeroes(u64::from(MAP_AT) - header.len() as u64)?;
    for number in blocks.numbered() {
        let number = number.map(narrow).transpose()?.unwrap_or(FREE);
        out.write_all(&number.to_le_bytes())?;
    }
    out.zeroes(data_at - map_end)?;
    blocks.write_used(out)
}

fn header(subject: &Subject<'_>, blocks: &Blocks<'_>, data_at: u32) -> io::Result<Vec<u8>> {
    let identity = Identity::of(subject.disk)?;
    let mut header = b"<<< Oracle VM VirtualBox Disk Image >>>\n".to_vec();
    header.resize(0x40, 0);
    for number in [
        0xBEDA_107F, // 0x40 signature
        0x0001_0001, // 0x44 version
        HEADER_LENGTH,
        1, // 0x4C type: dynamic
        0, // 0x50 flags
    ] {
        header.extend_from_slice(&u32::to_le_bytes(number));
    }
    header.resize(0x154, 0); // 0x54 description
    let sector = narrow(SECTOR)?;
    for number in [MAP_AT, data_at, 0, 0, 0, sector, 0] {
        // 0x154 place of the map, place of the blocks; cylinders, heads and sectors, none; bytes per sector; unused
        header.extend_from_slice(&number.to_le_bytes());
    }
    header.extend_from_slice(&virtual_length(subject.disk).to_le_bytes()); // 0x170
    for number in [BLOCK, 0, narrow(blocks.count())?, narrow(blocks.used_count())?] {
        // 0x178 block size, extra data of a block, blocks, stored blocks
        header.extend_from_slice(&number.to_le_bytes());
    }
    header.extend_from_slice(&identity.uuid("VDI image")); // 0x188
    header.extend_from_slice(&identity.uuid("VDI last snapshot")); // 0x198
    header.resize(0x48 + HEADER_LENGTH as usize, 0); // 0x1A8 UUIDs of the link and the parent, none; geometry, none
    Ok(header)
}

fn narrow(number: u64) -> io::Result<u32> {
    u32::try_from(number).map_err(|_| io::Error::other("the disk is too long for a VDI file"))
}
