//! Reading numbers and pieces of a file, with errors that name what was sought.

use crate::error::{Error, Result};
use crate::image::disk::Disk;

/// What to do about a file that contradicts itself.
pub(super) const DAMAGED: &str = "the file is damaged or was cut: copy or build it again";

/// The `N` bytes of `file` at byte `at`, which are `what`.
///
/// # Errors
/// Corrupt when they reach behind the end.
pub(super) fn array<const N: usize>(file: &Disk, at: u64, what: &str) -> Result<[u8; N]> {
    check_inside(file, at, N as u64, || what.to_owned())?;
    let mut bytes = [0; N];
    file.read_at(at, &mut bytes)?;
    Ok(bytes)
}

/// `length` bytes from byte `at` on, which are `what`, lie within `file`.
///
/// # Errors
/// Corrupt when they reach behind the end.
pub(super) fn check_inside(file: &Disk, at: u64, length: u64, what: impl Fn() -> String) -> Result<()> {
    match at.checked_add(length) {
        Some(end) if end <= file.length() => Ok(()),
        _ => Err(damaged(format!(
            "{} ({length} bytes at byte {at}) reaches behind the end of the file ({} bytes)",
            what(),
            file.length()
        ))),
    }
}

/// The error that the file is corrupt.
pub(super) fn damaged(message: String) -> Error {
    Error::corrupt(message).remedy(DAMAGED)
}
