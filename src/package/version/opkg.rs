//! Versions as opkg compares them (libopkg/pkg.c, after dpkg's vercmp.c): `[epoch:]upstream[-revision]`.

use std::cmp::Ordering;

/// Compares epochs, then what stands before the last dash, then the revision behind it.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (epoch_a, upstream_a, revision_a) = split(a);
    let (epoch_b, upstream_b, revision_b) = split(b);
    epoch_a
        .cmp(&epoch_b)
        .then_with(|| compare_part(upstream_a.as_bytes(), upstream_b.as_bytes()))
        .then_with(|| compare_part(revision_a.as_bytes(), revision_b.as_bytes()))
}

/// Epoch (0 without one), upstream version and revision (empty without one). pkg_parse.c cuts at the last dash, and takes
/// for an epoch whatever number stands before the first colon.
fn split(version: &str) -> (u64, &str, &str) {
    let version = version.trim();
    let (epoch, rest) = match version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, version),
    };
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

/// Weight of a character in a run of non-digits: `~` before everything, even the end; the end and digits next; then
/// letters, then all others.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_digit() => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    }
}

/// Runs of non-digits and of digits in turn; digits by their value.
fn compare_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    let run = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    while !a.is_empty() || !b.is_empty() {
        while (!a.is_empty() && !is_digit(a.first())) || (!b.is_empty() && !is_digit(b.first())) {
            let order = weight(a.first()).cmp(&weight(b.first()));
            if order != Ordering::Equal {
                return order;
            }
            a = a.get(1..).unwrap_or_default();
            b = b.get(1..).unwrap_or_default();
        }
        let (digits_a, rest_a) = a.split_at(run(a));
        let (digits_b, rest_b) = b.split_at(run(b));
        let order = value(digits_a).cmp(&value(digits_b));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

/// Orders digits by their value, however many: by length once leading zeroes are gone, then as text.
fn value(digits: &[u8]) -> (usize, &[u8]) {
    let zeroes = digits.iter().take_while(|digit| **digit == b'0').count();
    let digits = digits.get(zeroes..).unwrap_or_default();
    (digits.len(), digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_opkg_orders_them() {
        use Ordering::{Equal, Greater, Less};
        for (a, b, order) in [
            ("1.0", "1.0", Equal),
            ("1.0-r1", "1.0-r2", Less),
            ("1.0-r10", "1.0-r9", Greater),
            ("1.0", "1.0-r1", Less),
            ("1.10", "1.9", Greater),
            ("1.0", "1.0.1", Less),
            ("1.01", "1.1", Equal),
            ("1.0~rc1-r1", "1.0-r1", Less),
            ("1.0~~", "1.0~", Less),
            ("1.0a", "1.0", Greater),
            ("1.0+git", "1.0a", Greater),
            ("1:0.1", "9.9", Greater),
            ("0:1", "1", Equal),
            ("2023-01-02-1", "2023-01-10-1", Less),
            ("6.6.106~aaaa-r1", "6.6.106-r1", Less),
            ("6.6.106~aaaa-r1", "6.6.106~bbbb-r1", Less),
            ("6.6.106~0123-r1", "6.6.106~0123-r1", Equal),
            ("5.15.137-1-aaaa", "5.15.137-1-aaab", Less),
            ("18446744073709551616", "18446744073709551615", Greater),
            ("1.0-r1", "1.0-1", Greater),
            ("", "1", Less),
            ("", "", Equal),
        ] {
            assert_eq!(compare(a, b), order, "{a} {b}");
            assert_eq!(compare(b, a), order.reverse(), "{b} {a}");
        }
    }
}
