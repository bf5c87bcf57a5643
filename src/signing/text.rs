//! The text form of keys and signatures: a line of comment, a line of base64.
//!
//! Source: usign `main.c` and `base64.c`, signify `signify.c`. Both skip the first line, whatever it says; signify wants it
//! to begin with `untrusted comment: `.

use crate::base64;

/// What the first line begins with.
const COMMENT: &str = "untrusted comment: ";
/// Longest file that can be one, bytes; usign's own buffer has 512.
const LONGEST: usize = 4096;

/// The text of `bytes`.
pub(super) fn write(comment: &str, bytes: &[u8]) -> String {
    format!("{COMMENT}{comment}\n{}\n", base64::encode(bytes))
}

/// The bytes that `text` stands for, or what is wrong with it. Nothing of the text is repeated: it may be a secret.
pub(super) fn read(text: &[u8]) -> Result<Vec<u8>, String> {
    if text.len() > LONGEST {
        return Err(format!("it has {} bytes, more than the two lines of such a file", text.len()));
    }
    let text = std::str::from_utf8(text).map_err(|error| format!("it is no text from byte {}", error.valid_up_to()))?;
    let Some((_, second)) = text.split_once('\n') else {
        return Err("it has no second line".to_owned());
    };
    base64::decode(second.trim_end()).filter(|bytes| !bytes.is_empty()).ok_or_else(|| {
        let known =
            if text.starts_with(COMMENT) { "" } else { ", nor does its first begin with `untrusted comment: `" };
        format!("its second line is no base64{known}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_such_file_is_told_without_its_content() {
        for (text, problem) in [
            (&b""[..], "it has no second line"),
            (b"untrusted comment: x", "it has no second line"),
            (b"untrusted comment: x\n", "its second line is no base64"),
            (
                b"-----BEGIN\nnot base64",
                "its second line is no base64, nor does its first begin with `untrusted comment: `",
            ),
            (b"x\n\xFF", "it is no text from byte 2"),
            (&[b'A'; 5000], "it has 5000 bytes, more than the two lines of such a file"),
        ] {
            assert_eq!(read(text), Err(problem.to_owned()));
        }
        assert_eq!(read(b"anything\r\nZm9v\r\n"), Ok(b"foo".to_vec()));
    }
}
