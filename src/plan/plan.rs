//! The plan: the pure function from facts and wishes to edits.

use serde::Serialize;

use crate::error::Result;
use crate::openwrt::System;

use super::{Edit, Finding, Wishes};

/// Room before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct SpaceForecast {
    /// Bytes per block.
    pub(crate) block_size: u32,
    /// Free blocks now.
    pub(crate) free_blocks_before: u64,
    /// Free blocks afterwards, estimated from above use (never fewer than predicted minus metadata slack).
    pub(crate) free_blocks_after: u64,
    /// Free inodes now.
    pub(crate) free_inodes_before: u64,
    /// Free inodes afterwards.
    pub(crate) free_inodes_after: u64,
}

/// What will be done.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Changes, in the order in which they are carried out.
    pub(crate) edits: Vec<Edit>,
    /// Remarks.
    pub(crate) findings: Vec<Finding>,
    /// Room.
    pub(crate) space: SpaceForecast,
}

/// Compares `system` with `wishes`.
///
/// # Errors
/// Not enough room (with the numbers), a wish that contradicts what is there (a directory where a file is wished), or
/// a system without exactly one module directory.
pub(crate) fn plan(system: &System, wishes: &Wishes) -> Result<Plan> {
    let _ = (system, wishes);
    Err(crate::error::Error::unsupported("planning is not built yet"))
}
