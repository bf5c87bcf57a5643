//! `.apk` files of apk-tools 3 (doc/apk-v3.5.scd, adb.h, apk_adb.c): an ADB container, packed or not.

mod adb;
mod container;
mod schema;

use super::Package;
use crate::error::{At as _, Result};

/// Whether `bytes` begin as an ADB container does.
pub(super) fn is_apk(bytes: &[u8]) -> bool {
    bytes.starts_with(b"ADB")
}

/// Reads an .apk; `source` is what messages call it.
///
/// # Errors
/// As [`read`](super::read).
pub(super) fn read(bytes: &[u8], source: &str) -> Result<Package> {
    let content = container::unpack(bytes)?;
    let container = container::Container::parse(&content)?;
    let mut package = schema::read(&container, source).at(|| "ADB".to_owned())?;
    if let super::Details::Apk(details) = &mut package.details {
        details.file_size = bytes.len() as u64;
    }
    Ok(package)
}
