//! Module parameters: `key=value` words as the kernel splits them (kernel/params.c, next_arg).

/// `existing` with the parameters of `wished` in the place of those of the same key, the rest kept; `None` when they
/// are all there already. Keys are equal modulo `-` and `_`, as in the kernel (parameq).
pub(super) fn merge(existing: &str, wished: &str) -> Option<String> {
    let old = words(existing);
    let mut wished = last_of_each_key(words(wished));
    let mut new: Vec<String> = Vec::with_capacity(old.len());
    for word in &old {
        match wished.iter_mut().find(|(_, own, _)| *own == key(word)) {
            Some((_, _, true)) => {}
            Some((value, _, placed)) => {
                *placed = true;
                new.push(value.clone());
            }
            None => new.push(word.clone()),
        }
    }
    new.extend(wished.into_iter().filter(|(_, _, placed)| !placed).map(|(value, _, _)| value));
    (new != old).then(|| new.join(" "))
}

/// Word, its key, and whether it has found its place; of several words with one key the last counts.
fn last_of_each_key(words: Vec<String>) -> Vec<(String, String, bool)> {
    let mut kept: Vec<(String, String, bool)> = Vec::new();
    for word in words {
        let own = key(&word);
        match kept.iter_mut().find(|(_, known, _)| *known == own) {
            Some((value, _, _)) => *value = word,
            None => kept.push((word, own, false)),
        }
    }
    kept
}

fn key(word: &str) -> String {
    word.split('=').next().unwrap_or_default().trim_matches('"').replace('-', "_")
}

/// Words separated by blanks outside double quotes.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for character in text.chars() {
        quoted ^= character == '"';
        if character.is_whitespace() && !quoted {
            words.push(std::mem::take(&mut word));
        } else {
            word.push(character);
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_same_key_are_replaced_and_foreign_ones_kept() {
        assert_eq!(
            merge("num_vfs=4 port-type-array=2,2 debug_level=1", "port_type_array=1,1").as_deref(),
            Some("num_vfs=4 port_type_array=1,1 debug_level=1")
        );
        assert_eq!(merge("", "a=1 b=2").as_deref(), Some("a=1 b=2"));
        assert_eq!(merge("a=1 c a=2", "a=3").as_deref(), Some("a=3 c"));
    }

    #[test]
    fn what_is_there_already_changes_nothing() {
        assert_eq!(merge("x=1   port_type_array=1,1", "port_type_array=1,1"), None);
        assert_eq!(merge("x=1", ""), None);
    }

    #[test]
    fn quoted_blanks_do_not_separate() {
        assert_eq!(merge("text=\"a b\" n=1", "n=2").as_deref(), Some("text=\"a b\" n=2"));
        assert_eq!(merge("a=1", "a=2 a=3").as_deref(), Some("a=3"), "the last of one key counts");
    }
}
