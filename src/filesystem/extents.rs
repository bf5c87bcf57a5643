//! Where a file lies in its volume.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::image::Volume;

/// Checks that `content` is what lies in `extents`, so that whoever writes there writes to that file.
///
/// # Errors
/// Corrupt when it is not.
pub(super) fn same_content(volume: &Volume, extents: &[Range<u64>], content: &[u8]) -> Result<()> {
    let mut rest = content;
    for extent in extents {
        let length = usize::try_from(extent.end.saturating_sub(extent.start)).unwrap_or(usize::MAX);
        let Some((expected, behind)) = rest.split_at_checked(length) else { break };
        let mut found = vec![0; length];
        volume.read_at(extent.start, &mut found)?;
        if found != expected {
            break;
        }
        rest = behind;
    }
    if rest.is_empty() {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "byte {} of the file is not where the filesystem says that it lies",
        content.len() - rest.len()
    )))
}
