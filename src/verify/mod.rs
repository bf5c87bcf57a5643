//! The check table: what makes InfiniBand support in an image work, one check per fact.

mod check;
mod checks;

pub(crate) use check::{Check, Evidence, Expectations, Outcome, Report, Row};
pub(crate) use checks::CHECKS;
