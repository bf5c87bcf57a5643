//! Partition tables: GPT and MBR.

mod chs;
mod gpt;
mod gpt_header;
mod grow;
#[cfg(test)]
mod grow_tests;
mod identity;
#[cfg(test)]
mod identity_tests;
mod mbr;

use std::ops::Range;

use serde::Serialize;

use super::disk::Disk;
use super::foreign;
use super::volume::Volume;
use crate::disk_identity::DiskIdentity;
use crate::error::{At, Error, Result};

/// Bytes per sector; OpenWrt's images know no other size.
pub(crate) const SECTOR: u64 = 512;

/// A logical block address: a sector number counted from the start of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub(crate) struct Lba(pub(crate) u64);

/// Which kind of partition table a disk has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scheme {
    /// GUID partition table behind a protective MBR.
    Gpt,
    /// Four primary entries in LBA 0.
    Mbr,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Partition {
    /// 1-based entry number.
    pub(crate) number: u32,
    /// First sector.
    pub(crate) first: Lba,
    /// Length in sectors of [`SECTOR`] bytes.
    pub(crate) sectors: u64,
    /// Type: the GUID in upper case (GPT) or `0x83` (MBR).
    pub(crate) type_id: String,
    /// PARTUUID as the kernel and grub.cfg spell it, lower case.
    pub(crate) partuuid: String,
    /// Boot flag (MBR) or the legacy-BIOS-bootable attribute (GPT).
    pub(crate) bootable: bool,
}

impl Partition {
    /// The bytes of the disk that are this partition's. Partitions of a table that was [read](PartitionTable::read)
    /// lie on their disk.
    pub(crate) fn byte_range(&self) -> Range<u64> {
        self.first.0.saturating_mul(SECTOR)..self.first.0.saturating_add(self.sectors).saturating_mul(SECTOR)
    }

    /// The partition's bytes on `disk`, to read and to write.
    ///
    /// # Errors
    /// Corrupt when the partition reaches behind the end of `disk`.
    pub(crate) fn volume(&self, disk: Disk) -> Result<Volume> {
        let range = self.byte_range();
        Volume::new(disk, range.start, range.end - range.start).at(|| format!("partition {}", self.number))
    }

    /// Last sector.
    fn last(&self) -> Lba {
        Lba(self.first.0.saturating_add(self.sectors).saturating_sub(1))
    }
}

/// A disk's partition table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PartitionTable {
    /// Its kind.
    pub(crate) scheme: Scheme,
    /// Disk GUID (lower case) or MBR signature as eight hex digits.
    pub(crate) disk_id: String,
    /// Entries in use, in entry order.
    pub(crate) partitions: Vec<Partition>,
    /// GPT: whether a valid backup header lies at the alternate LBA. Official images have none.
    pub(crate) backup: bool,
    /// Things that are unusual but harmless, one sentence each.
    pub(crate) remarks: Vec<String>,
}

impl PartitionTable {
    /// The partition table of `disk`; `None` where a root filesystem fills the whole of it, as in OpenWrt's
    /// `…-rootfs.img.gz`.
    ///
    /// # Errors
    /// As [`PartitionTable::read`].
    pub(crate) fn find(disk: &Disk) -> Result<Option<Self>> {
        match Self::read(disk) {
            Ok(table) => Ok(Some(table)),
            Err(_) if foreign::is_root(&head(disk)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads the partition table of `disk`, in the way the Linux kernel does: a GPT counts only behind a protective
    /// MBR (block/partitions/efi.c, msdos.c).
    ///
    /// # Errors
    /// Corrupt when a checksum, a header field or a partition's place is wrong; unsupported when there is no table, no
    /// partition, or a kind that OpenWrt never writes.
    pub(crate) fn read(disk: &Disk) -> Result<Self> {
        if disk.length() < 2 * SECTOR {
            return Err(Error::unsupported(format!(
                "the disk has {} bytes, too few for a partition table (LBA 0 and 1)",
                disk.length()
            ))
            .remedy(REMEDY));
        }
        let record = mbr::BootRecord::read(disk)?;
        let table = match record {
            Some(record) if record.is_protective() => gpt::read(disk, &record)?,
            Some(record) => match record.table() {
                Ok(table) if table.partitions.is_empty() => {
                    return Err(nothing_found(disk, "LBA 0 lists no partition"));
                }
                Ok(table) => with_unused_gpt(table, disk),
                Err(error) => return Err(prefer_content(disk, error)),
            },
            None => return Err(nothing_found(disk, "LBA 0 does not end in 55 AA")),
        };
        check_places(&table, disk)?;
        Ok(table)
    }

    /// `disk`, whose table this is, with the last partition, `number`, grown to `sectors`, and its table. As many sectors
    /// as before follow the partition; what it takes in becomes zero; a valid backup GPT moves along.
    ///
    /// # Errors
    /// Usage when the partition has more sectors already; unsupported when another one lies behind it, or when the table
    /// cannot hold the number.
    pub(crate) fn grow(&self, disk: &Disk, number: u32, sectors: u64) -> Result<(Disk, Self)> {
        let disk = grow::grow(disk, self, number, sectors)?;
        let table = Self::read(&disk)?;
        Ok((disk, table))
    }

    /// `disk`, whose table this is, with a backup GPT at its very end, and its table.
    ///
    /// # Errors
    /// Usage for an MBR; unsupported for a hybrid one.
    pub(crate) fn back_up(&self, disk: &Disk) -> Result<(Disk, Self)> {
        let disk = grow::back_up(disk, self)?;
        let table = Self::read(&disk)?;
        Ok((disk, table))
    }

    /// The same table with the identifiers of `identity`.
    ///
    /// # Errors
    /// Unsupported when a partition of a GPT has a number above 255.
    pub(crate) fn renamed(&self, identity: &DiskIdentity) -> Result<Self> {
        let mut table = Self { disk_id: identity::disk_id(identity, self.scheme), ..self.clone() };
        for partition in &mut table.partitions {
            partition.partuuid = identity::partuuid(identity, self.scheme, partition.number)?;
        }
        Ok(table)
    }

    /// `disk`, whose table this is, with the identifiers of `identity` for itself and its partitions, and its table. Only
    /// they and checksums change, in LBA 0, in a GPT and in its valid backup.
    ///
    /// # Errors
    /// As [`PartitionTable::renamed`].
    pub(crate) fn rekey(&self, disk: &Disk, identity: &DiskIdentity) -> Result<(Disk, Self)> {
        let disk = identity::rekey(disk, self, identity)?;
        let table = Self::read(&disk)?;
        Ok((disk, table))
    }

    #[cfg(test)]
    /// The partition with the 1-based entry number `number`.
    pub(crate) fn partition(&self, number: u32) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.number == number)
    }

    /// The byte behind the last partition.
    pub(crate) fn end(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.byte_range().end).max().unwrap_or(0)
    }
}

const REMEDY: &str =
    "give an OpenWrt x86 image: …-combined.img.gz, …-combined-efi.img.gz, or a root filesystem, …-rootfs.img.gz";

/// `table`, an MBR, with a remark where a GPT lies beside it.
fn with_unused_gpt(mut table: PartitionTable, disk: &Disk) -> PartitionTable {
    if gpt::has_header(disk) {
        let remark = "LBA 1 holds a GPT header that nothing uses: LBA 0 has no protective entry";
        table.remarks.push(remark.to_owned());
    }
    table
}

/// The bytes that tell what a disk without partitions is.
fn head(disk: &Disk) -> Vec<u8> {
    let length = disk.length().min(foreign::HEAD as u64);
    usize::try_from(length).ok().and_then(|length| disk.read_vec(0, length).ok()).unwrap_or_default()
}

fn nothing_found(disk: &Disk, seen: &str) -> Error {
    if let Some(foreign) = foreign::content(&head(disk)) {
        return Error::unsupported(format!("this is {}, not a disk with partitions", foreign.name))
            .remedy(foreign.remedy);
    }
    if gpt::has_header(disk) {
        return Error::corrupt(format!(
            "LBA 1 holds a GPT header, but LBA 0 no protective MBR ({seen}); no kernel would use the GPT"
        ))
        .remedy("restore the protective MBR, with gdisk for example, or download the image again");
    }
    Error::unsupported(format!(
        "no partition table: {seen} (looked for an MBR in LBA 0 and a GPT in LBA 1; the disk has {} bytes)",
        disk.length()
    ))
    .remedy(REMEDY)
}

/// A boot sector without a table reads as a broken table: what it belongs to says more.
fn prefer_content(disk: &Disk, error: Error) -> Error {
    match foreign::content(&head(disk)) {
        Some(_) => nothing_found(disk, "its entries are no partitions"),
        None => error,
    }
}

/// Every partition lies on the disk, behind the table's own sectors, and apart from the others.
fn check_places(table: &PartitionTable, disk: &Disk) -> Result<()> {
    let sectors = disk.length() / SECTOR;
    let remedy = "the partition table is damaged: download or build the image again";
    let mut by_place: Vec<&Partition> = table.partitions.iter().collect();
    by_place.sort_by_key(|partition| (partition.first, partition.number));
    for partition in &by_place {
        let (number, first, last) = (partition.number, partition.first.0, partition.last().0);
        if first == 0 {
            return Err(
                Error::corrupt(format!("partition {number} starts at LBA 0, on the partition table")).remedy(remedy)
            );
        }
        if first.checked_add(partition.sectors).is_none_or(|end| end > sectors) {
            return Err(Error::corrupt(format!(
                "partition {number} (LBA {first} to {last}) reaches behind the end of the disk ({sectors} sectors)"
            ))
            .remedy("the image was cut: download or build it again"));
        }
    }
    for pair in by_place.windows(2) {
        if let [a, b] = pair
            && b.first <= a.last()
        {
            return Err(Error::corrupt(format!(
                "partition {} (LBA {} to {}) overlaps partition {} (LBA {} to {})",
                a.number,
                a.first.0,
                a.last().0,
                b.number,
                b.first.0,
                b.last().0
            ))
            .remedy(remedy));
        }
    }
    Ok(())
}
