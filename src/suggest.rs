//! What was probably meant by a word that is not known.

/// How alike two words must be (Jaro-Winkler, 0 to 1) to be suggested.
const ALIKE: f64 = 0.8;

/// The word of `known` that `word` was probably meant to be.
pub(crate) fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = word.to_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&folded, &candidate.to_lowercase().replace('-', "_")), candidate))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// The remedy for a word that is not among `known`: the probable one, or all of them. `what` is the plural noun.
pub(crate) fn instead(word: &str, known: &[&str], what: &str) -> String {
    match suggestion(word, known.iter().copied()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None if known.is_empty() => format!("there are no {what} here"),
        None => format!("the {what} here are {}", quoted_list(known)),
    }
}

/// `` `a`, `b`, `c` ``.
pub(crate) fn quoted_list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_nonsense_finds_the_list() {
        let known = ["address", "mtu"];
        assert_eq!(instead("adress", &known, "keys"), "did you mean `address`?");
        assert_eq!(instead("zzz", &known, "keys"), "the keys here are `address`, `mtu`");
        assert_eq!(instead("zzz", &[], "keys"), "there are no keys here");
    }
}
