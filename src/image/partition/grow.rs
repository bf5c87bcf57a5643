//! Growing the last partition in place, and the disk with it. What stands before the partition's old end stays byte for
//! byte, but for the table's own fields; what it takes in of the space behind becomes zero.

use super::gpt_header::{ALTERNATE_LBA, ENTRIES_CRC, ENTRIES_LBA, LAST_USABLE, MY_LBA, RawHeader, SIZE_OF_ENTRY};
use super::mbr::{self, BootRecord};
use super::{Disk, Partition, PartitionTable, SECTOR, Scheme};
use crate::error::{At, Error, Result};

/// `ending_lba` in a GPT entry (UEFI 2.10, table 5-6).
const LAST_LBA: u64 = 0x28;

/// `disk`, whose table is `table`, with the partition `number` grown to `sectors`. As many sectors as before follow it.
/// The fields of a GPT that name places behind the partition move along with them, and a valid backup GPT moves too. The
/// number of sectors that it has already changes nothing.
///
/// # Errors
/// Usage when it has more sectors already; unsupported when another partition lies behind it, when the table cannot
/// hold the number, or for a hybrid MBR.
pub(super) fn grow(disk: &Disk, table: &PartitionTable, number: u32, sectors: u64) -> Result<Disk> {
    let partition = growable(table, number)?;
    let (first, old) = (partition.first.0, partition.sectors);
    if sectors < old {
        return Err(Error::usage(format!(
            "partition {number} has {old} sectors of {SECTOR} bytes, more than the {sectors} asked for"
        ))
        .remedy("a partition only grows here: build the image with a smaller CONFIG_TARGET_ROOTFS_PARTSIZE instead"));
    }
    let added = sectors - old;
    let length = added.checked_mul(SECTOR).and_then(|bytes| disk.length().checked_add(bytes));
    let length = length.filter(|_| first.checked_add(sectors).is_some()).ok_or_else(|| {
        Error::usage(format!("partition {number} cannot grow to {sectors} sectors: no disk is as large as that"))
    })?;
    if added == 0 {
        return Ok(disk.clone());
    }
    let end = partition.byte_range().end;
    let mut grown = disk.lengthened(length);
    grown.clear(end, length - end)?;
    match table.scheme {
        Scheme::Mbr => mbr::set_length(&mut grown, number, sectors)?,
        Scheme::Gpt => {
            grow_protective(&mut grown, added)?;
            grow_entry(disk, &mut grown, table, number, added).at(|| "GPT header at LBA 1".to_owned())?;
        }
    }
    Ok(grown)
}

/// `disk` with a backup GPT at its very end, which UEFI (2.10, 5.3.2) wants and OpenWrt leaves out; the primary points to
/// it. The disk becomes longer where less than the backup's 33 sectors follow the last partition. A backup elsewhere is
/// moved.
///
/// # Errors
/// Usage for an MBR; unsupported for a hybrid one.
pub(super) fn back_up(disk: &Disk, table: &PartitionTable) -> Result<Disk> {
    if table.scheme == Scheme::Mbr {
        return Err(Error::usage("the disk has an MBR, of which there is no backup")
            .remedy("leave out --backup-gpt (recipe: backup_gpt), or take the combined-efi image"));
    }
    let mut header = RawHeader::read(disk, 1)?;
    let needed = header.array_sectors() + 1;
    let end = table.end().div_ceil(SECTOR);
    let sectors = (disk.length() / SECTOR).max(end.saturating_add(needed));
    let mut backed = disk.lengthened(sectors.saturating_mul(SECTOR));
    let old = header.u64(ALTERNATE_LBA);
    if table.backup && old != sectors - 1 {
        forget_backup(&mut backed, old, end)?;
    }
    header.put(ALTERNATE_LBA, &(sectors - 1).to_le_bytes());
    header.put(LAST_USABLE, &(sectors - 1 - needed).to_le_bytes());
    set_protective(&mut backed, sectors - 1)?;
    header.write(&mut backed)?;
    write_backup(&mut backed, &header, sectors - needed)?;
    Ok(backed)
}

/// The partition `number`, if nothing lies behind it.
fn growable(table: &PartitionTable, number: u32) -> Result<&Partition> {
    let partition = table.partitions.iter().find(|partition| partition.number == number);
    let partition = partition.ok_or_else(|| Error::usage(format!("there is no partition {number}")))?;
    let behind = table.partitions.iter().filter(|other| other.first > partition.first);
    match behind.min_by_key(|other| other.first) {
        None => Ok(partition),
        Some(next) => Err(Error::unsupported(format!(
            "partition {number} (LBA {} to {}) cannot grow: partition {} (LBA {} to {}) lies behind it",
            partition.first.0,
            partition.last().0,
            next.number,
            next.first.0,
            next.last().0
        ))
        .remedy("only the last partition grows, as the root is in OpenWrt's images")),
    }
}

/// The protective entry of a GPT disk: whatever it covered, it covers `added` sectors more.
fn grow_protective(disk: &mut Disk, added: u64) -> Result<()> {
    let record = BootRecord::read(disk)?;
    let covered = record.as_ref().and_then(BootRecord::protective).map_or(0, |entry| entry.sectors);
    // All ones say "to the end of the disk, wherever that is".
    if covered == u32::MAX { Ok(()) } else { set_protective(disk, u64::from(covered).saturating_add(added)) }
}

/// Lets the protective entry cover `sectors`, or as many as it can tell.
fn set_protective(disk: &mut Disk, sectors: u64) -> Result<()> {
    let Some(record) = BootRecord::read(disk)? else { return Ok(()) };
    if record.others().next().is_some() {
        return Err(Error::unsupported(
            "hybrid MBR: entries beside the protective one, which would no longer fit the GPT",
        )
        .remedy("remove them first, with gdisk for example"));
    }
    match record.protective() {
        Some(entry) => mbr::set_length(disk, entry.number, sectors.min(u32::MAX.into())),
        None => Ok(()),
    }
}

/// Moves the end of the entry `number` by `added` sectors, and the header's places behind it as well.
fn grow_entry(old: &Disk, disk: &mut Disk, table: &PartitionTable, number: u32, added: u64) -> Result<()> {
    let mut header = RawHeader::read(disk, 1)?;
    let place = header.u64(ENTRIES_LBA) * SECTOR + u64::from(number - 1) * u64::from(header.u32(SIZE_OF_ENTRY));
    let mut last = [0; 8];
    disk.read_at(place + LAST_LBA, &mut last)?;
    let moved = |lba: u64| lba.saturating_add(added);
    disk.write_at(place + LAST_LBA, &moved(u64::from_le_bytes(last)).to_le_bytes())?;
    let array = read_array(disk, &header)?;
    let alternate = header.u64(ALTERNATE_LBA);
    header.put(ENTRIES_CRC, &crc32fast::hash(&array).to_le_bytes());
    header.put(LAST_USABLE, &moved(header.u64(LAST_USABLE)).to_le_bytes());
    header.put(ALTERNATE_LBA, &moved(alternate).to_le_bytes());
    header.write(disk)?;
    if table.backup {
        let backup = RawHeader::read(old, alternate)?;
        write_backup(disk, &header, moved(backup.u64(ENTRIES_LBA)))?;
    }
    Ok(())
}

/// The bytes of a header's array of entries.
///
/// # Errors
/// Corrupt when it lies behind the end of `disk`.
pub(super) fn read_array(disk: &Disk, header: &RawHeader) -> Result<Vec<u8>> {
    let length = header.array_sectors().saturating_mul(SECTOR);
    let length = usize::try_from(length).map_err(|_| Error::corrupt("the array of entries has no sound length"))?;
    disk.read_vec(header.u64(ENTRIES_LBA).saturating_mul(SECTOR), length)
}

/// Writes the backup of the primary header `primary` to its alternate LBA, and the entries to the LBA `entries`.
///
/// # Errors
/// Corrupt when they lie behind the end of `disk`.
pub(super) fn write_backup(disk: &mut Disk, primary: &RawHeader, entries: u64) -> Result<()> {
    let array = read_array(disk, primary)?;
    disk.write_at(entries.saturating_mul(SECTOR), &array)?;
    let mut backup = primary.clone();
    backup.put(MY_LBA, &primary.u64(ALTERNATE_LBA).to_le_bytes());
    backup.put(ALTERNATE_LBA, &primary.u64(MY_LBA).to_le_bytes());
    backup.put(ENTRIES_LBA, &entries.to_le_bytes());
    backup.write(disk)
}

/// Zeroes the backup whose header is at `lba`, as far as it lies behind the sector `end`.
fn forget_backup(disk: &mut Disk, lba: u64, end: u64) -> Result<()> {
    let backup = RawHeader::read(disk, lba)?;
    let sectors = disk.length() / SECTOR;
    for (first, count) in [(lba, 1), (backup.u64(ENTRIES_LBA), backup.array_sectors())] {
        let last = first.saturating_add(count).min(sectors);
        if first >= end && first < last {
            disk.clear(first * SECTOR, (last - first) * SECTOR)?;
        }
    }
    Ok(())
}
