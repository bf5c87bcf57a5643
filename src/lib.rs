//! Puts working InfiniBand support into an OpenWrt x86_64 disk image, and proves offline that it will come up.
#![cfg_attr(test, allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss))]

pub mod cli;

mod apply;
mod base64;
mod civil;
mod counted;
mod crc;
mod digest;
mod disk_identity;
mod error;
mod filesystem;
mod graph;
mod history;
mod hosts;
mod image;
mod infiniband;
mod kernel;
mod openwrt;
mod overlay;
mod package;
mod parallel;
mod plan;
mod progress;
mod recipe;
mod sbom;
mod seal;
mod signing;
mod source;
mod suggest;
mod task;
mod template;
mod userland;
mod verify;
mod xz;
mod zstd;

pub use error::{Error, ErrorKind, Result};
