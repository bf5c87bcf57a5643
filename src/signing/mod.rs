//! Signatures as OpenWrt's tools make and check them: usign's keys and signatures (which are signify's), ucert's chains
//! of certificates. Pure; nothing here reads files, and no secret leaves [`SecretKey`] but in the file made for it.

mod blob;
mod certificate;
mod fingerprint;
mod keyring;
mod message;
mod public_key;
mod secret_key;
mod signature;
mod text;

pub(crate) use certificate::{Chain, ChainProof, VALIDITY, closing, self_signed};
pub(crate) use fingerprint::Fingerprint;
pub(crate) use keyring::{Keyring, Refusal};
pub(crate) use message::Message;
pub(crate) use public_key::PublicKey;
pub(crate) use secret_key::{RANDOM_LENGTH, SecretKey};
pub(crate) use signature::Signature;
