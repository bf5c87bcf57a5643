//! Giving a disk and its partitions other identifiers, in OpenWrt's way ([`DiskIdentity`]).

use super::gpt_header::{ALTERNATE_LBA, DISK_GUID, ENTRIES_CRC, ENTRIES_LBA, RawHeader, SIZE_OF_ENTRY};
use super::grow::{read_array, write_backup};
use super::{Disk, PartitionTable, SECTOR, Scheme, mbr};
use crate::disk_identity::DiskIdentity;
use crate::error::{Error, Result};

/// `UniquePartitionGUID` in a GPT entry (UEFI 2.10, table 5-6).
const PARTITION_GUID: u64 = 0x10;

/// What a table of the kind `scheme` says of a disk with that identity, as in [`PartitionTable::disk_id`].
pub(super) fn disk_id(identity: &DiskIdentity, scheme: Scheme) -> String {
    match scheme {
        Scheme::Gpt => identity.guid_text(0),
        Scheme::Mbr => format!("{:08x}", identity.signature()),
    }
}

/// PARTUUID of the partition `number`, as the kernel spells it.
///
/// # Errors
/// Unsupported when the number is too high for the last byte of a GUID.
pub(super) fn partuuid(identity: &DiskIdentity, scheme: Scheme, number: u32) -> Result<String> {
    Ok(match scheme {
        Scheme::Gpt => identity.guid_text(last_byte(number)?),
        Scheme::Mbr => format!("{:08x}-{number:02x}", identity.signature()),
    })
}

/// `disk`, whose table is `table`, with the identifiers of `identity`: in LBA 0, and in a GPT and its backup. Nothing else
/// changes but checksums.
///
/// # Errors
/// As [`partuuid`].
pub(super) fn rekey(disk: &Disk, table: &PartitionTable, identity: &DiskIdentity) -> Result<Disk> {
    let mut disk = disk.clone();
    // ptgen gives the protective MBR the same signature.
    mbr::set_signature(&mut disk, identity.signature())?;
    if table.scheme == Scheme::Gpt {
        rekey_gpt(&mut disk, table, identity)?;
    }
    Ok(disk)
}

fn rekey_gpt(disk: &mut Disk, table: &PartitionTable, identity: &DiskIdentity) -> Result<()> {
    let mut header = RawHeader::read(disk, 1)?;
    for partition in &table.partitions {
        let index = u64::from(partition.number.saturating_sub(1));
        let entry = header.u64(ENTRIES_LBA) * SECTOR + index * u64::from(header.u32(SIZE_OF_ENTRY));
        disk.write_at(entry + PARTITION_GUID, &stored(identity.guid(last_byte(partition.number)?)))?;
    }
    header.put(DISK_GUID, &stored(identity.guid(0)));
    let array = read_array(disk, &header)?;
    header.put(ENTRIES_CRC, &crc32fast::hash(&array).to_le_bytes());
    header.write(disk)?;
    if table.backup {
        let backup = RawHeader::read(disk, header.u64(ALTERNATE_LBA))?;
        write_backup(disk, &header, backup.u64(ENTRIES_LBA))?;
    }
    Ok(())
}

/// The number of a partition as the last byte of its GUID.
fn last_byte(number: u32) -> Result<u8> {
    u8::try_from(number).map_err(|_| {
        Error::unsupported(format!(
            "partition {number} has a number above 255, which no GUID of OpenWrt's kind ends in"
        ))
        .remedy("give it a lower number, with sgdisk for example, or leave the identifiers as they are")
    })
}

/// A GUID's bytes as they are stored: the first three groups with the lowest byte first (UEFI 2.10, appendix A).
fn stored(guid: [u8; 16]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = guid;
    [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
}
