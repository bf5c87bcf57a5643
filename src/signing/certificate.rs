//! ucert: a chain of certificates, and behind it the signature on a message.
//!
//! A file is a row of blobs. Each holds a signature file (id 0) and, but for the last, a payload (id 1): a blobmsg
//! table `ucert` of `certtype` (int32: 1 authorises a key, 2 revokes one), `validfrom` and `expiresat` (int64, seconds
//! since 1970) and `pubkey` (a public key file), or for a revocation `fingerprint`. The signature is on the table with
//! its header. Source: ucert `ucert.c`.

use super::blob::{self, Attribute, INT32, INT64, STRING, TABLE};
use super::{Fingerprint, Keyring, Message, PublicKey, Refusal, SecretKey, Signature};
use crate::error::{Error, Result};

const SIGNATURE: u8 = 0;
const PAYLOAD: u8 = 1;
const AUTHORISES: u32 = 1;
const REVOKES: u32 = 2;
/// Longest file that ucert reads, bytes.
const LONGEST: usize = 4095;
/// How long a certificate that ucert issues is valid, seconds.
pub(crate) const VALIDITY: u64 = 365 * 24 * 60 * 60;

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    /// That a key may sign.
    Authorises {
        /// First second at which it may.
        from: u64,
        /// First second at which it may no longer.
        until: u64,
        /// The key.
        key: PublicKey,
    },
    /// That a key is to be trusted no longer.
    Revokes {
        /// The first second of that.
        from: u64,
        /// The key's name.
        fingerprint: Fingerprint,
    },
}

/// One element of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    /// On the payload, or on the message where there is none.
    pub(crate) signature: Signature,
    /// The signed bytes, and what they say.
    pub(crate) payload: Option<(Vec<u8>, Claim)>,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    /// Its elements, first one first.
    pub(crate) elements: Vec<Element>,
}

/// What a chain proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChainProof {
    /// The trusted key that it begins with.
    pub(crate) root: Fingerprint,
    /// The key that signed the message.
    pub(crate) signer: Fingerprint,
    /// First second at which all certificates are valid.
    pub(crate) from: u64,
    /// First second at which one no longer is.
    pub(crate) until: u64,
}

impl Chain {
    /// From a `.ucert` file, or what fwtool took out of an image.
    ///
    /// # Errors
    /// Corrupt, with what is wrong and where.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let corrupt = |problem: String, at: usize| {
            Error::corrupt(format!("this is no chain of certificates (ucert): {problem}, at byte {at}"))
        };
        if bytes.len() > LONGEST {
            return Err(corrupt(format!("it has {} bytes, ucert reads {LONGEST}", bytes.len()), LONGEST));
        }
        let mut elements = Vec::new();
        let mut left = bytes;
        while !left.is_empty() {
            let at = bytes.len() - left.len();
            let (element, rest) = Attribute::split(left).map_err(|problem| corrupt(problem, at))?;
            elements.push(Element::read(&element).map_err(|problem| corrupt(problem, at))?);
            left = rest;
        }
        if elements.is_empty() {
            return Err(corrupt("it is empty".to_owned(), 0));
        }
        Ok(Self { elements })
    }

    /// The key that the last certificate authorises.
    pub(crate) fn authorised(&self) -> Option<&PublicKey> {
        match self.elements.last()?.payload.as_ref()? {
            (_, Claim::Authorises { key, .. }) => Some(key),
            (_, Claim::Revokes { .. }) => None,
        }
    }

    /// Whether the chain leads from a trusted key to a signature on `message`, or why it does not. `now` (seconds since
    /// 1970) must lie within the certificates' time, where it is told.
    ///
    /// # Errors
    /// I/O.
    pub(crate) fn judge(
        &self,
        ring: &Keyring,
        now: Option<u64>,
        message: &dyn Message,
    ) -> Result<Result<ChainProof, Refusal>> {
        let broken = |problem: String| Ok(Err(Refusal::Broken(problem)));
        let mut authorised: Option<PublicKey> = None;
        let mut proof: Option<ChainProof> = None;
        for (index, element) in self.elements.iter().enumerate() {
            let what = match &element.payload {
                Some(_) => format!("certificate {}", index + 1),
                None => "the signature on the image".to_owned(),
            };
            let signed = element.payload.as_ref().map_or(message, |(bytes, _)| bytes as &dyn Message);
            let verdict = match &authorised {
                None => ring.judge(signed, &element.signature)?,
                Some(key) if key.verifies(signed, &element.signature)? => Ok(()),
                Some(key) => Err(Refusal::Broken(format!(
                    "signed by key {}, not by key {} as the certificate before it says, or on something else",
                    element.signature.fingerprint, key.fingerprint
                ))),
            };
            if let Err(refusal) = verdict {
                return Ok(Err(refusal.of(&what)));
            }
            let signer = element.signature.fingerprint;
            let so_far = proof.take().unwrap_or(ChainProof { root: signer, signer, from: 0, until: u64::MAX });
            let Some((_, claim)) = &element.payload else {
                return match self.elements.len() - index - 1 {
                    0 => Ok(Ok(ChainProof { signer, ..so_far })),
                    more => broken(format!("{more} elements follow the signature on the image")),
                };
            };
            match claim.admits(ring, now) {
                Ok((from, until, key)) => {
                    proof = Some(ChainProof { from: so_far.from.max(from), until: so_far.until.min(until), ..so_far });
                    authorised = Some(key);
                }
                Err(problem) => return broken(format!("{what}: {problem}")),
            }
        }
        broken("it ends without a signature on the image".to_owned())
    }

    /// The keys that these certificates revoke: each signed by a trusted key.
    ///
    /// # Errors
    /// Usage when one is no revocation or not signed by a trusted key.
    pub(crate) fn revocations(&self, ring: &Keyring) -> Result<Vec<Fingerprint>> {
        self.elements
            .iter()
            .map(|element| {
                let Some((bytes, Claim::Revokes { fingerprint, .. })) = &element.payload else {
                    return Err(Error::usage("this is a chain of certificates, but no revocation")
                        .remedy("give the public key that the chain begins with"));
                };
                ring.judge(bytes, &element.signature)?.map(|()| *fingerprint).map_err(|refusal| {
                    Error::usage(format!("the revocation of key {fingerprint} is {}", refusal.problem()))
                })
            })
            .collect()
    }
}

impl Message for Vec<u8> {
    fn read(&self, take: &mut dyn FnMut(&[u8])) -> Result<()> {
        take(self);
        Ok(())
    }
}

impl Claim {
    /// The time and the key that are authorised at `now`, or why none is.
    fn admits(&self, ring: &Keyring, now: Option<u64>) -> Result<(u64, u64, PublicKey), String> {
        let (from, until, key) = match self {
            Self::Authorises { from, until, key } => (*from, *until, *key),
            Self::Revokes { fingerprint, .. } => {
                return Err(format!("it revokes key {fingerprint}, and authorises none"));
            }
        };
        if ring.is_revoked(key.fingerprint) {
            return Err(format!("the key {} that it authorises is revoked", key.fingerprint));
        }
        match now {
            Some(now) if now < from => {
                Err(format!("it is valid from {from} on, and now is {now} (seconds since 1970)"))
            }
            Some(now) if now >= until => {
                Err(format!("it was valid until {until}, and now is {now} (seconds since 1970)"))
            }
            _ => Ok((from, until, key)),
        }
    }

    /// From the payload of an element.
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut fields = Fields::default();
        let tables = Attribute::all(bytes)?;
        let table = tables.iter().filter(|table| table.id == TABLE).filter_map(|table| table.named().ok());
        let (_, table) = table.into_iter().find(|(name, _)| *name == "ucert").ok_or("it has no table `ucert`")?;
        for attribute in Attribute::all(table)? {
            fields.take(&attribute)?;
        }
        fields.claim()
    }
}

/// The keys of a payload.
#[derive(Debug, Default)]
struct Fields<'a> {
    kind: Option<u32>,
    from: Option<u64>,
    until: Option<u64>,
    key: Option<&'a [u8]>,
    fingerprint: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn take(&mut self, attribute: &Attribute<'a>) -> Result<(), String> {
        let (name, value) = attribute.named()?;
        let wrong = || format!("`{name}` has {} bytes", value.len());
        let u64_of = || value.try_into().map(u64::from_be_bytes).map_err(|_| wrong());
        match (name, attribute.id) {
            ("certtype", INT32) => self.kind = Some(value.try_into().map(u32::from_be_bytes).map_err(|_| wrong())?),
            ("validfrom", INT64) => self.from = Some(u64_of()?),
            ("expiresat", INT64) => self.until = Some(u64_of()?),
            ("pubkey", STRING) => self.key = value.strip_suffix(b"\0"),
            ("fingerprint", STRING) => self.fingerprint = value.strip_suffix(b"\0"),
            _ => {}
        }
        Ok(())
    }

    fn claim(self) -> Result<Claim, String> {
        let kind = self.kind.ok_or("`certtype` is missing")?;
        let from = self.from.ok_or("`validfrom` is missing")?;
        match kind {
            AUTHORISES => {
                let until = self.until.ok_or("`expiresat` is missing")?;
                let key =
                    PublicKey::parse(self.key.ok_or("`pubkey` is missing")?).map_err(|error| error.to_string())?;
                Ok(Claim::Authorises { from, until, key })
            }
            REVOKES => {
                let text = self.fingerprint.and_then(|text| std::str::from_utf8(text).ok());
                let fingerprint = text.and_then(Fingerprint::parse).ok_or("`fingerprint` is missing")?;
                Ok(Claim::Revokes { from, fingerprint })
            }
            other => Err(format!("`certtype` is {other}, not 1 or 2")),
        }
    }
}

impl Element {
    fn read(element: &Attribute<'_>) -> Result<Self, String> {
        let attributes = Attribute::all(element.data)?;
        let find = |id: u8| attributes.iter().find(|attribute| attribute.id == id && !attribute.is_extended);
        let signature = find(SIGNATURE).ok_or("an element has no signature")?;
        let signature = Signature::parse(signature.data).map_err(|error| error.to_string())?;
        let payload = match find(PAYLOAD) {
            Some(payload) => Some((payload.data.to_vec(), Claim::read(payload.data)?)),
            None => None,
        };
        Ok(Self { signature, payload })
    }
}

/// A certificate with which `key` authorises itself from `from` (seconds since 1970) on, for a year.
///
/// # Errors
/// None in practice.
pub(crate) fn self_signed(key: &SecretKey, from: u64) -> Result<Vec<u8>> {
    let public = key.public();
    certificate(key, from, &public)
}

/// A certificate with which `key` authorises `other`.
fn certificate(key: &SecretKey, from: u64, other: &PublicKey) -> Result<Vec<u8>> {
    let text = other.to_text(&format!("public key {}", other.fingerprint));
    let mut table = Vec::new();
    blob::put_named(&mut table, INT32, "certtype", &AUTHORISES.to_be_bytes());
    blob::put_named(&mut table, INT64, "validfrom", &from.to_be_bytes());
    blob::put_named(&mut table, INT64, "expiresat", &from.saturating_add(VALIDITY).to_be_bytes());
    blob::put_named(&mut table, STRING, "pubkey", &[text.as_bytes(), b"\0"].concat());
    signed(key, &table)
}

fn signed(key: &SecretKey, table: &[u8]) -> Result<Vec<u8>> {
    let mut payload = Vec::new();
    blob::put_named(&mut payload, TABLE, "ucert", table);
    let signature = key.sign(&payload)?;
    let mut element = Vec::new();
    blob::put(&mut element, SIGNATURE, signature.to_text().as_bytes());
    blob::put(&mut element, PAYLOAD, &payload);
    let mut out = Vec::new();
    blob::put(&mut out, 0, &element);
    Ok(out)
}

/// The element that ends a chain: the signature on the message.
pub(crate) fn closing(signature: Signature) -> Vec<u8> {
    let mut element = Vec::new();
    blob::put(&mut element, SIGNATURE, signature.to_text().as_bytes());
    let mut out = Vec::new();
    blob::put(&mut out, 0, &element);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_735_689_600;

    fn key(number: u8) -> SecretKey {
        SecretKey::from_random(&[number; 40])
    }

    fn ring(number: u8) -> Keyring {
        let mut ring = Keyring::default();
        ring.add(key(number).public()).unwrap();
        ring
    }

    fn revocation(by: u8, of: &str) -> Vec<u8> {
        let mut table = Vec::new();
        blob::put_named(&mut table, INT32, "certtype", &REVOKES.to_be_bytes());
        blob::put_named(&mut table, INT64, "validfrom", &NOW.to_be_bytes());
        blob::put_named(&mut table, STRING, "fingerprint", &[of.as_bytes(), b"\0"].concat());
        signed(&key(by), &table).unwrap()
    }

    /// A chain of 1, 2 and the signature of 2 on `message`.
    fn chain(message: &[u8]) -> Vec<u8> {
        let mut bytes = self_signed(&key(1), NOW).unwrap();
        bytes.extend(certificate(&key(1), NOW + 5, &key(2).public()).unwrap());
        bytes.extend(closing(key(2).sign(&message).unwrap()));
        bytes
    }

    fn judge(bytes: &[u8], ring: &Keyring, now: Option<u64>) -> Result<ChainProof, String> {
        Chain::parse(bytes).unwrap().judge(ring, now, &&b"image"[..]).unwrap().map_err(Refusal::problem)
    }

    #[test]
    fn a_chain_leads_from_a_trusted_key_to_the_image() {
        let proof = judge(&chain(b"image"), &ring(1), Some(NOW + 5)).unwrap();
        let (root, signer) = (key(1).public().fingerprint, key(2).public().fingerprint);
        assert_eq!(proof, ChainProof { root, signer, from: NOW + 5, until: NOW + VALIDITY });
        assert_eq!(judge(&chain(b"image"), &ring(1), None).unwrap(), proof, "untold time is not judged");
        assert!(Chain::parse(&chain(b"image")).unwrap().authorised().is_none(), "it is closed");
    }

    #[test]
    fn a_chain_breaks_where_it_should() {
        let good = chain(b"image");
        let refused = |bytes: &[u8], ring: &Keyring, now: u64| judge(bytes, ring, Some(now)).unwrap_err();
        let problem =
            "certificate 1: signed by key 0101010101010101, which is not among those given (0202020202020202)";
        assert_eq!(refused(&good, &ring(2), NOW + 5), problem);
        let problem = format!("certificate 2: it is valid from {} on, and now is {NOW} (seconds since 1970)", NOW + 5);
        assert_eq!(refused(&good, &ring(1), NOW), problem);
        let end = NOW + VALIDITY;
        let problem = format!("certificate 1: it was valid until {end}, and now is {end} (seconds since 1970)");
        assert_eq!(refused(&good, &ring(1), end), problem);
        let problem = "the signature on the image: signed by key 0202020202020202, not by key 0202020202020202 as the \
                       certificate before it says, or on something else";
        assert_eq!(refused(&chain(b"other"), &ring(1), NOW + 5), problem);
        let mut revoking = ring(1);
        revoking.revoke(key(2).public().fingerprint);
        let problem = "certificate 2: the key 0202020202020202 that it authorises is revoked";
        assert_eq!(refused(&good, &revoking, NOW + 5), problem);
        let unsigned = self_signed(&key(1), NOW).unwrap();
        assert_eq!(refused(&unsigned, &ring(1), NOW), "it ends without a signature on the image");
        let more = [good.clone(), unsigned].concat();
        assert_eq!(refused(&more, &ring(1), NOW + 5), "1 elements follow the signature on the image");
        let revoker = revocation(1, "0303030303030303");
        let problem = "certificate 1: it revokes key 0303030303030303, and authorises none";
        assert_eq!(refused(&revoker, &ring(1), NOW), problem);
    }

    #[test]
    fn a_foreign_key_in_the_middle_does_not_pass() {
        let mut bytes = self_signed(&key(1), NOW).unwrap();
        bytes.extend(self_signed(&key(3), NOW).unwrap());
        bytes.extend(closing(key(3).sign(&&b"image"[..]).unwrap()));
        assert!(
            judge(&bytes, &ring(1), None).unwrap_err().starts_with("certificate 2: signed by key 0303030303030303, ")
        );
    }

    #[test]
    fn a_revocation_counts_when_a_trusted_key_signed_it() {
        let chain = Chain::parse(&revocation(1, "0202020202020202")).unwrap();
        assert_eq!(chain.revocations(&ring(1)).unwrap(), [key(2).public().fingerprint]);
        let error = chain.revocations(&ring(2)).unwrap_err();
        let message = "the revocation of key 0202020202020202 is signed by key 0101010101010101, which is not among those \
                       given (0202020202020202)";
        assert_eq!(error.message(), message);
        let chain = Chain::parse(&self_signed(&key(1), NOW).unwrap()).unwrap();
        assert_eq!(chain.authorised(), Some(&key(1).public()));
        let error = chain.revocations(&ring(1)).unwrap_err();
        assert_eq!(error.message(), "this is a chain of certificates, but no revocation");
    }

    #[test]
    fn what_is_no_chain_is_told_with_the_byte() {
        let message = |bytes: &[u8]| Chain::parse(bytes).unwrap_err().message().to_owned();
        let fake = "this is no chain of certificates (ucert): a blob claims 2123361 bytes where 18 are left, at byte 0";
        let told = message(b"# fake certificate");
        assert!(told.starts_with("this is no chain of certificates (ucert): a blob claims "), "{told}\n{fake}");
        assert_eq!(message(b""), "this is no chain of certificates (ucert): it is empty, at byte 0");
        let long = message(&[0; 4096]);
        assert_eq!(long, "this is no chain of certificates (ucert): it has 4096 bytes, ucert reads 4095, at byte 4095");
        let cut = self_signed(&key(1), NOW).unwrap();
        let (whole, rest) = (cut.len(), [0, 0, 0]);
        assert_eq!(
            message(&[cut, rest.to_vec()].concat()),
            format!("this is no chain of certificates (ucert): 3 bytes are no blob, at byte {whole}")
        );
    }

    #[test]
    fn a_certificate_of_one_key_leaves_room_for_the_signature_in_fwtools_limit() {
        let bytes = self_signed(&key(1), NOW).unwrap();
        assert!(bytes.len() + closing(key(1).sign(&&b""[..]).unwrap()).len() < 700);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn a_changed_chain_never_proves_the_image(at in any::<prop::sample::Index>(), flip in 1..=255u8) {
            let mut bytes = chain(b"image");
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            if let Ok(parsed) = Chain::parse(&bytes) {
                let verdict = parsed.judge(&ring(1), None, &&b"image"[..]).unwrap();
                // Comments, padding and unknown bits are not signed; the elements are.
                let same = parsed == Chain::parse(&chain(b"image")).unwrap();
                prop_assert_eq!(verdict.is_ok(), same, "byte {}", at);
            }
        }
    }
}
