//! A secret key: 104 bytes.

use std::cell::RefCell;
use std::fmt;

use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign_byupdate};
use ed25519_dalek::{SignatureError, SigningKey};
use sha2::{Digest, Sha512};

use super::public_key::SECRET_LENGTH;
use super::{Fingerprint, Message, PublicKey, Signature, text};
use crate::error::{Error, Result};

/// Random bytes that a new key is made of: fingerprint and seed.
pub(crate) const RANDOM_LENGTH: usize = 40;

/// A key that signs. It shows nothing of itself but its fingerprint.
pub(crate) struct SecretKey {
    fingerprint: Fingerprint,
    key: SigningKey,
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.fingerprint)
    }
}

/// The fields of a secret key file: `Ed`, `BK`, rounds (u32, big-endian), salt (16 bytes), checksum (8), fingerprint
/// (8), seed (32), public key (32).
struct Fields<'a> {
    algorithms: &'a [u8; 4],
    rounds: u32,
    checksum: &'a [u8; 8],
    fingerprint: [u8; 8],
    /// Seed and public key.
    pair: &'a [u8],
    seed: [u8; 32],
}

impl<'a> Fields<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (algorithms, rest) = bytes.split_first_chunk::<4>()?;
        let (rounds, rest) = rest.split_first_chunk::<4>()?;
        let (_salt, rest) = rest.split_first_chunk::<16>()?;
        let (checksum, rest) = rest.split_first_chunk::<8>()?;
        let (fingerprint, pair) = rest.split_first_chunk::<8>()?;
        let (seed, public) = pair.split_first_chunk::<32>()?;
        let rounds = u32::from_be_bytes(*rounds);
        (public.len() == 32).then_some(Self {
            algorithms,
            rounds,
            checksum,
            fingerprint: *fingerprint,
            pair,
            seed: *seed,
        })
    }
}

impl SecretKey {
    /// From a secret key file of usign or signify without a passphrase.
    ///
    /// # Errors
    /// Usage, with what is wrong, and unsupported for a key under a passphrase. Nothing of the key is repeated.
    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        let refuse = |problem: String| {
            Error::usage(format!("this is no usign secret key: {problem}"))
                .remedy("give the .sec file that `ibwrt keygen`, `usign -G` or `signify -G -n` made")
        };
        let bytes = text::read(text).map_err(refuse)?;
        if bytes.len() == 42 && bytes.starts_with(b"Ed") {
            return Err(refuse("it is a public key".to_owned()));
        }
        let Some(fields) = Fields::of(&bytes) else {
            return Err(refuse(format!("it holds {} bytes, not {SECRET_LENGTH}", bytes.len())));
        };
        if fields.algorithms != b"EdBK" {
            return Err(refuse("its algorithms are not \"Ed\" and \"BK\"".to_owned()));
        }
        if fields.rounds != 0 {
            return Err(Error::unsupported(format!(
                "the secret key is encrypted with a passphrase ({} rounds of bcrypt), which is not handled",
                fields.rounds
            ))
            .remedy("sign with a key without a passphrase: `ibwrt keygen`, `usign -G` or `signify -G -n` make one"));
        }
        if Sha512::digest(fields.pair).get(..8) != Some(fields.checksum.as_slice()) {
            return Err(refuse("its checksum does not match: it is damaged".to_owned()));
        }
        let key = SigningKey::from_bytes(&fields.seed);
        if !fields.pair.ends_with(key.verifying_key().as_bytes()) {
            return Err(refuse("its public half belongs to another key".to_owned()));
        }
        Ok(Self { fingerprint: Fingerprint(fields.fingerprint), key })
    }

    /// A new key out of random bytes.
    pub(crate) fn from_random(random: &[u8; RANDOM_LENGTH]) -> Self {
        let mut fingerprint = [0; 8];
        let mut seed = [0; 32];
        let (first, rest) = random.split_at(8);
        fingerprint.copy_from_slice(first);
        seed.copy_from_slice(rest);
        Self { fingerprint: Fingerprint(fingerprint), key: SigningKey::from_bytes(&seed) }
    }

    /// The key that checks what this one signs.
    pub(crate) fn public(&self) -> PublicKey {
        PublicKey { fingerprint: self.fingerprint, key: self.key.verifying_key() }
    }

    /// As a secret key file: to be written where nobody else reads it, and nowhere else.
    pub(crate) fn to_secret_text(&self) -> String {
        let pair = self.key.to_keypair_bytes();
        let checksum = Sha512::digest(pair);
        let checksum = checksum.get(..8).unwrap_or_default();
        let bytes = [&b"EdBK"[..], &[0; 4], &[0; 16], checksum, &self.fingerprint.0, &pair].concat();
        text::write(&format!("private key {}", self.fingerprint), &bytes)
    }

    /// Signs `message`: plain Ed25519 (RFC 8032), so the same bytes each time.
    ///
    /// # Errors
    /// I/O.
    pub(crate) fn sign(&self, message: &dyn Message) -> Result<Signature> {
        let failure = RefCell::new(None);
        let signed = raw_sign_byupdate::<Sha512, _>(
            &ExpandedSecretKey::from(self.key.as_bytes()),
            |digest| {
                message.read(&mut |bytes| digest.update(bytes)).map_err(|error| {
                    failure.replace(Some(error));
                    SignatureError::new()
                })
            },
            &self.key.verifying_key(),
        );
        match (signed, failure.into_inner()) {
            (Ok(signature), None) => Ok(Signature { fingerprint: self.fingerprint, bytes: signature.to_bytes() }),
            (_, Some(error)) => Err(error),
            (Err(_), None) => Err(Error::unsupported("the message cannot be signed")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base64;
    use crate::error::ErrorKind;

    const SECRET: &[u8] = include_bytes!("../../fixtures/test-key.sec");
    const PUBLIC: &[u8] = include_bytes!("../../fixtures/test-key.pub");
    const SUMS: &[u8] = include_bytes!("../../fixtures/sha256sums");
    const SIGNATURE: &str = include_str!("../../fixtures/sha256sums.sig");

    /// The decoded bytes of the fixture's key.
    fn bytes() -> Vec<u8> {
        text::read(SECRET).unwrap()
    }

    fn refusal(bytes: &[u8]) -> (ErrorKind, String) {
        let error = SecretKey::parse(text::write("x", bytes).as_bytes()).unwrap_err();
        (error.kind(), error.message().to_owned())
    }

    #[test]
    fn the_signature_of_usign_comes_out_byte_for_byte() {
        let key = SecretKey::parse(SECRET).unwrap();
        assert_eq!(key.sign(&SUMS).unwrap().to_text(), SIGNATURE);
        assert_eq!(key.public(), PublicKey::parse(PUBLIC).unwrap());
    }

    #[test]
    fn a_key_file_is_written_as_usign_writes_it_but_for_the_salt() {
        let key = SecretKey::parse(SECRET).unwrap();
        let mut expected = bytes();
        expected[8..24].fill(0);
        let text = key.to_secret_text();
        assert_eq!(text::read(text.as_bytes()).unwrap(), expected);
        assert!(text.starts_with("untrusted comment: private key 74dc9401f1926250\n"));
    }

    #[test]
    fn a_key_under_a_passphrase_is_refused_by_name() {
        let mut locked = bytes();
        locked[7] = 42;
        let message = "the secret key is encrypted with a passphrase (42 rounds of bcrypt), which is not handled";
        assert_eq!(refusal(&locked), (ErrorKind::Unsupported, message.to_owned()));
    }

    #[test]
    fn a_damaged_key_is_told_without_its_content() {
        let with = |at: usize, bytes: Vec<u8>| {
            let mut bytes = bytes;
            bytes[at] ^= 1;
            bytes
        };
        let usage = |problem: &str| (ErrorKind::Usage, format!("this is no usign secret key: {problem}"));
        assert_eq!(refusal(&with(40, bytes())), usage("its checksum does not match: it is damaged"));
        assert_eq!(refusal(&with(0, bytes())), usage("its algorithms are not \"Ed\" and \"BK\""));
        assert_eq!(refusal(&bytes()[..103]), usage("it holds 103 bytes, not 104"));
        let error = SecretKey::parse(PUBLIC).unwrap_err();
        assert_eq!(error.message(), "this is no usign secret key: it is a public key");
        let mut foreign = bytes();
        foreign[103] ^= 1;
        let checksum = Sha512::digest(&foreign[40..]);
        foreign[24..32].copy_from_slice(&checksum[..8]);
        assert_eq!(refusal(&foreign), usage("its public half belongs to another key"));
    }

    #[test]
    fn a_key_shows_its_fingerprint_and_no_more() {
        let key = SecretKey::parse(SECRET).unwrap();
        assert_eq!(format!("{key:?}"), "SecretKey(74dc9401f1926250)");
    }

    #[test]
    fn a_message_that_cannot_be_read_is_its_own_error() {
        struct Broken;
        impl Message for Broken {
            fn read(&self, _: &mut dyn FnMut(&[u8])) -> Result<()> {
                Err(Error::corrupt("gone"))
            }
        }
        assert_eq!(SecretKey::parse(SECRET).unwrap().sign(&Broken).unwrap_err().message(), "gone");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_a_made_key_signs_its_public_half_verifies(random: [u8; 40], message: Vec<u8>) {
            let made = SecretKey::from_random(&random);
            let key = SecretKey::parse(made.to_secret_text().as_bytes()).unwrap();
            let public = PublicKey::parse(made.public().to_text("x").as_bytes()).unwrap();
            let signature = key.sign(&message.as_slice()).unwrap();
            let signature = Signature::parse(signature.to_text().as_bytes()).unwrap();
            prop_assert!(public.verifies(&message.as_slice(), &signature).unwrap());
            prop_assert!(!public.verifies(&[&message[..], b"x"].concat().as_slice(), &signature).unwrap());
        }

        #[test]
        fn damaged_text_is_never_repeated(at in 60..160usize, letter in any::<u8>()) {
            let mut text = SECRET.to_vec();
            let at = at.min(text.len() - 2);
            text[at] = letter;
            if let Err(error) = SecretKey::parse(&text) {
                let said = format!("{error:?}");
                let secret = base64::encode(&bytes()[40..72]);
                prop_assert!(!said.contains(secret.get(..12).unwrap()), "{said}");
            }
        }
    }
}
