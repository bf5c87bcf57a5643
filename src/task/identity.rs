//! Identifiers of its own for an image: in the partition table, and where the boot partition's files name a partition. Both
//! change in place and last, on the finished disk: only identifiers and checksums differ, and hosts of a batch have all else
//! in common.

use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;

use crate::disk_identity::DiskIdentity;
use crate::error::{At, Error, Result};
use crate::image::{Disk, Image, PartitionTable};
use crate::openwrt::{RootReference, named_partitions};

use super::medium::Medium;
use super::scene::{Boot, GRUB_CONFIGURATION, Scene};
use super::shelf::Shelf;

const LEAVE_OUT: &str = "leave out --rekey (recipe: rekey)";

/// An identifier, as it was and as it becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Renamed {
    /// Number of the partition; `None` for the disk itself.
    pub(crate) partition: Option<u32>,
    /// As it was.
    pub(crate) before: String,
    /// As it becomes.
    pub(crate) after: String,
}

/// A file of the boot partition that names partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct NamingFile {
    /// Its path.
    pub(crate) path: String,
    /// How often it does.
    pub(crate) times: usize,
}

/// What becomes of the identifiers.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct IdentityChange {
    /// The text that they are made of.
    pub(crate) seed: String,
    /// The disk's (GUID, or signature of an MBR), then the PARTUUIDs in table order.
    pub(crate) identifiers: Vec<Renamed>,
    /// Files that are kept in step.
    pub(crate) files: Vec<NamingFile>,
}

impl IdentityChange {
    /// Whether one becomes another.
    pub(crate) fn is_change(&self) -> bool {
        self.identifiers.iter().any(|renamed| renamed.before != renamed.after)
    }
}

/// Identifiers that an image is to get.
#[derive(Debug, Clone)]
pub(super) struct Rekeying {
    identity: DiskIdentity,
    mentions: Arc<Vec<Mention>>,
    /// What becomes of them.
    pub(super) change: IdentityChange,
}

/// Where a file names a partition.
#[derive(Debug)]
pub(super) struct Mention {
    path: String,
    /// Number of the partition.
    partition: u32,
    /// The bytes of the disk that hold its PARTUUID, in order.
    pieces: Vec<Range<u64>>,
}

impl Rekeying {
    /// The identifiers that are made of `seed`, for the image of `scene`.
    ///
    /// # Errors
    /// Usage for what has no partitions; unsupported when the boot menu names no partition of the table, or when the table
    /// cannot have such identifiers; those of the boot partition's filesystem.
    pub(super) fn plan(scene: &Scene, shelf: &Shelf, seed: String) -> Result<Self> {
        let table = table_of(scene)?;
        let identity = DiskIdentity::derived(&seed);
        let renamed = table.renamed(&identity)?;
        let mentions = shelf.mentions(|| find(scene, table))?;
        let renamed_partitions = table.partitions.iter().zip(&renamed.partitions).map(|(before, after)| Renamed {
            partition: Some(before.number),
            before: before.partuuid.clone(),
            after: after.partuuid.clone(),
        });
        let disk = Renamed { partition: None, before: table.disk_id.clone(), after: renamed.disk_id.clone() };
        let mut files: Vec<NamingFile> = Vec::new();
        for Mention { path, .. } in mentions.iter() {
            match files.last_mut().filter(|file| file.path == *path) {
                Some(file) => file.times += 1,
                None => files.push(NamingFile { path: path.clone(), times: 1 }),
            }
        }
        let identifiers = std::iter::once(disk).chain(renamed_partitions).collect();
        Ok(Self { identity, mentions, change: IdentityChange { seed, identifiers, files } })
    }

    /// `medium`, an image whose boot partition has its files where they were, with these identifiers.
    ///
    /// # Errors
    /// Corrupt when a file is elsewhere by now.
    pub(super) fn carried_out(&self, medium: &Medium) -> Result<Medium> {
        let (Some(image), Some(before)) = (medium.image(), medium.table()) else {
            return Err(Error::usage("there is no partition table"));
        };
        let (mut disk, table) = before.rekey(&image.disk, &self.identity)?;
        for mention in self.mentions.iter() {
            let partuuid = |table: &PartitionTable| {
                let named = table.partitions.iter().find(|partition| partition.number == mention.partition);
                named.map(|partition| partition.partuuid.clone()).unwrap_or_default()
            };
            mention.replace(&mut disk, &partuuid(before), &partuuid(&table)).at(|| mention.path.clone())?;
        }
        Ok(Medium::Image(Image { disk, table: Some(table), ..image.clone() }))
    }
}

impl Mention {
    /// Writes `after`, which is as long, where `before` stands.
    fn replace(&self, disk: &mut Disk, before: &str, after: &str) -> Result<()> {
        let mut rest = after.as_bytes();
        let mut found = Vec::new();
        for piece in &self.pieces {
            let length = usize::try_from(piece.end.saturating_sub(piece.start)).unwrap_or(usize::MAX);
            found.extend(disk.read_vec(piece.start, length)?);
            let (now, later) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            disk.write_at(piece.start, now)?;
            rest = later;
        }
        if rest.is_empty() && found.eq_ignore_ascii_case(before.as_bytes()) {
            return Ok(());
        }
        Err(Error::corrupt(format!("PARTUUID={before} is no longer where it was")))
    }
}

/// The table of the image.
fn table_of(scene: &Scene) -> Result<&PartitionTable> {
    let what = match scene.medium {
        Medium::Tree(_) => "a tree of files",
        Medium::Image(_) => "a root filesystem alone",
    };
    scene.medium.table().ok_or_else(|| {
        Error::usage(format!("{what} has no partition table, and so no identifiers that could be others"))
            .remedy(format!("{LEAVE_OUT}, or take the combined image"))
    })
}

/// Where the files of the boot partition name partitions of `table`.
fn find(scene: &Scene, table: &PartitionTable) -> Result<Vec<Mention>> {
    let boot = scene.boot.as_ref().map_err(|reason| {
        Error::unsupported(format!("what names the partitions cannot be kept in step: {reason}")).remedy(LEAVE_OUT)
    })?;
    check_entries(boot, table).at(|| GRUB_CONFIGURATION.to_owned()).at(|| boot.located.place())?;
    let start = boot.located.partition.as_ref().map_or(0, |partition| partition.byte_range().start);
    let mut filesystem = scene.medium.volume_filesystem(&boot.located, 0)?;
    let mut mentions = Vec::new();
    // The kernel is packed; a name in it would not be seen, and could not be replaced.
    let is_kernel = |path: &String| boot.configuration.entries.iter().any(|entry| entry.kernel == *path);
    for path in boot.files.iter().filter(|path| !is_kernel(path)) {
        let content = filesystem.read(path).at(|| boot.located.place())?;
        let named = named_partitions(&content).into_iter().filter_map(|(range, id)| {
            let partition = table.partitions.iter().find(|partition| partition.partuuid == id)?;
            Some((range, partition.number))
        });
        let named: Vec<_> = named.collect();
        if named.is_empty() {
            continue;
        }
        let extents = filesystem.extents(path).at(|| boot.located.place())?;
        mentions.extend(named.into_iter().map(|(range, partition)| Mention {
            path: path.clone(),
            partition,
            pieces: pieces(&extents, &range, start),
        }));
    }
    Ok(mentions)
}

/// Refuses a menu with an entry whose root is no partition of `table` by its PARTUUID: it could not be kept in step.
fn check_entries(boot: &Boot, table: &PartitionTable) -> Result<()> {
    const REMEDY: &str = "build the image without CONFIG_TARGET_ROOTFS_PARTNAME, or have every entry name root=PARTUUID=… of the root \
         partition (ibwrt inspect IMAGE shows it)";
    for entry in &boot.configuration.entries {
        let title = &entry.title;
        let found = match entry.root()? {
            RootReference::Device(device) => format!("\"{title}\" has root={device}, which is no PARTUUID"),
            RootReference::Partuuid(id) if table.partitions.iter().all(|partition| partition.partuuid != id) => {
                let all: Vec<&str> = table.partitions.iter().map(|partition| partition.partuuid.as_str()).collect();
                format!("\"{title}\" has root=PARTUUID={id}, but the partitions have {}", all.join(", "))
            }
            RootReference::Partuuid(_) => continue,
        };
        return Err(
            Error::unsupported(format!("{found}: it cannot be kept in step with other identifiers")).remedy(REMEDY)
        );
    }
    Ok(())
}

/// The bytes of the disk that hold the bytes `range` of a file that lies in `extents` of the volume at byte `start`.
fn pieces(extents: &[Range<u64>], range: &Range<usize>, start: u64) -> Vec<Range<u64>> {
    let (from, to) = (range.start as u64, range.end as u64);
    let mut pieces: Vec<Range<u64>> = Vec::new();
    let mut position = 0;
    for extent in extents {
        let length = extent.end.saturating_sub(extent.start);
        let (first, end) = (from.max(position), to.min(position + length));
        if first < end {
            let place = |at: u64| start + extent.start + (at - position);
            pieces.push(place(first)..place(end));
        }
        position += length;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_across_two_blocks_is_two_pieces() {
        let extents = [4096..8192, 1024..1124];
        let found = |range, start| {
            pieces(&extents, &range, start).into_iter().map(|piece| (piece.start, piece.end)).collect::<Vec<_>>()
        };
        assert_eq!(found(10..20, 0), [(4106, 4116)]);
        assert_eq!(found(4090..4100, 100_000), [(108_186, 108_192), (101_024, 101_028)]);
        assert_eq!(found(4096..4196, 0), [(1024, 1124)]);
    }

    #[test]
    fn a_name_that_is_elsewhere_by_now_is_left_alone() {
        let mention = Mention { path: "/boot/grub/grub.cfg".into(), partition: 2, pieces: vec![2..6, 9..16] };
        let mut disk = Disk::from_bytes(b"..E805...ec03-02...");
        mention.replace(&mut disk, "e805ec03-02", "12345678-02").unwrap();
        assert_eq!(disk.read_vec(0, 19).unwrap(), b"..1234...5678-02...");
        let error = mention.replace(&mut disk, "e805ec03-02", "12345678-02").unwrap_err();
        assert_eq!(error.message(), "PARTUUID=e805ec03-02 is no longer where it was");
    }
}
