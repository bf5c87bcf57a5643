//! How much of an image is opened: more than any OpenWrt image has, and less than what a decompression bomb becomes.

use super::disk::DiskBuilder;
use crate::error::{Error, Result};

/// Longest disk that is opened, in bytes.
pub(crate) const LONGEST_DISK: u64 = 1 << 40;
/// Most bytes of a disk that are not zero and so need memory: no OpenWrt image comes near.
pub(crate) const MOST_CONTENT: u64 = 4 << 30;

/// What was built so far stays within the limits.
///
/// # Errors
/// Unsupported.
pub(super) fn check_size(builder: &DiskBuilder) -> Result<()> {
    check_lengths(builder.length(), builder.stored())
}

/// `length` and `content`, the bytes that are not zero, stay within the limits.
///
/// # Errors
/// Unsupported.
pub(super) fn check_lengths(length: u64, content: u64) -> Result<()> {
    let (what, limit) = if length > LONGEST_DISK {
        ("bytes", LONGEST_DISK)
    } else if content > MOST_CONTENT {
        ("bytes that are not zero", MOST_CONTENT)
    } else {
        return Ok(());
    };
    Err(Error::unsupported(format!("the image holds more than {limit} {what}"))
        .remedy("give an OpenWrt image; a copy of a whole disk must be cut to its partitions first"))
}
