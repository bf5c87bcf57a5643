//! qcow2, version 3: what `qemu-img convert -O qcow2` makes. Source: QEMU's `docs/interop/qcow2.txt`.
//!
//! Clusters of 64 KiB: the header, the reference count table and its blocks, the L1 table, the L2 tables that are not
//! empty, the data. Every cluster of the file is in use once.

use std::io::{self, Write};

use super::super::form::Subject;
use super::super::stream::Stream;
use super::blocks::{Blocks, count};
use super::virtual_length;

const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Entries of an L1 table, an L2 table or a reference count table in a cluster: 8 bytes each.
const ENTRIES: usize = 8192;
/// 16-bit reference counts in a cluster.
const COUNTS: u64 = CLUSTER / 2;
/// Set in an entry whose cluster is in use exactly once.
const COPIED: u64 = 1 << 63;
const HEADER_LENGTH: u32 = 104;

/// How many clusters the parts have.
struct Layout {
    /// Entries of the L1 table.
    l1_entries: u64,
    count_table: u64,
    count_blocks: u64,
    l1_table: u64,
    l2_tables: u64,
    data: u64,
}

impl Layout {
    /// For a disk of which `used` clusters hold anything.
    fn new(used: &[bool]) -> Self {
        let l1_entries = used.chunks(ENTRIES).count() as u64;
        let l2_tables = used.chunks(ENTRIES).filter(|chunk| count(chunk) > 0).count() as u64;
        let mut layout = Self {
            l1_entries,
            count_table: 1,
            count_blocks: 1,
            l1_table: l1_entries.div_ceil(ENTRIES as u64),
            l2_tables,
            data: count(used),
        };
        // Reference counts count the clusters that they are in themselves.
        while layout.count_blocks < layout.clusters().div_ceil(COUNTS) {
            layout.count_blocks = layout.clusters().div_ceil(COUNTS);
            layout.count_table = layout.count_blocks.div_ceil(ENTRIES as u64);
        }
        layout
    }

    /// Clusters of the file.
    fn clusters(&self) -> u64 {
        self.l2_tables_at() + self.l2_tables + self.data
    }

    fn l1_table_at(&self) -> u64 {
        1 + self.count_table + self.count_blocks
    }

    fn l2_tables_at(&self) -> u64 {
        self.l1_table_at() + self.l1_table
    }

    fn data_at(&self) -> u64 {
        self.l2_tables_at() + self.l2_tables
    }
}

/// Writes the disk as a qcow2 file.
///
/// # Errors
/// Those of `out`.
pub(in super::super) fn write_qcow2(subject: &Subject<'_>, out: &mut Stream<'_>) -> io::Result<()> {
    let blocks = Blocks::new(subject, CLUSTER);
    let layout = Layout::new(blocks.used());
    write_header(&layout, virtual_length(subject.disk), out)?;
    write_counts(&layout, out)?;
    write_tables(&layout, &blocks, out)?;
    blocks.write_used(out)
}

fn write_header(layout: &Layout, length: u64, out: &mut Stream<'_>) -> io::Result<()> {
    let l1_entries = u32::try_from(layout.l1_entries).map_err(io::Error::other)?;
    let count_table = u32::try_from(layout.count_table).map_err(io::Error::other)?;
    let mut header = Vec::new();
    header.extend_from_slice(b"QFI\xFB");
    header.extend_from_slice(&3_u32.to_be_bytes()); // 0x04 version
    header.extend_from_slice(&[0; 12]); // 0x08 backing_file_offset, backing_file_size
    header.extend_from_slice(&CLUSTER_BITS.to_be_bytes()); // 0x14
    header.extend_from_slice(&length.to_be_bytes()); // 0x18 size
    header.extend_from_slice(&0_u32.to_be_bytes()); // 0x20 crypt_method
    header.extend_from_slice(&l1_entries.to_be_bytes()); // 0x24 l1_size
    header.extend_from_slice(&(layout.l1_table_at() * CLUSTER).to_be_bytes()); // 0x28 l1_table_offset
    header.extend_from_slice(&CLUSTER.to_be_bytes()); // 0x30 refcount_table_offset
    header.extend_from_slice(&count_table.to_be_bytes()); // 0x38 refcount_table_clusters
    header.extend_from_slice(&[0; 12]); // 0x3C nb_snapshots, snapshots_offset
    header.extend_from_slice(&[0; 24]); // 0x48 incompatible, compatible, autoclear features
    header.extend_from_slice(&4_u32.to_be_bytes()); // 0x60 refcount_order: 16 bits
    header.extend_from_slice(&HEADER_LENGTH.to_be_bytes()); // 0x64
    header.extend_from_slice(&[0; 8]); // the end of the header extensions
    out.write_all(&header)?;
    pad(header.len() as u64, out)
}

/// The reference count table, and the counts: 1 for every cluster of the file.
fn write_counts(layout: &Layout, out: &mut Stream<'_>) -> io::Result<()> {
    let first = 1 + layout.count_table;
    for block in first..first + layout.count_blocks {
        out.write_all(&(block * CLUSTER).to_be_bytes())?;
    }
    pad(layout.count_blocks * 8, out)?;
    for _ in 0..layout.clusters() {
        out.write_all(&1_u16.to_be_bytes())?;
    }
    pad(layout.clusters() * 2, out)
}

/// The L1 table, and the L2 tables that it names.
fn write_tables(layout: &Layout, blocks: &Blocks<'_>, out: &mut Stream<'_>) -> io::Result<()> {
    let mut table = layout.l2_tables_at();
    for chunk in blocks.used().chunks(ENTRIES) {
        let is_used = count(chunk) > 0;
        out.write_all(&entry(is_used.then_some(table)))?;
        table += u64::from(is_used);
    }
    pad(layout.l1_entries * 8, out)?;
    let mut data = layout.data_at();
    for chunk in blocks.used().chunks(ENTRIES).filter(|chunk| count(chunk) > 0) {
        for used in chunk {
            out.write_all(&entry(used.then_some(data)))?;
            data += u64::from(*used);
        }
        pad(chunk.len() as u64 * 8, out)?;
    }
    Ok(())
}

/// The table entry that leads to the cluster with the number `cluster`, or to none.
fn entry(cluster: Option<u64>) -> [u8; 8] {
    cluster.map_or(0, |cluster| COPIED | (cluster * CLUSTER)).to_be_bytes()
}

/// Fills the last cluster of a part of `length` bytes.
fn pad(length: u64, out: &mut Stream<'_>) -> io::Result<()> {
    out.zeroes(length.next_multiple_of(CLUSTER) - length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_reference_counts_as_clusters_and_no_block_of_them_too_many() {
        // Around one, two and three blocks of 32768 counts.
        for data in [1, 32_750, 32_755, 32_760, 32_768, 65_500, 65_517, 65_536, 98_300] {
            for clusters in data..data + 20 {
                let layout = Layout::new(&vec![true; clusters]);
                assert!(layout.clusters() <= layout.count_blocks * COUNTS, "{clusters}");
                assert!(layout.clusters() > (layout.count_blocks - 1) * COUNTS + 1, "{clusters}");
                assert_eq!(layout.count_table, 1);
            }
        }
    }
}
