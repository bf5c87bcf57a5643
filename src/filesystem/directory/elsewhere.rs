//! Stands in on systems where a tree cannot have OpenWrt's owners, device nodes and names. Nothing but [`check`] is reached.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::node::{Described, Special};
use crate::error::{Error, Result};
use crate::filesystem::Attributes;

/// Whether trees can be handled on this system.
pub(super) fn check() -> Result<()> {
    Err(Error::unsupported("directory trees are handled on Linux only")
        .remedy("run ibwrt on Linux, or give an image, which works everywhere"))
}

pub(super) fn described(_: &Metadata) -> Described {
    Described { attributes: Attributes::root(0), inode: (0, 0), links: 1, special: None }
}

pub(super) fn can_give_away() -> bool {
    false
}

pub(super) fn check_readable(_: &Path) -> io::Result<()> {
    Err(unsupported())
}

pub(super) fn give(_: &Path, _: u32, _: u32) -> io::Result<()> {
    Err(unsupported())
}

pub(super) fn set_mode(_: &Path, _: u16) -> io::Result<u16> {
    Err(unsupported())
}

pub(super) fn set_time(_: &Path, _: SystemTime) -> io::Result<()> {
    Err(unsupported())
}

pub(super) fn symlink(_: &OsStr, _: &Path) -> io::Result<()> {
    Err(unsupported())
}

pub(super) fn make_special(_: &Path, _: Special) -> io::Result<()> {
    Err(unsupported())
}

pub(super) fn copy_extended(_: &Path, _: &Path) -> io::Result<Vec<String>> {
    Err(unsupported())
}

pub(super) fn settle(_: &Path) {}

fn unsupported() -> io::Error {
    io::ErrorKind::Unsupported.into()
}
