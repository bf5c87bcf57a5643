//! `/etc/dropbear/authorized_keys`: one public key per line.

use super::autoload::split_lines;

/// Where dropbear looks for root's keys (its patch 100-pubkey_path); `/root/.ssh` is not read.
pub(crate) const AUTHORIZED_KEYS: &str = "/etc/dropbear/authorized_keys";

/// `content` with those of `keys` appended that it does not name yet; existing lines stay as they are. Two lines are
/// the same key when the key's type and base64 text agree, whatever their options and comments.
pub(crate) fn merge(content: &[u8], keys: &[String]) -> Vec<u8> {
    let mut result = content.to_vec();
    let mut known: Vec<Vec<u8>> = split_lines(content).filter_map(identity).collect();
    for key in keys.iter().map(|key| key.trim()) {
        let Some(own) = identity(key.as_bytes()) else { continue };
        if known.contains(&own) {
            continue;
        }
        if result.last().is_some_and(|last| *last != b'\n') {
            result.push(b'\n');
        }
        result.extend_from_slice(key.as_bytes());
        result.push(b'\n');
        known.push(own);
    }
    result
}

/// The base64 text of the key in `line`, or the whole line where no key is recognised; `None` for blanks and comments.
fn identity(line: &[u8]) -> Option<Vec<u8>> {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") {
        return None;
    }
    // A public key blob starts with the 4-byte length of its type's name: `AAAA` in base64.
    let blob = line.split(u8::is_ascii_whitespace).find(|word| word.starts_with(b"AAAA"));
    Some(blob.unwrap_or(line).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_added_once() {
        let keys = ["ssh-ed25519 AAAAC3Nza me@home".to_owned(), "ssh-rsa AAAAB3Nza you".to_owned()];
        let merged = merge(b"# mine\nssh-ed25519 AAAAC3Nza old comment", &keys);
        assert_eq!(merged, b"# mine\nssh-ed25519 AAAAC3Nza old comment\nssh-rsa AAAAB3Nza you\n");
        assert_eq!(merge(&merged, &keys), merged);
    }

    #[test]
    fn an_option_before_a_known_key_does_not_make_it_another() {
        let file = b"from=\"10.0.0.1\" ssh-rsa AAAAB3Nza a\n";
        assert_eq!(merge(file, &["ssh-rsa AAAAB3Nza".to_owned()]), file);
    }
}
