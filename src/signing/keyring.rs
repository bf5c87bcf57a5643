//! The keys that are trusted.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fingerprint, Message, PublicKey, Signature};
use crate::error::{Error, Result};

/// Public keys by name, and names of keys that are revoked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Keyring {
    keys: BTreeMap<Fingerprint, PublicKey>,
    revoked: BTreeSet<Fingerprint>,
}

impl Keyring {
    /// Trusts `key`.
    ///
    /// # Errors
    /// Usage when another key has the same name.
    pub(crate) fn add(&mut self, key: PublicKey) -> Result<()> {
        match self.keys.insert(key.fingerprint, key) {
            Some(other) if other != key => {
                Err(Error::usage(format!("two different keys have the fingerprint {}", key.fingerprint))
                    .remedy("give the one that is meant"))
            }
            _ => Ok(()),
        }
    }

    /// Trusts the key of that name no longer.
    pub(crate) fn revoke(&mut self, fingerprint: Fingerprint) {
        self.revoked.insert(fingerprint);
    }

    /// Whether the key of that name is revoked.
    pub(crate) fn is_revoked(&self, fingerprint: Fingerprint) -> bool {
        self.revoked.contains(&fingerprint)
    }

    /// Whether no key is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether `signature` is one of a trusted key on `message`, or why it counts for nothing.
    ///
    /// # Errors
    /// I/O.
    pub(crate) fn judge(&self, message: &dyn Message, signature: &Signature) -> Result<Result<(), Refusal>> {
        let fingerprint = signature.fingerprint;
        if self.is_revoked(fingerprint) {
            return Ok(Err(Refusal::Broken(format!("signed by key {fingerprint}, which is revoked"))));
        }
        let Some(key) = self.keys.get(&fingerprint) else {
            let given: Vec<String> = self.keys.keys().map(Fingerprint::to_string).collect();
            let given = given.join(", ");
            return Ok(Err(Refusal::Foreign(format!(
                "signed by key {fingerprint}, which is not among those given ({given})"
            ))));
        };
        if key.verifies(message, signature)? {
            return Ok(Ok(()));
        }
        let problem = format!("the signature of key {fingerprint} does not fit: it was made on something else");
        Ok(Err(Refusal::Broken(problem)))
    }
}

/// Why a signature counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its key is not among those that are trusted: that speaks neither for nor against what is signed.
    Foreign(String),
    /// It does not hold.
    Broken(String),
}

impl Refusal {
    /// The same, said of `what`.
    pub(crate) fn of(self, what: &str) -> Self {
        match self {
            Self::Foreign(problem) => Self::Foreign(format!("{what}: {problem}")),
            Self::Broken(problem) => Self::Broken(format!("{what}: {problem}")),
        }
    }

    /// In words.
    pub(crate) fn problem(self) -> String {
        match self {
            Self::Foreign(problem) | Self::Broken(problem) => problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::SecretKey;
    use super::*;

    #[test]
    fn only_a_known_key_that_is_not_revoked_counts() {
        let (known, other) = (SecretKey::from_random(&[1; 40]), SecretKey::from_random(&[2; 40]));
        let mut ring = Keyring::default();
        ring.add(known.public()).unwrap();
        ring.add(known.public()).unwrap();
        let message = &b"message"[..];
        let judge = |ring: &Keyring, key: &SecretKey, message: &[u8]| {
            ring.judge(&message, &key.sign(&&b"message"[..]).unwrap()).unwrap()
        };
        assert_eq!(judge(&ring, &known, message), Ok(()));
        let problem = "the signature of key 0101010101010101 does not fit: it was made on something else";
        assert_eq!(judge(&ring, &known, b"massage"), Err(Refusal::Broken(problem.to_owned())));
        let problem = "signed by key 0202020202020202, which is not among those given (0101010101010101)";
        assert_eq!(judge(&ring, &other, message), Err(Refusal::Foreign(problem.to_owned())));
        ring.revoke(known.public().fingerprint);
        let problem = "signed by key 0101010101010101, which is revoked";
        assert_eq!(judge(&ring, &known, message), Err(Refusal::Broken(problem.to_owned())));
    }

    #[test]
    fn two_keys_of_one_name_are_refused() {
        let mut random = [1; 40];
        let first = SecretKey::from_random(&random).public();
        random[39] = 2;
        let mut ring = Keyring::default();
        ring.add(first).unwrap();
        let error = ring.add(SecretKey::from_random(&random).public()).unwrap_err();
        assert_eq!(error.message(), "two different keys have the fingerprint 0101010101010101");
    }
}
