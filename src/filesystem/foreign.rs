//! A fence around the filesystem libraries: they are written for sound input, and a damaged image must end in an error
//! of ours, not in a panic of theirs.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, Result};

/// Runs `operation`; a panic inside is an error of kind corrupt. What the operation works on must be dropped then.
pub(super) fn fenced<T>(operation: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(operation)).unwrap_or_else(|_| {
        Err(Error::corrupt("the filesystem is damaged in a way that its reader cannot describe")
            .remedy("check the partition with e2fsck -fn, fsck.fat -n or fsck.erofs"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_inside_becomes_a_corrupt_error() {
        let error = fenced::<()>(|| panic!("inside")).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Corrupt);
    }
}
