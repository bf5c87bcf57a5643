//! A public key: 42 bytes.

use ed25519_dalek::VerifyingKey;

use super::{Fingerprint, Message, Signature, text};
use crate::error::{Error, Result};

/// Bytes of a public key file: `Ed`, the fingerprint, the Ed25519 key.
const LENGTH: usize = 42;
/// Bytes of a secret key file, which somebody may give instead.
pub(super) const SECRET_LENGTH: usize = 104;

/// A key that checks signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PublicKey {
    /// Its name.
    pub(crate) fingerprint: Fingerprint,
    pub(super) key: VerifyingKey,
}

impl PublicKey {
    /// From a public key file of usign or signify.
    ///
    /// # Errors
    /// Usage, with what is wrong.
    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        let refuse = |problem: String| Error::usage(format!("this is no usign public key: {problem}"));
        let bytes = text::read(text).map_err(refuse)?;
        if bytes.len() == SECRET_LENGTH && bytes.starts_with(b"EdBK") {
            return Err(Error::usage("this is a secret key; signatures are checked with the public one")
                .remedy("give the .pub file, and keep the other to yourself"));
        }
        let parts = bytes.split_first_chunk::<2>().and_then(|(algorithm, rest)| {
            let (fingerprint, key) = rest.split_first_chunk::<8>()?;
            Some((*algorithm, *fingerprint, <[u8; 32]>::try_from(key).ok()?))
        });
        match parts {
            Some(([b'E', b'd'], fingerprint, key)) => Self::new(Fingerprint(fingerprint), &key).map_err(refuse),
            Some((other, ..)) => {
                Err(refuse(format!("its algorithm is {:?}, not \"Ed\"", String::from_utf8_lossy(&other))))
            }
            None => Err(refuse(format!("it holds {} bytes, not {LENGTH}", bytes.len()))),
        }
    }

    /// A key of small order would take one signature for many messages.
    fn new(fingerprint: Fingerprint, key: &[u8; 32]) -> Result<Self, String> {
        match VerifyingKey::from_bytes(key) {
            Ok(key) if !key.is_weak() => Ok(Self { fingerprint, key }),
            _ => Err("it is no point of the curve that keys are made of".to_owned()),
        }
    }

    /// As a public key file.
    pub(crate) fn to_text(self, comment: &str) -> String {
        text::write(comment, &[&b"Ed"[..], &self.fingerprint.0, self.key.as_bytes()].concat())
    }

    /// Whether `signature` is this key's on `message`.
    ///
    /// # Errors
    /// I/O.
    pub(crate) fn verifies(&self, message: &dyn Message, signature: &Signature) -> Result<bool> {
        if signature.fingerprint != self.fingerprint {
            return Ok(false);
        }
        let signature = ed25519_dalek::Signature::from_bytes(&signature.bytes);
        let Ok(mut verifier) = self.key.verify_stream(&signature) else {
            return Ok(false);
        };
        message.read(&mut |bytes| verifier.update(bytes))?;
        Ok(verifier.finalize_and_verify().is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = include_bytes!("../../fixtures/test-key.pub");
    const SECRET: &[u8] = include_bytes!("../../fixtures/test-key.sec");
    const SUMS: &[u8] = include_bytes!("../../fixtures/sha256sums");
    const SIGNATURE: &[u8] = include_bytes!("../../fixtures/sha256sums.sig");

    #[test]
    fn what_usign_signed_is_verified_and_nothing_else() {
        let key = PublicKey::parse(KEY).unwrap();
        assert_eq!(key.to_text("test key").as_bytes(), KEY);
        let signature = Signature::parse(SIGNATURE).unwrap();
        assert!(key.verifies(&SUMS, &signature).unwrap());
        assert!(!key.verifies(&&SUMS[1..], &signature).unwrap());
        for bit in 0..64 * 8 {
            let mut other = signature;
            other.bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.verifies(&SUMS, &other).unwrap(), "bit {bit}");
        }
        let renamed = Signature { fingerprint: Fingerprint([0; 8]), ..signature };
        assert!(!key.verifies(&SUMS, &renamed).unwrap(), "the key's name counts");
    }

    #[test]
    fn a_secret_key_and_a_key_of_small_order_are_no_public_keys() {
        let error = PublicKey::parse(SECRET).unwrap_err();
        assert_eq!(error.message(), "this is a secret key; signatures are checked with the public one");
        let mut identity = [0; 42];
        identity[..2].copy_from_slice(b"Ed");
        identity[10] = 1;
        let error = PublicKey::parse(text::write("x", &identity).as_bytes()).unwrap_err();
        assert_eq!(error.message(), "this is no usign public key: it is no point of the curve that keys are made of");
        let error = PublicKey::parse(text::write("x", b"EdX").as_bytes()).unwrap_err();
        assert_eq!(error.message(), "this is no usign public key: it holds 3 bytes, not 42");
    }
}
