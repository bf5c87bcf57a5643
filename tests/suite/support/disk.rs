//! Disks as the tests see them: unwrapped by flate2, partitions by a reader of a few lines, so that nothing of the
//! program under test stands between a result and its judgement.

use std::io::Read;
use std::path::Path;

/// Bytes per sector.
pub(crate) const SECTOR: usize = 512;

/// A partition, in sectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Partition {
    /// Its 1-based number.
    pub(crate) number: usize,
    /// First sector.
    pub(crate) start: usize,
    /// Number of sectors.
    pub(crate) sectors: usize,
}

impl Partition {
    /// Where it lies in the disk's bytes.
    pub(crate) fn range(&self) -> std::ops::Range<usize> {
        self.start * SECTOR..(self.start + self.sectors) * SECTOR
    }
}

/// The disk in an `.img`, `.img.gz` or `.qcow2`; what follows a gzip member is not part of it.
pub(crate) fn raw_disk(file: &Path) -> Vec<u8> {
    let bytes = std::fs::read(file).unwrap();
    if bytes.starts_with(b"QFI") {
        let raw = tempfile::NamedTempFile::new().unwrap();
        let convert = ["convert", "-f", "qcow2", "-O", "raw"];
        super::run(super::tool("qemu-img").args(convert).arg(file).arg(raw.path())).expect_status(0);
        return std::fs::read(raw.path()).unwrap();
    }
    if !bytes.starts_with(&[0x1F, 0x8B]) {
        return bytes;
    }
    let mut disk = Vec::new();
    flate2::bufread::GzDecoder::new(bytes.as_slice()).read_to_end(&mut disk).unwrap();
    disk
}

/// The first two partitions: boot and root.
pub(crate) fn partitions(disk: &[u8]) -> [Partition; 2] {
    let is_gpt = disk[SECTOR..].starts_with(b"EFI PART");
    [1, 2].map(|number| if is_gpt { gpt_entry(disk, number) } else { mbr_entry(disk, number) })
}

fn gpt_entry(disk: &[u8], number: usize) -> Partition {
    let entry = 2 * SECTOR + (number - 1) * 128;
    let lba = |at: usize| u64::from_le_bytes(disk[at..at + 8].try_into().unwrap()) as usize;
    let (first, last) = (lba(entry + 32), lba(entry + 40));
    Partition { number, start: first, sectors: last + 1 - first }
}

fn mbr_entry(disk: &[u8], number: usize) -> Partition {
    let entry = 0x1BE + (number - 1) * 16;
    let word = |at: usize| u32::from_le_bytes(disk[at..at + 4].try_into().unwrap()) as usize;
    Partition { number, start: word(entry + 8), sectors: word(entry + 12) }
}

/// Writes a partition's bytes to a file of its own.
pub(crate) fn write_partition(disk: &[u8], partition: Partition, to: &Path) {
    std::fs::write(to, &disk[partition.range()]).unwrap();
}
