//! Stanzas as bytes: what is not touched keeps every byte.

/// `content` cut into stanzas, each with the blank lines behind it; blank lines before the first are a piece of their own.
pub(super) fn pieces(content: &[u8]) -> Vec<&[u8]> {
    let is_blank = |line: &[u8]| line.trim_ascii().is_empty();
    let (mut pieces, mut start, mut end) = (Vec::new(), 0usize, 0usize);
    let (mut has_text, mut is_behind) = (false, false);
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        if !is_blank(line) && (is_behind || !has_text) && end > start {
            pieces.push(content.get(start..end).unwrap_or_default());
            (start, has_text) = (end, false);
        }
        has_text |= !is_blank(line);
        is_behind = has_text && is_blank(line);
        end = end.saturating_add(line.len());
    }
    pieces.extend(content.get(start..).filter(|rest| !rest.is_empty()));
    pieces
}

/// The trimmed value of the first line of `piece` that begins with `name` and a colon.
pub(super) fn field<'a>(piece: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut lines = piece.split(|byte| *byte == b'\n');
    lines.find_map(|line| Some(line.strip_prefix(name.as_bytes())?.strip_prefix(b":")?.trim_ascii()))
}

/// `content` with `stanza`, which ends in a line feed, in the place of the stanza whose field `key` is `name`; where there
/// is none, before the first piece that `comes_after` names, else at the end. Further stanzas of that name go. Without
/// `stanza` they all go.
pub(super) fn replaced(
    content: &[u8],
    key: &str,
    name: &str,
    stanza: Option<&str>,
    comes_after: impl Fn(&[u8]) -> bool,
) -> Vec<u8> {
    let own = |piece: &[u8]| field(piece, key) == Some(name.as_bytes());
    let pieces = pieces(content);
    let known = pieces.iter().position(|piece| own(piece));
    let place = known.or_else(|| pieces.iter().position(|piece| comes_after(piece))).unwrap_or(pieces.len());
    let mut result = Vec::with_capacity(content.len());
    for (index, piece) in pieces.iter().enumerate() {
        if index == place {
            push(&mut result, stanza);
        }
        if !own(piece) {
            result.extend_from_slice(piece);
        }
    }
    if place == pieces.len() {
        push(&mut result, stanza);
    }
    result
}

/// Adds a stanza behind what ends in a blank line, or is made to.
fn push(result: &mut Vec<u8>, stanza: Option<&str>) {
    let Some(stanza) = stanza else { return };
    if !result.is_empty() {
        for _ in 0..2 {
            if !result.ends_with(b"\n\n") {
                result.push(b'\n');
            }
        }
    }
    result.extend_from_slice(stanza.as_bytes());
    result.push(b'\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn put(content: &str, name: &str, stanza: Option<&str>) -> String {
        let result = replaced(content.as_bytes(), "P", name, stanza, |_| false);
        String::from_utf8(result).unwrap()
    }

    #[test]
    fn a_stanza_is_replaced_where_it_stands_and_the_rest_keeps_its_bytes() {
        let text = "\nP: a\nx\n\n\nP: b\n y\n\nP: c\n\nP: b\n\n";
        assert_eq!(put(text, "b", Some("P: b\nnew\n")), "\nP: a\nx\n\n\nP: b\nnew\n\nP: c\n\n");
        assert_eq!(put(text, "b", None), "\nP: a\nx\n\n\nP: c\n\n");
        assert_eq!(put("", "d", Some("P: d\n")), "P: d\n\n");
        assert_eq!(put("P: a", "d", Some("P: d\n")), "P: a\n\nP: d\n\n", "a file that was cut off");
    }

    proptest! {
        #[test]
        fn the_pieces_are_the_whole(content in "([PV]: ?[ab]\n|\n| x\n|z)*") {
            let bytes = content.as_bytes();
            prop_assert_eq!(pieces(bytes).concat(), bytes);
            let once = replaced(bytes, "P", "a", Some("P: a\nn\n"), |_| false);
            prop_assert_eq!(replaced(&once, "P", "a", Some("P: a\nn\n"), |_| false), once);
        }
    }
}
