//! Who signed an image and what lies beside it.

use std::fs::File;
use std::path::Path;

use crate::civil::Moment;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::seal::{self, FileMessage, ListedDigests};
use crate::signing::{Chain, ChainProof, Keyring, Message, Refusal, Signature};
use crate::verify::{Authenticity, Outcome};

/// What the official builds put in the place of a signature. Source: buildbot `phase1/master.cfg`.
const FAKE: &[u8] = b"# fake certificate";

/// Judges every signature on the image at `path` by the keys in `ring`. The certificates' time is held against `now`
/// (seconds since 1970), where it is told.
///
/// # Errors
/// I/O.
pub(super) fn judge(path: &Path, image: &Image, ring: &Keyring, now: Option<u64>) -> Result<Authenticity> {
    let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
    let whole = FileMessage::new(&file, path, image.container.file_length);
    Ok(Authenticity {
        sums: sums(path, image, &whole, ring)?,
        detached: detached(path, &whole, ring)?,
        chain: chain(path, image, &file, ring, now)?,
    })
}

fn skip(reason: impl Into<String>) -> Outcome {
    Outcome::Skip { reason: reason.into() }
}

/// What a refused signature makes of its check: a key that nobody gave proves nothing, and disproves nothing.
fn refused(refusal: Refusal) -> Outcome {
    match refusal {
        Refusal::Foreign(reason) => skip(reason),
        Refusal::Broken(problem) => Outcome::Fail { problems: vec![problem] },
    }
}

/// The name of the trusted key whose signature on `message` the file content `text` is, or why it counts for nothing.
fn by_file(text: &[u8], message: &dyn Message, ring: &Keyring) -> Result<Result<String, Refusal>> {
    match Signature::parse(text) {
        Ok(signature) => Ok(ring.judge(message, &signature)?.map(|()| signature.fingerprint.to_string())),
        Err(error) => Ok(Err(Refusal::Broken(error.to_string()))),
    }
}

fn sums(path: &Path, image: &Image, whole: &FileMessage<'_>, ring: &Keyring) -> Result<Outcome> {
    let lists = ListedDigests::read(path)?;
    let (Some(list), Some(signature)) = (&lists.sums, &lists.sums_signature) else {
        let what = if lists.sums.is_none() { "sha256sums" } else { "sha256sums.sig" };
        return Ok(skip(format!("there is no {what} beside the image")));
    };
    let signer = match by_file(signature, &list.as_slice(), ring)? {
        Ok(signer) => signer,
        Err(refusal) => return Ok(refused(refusal.of("sha256sums.sig"))),
    };
    if !lists.names_image() {
        return Ok(skip(format!("sha256sums, signed by key {signer}, does not list this image")));
    }
    let unsigned = match image.container.signature() {
        Some(chunk) => seal::sha256_of(&whole.shortened(chunk.start))?,
        None => image.container.sha256.clone(),
    };
    let problems = lists.problems(&image.container.sha256, &unsigned, image.container.file_length);
    Ok(match problems.is_empty() {
        true => Outcome::Pass { detail: format!("signed by key {signer}; {}", lists.agreeing()) },
        false => Outcome::Fail { problems },
    })
}

fn detached(path: &Path, whole: &FileMessage<'_>, ring: &Keyring) -> Result<Outcome> {
    let signature = seal::signature_of(path);
    let name = signature.file_name().unwrap_or_default().display().to_string();
    if !signature.exists() {
        return Ok(skip(format!("there is no {name} beside the image")));
    }
    Ok(match by_file(&seal::read_small(&signature, "signature")?, whole, ring)? {
        Ok(signer) => Outcome::Pass { detail: format!("signed by key {signer}") },
        Err(refusal) => refused(refusal.of(&name)),
    })
}

fn chain(path: &Path, image: &Image, file: &File, ring: &Keyring, now: Option<u64>) -> Result<Outcome> {
    let Some(chunk) = image.container.signature() else {
        return Ok(skip("there is no signature behind the image"));
    };
    let payload = seal::read_range(file, path, &chunk)?;
    if payload == FAKE {
        return Ok(skip("behind the image lies `# fake certificate`, which official builds put there for a signature"));
    }
    let chain = match Chain::parse(&payload) {
        Ok(chain) => chain,
        Err(error) => return Ok(Outcome::Fail { problems: vec![error.to_string()] }),
    };
    Ok(match chain.judge(ring, now, &FileMessage::new(file, path, chunk.start))? {
        Ok(proof) => Outcome::Pass { detail: detail(&proof, now) },
        Err(refusal) => refused(refusal),
    })
}

/// What the signature behind the image is, where there is one.
///
/// # Errors
/// I/O.
pub(super) fn described(path: &Path, image: &Image) -> Result<Option<String>> {
    let Some(chunk) = image.container.signature() else { return Ok(None) };
    let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
    let payload = seal::read_range(&file, path, &chunk)?;
    Ok(Some(match Chain::parse(&payload) {
        _ if payload == FAKE => "`# fake certificate`, which official builds put there".to_owned(),
        Ok(chain) => {
            let signers: Vec<_> =
                chain.elements.iter().map(|element| element.signature.fingerprint.to_string()).collect();
            format!("ucert, signed by key {}", signers.join(", then by key "))
        }
        Err(error) => error.to_string(),
    }))
}

fn detail(proof: &ChainProof, now: Option<u64>) -> String {
    let ChainProof { root, signer, from, until } = proof;
    let keys = if root == signer {
        format!("signed by key {signer}")
    } else {
        format!("signed by key {signer}, which key {root} authorises")
    };
    if *until == u64::MAX {
        return keys;
    }
    let (from, until) = (Moment::of(*from).date(), Moment::of(*until).date());
    let judged = if now.is_some() { "" } else { " (not judged: --now tells the time)" };
    format!("{keys}, valid from {from} to {until}{judged}")
}
