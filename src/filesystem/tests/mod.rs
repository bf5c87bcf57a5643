//! The filesystems as a user of the trait sees them, judged by e2fsck, debugfs, unsquashfs, fsck.fat and mtools.

mod ext4_details;
mod ext4_edits;
mod ext4_refusals;
mod extents;
mod fat_edits;
mod mke2fs;
pub(in crate::filesystem) mod operations;
mod same_tree;
pub(in crate::filesystem) mod support;
mod trunks;
mod xattrs;
