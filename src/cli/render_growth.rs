//! What became of the root's size, for people.

use super::page::{Page, size};
use crate::task::RootGrowth;

/// Sizes before and after, and what the plan needs.
pub(super) fn growth(page: &mut Page, growth: &RootGrowth) {
    page.heading(&format!("Size of the root (--rootfs-size {})", growth.asked));
    let what = growth.partition.map_or_else(|| "image".to_owned(), |number| format!("partition {number}"));
    let (before, after) = (growth.bytes_before, growth.bytes_after);
    let change = match after == before {
        true => format!("{} ({before} bytes), as before", size(before)),
        false => format!("{} -> {} ({before} -> {after} bytes)", size(before), size(after)),
    };
    page.fact(&what, &change);
    if let Some(grown) = growth.filesystem.filter(|grown| grown.blocks_after != grown.blocks_before) {
        page.fact(
            "filesystem",
            &format!(
                "{} -> {} blocks of {} bytes, {} -> {} inodes",
                grown.blocks_before, grown.blocks_after, grown.block_size, grown.inodes_before, grown.inodes_after
            ),
        );
    }
    if let Some(needed) = &growth.needed {
        let inodes = needed.free_inodes.map(|free| format!(", and {} inodes of {free}", needed.inodes));
        page.fact(
            "needed",
            &format!(
                "{} blocks of {} bytes, of {} that were free{}",
                needed.blocks,
                needed.block_size,
                needed.free_blocks,
                inodes.unwrap_or_default()
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystem::Growth;
    use crate::task::NeededRoom;

    #[test]
    fn sizes_stand_before_and_after_and_what_decided_them() {
        let grown = Growth {
            block_size: 4096,
            blocks_before: 26_624,
            blocks_after: 26_880,
            inodes_before: 6656,
            inodes_after: 6656,
        };
        let needed = NeededRoom { block_size: 4096, blocks: 300, free_blocks: 120, inodes: 9, free_inodes: Some(4000) };
        let mut report = RootGrowth {
            asked: "min".into(),
            partition: Some(2),
            bytes_before: 104 << 20,
            bytes_after: 105 << 20,
            filesystem: Some(grown),
            needed: Some(needed),
        };
        let mut page = Page::new();
        growth(&mut page, &report);
        assert_eq!(
            page.plain(),
            "Size of the root (--rootfs-size min)\n  \
             partition 2   104 MiB -> 105 MiB (109051904 -> 110100480 bytes)\n  \
             filesystem    26624 -> 26880 blocks of 4096 bytes, 6656 -> 6656 inodes\n  \
             needed        300 blocks of 4096 bytes, of 120 that were free, and 9 inodes of\n                4000\n"
        );
        report.bytes_after = report.bytes_before;
        report.filesystem = None;
        report.needed = None;
        report.partition = None;
        let mut page = Page::new();
        growth(&mut page, &report);
        let text = "Size of the root (--rootfs-size min)\n  image         104 MiB (109051904 bytes), as before\n";
        assert_eq!(page.plain(), text);
    }
}
