//! The kernel on the boot partition: the one edit that is made there.

use std::sync::Arc;

use super::{Change, Content, Edit, SpaceForecast};
use crate::error::{Error, Result};
use crate::filesystem::{Attributes, Kind, Space};

/// What is known of the boot partition before its kernel is replaced.
#[derive(Debug, Clone)]
pub(crate) struct BootPartition {
    /// Absolute path of the kernel that grub.cfg's entries boot.
    pub(crate) kernel: String,
    /// What stands there now; `None` when nothing does.
    pub(crate) present: Option<(Attributes, Arc<[u8]>)>,
    /// Its filesystem.
    pub(crate) kind: Kind,
    /// Room left.
    pub(crate) space: Space,
}

/// What will be done on the boot partition.
#[derive(Debug, Clone)]
pub(crate) struct BootPlan {
    /// The change; none when the kernel is there already.
    pub(crate) edits: Vec<Edit>,
    /// Room.
    pub(crate) space: SpaceForecast,
}

/// Puts `kernel` in the place of the one that is there, which keeps its permissions. Unlike in the root filesystem the old
/// content makes room for the new one: a boot partition is seldom large enough for two kernels.
///
/// # Errors
/// Usage, with the numbers and no remedy, when the kernel does not fit.
pub(crate) fn plan_boot(boot: &BootPartition, kernel: &Arc<[u8]>) -> Result<BootPlan> {
    let space = &boot.space;
    let block = u64::from(space.block_size.max(1));
    let blocks = |bytes: &[u8]| (bytes.len() as u64).div_ceil(block);
    let mut forecast = SpaceForecast {
        block_size: space.block_size,
        free_blocks_before: space.free_blocks,
        free_blocks_after: space.free_blocks,
        free_inodes_before: space.free_inodes,
        free_inodes_after: space.free_inodes,
    };
    if boot.present.as_ref().is_some_and(|(_, present)| present == kernel) {
        return Ok(BootPlan { edits: Vec::new(), space: forecast });
    }
    let freed = boot.present.as_ref().map_or(0, |(_, present)| blocks(present));
    let free = space.free_blocks.saturating_add(freed);
    let needed = blocks(kernel).saturating_add(overhead(boot.kind, blocks(kernel), block));
    if needed > free || (boot.present.is_none() && space.free_inodes == 0) {
        return Err(Error::usage(format!(
            "not enough room on the boot partition: the kernel of {} bytes needs {needed} blocks of {block} bytes, {free} are \
             free once the kernel of {} bytes that is there now is gone",
            kernel.len(),
            boot.present.as_ref().map_or(0, |(_, present)| present.len()),
        )));
    }
    forecast.free_blocks_after = free.saturating_sub(blocks(kernel));
    let edit = Edit {
        path: boot.kernel.clone(),
        change: if boot.present.is_some() { Change::Replace } else { Change::Add },
        content: Some(Content::File(Arc::clone(kernel))),
        linked_to: None,
        is_own: false,
        attributes: boot.present.as_ref().map_or(Attributes::root(0o644), |(attributes, _)| *attributes),
        size_before: boot.present.as_ref().map(|(_, present)| present.len() as u64),
        reason: "kernel swap".to_owned(),
    };
    Ok(BootPlan { edits: vec![edit], space: forecast })
}

/// Blocks that a file of `data` blocks may take beside its content: a cluster by which a FAT directory grows; on ext4 that,
/// and the blocks of an extent tree in the worst case, one entry of 12 bytes per block behind a header of 12 bytes.
fn overhead(kind: Kind, data: u64, block: u64) -> u64 {
    if kind == Kind::Fat {
        return 1;
    }
    data.div_ceil((block / 12).saturating_sub(1).max(1)).saturating_add(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(kind: Kind, present: usize, free_blocks: u64) -> BootPartition {
        BootPartition {
            kernel: "/boot/vmlinuz".to_owned(),
            present: Some((Attributes::root(0o600), vec![1; present].into())),
            kind,
            space: Space { block_size: 2048, blocks: 8000, free_blocks, inodes: u64::MAX, free_inodes: u64::MAX },
        }
    }

    #[test]
    fn the_old_kernel_makes_room_for_the_new_one() {
        let kernel: Arc<[u8]> = vec![2; 10 * 2048].into();
        let plan = plan_boot(&boot(Kind::Fat, 9 * 2048, 2), &kernel).unwrap();
        let [edit] = plan.edits.as_slice() else { panic!("{:?}", plan.edits) };
        assert_eq!(
            (edit.path.as_str(), edit.change, edit.size_before),
            ("/boot/vmlinuz", Change::Replace, Some(18432))
        );
        assert_eq!((edit.attributes.mode, edit.reason.as_str()), (0o600, "kernel swap"));
        assert_eq!(plan.space.free_blocks_after, 1);
    }

    #[test]
    fn a_kernel_that_does_not_fit_is_told_in_numbers() {
        let kernel: Arc<[u8]> = vec![2; 10 * 2048].into();
        let error = plan_boot(&boot(Kind::Fat, 9 * 2048, 1), &kernel).unwrap_err();
        assert_eq!(
            error.message(),
            "not enough room on the boot partition: the kernel of 20480 bytes needs 11 blocks of 2048 bytes, 10 are free once \
             the kernel of 18432 bytes that is there now is gone"
        );
        assert!(plan_boot(&boot(Kind::Ext4, 9 * 2048, 3), &kernel).is_err(), "ext4 may need blocks for extents");
        assert!(plan_boot(&boot(Kind::Ext4, 9 * 2048, 4), &kernel).is_ok());
    }

    #[test]
    fn a_kernel_that_is_there_already_is_no_edit_however_full_the_partition_is() {
        let plan = plan_boot(&boot(Kind::Fat, 4096, 0), &vec![1; 4096].into()).unwrap();
        assert_eq!((plan.edits.len(), plan.space.free_blocks_after), (0, 0));
    }

    #[test]
    fn a_missing_kernel_is_added() {
        let mut boot = boot(Kind::Ext4, 0, 100);
        boot.present = None;
        let plan = plan_boot(&boot, &vec![1; 4096].into()).unwrap();
        assert_eq!((plan.edits[0].change, plan.edits[0].attributes.mode), (Change::Add, 0o644));
        boot.space.free_inodes = 0;
        assert!(plan_boot(&boot, &vec![1; 4096].into()).is_err());
    }
}
