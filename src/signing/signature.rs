//! A detached signature: 74 bytes.

use super::{Fingerprint, text};
use crate::error::{Error, Result};

/// Bytes of a signature file: `Ed`, the fingerprint, the Ed25519 signature.
const LENGTH: usize = 74;

/// A signature, and by which key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signature {
    /// The key's name.
    pub(crate) fingerprint: Fingerprint,
    /// R and s of RFC 8032.
    pub(super) bytes: [u8; 64],
}

impl Signature {
    /// From a signature file of usign or signify.
    ///
    /// # Errors
    /// Corrupt, with what is wrong.
    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        let corrupt = |problem: String| Error::corrupt(format!("this is no usign signature: {problem}"));
        let bytes = text::read(text).map_err(corrupt)?;
        let parts = bytes.split_first_chunk::<2>().and_then(|(algorithm, rest)| {
            let (fingerprint, signature) = rest.split_first_chunk::<8>()?;
            Some((*algorithm, *fingerprint, <[u8; 64]>::try_from(signature).ok()?))
        });
        match parts {
            Some(([b'E', b'd'], fingerprint, bytes)) => Ok(Self { fingerprint: Fingerprint(fingerprint), bytes }),
            Some((other, ..)) => {
                Err(corrupt(format!("its algorithm is {:?}, not \"Ed\"", String::from_utf8_lossy(&other))))
            }
            None => Err(corrupt(format!("it holds {} bytes, not {LENGTH}", bytes.len()))),
        }
    }

    /// As a signature file, byte for byte as usign writes it.
    pub(crate) fn to_text(self) -> String {
        let bytes = [&b"Ed"[..], &self.fingerprint.0, &self.bytes].concat();
        text::write(&format!("signed by key {}", self.fingerprint), &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXTURE: &[u8] = include_bytes!("../../fixtures/sha256sums.sig");

    #[test]
    fn a_signature_of_usign_is_written_as_it_was() {
        let signature = Signature::parse(FIXTURE).unwrap();
        assert_eq!(signature.fingerprint.to_string(), "74dc9401f1926250");
        assert_eq!(signature.to_text().as_bytes(), FIXTURE);
    }

    #[test]
    fn another_algorithm_or_length_is_told_with_numbers() {
        let other = text::write("x", &[b"RW".as_slice(), &[0; 72]].concat());
        let message = |text: &str| Signature::parse(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(message(&other), "this is no usign signature: its algorithm is \"RW\", not \"Ed\"");
        let short = text::write("x", &[0; 73]);
        assert_eq!(message(&short), "this is no usign signature: it holds 73 bytes, not 74");
    }
}
