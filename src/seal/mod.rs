//! Sealing the result: gzip, an output that appears whole or not at all, `sha256sums` and `profiles.json` beside it.

mod document;
mod form;
mod gzip;
mod output;
mod profiles;
mod raw;
mod stream;
mod sums;

pub(crate) use document::Document;
pub(crate) use output::Output;
pub(crate) use sums::{check_sums, update_sums};
