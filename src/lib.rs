//! Puts working InfiniBand support into an OpenWrt x86_64 disk image, and proves offline that it will come up.
#![allow(dead_code, unused_imports, clippy::module_inception)] // while the rooms are being furnished

pub mod cli;

mod apply;
mod error;
mod filesystem;
mod image;
mod infiniband;
mod kernel;
mod openwrt;
mod overlay;
mod plan;
mod recipe;
mod seal;
mod source;
mod verify;

pub use error::{Error, ErrorKind, Result};
