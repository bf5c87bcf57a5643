//! Things and how many there are, in words.

use std::fmt::Display;

/// `count` things: `1 file`, `3 files`, `2 directories`.
pub(crate) fn number(count: usize, singular: &str) -> String {
    match (count, singular.strip_suffix('y')) {
        (1, _) => format!("1 {singular}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        _ => format!("{count} {singular}s"),
    }
}

/// The first `most` of `things`, joined by commas; the rest is counted: `a, b and 3 more`.
pub(crate) fn some<T: Display>(things: impl IntoIterator<Item = T>, most: usize) -> String {
    let mut things = things.into_iter();
    let shown: Vec<String> = things.by_ref().take(most).map(|thing| thing.to_string()).collect();
    match things.count() {
        0 => shown.join(", "),
        rest => format!("{} and {rest} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_the_plural_of_y_is_ies() {
        let words =
            [(1, "directory"), (2, "directory"), (0, "file"), (1, "file")].map(|(count, one)| number(count, one));
        assert_eq!(words, ["1 directory", "2 directories", "0 files", "1 file"]);
    }

    #[test]
    fn what_is_not_named_is_counted() {
        assert_eq!(some(["a", "b", "c"], 3), "a, b, c");
        assert_eq!(some(["a", "b", "c"], 1), "a and 2 more");
    }
}
