//! `/etc/shadow`: the password field of root.

use super::autoload::split_lines;

/// `content` with `hash` as root's password; every other byte stays. Without a line for root one is put first, as
/// base-files ships it (last changed on day 0, valid for 99999 days, warning 7 days before).
pub(crate) fn with_root_password(content: &[u8], hash: &str) -> Vec<u8> {
    let mut result = Vec::with_capacity(content.len().saturating_add(hash.len()));
    let mut done = false;
    for line in split_lines(content) {
        match line.strip_prefix(b"root:") {
            Some(rest) if !done => {
                let end = rest.iter().position(|byte| matches!(byte, b':' | b'\n')).unwrap_or(rest.len());
                result.extend_from_slice(b"root:");
                result.extend_from_slice(hash.as_bytes());
                result.extend_from_slice(rest.get(end..).unwrap_or_default());
                done = true;
            }
            _ => result.extend_from_slice(line),
        }
    }
    if !done {
        let line = format!("root:{hash}:0:0:99999:7:::\n");
        result.splice(0..0, line.into_bytes());
    }
    result
}

/// Why `hash` cannot stand in the password field, if it cannot: a crypt(3) hash is printable ASCII without `:`.
pub(crate) fn hash_problem(hash: &str) -> Option<String> {
    if hash.is_empty() {
        return Some("the hash is empty, which would let root in without a password".to_owned());
    }
    let bad = hash.chars().find(|character| !character.is_ascii_graphic() || *character == ':');
    bad.map(|character| format!("the hash holds {character:?}, which no crypt(3) hash does"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_field_of_root_changes() {
        let stock = b"root:::0:99999:7:::\ndaemon:*:0:0:99999:7:::\n";
        assert_eq!(
            with_root_password(stock, "$5$salt$hash"),
            b"root:$5$salt$hash::0:99999:7:::\ndaemon:*:0:0:99999:7:::\n"
        );
        let again = with_root_password(&with_root_password(stock, "$6$a$b"), "$5$salt$hash");
        assert_eq!(again, with_root_password(stock, "$5$salt$hash"));
    }

    #[test]
    fn odd_files_keep_their_bytes() {
        assert_eq!(with_root_password(b"rooty:x:\nroot:old", "$1$h"), b"rooty:x:\nroot:$1$h");
        assert_eq!(with_root_password(b"a:\xff:\r\nroot:o:1\r\nno newline", "h"), b"a:\xff:\r\nroot:h:1\r\nno newline");
        assert_eq!(with_root_password(b"daemon:*:0:\n", "h"), b"root:h:0:0:99999:7:::\ndaemon:*:0:\n");
        assert_eq!(with_root_password(b"", "h"), b"root:h:0:0:99999:7:::\n");
    }

    #[test]
    fn a_hash_that_would_break_the_file_is_named() {
        assert_eq!(hash_problem("$5$a$b"), None);
        assert!(hash_problem("a:b").unwrap().contains("':'"));
        assert!(hash_problem("a\nb").unwrap().contains("'\\n'"));
        assert!(hash_problem("").unwrap().contains("empty"));
    }
}
