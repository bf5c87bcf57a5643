//! What names a key.

use std::fmt;

/// The eight bytes that were drawn when the key was made; key folders name files by them, as 16 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint(pub(crate) [u8; 8]);

impl Fingerprint {
    /// From 16 hex digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        hex.then(|| u64::from_str_radix(text, 16).ok()).flatten().map(|number| Self(number.to_be_bytes()))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_sixteen_hex_digits() {
        let fingerprint = Fingerprint::parse("00dc9401F1926250").unwrap();
        assert_eq!(fingerprint.to_string(), "00dc9401f1926250");
        for text in ["", "74dc9401f192625", "74dc9401f1926250a", "+4dc9401f1926250", "74dc9401f192625g"] {
            assert_eq!(Fingerprint::parse(text), None, "{text}");
        }
    }
}
