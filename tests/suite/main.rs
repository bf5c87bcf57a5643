//! Runs the program as a user does and lets foreign programs judge what it wrote.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation
)]

mod acceptance;
mod bad_input;
mod batch;
mod batch_grounds;
mod batch_locks;
mod boot;
mod cases;
mod erofs;
mod events;
mod expand;
mod full_disk;
mod graph;
mod growth;
mod history;
mod kernel_swap;
mod kubernetes;
mod live_overlay;
mod made_images;
mod overlays;
mod package_wishes;
mod packages;
mod patch;
mod reflink;
mod rekey;
mod rootdir;
mod rootfs;
mod sbom;
mod second_patch;
mod shards;
mod signing;
mod slurm;
mod support;
mod virtual_disks;
mod way_back;
