//! Partition tables: GPT and MBR.

use serde::Serialize;

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
