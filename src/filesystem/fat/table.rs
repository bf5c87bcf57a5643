//! The boot sector's BIOS parameter block and the file allocation tables behind it.
//! Source: Microsoft's "FAT: General Overview of On-Disk Format" 1.03.

use crate::error::{Error, Result};
use crate::image::Volume;

/// Bytes read of the boot sector.
const BOOT: usize = 512;
/// Clusters below this number make FAT12, below the next FAT16.
const FAT12_BELOW: u32 = 4085;
const FAT16_BELOW: u32 = 65_525;
/// Cluster numbers begin here.
const FIRST: u32 = 2;

/// Width of a table entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// FAT12.
    Bits12,
    /// FAT16.
    Bits16,
    /// FAT32, of which 28 bits count.
    Bits32,
}

/// Where things lie. All fields were checked against each other and the partition's length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bytes per sector.
    sector: u32,
    /// Bytes per cluster.
    pub(super) cluster: u32,
    /// Byte offset of the first cluster.
    data: u64,
    /// Byte offset of the first table.
    table: u64,
    /// Bytes per table.
    table_length: u64,
    /// Number of tables.
    pub(super) tables: u8,
    /// Clusters that can hold data.
    pub(super) clusters: u32,
    /// Width of a table entry.
    pub(super) width: Width,
}

fn byte(boot: &[u8], offset: usize) -> u32 {
    boot.get(offset).copied().unwrap_or(0).into()
}

fn short(boot: &[u8], offset: usize) -> u32 {
    byte(boot, offset) | byte(boot, offset + 1) << 8
}

fn long(boot: &[u8], offset: usize) -> u32 {
    short(boot, offset) | short(boot, offset + 2) << 16
}

/// Whether `head` begins with a FAT boot sector: its signature and a parameter block that makes sense.
pub(in crate::filesystem) fn recognise(head: &[u8]) -> bool {
    let jump = matches!(byte(head, 0), 0xEB | 0xE9);
    let sector = short(head, 0x0B);
    let sane = sector.is_power_of_two() && (512..=4096).contains(&sector) && byte(head, 0x0D).is_power_of_two();
    let tables = matches!(byte(head, 0x10), 1..=2) && short(head, 0x0E) != 0 && byte(head, 0x15) >= 0xF0;
    let sized = short(head, 0x13) != 0 || long(head, 0x20) != 0;
    jump && sane && tables && sized && short(head, 510) == 0xAA55
}

impl Layout {
    /// Reads the boot sector of `volume`.
    ///
    /// # Errors
    /// Corrupt, naming the field.
    pub(super) fn read(volume: &Volume) -> Result<Self> {
        let mut boot = [0; BOOT];
        volume.read_at(0, &mut boot)?;
        if !recognise(&boot) {
            return Err(Error::corrupt("the FAT boot sector has no sound parameter block"));
        }
        Self::from_bytes(&boot, volume.length()).map_err(|error| error.at("FAT boot sector"))
    }

    fn from_bytes(boot: &[u8], volume_length: u64) -> Result<Self> {
        let sector = short(boot, 0x0B);
        let per_cluster = byte(boot, 0x0D);
        let total = match short(boot, 0x13) {
            0 => long(boot, 0x20),
            short => short,
        };
        let per_table = match short(boot, 0x16) {
            0 => long(boot, 0x24),
            short => short,
        };
        if u64::from(total) * u64::from(sector) > volume_length {
            return Err(Error::corrupt(format!(
                "{total} sectors of {sector} bytes do not fit in a partition of {volume_length} bytes"
            )));
        }
        let reserved = short(boot, 0x0E);
        let root = (short(boot, 0x11) * 32).div_ceil(sector);
        let tables = byte(boot, 0x10);
        let before = u64::from(reserved) + u64::from(tables) * u64::from(per_table) + u64::from(root);
        let clusters = match u64::from(total).checked_sub(before) {
            Some(data) => u32::try_from(data / u64::from(per_cluster)).unwrap_or(u32::MAX),
            None => {
                return Err(Error::corrupt(format!(
                    "{before} sectors come before the data, but there are only {total}"
                )));
            }
        };
        let width = match clusters {
            0..FAT12_BELOW => Width::Bits12,
            FAT12_BELOW..FAT16_BELOW => Width::Bits16,
            _ => Width::Bits32,
        };
        let layout = Self {
            sector,
            cluster: sector * per_cluster,
            data: before * u64::from(sector),
            table: u64::from(reserved) * u64::from(sector),
            table_length: u64::from(per_table) * u64::from(sector),
            tables: u8::try_from(tables).unwrap_or(0),
            clusters,
            width,
        };
        layout.check(boot)?;
        Ok(layout)
    }

    fn check(&self, boot: &[u8]) -> Result<()> {
        let needed = self.entry_end(self.clusters.saturating_add(FIRST - 1));
        if needed > self.table_length {
            return Err(Error::corrupt(format!(
                "{} clusters need a table of {needed} bytes, it has {}",
                self.clusters, self.table_length
            )));
        }
        // What the volume is formatted as must be what its cluster count makes it.
        if (short(boot, 0x16) == 0) != (self.width == Width::Bits32) {
            return Err(Error::corrupt(format!(
                "{} clusters make {:?}, but the table length is stored as for {}",
                self.clusters,
                self.width,
                if short(boot, 0x16) == 0 { "FAT32" } else { "FAT12 or FAT16" }
            )));
        }
        if self.width == Width::Bits32 && short(boot, 0x30) >= short(boot, 0x0E) {
            return Err(Error::corrupt(format!(
                "the FSInfo sector is {}, behind the reserved ones",
                short(boot, 0x30)
            )));
        }
        let root = long(boot, 0x2C);
        if self.width == Width::Bits32 && !self.holds(root) {
            return Err(Error::corrupt(format!("the root directory begins in cluster {root} of {}", self.clusters)));
        }
        Ok(())
    }

    fn holds(&self, cluster: u32) -> bool {
        cluster >= FIRST && cluster - FIRST < self.clusters
    }

    /// Byte behind the entry of `cluster` in a table.
    fn entry_end(&self, cluster: u32) -> u64 {
        let cluster = u64::from(cluster);
        match self.width {
            Width::Bits12 => cluster * 3 / 2 + 2,
            Width::Bits16 => cluster * 2 + 2,
            Width::Bits32 => cluster * 4 + 4,
        }
    }

    /// The bytes of table `number` that hold entries.
    ///
    /// # Errors
    /// The volume is too short.
    pub(super) fn table(&self, volume: &Volume, number: u8) -> Result<Vec<u8>> {
        let length = self.entry_end(self.clusters + FIRST - 1);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        volume.read_at(self.table + u64::from(number) * self.table_length, &mut bytes)?;
        Ok(bytes)
    }

    fn entry(&self, table: &[u8], cluster: u32) -> u32 {
        let index = cluster as usize;
        match self.width {
            Width::Bits12 => {
                let pair = short(table, index * 3 / 2);
                if cluster & 1 == 0 { pair & 0xFFF } else { pair >> 4 }
            }
            Width::Bits16 => short(table, index * 2),
            Width::Bits32 => long(table, index * 4) & 0x0FFF_FFFF,
        }
    }

    /// Free clusters, as table 0 shows them.
    pub(super) fn free_clusters(&self, table: &[u8]) -> u32 {
        let free = (FIRST..self.clusters + FIRST).filter(|cluster| self.entry(table, *cluster) == 0).count();
        u32::try_from(free).unwrap_or(u32::MAX)
    }

    /// Byte offsets of the clusters that are free in the table `before` and used in the table `after`.
    pub(super) fn newly_used(&self, before: &[u8], after: &[u8]) -> Vec<u64> {
        let changed = |cluster: &u32| self.entry(before, *cluster) == 0 && self.entry(after, *cluster) != 0;
        let numbers = (FIRST..self.clusters + FIRST).filter(changed);
        numbers.map(|cluster| self.data + u64::from(cluster - FIRST) * u64::from(self.cluster)).collect()
    }

    /// Refuses tables in which a chain comes back to itself: following it would never end.
    ///
    /// # Errors
    /// Corrupt, naming a cluster in the loop.
    pub(super) fn check_loops(&self, table: &[u8]) -> Result<()> {
        let mut seen = vec![0u32; self.clusters as usize];
        for start in 0..self.clusters {
            let mut at = start;
            while let Some(mark) = seen.get_mut(at as usize) {
                if *mark == start + 1 {
                    return Err(Error::corrupt(format!(
                        "the FAT chain through cluster {} comes back to itself",
                        at + FIRST
                    )));
                }
                if *mark != 0 {
                    break;
                }
                *mark = start + 1;
                let next = self.entry(table, at + FIRST);
                if !self.holds(next) {
                    break;
                }
                at = next - FIRST;
            }
        }
        Ok(())
    }
}
