//! Who vouches for the image: signatures by keys that the caller trusts.

use super::{fail, skip};
use crate::plan::Severity;
use crate::verify::{Authenticity, Check, Evidence, Outcome};

/// The checks that tell whether the image is what somebody published, not whether it works.
pub(crate) const AUTHENTICITY: &[&str] = &[SIGNED.id, SUMS_SIGNATURE.id, IMAGE_SIGNATURE.id, IMAGE_CERTIFICATE.id];

const UNASKED: &str = "no --key says whose signatures count";

pub(super) const SIGNED: Check = Check {
    id: "signed",
    severity: Severity::Error,
    claim: "A trusted key vouches for the image: by sha256sums, by a signature beside it, or by one behind it.",
    remedy: "Download the image with its sha256sums and sha256sums.sig again, and give the key that its publisher names; \
             an image of your own is signed by `ibwrt patch --sign`.",
    run: |evidence| match &evidence.authenticity {
        None => skip(UNASKED),
        Some(authenticity) => signed(authenticity),
    },
};

fn signed(authenticity: &Authenticity) -> Outcome {
    let Authenticity { sums, detached, chain } = authenticity;
    let ways = [("sha256sums", sums), ("the signature beside it", detached), ("the signature behind it", chain)];
    let names: Vec<&str> =
        ways.iter().filter(|(_, way)| matches!(way, Outcome::Pass { .. })).map(|(name, _)| *name).collect();
    match names.is_empty() {
        true => fail("nothing that a given key signed vouches for this image"),
        false => Outcome::Pass { detail: format!("by {}", super::listing(&names)) },
    }
}

pub(super) const SUMS_SIGNATURE: Check = Check {
    id: "sums-signature",
    severity: Severity::Error,
    claim: "sha256sums beside the image is signed by a trusted key, and lists the image and its profiles.json as they are.",
    remedy: "Download image, sha256sums and sha256sums.sig again from one place, or give the key that signed them.",
    run: |evidence| told(evidence, |authenticity| &authenticity.sums),
};

pub(super) const IMAGE_SIGNATURE: Check = Check {
    id: "image-signature",
    severity: Severity::Error,
    claim: "The detached signature beside the image (IMAGE.sig) is a trusted key's on this image.",
    remedy: "The image was changed after it was signed, or another key signed it: get both again, or give that key.",
    run: |evidence| told(evidence, |authenticity| &authenticity.detached),
};

pub(super) const IMAGE_CERTIFICATE: Check = Check {
    id: "image-certificate",
    severity: Severity::Error,
    claim: "The signature behind the image leads by valid certificates (ucert) to a trusted key.",
    remedy: "Sign the image again (`ibwrt patch --sign KEY --sign-image`), or give the key that the first certificate is \
             signed with.",
    run: |evidence| told(evidence, |authenticity| &authenticity.chain),
};

fn told(evidence: &Evidence<'_>, of: impl Fn(&Authenticity) -> &Outcome) -> Outcome {
    evidence.authenticity.as_ref().map_or_else(|| skip(UNASKED), |authenticity| of(authenticity).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass() -> Outcome {
        Outcome::Pass { detail: String::new() }
    }

    #[test]
    fn one_signature_of_a_trusted_key_suffices_and_none_does_not() {
        let mut authenticity = Authenticity { sums: skip("absent"), detached: fail("wrong"), chain: skip("absent") };
        assert_eq!(signed(&authenticity), fail("nothing that a given key signed vouches for this image"));
        authenticity.chain = pass();
        let detail = "by the signature behind it".to_owned();
        assert_eq!(signed(&authenticity), Outcome::Pass { detail });
        authenticity.sums = pass();
        let detail = "by sha256sums and the signature behind it".to_owned();
        assert_eq!(signed(&authenticity), Outcome::Pass { detail });
    }
}
