//! Sealing the result: gzip, an output that appears whole or not at all, `sha256sums` and `profiles.json` beside it.

mod gzip;
mod output;
mod raw;

pub(crate) use output::{Output, Sealed};
