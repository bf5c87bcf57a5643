//! FAT behind the `Filesystem` trait.
