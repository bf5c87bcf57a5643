//! The checks, by subject.

use super::Check;

/// The table, in the order in which it is printed.
pub(crate) const CHECKS: &[Check] = &[];
