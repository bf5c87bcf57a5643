//! Versions, compared by the rules of the manager whose packages they are.

mod apk;
mod opkg;

use std::cmp::Ordering;

use super::Format;

/// Compares `a` and `b` by the rules of `format`'s package manager.
pub(crate) fn compare(format: Format, a: &str, b: &str) -> Ordering {
    match format {
        Format::Ipk => opkg::compare(a, b),
        Format::Apk => apk::compare(a, b),
    }
}

/// Whether version `a` begins as `b` does, as apk's `~` asks. opkg has no such operator; it takes them as equal or not.
pub(crate) fn begins_as(format: Format, a: &str, b: &str) -> bool {
    match format {
        Format::Ipk => opkg::compare(a, b) == Ordering::Equal,
        Format::Apk => apk::compare_prefix(a, b) == Ordering::Equal,
    }
}
