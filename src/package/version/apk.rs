//! Versions as apk-tools 3 compares them (version.c): `digits{.digits}{letter}{_suffix{number}}{~hash}{-rnumber}`.

use std::cmp::Ordering;

/// Suffixes by rank; no suffix stands between those of a coming release and those of a past one.
const SUFFIXES: [&str; 9] = ["alpha", "beta", "pre", "rc", "cvs", "svn", "git", "hg", "p"];
/// The first suffixes, so many, come before the release itself.
const BEFORE_RELEASE: usize = 4;

/// What a part of a version is; a version that goes on with a part of a lower kind is the newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    InitialDigits,
    Digits,
    Letter,
    Suffix,
    SuffixNumber,
    Hash,
    Revision,
    End,
    Invalid,
}

#[derive(Debug, Clone, Copy)]
struct Part<'a> {
    kind: Kind,
    text: &'a str,
    /// Rank of a suffix.
    rank: usize,
}

/// Compares two versions; where they part ways at something that is no version, as far as they were ones.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    compare_parts(a, b, false)
}

/// As [`compare`], but equal also where `b` ends before `a` does.
pub(super) fn compare_prefix(a: &str, b: &str) -> Ordering {
    compare_parts(a, b, true)
}

fn compare_parts(mut a: &str, mut b: &str, fuzzy: bool) -> Ordering {
    let (mut part_a, mut part_b) = (first(&mut a), first(&mut b));
    while part_a.kind == part_b.kind && part_a.kind < Kind::End {
        let order = compare_part(&part_a, &part_b);
        if order != Ordering::Equal {
            return order;
        }
        part_a = next(part_a.kind, &mut a);
        part_b = next(part_b.kind, &mut b);
    }
    if part_a.kind == part_b.kind || (fuzzy && part_b.kind == Kind::End) {
        return Ordering::Equal;
    }
    let is_early = |part: &Part<'_>| part.kind == Kind::Suffix && part.rank < BEFORE_RELEASE;
    if is_early(&part_a) {
        return Ordering::Less;
    }
    if is_early(&part_b) {
        return Ordering::Greater;
    }
    part_b.kind.cmp(&part_a.kind)
}

fn compare_part(a: &Part<'_>, b: &Part<'_>) -> Ordering {
    let has_zero = a.text.starts_with('0') || b.text.starts_with('0');
    match a.kind {
        // As in Gentoo's rules: 1.010 comes before 1.09.
        Kind::Digits if has_zero => a.text.cmp(b.text),
        Kind::Digits | Kind::InitialDigits | Kind::SuffixNumber | Kind::Revision => value(a.text).cmp(&value(b.text)),
        Kind::Suffix => a.rank.cmp(&b.rank),
        _ => a.text.cmp(b.text),
    }
}

/// Orders digits by their value, however many.
fn value(digits: &str) -> (usize, &str) {
    let digits = digits.trim_start_matches('0');
    (digits.len(), digits)
}

fn first<'a>(rest: &mut &'a str) -> Part<'a> {
    digits(Kind::InitialDigits, rest)
}

fn digits<'a>(kind: Kind, rest: &mut &'a str) -> Part<'a> {
    let text = take_while(rest, |character| character.is_ascii_digit());
    if text.is_empty() { INVALID } else { Part { kind, text, rank: 0 } }
}

const INVALID: Part<'static> = Part { kind: Kind::Invalid, text: "", rank: 0 };

/// The part that follows one of kind `before`.
fn next<'a>(before: Kind, rest: &mut &'a str) -> Part<'a> {
    let Some(character) = rest.chars().next() else { return Part { kind: Kind::End, ..INVALID } };
    let behind = rest.get(character.len_utf8()..).unwrap_or_default();
    match character {
        'a'..='z' if before <= Kind::Digits => {
            let text = rest.get(..1).unwrap_or_default();
            *rest = behind;
            Part { kind: Kind::Letter, text, rank: 0 }
        }
        '.' if before <= Kind::Digits => {
            *rest = behind;
            digits(Kind::Digits, rest)
        }
        '0'..='9' if before <= Kind::Digits => digits(Kind::Digits, rest),
        '0'..='9' if before == Kind::Suffix => digits(Kind::SuffixNumber, rest),
        '_' if before <= Kind::SuffixNumber => {
            *rest = behind;
            let text = take_while(rest, |character| character.is_ascii_lowercase());
            let rank = SUFFIXES.iter().position(|suffix| *suffix == text);
            rank.map_or(INVALID, |rank| Part { kind: Kind::Suffix, text, rank })
        }
        '~' if before < Kind::Hash => {
            *rest = behind;
            let text = take_while(rest, |character| matches!(character, '0'..='9' | 'a'..='f'));
            if text.is_empty() { INVALID } else { Part { kind: Kind::Hash, text, rank: 0 } }
        }
        '-' if before < Kind::Revision && behind.starts_with('r') => {
            *rest = behind.get(1..).unwrap_or_default();
            digits(Kind::Revision, rest)
        }
        _ => INVALID,
    }
}

fn take_while<'a>(rest: &mut &'a str, belongs: impl Fn(char) -> bool) -> &'a str {
    let end = rest.find(|character| !belongs(character)).unwrap_or(rest.len());
    let (taken, left) = rest.split_at(end);
    *rest = left;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What apk-tools 3.0.8 answers to `apk version -t A B`.
    #[test]
    fn versions_are_ordered_as_apk_orders_them() {
        use Ordering::{Equal, Greater, Less};
        for (a, b, order) in TABLE {
            let expected = match order {
                '<' => Less,
                '>' => Greater,
                _ => Equal,
            };
            assert_eq!(compare(a, b), expected, "{a} {b}");
            assert_eq!(compare(b, a), expected.reverse(), "{b} {a}");
        }
    }

    const TABLE: [(&str, &str, char); 26] = [
        ("1.0", "1.0", '='),
        ("1.0-r1", "1.0-r2", '<'),
        ("1.0-r10", "1.0-r9", '>'),
        ("1.0", "1.0-r1", '<'),
        ("1.0", "1.0.1", '<'),
        ("1.01", "1.1", '<'),
        ("1.010", "1.09", '<'),
        ("0.1", "0.01", '>'),
        ("1.0a", "1.0", '>'),
        ("1.0a", "1.0b", '<'),
        ("1.0a", "1.0.1", '<'),
        ("1.0_rc1", "1.0", '<'),
        ("1.0_alpha", "1.0_beta", '<'),
        ("1.0_pre2", "1.0_pre10", '<'),
        ("1.0_p1", "1.0", '>'),
        ("1.0_git20240101", "1.0_svn1", '>'),
        ("1.0_rc1-r3", "1.0-r0", '<'),
        ("6.6.106~aaaa-r1", "6.6.106-r1", '>'),
        ("6.6.106~aaaa-r1", "6.6.106~bbbb-r1", '<'),
        ("6.6.106~0123-r1", "6.6.106~0123-r1", '='),
        ("6.6.106~0123-r1", "6.6.106~0123-r2", '<'),
        ("6.6.106~abc", "6.6.106", '>'),
        ("1.0~abc", "1.0.1", '<'),
        ("1.0_p1~abc", "1.0_p1", '>'),
        ("2024.01.02-r1", "2024.01.10-r1", '<'),
        ("10", "9", '>'),
    ];

    #[test]
    fn a_prefix_matches_what_goes_on_behind_it() {
        for (a, b, matches) in [
            ("1.2.3-r4", "1.2", true),
            ("1.2.3-r4", "1.2.3", true),
            ("1.20", "1.2", false),
            ("1.2", "1.2.3", false),
            ("6.12.117~0123abcd-r1", "6.12.117", true),
            ("6.12.117~0123abcd-r1", "6.12.117~0123abcd", true),
            ("6.12.117~0123abcd-r1", "6.12.117~0123", false),
        ] {
            assert_eq!(compare_prefix(a, b) == Ordering::Equal, matches, "{a} ~{b}");
        }
    }
}
