//! The check table: what makes InfiniBand support in an image work, one check per fact.
//!
//! Checks are data. Each looks at [`Evidence`] only, so every one can be run on evidence made by hand.

mod check;
mod checks;
mod load;
mod report;
#[cfg(test)]
pub(crate) mod specimen;

pub(crate) use check::{Authenticity, BootedKernel, Check, Evidence, Expectations, History, Outcome, Program};
pub(crate) use checks::{AUTHENTICITY, CHECKS};
pub(crate) use load::{load, load_into};
pub(crate) use report::{Count, Report, Row, check_ids, run};
