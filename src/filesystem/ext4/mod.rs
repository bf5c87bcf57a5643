//! ext4 (and ext2, ext3) behind the `Filesystem` trait.
