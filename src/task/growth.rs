//! Room for the root: its partition, its filesystem and the disk grown before anything is planned, or as far as the plan
//! needs.

use serde::Serialize;

use crate::error::{At, Error, Result};
use crate::filesystem::{self, Growth};
use crate::image::{Image, LONGEST_DISK, SECTOR};
use crate::plan::{Finding, Severity, mebibytes};
use crate::recipe::RootfsSize;

use super::medium::Medium;
use super::scene::{Located, Scene};
use super::steps::{self, Opened, Planned, Wished, note};

/// The root grows by whole MiB where it is not told by how much.
const STEP: u64 = 1 << 20;
/// An overlay with more room than this becomes F2FS, others ext4 (fstools, libfstools/rootdisk.c).
const LARGEST_EXT4_OVERLAY: u64 = 100 << 20;
/// What makes an F2FS, in the root filesystem.
const MAKE_F2FS: &str = "/usr/sbin/mkfs.f2fs";

/// What became of the root's size.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RootGrowth {
    /// What was asked for, such as `256M`, `+64M` or `min`.
    pub(crate) asked: String,
    /// Number of the partition; `None` where the filesystem fills the whole image.
    pub(crate) partition: Option<u32>,
    /// Its length in bytes as it was.
    pub(crate) bytes_before: u64,
    /// Its length in bytes as it became.
    pub(crate) bytes_after: u64,
    /// How far the filesystem in it grew; `None` for squashfs, which only has more room behind it.
    pub(crate) filesystem: Option<Growth>,
    /// What the plan needs, where that decides the size.
    pub(crate) needed: Option<NeededRoom>,
}

impl RootGrowth {
    /// Whether anything became larger.
    pub(crate) fn is_change(&self) -> bool {
        let grew = self.filesystem.is_some_and(|growth| growth.blocks_after != growth.blocks_before);
        grew || self.bytes_after != self.bytes_before
    }
}

/// The room that a plan needs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct NeededRoom {
    /// Bytes per block.
    pub(crate) block_size: u32,
    /// Blocks that must be free before the first edit.
    pub(crate) blocks: u64,
    /// Blocks that were.
    pub(crate) free_blocks: u64,
    /// Inodes that must be free before the first edit.
    pub(crate) inodes: u64,
    /// Inodes that were; `null` where there is no bound.
    pub(crate) free_inodes: Option<u64>,
}

/// Grows the root of `opened` as wished, and plans. What is to be said of it is added to the image's remarks.
///
/// # Errors
/// Those of the plan; a root that cannot grow so far; not enough room, with the size that would do.
pub(super) fn planned(
    mut opened: Opened,
    wished: &Wished,
    keep_debug: bool,
) -> Result<(Opened, Planned, Option<RootGrowth>)> {
    let place = opened.place();
    let before = opened.scene.clone();
    let mut growth = None;
    if let Some(size) = wished.rootfs_size.filter(|size| *size != RootfsSize::Minimum) {
        let (scene, grown) =
            grown(&before, &size.to_string(), target(size, before.root_length().at(|| place.clone())?)?)
                .at(|| place.clone())?;
        opened.scene = scene;
        growth = Some(grown);
    }
    let mut planned = steps::planned(&opened, wished, keep_debug)?;
    if wished.rootfs_size == Some(RootfsSize::Minimum) {
        let (scene, grown) = grown_to_fit(&before, &mut planned).at(|| place.clone())?;
        opened.scene = scene;
        growth = Some(grown);
    }
    check_room(&before, &opened.scene, &planned).at(|| place.clone())?;
    if let Some(growth) = growth.as_ref().filter(|growth| growth.bytes_after > growth.bytes_before) {
        opened.remarks.extend(rewritten_disk(growth));
        opened.remarks.extend(other_overlay(growth, &before, &planned)?);
    }
    if wished.backup_gpt {
        let (scene, remark) = backed_up(&opened.scene).at(|| place.clone())?;
        opened.scene = scene;
        opened.remarks.extend(remark);
    }
    Ok((opened, planned, growth))
}

/// The length in bytes that `size` asks of a root of `length`.
fn target(size: RootfsSize, length: u64) -> Result<u64> {
    let target = match size {
        RootfsSize::Minimum => Some(length),
        RootfsSize::Exactly(bytes) => Some(bytes),
        RootfsSize::Add(bytes) => length.checked_add(bytes),
    };
    let target = target.and_then(|bytes| bytes.checked_next_multiple_of(SECTOR)).ok_or_else(|| {
        Error::usage(format!("--rootfs-size {size}: no disk is as large as that ({length} bytes now)"))
    })?;
    if target < length {
        return Err(Error::usage(format!(
            "--rootfs-size {size}: the root has {length} bytes ({}), more than these {target} ({}), and does not shrink",
            mebibytes(length, 1),
            mebibytes(target, 1)
        ))
        .remedy("give a larger size, +SIZE to add to it, or min for what the plan needs"));
    }
    Ok(target)
}

/// `scene` with a root of `length` bytes, and the filesystem in it as large; `asked` is what the report says of the wish.
fn grown(scene: &Scene, asked: &str, length: u64) -> Result<(Scene, RootGrowth)> {
    let root = scene.editable_root()?;
    let bytes_before = scene.root_length()?;
    let image = scene.image()?;
    let longer = match (&root.partition, &image.table) {
        (Some(partition), Some(table)) => {
            let (disk, table) = table.grow(&image.disk, partition.number, length / SECTOR)?;
            Image { disk, table: Some(table), ..image.clone() }
        }
        _ => Image { disk: image.disk.lengthened(length), ..image.clone() },
    };
    if length > bytes_before && longer.disk.length() > LONGEST_DISK {
        return Err(Error::usage(format!(
            "with a root of {length} bytes the disk would have {}, more than the {LONGEST_DISK} (1 TiB) that are handled",
            longer.disk.length()
        )));
    }
    let mut after = scene.with_image(longer);
    let root = after.root.clone().map_err(Error::corrupt)?;
    let (volume, filesystem) = filesystem::grow(after.medium.volume(&root)?).at(|| root.place())?;
    let image = Image { disk: volume.into_disk(), ..after.image()?.clone() };
    after.medium = Medium::Image(image);
    let growth = RootGrowth {
        asked: asked.to_owned(),
        partition: root.number(),
        bytes_before,
        bytes_after: after.root_length()?,
        filesystem,
        needed: None,
    };
    Ok((after, growth))
}

/// `scene` with a root that has room for what is `planned`, and the forecast in it made for that root.
fn grown_to_fit(scene: &Scene, planned: &mut Planned) -> Result<(Scene, RootGrowth)> {
    let (need, space) = (planned.plan.need, planned.room);
    let length = scene.root_length()?;
    let asked = RootfsSize::Minimum.to_string();
    let (after, mut growth) = match shortfall(scene, planned)? {
        Some(bytes) => grown(scene, &asked, length.saturating_add(bytes))?,
        None => {
            let partition = scene.editable_root()?.number();
            let (bytes_before, bytes_after) = (length, length);
            (scene.clone(), RootGrowth { asked, partition, bytes_before, bytes_after, filesystem: None, needed: None })
        }
    };
    growth.needed = Some(NeededRoom {
        block_size: space.block_size,
        blocks: need.free_blocks(),
        free_blocks: space.free_blocks,
        inodes: need.free_inodes(),
        free_inodes: Some(space.free_inodes).filter(|inodes| *inodes != u64::MAX),
    });
    planned.room = after.medium.filesystem(after.editable_root()?)?.space()?;
    planned.plan.space = need.forecast(&planned.room);
    Ok((after, growth))
}

/// Bytes by which the root of `scene` must grow for what is `planned`; `None` when it fits.
fn shortfall(scene: &Scene, planned: &Planned) -> Result<Option<u64>> {
    let root = scene.editable_root()?;
    let need = &planned.plan.need;
    filesystem::shortfall(&scene.medium.volume(root)?, need.free_blocks(), need.free_inodes(), STEP).at(|| root.place())
}

/// Refuses a plan that does not fit, with the size that would do counted from the root as it was `before`.
fn check_room(before: &Scene, now: &Scene, planned: &Planned) -> Result<()> {
    let kept = planned.kept_length();
    let unrecorded = match kept {
        0 => String::new(),
        _ => format!(", or give up the {} that are kept to undo the patch with --no-manifest", mebibytes(kept, 1)),
    };
    planned.plan.need.check(&planned.room).map_err(|error| {
        let lengths = before.root_length().and_then(|old| Ok((old, now.root_length()?)));
        let sufficient = lengths.and_then(|(old, new)| {
            let short = shortfall(now, planned)?.unwrap_or(STEP);
            let added = (new - old).saturating_add(short).div_ceil(STEP);
            // It counts only if the root can really become as large.
            grown(before, "", old.saturating_add(added.saturating_mul(STEP))).map(|_| added)
        });
        match sufficient {
            Ok(added) => error.remedy(format!(
                "give the root more room with --rootfs-size +{added}M (min finds as much by itself), or leave overlays or \
                 modules out{unrecorded}"
            )),
            Err(_) => error.remedy(format!(
                "build the image with a larger CONFIG_TARGET_ROOTFS_PARTSIZE, or leave overlays or modules out{unrecorded}"
            )),
        }
    })
}

/// What a running system makes of another size.
fn rewritten_disk(growth: &RootGrowth) -> Option<Finding> {
    let number = growth.partition?;
    let message = format!(
        "partition {number} has another size than before: a router whose disk has the old one is rewritten as a whole by \
         sysupgrade, with whatever other partitions are on it"
    );
    Some(note("partition-size", message))
}

/// What is said where the overlay behind a squashfs becomes another filesystem by its size.
fn other_overlay(growth: &RootGrowth, before: &Scene, planned: &Planned) -> Result<Option<Finding>> {
    let root = before.editable_root()?;
    let Some(start) = filesystem::overlay_start(&before.medium.volume(root)?)? else { return Ok(None) };
    let (old, new) = (growth.bytes_before.saturating_sub(start), growth.bytes_after.saturating_sub(start));
    if old > LARGEST_EXT4_OVERLAY || new <= LARGEST_EXT4_OVERLAY {
        return Ok(None);
    }
    let message = format!(
        "the overlay behind the squashfs gets {} instead of {}: with more than 100 MiB, first boot makes it F2FS instead \
         of ext4",
        mebibytes(new, 1),
        mebibytes(old, 1)
    );
    let missing = planned.system.tree.node(MAKE_F2FS).is_none();
    let remedy = format!(
        "{MAKE_F2FS}, which makes it, is not in the image: build the image with the package mkf2fs, or keep the root small"
    );
    Ok(Some(Finding {
        id: "overlay-f2fs".to_owned(),
        severity: if missing { Severity::Warning } else { Severity::Note },
        message,
        remedy: missing.then_some(remedy),
    }))
}

/// `scene` with a backup GPT, and what is said where that is new.
fn backed_up(scene: &Scene) -> Result<(Scene, Option<Finding>)> {
    let image = scene.image()?;
    let table = image.table.as_ref().ok_or_else(|| {
        Error::usage("the image has no partition table, of which there could be a backup")
            .remedy("leave out --backup-gpt (recipe: backup_gpt)")
    })?;
    let (disk, backed) = table.back_up(&image.disk)?;
    let last = (disk.length() / SECTOR).saturating_sub(1);
    let remark =
        (!table.backup).then(|| note("backup-gpt", format!("a backup GPT ends the disk, its header in LBA {last}")));
    Ok((scene.with_image(Image { disk, table: Some(backed), ..image.clone() }), remark))
}

impl Scene {
    /// The image, which alone has a size.
    fn image(&self) -> Result<&Image> {
        self.medium.image().ok_or_else(|| {
            Error::usage("a tree of files has neither a size nor a partition table")
                .remedy("leave out --rootfs-size and --backup-gpt (recipe: rootfs_size, backup_gpt)")
        })
    }

    /// Bytes of the root's partition, or of the whole image where the root fills it.
    fn root_length(&self) -> Result<u64> {
        self.image()?;
        Ok(self.medium.volume(self.editable_root()?)?.length())
    }

    /// The same scene on `image`, whose partitions have other lengths and nothing else that differs.
    fn with_image(&self, image: Image) -> Self {
        let table = image.table.clone();
        let mut scene = Self { medium: Medium::Image(image), ..self.clone() };
        let renew = |located: &mut Located| {
            let same = |partition: &&crate::image::Partition| Some(partition.number) == located.number();
            if let Some(partition) = table.iter().flat_map(|table| &table.partitions).find(same) {
                located.partition = Some(partition.clone());
            }
        };
        scene.partitions.iter_mut().for_each(renew);
        if let Ok(root) = &mut scene.root {
            renew(root);
        }
        scene
    }
}
