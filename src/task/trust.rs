//! The keys that the caller trusts, read from files and folders.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{At as _, Error, Result};
use crate::seal::read_small;
use crate::signing::{Chain, Fingerprint, Keyring, PublicKey};

/// What ucert makes of a revoked key in a folder of keys: a symlink to nowhere, called like the key.
const REVOKED: &str = ".revoked.";

/// Reads the key files and folders of keys at `paths`. In a folder count files that end in `.pub` or are called by a
/// fingerprint, as in `/etc/opkg/keys`; revocations end in `.revoke` or `.ucert`, or are ucert's dead symlinks.
///
/// # Errors
/// Usage when one is no key, or a folder holds none; I/O.
pub(super) fn keyring(paths: &[PathBuf]) -> Result<Keyring> {
    let mut files = Vec::new();
    let mut ring = Keyring::default();
    for path in paths {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => files.extend(in_folder(path, &mut ring)?),
            _ => files.push(path.clone()),
        }
    }
    // A revocation must be signed by a key that is trusted, wherever that is named.
    let (revocations, keys): (Vec<_>, Vec<_>) = files.into_iter().partition(|path| is_revocation(path));
    for path in &keys {
        let key = PublicKey::parse(&read_small(path, "key")?).at(|| path.display().to_string())?;
        ring.add(key).at(|| path.display().to_string())?;
    }
    for path in &revocations {
        let chain = Chain::parse(&read_small(path, "revocation")?).at(|| path.display().to_string())?;
        for fingerprint in chain.revocations(&ring).at(|| path.display().to_string())? {
            ring.revoke(fingerprint);
        }
    }
    if ring.is_empty() {
        return Err(Error::usage("no public key was given").remedy("give one with --key FILE"));
    }
    Ok(ring)
}

fn is_revocation(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "revoke" || ending == "ucert")
}

/// The files of a folder that count; keys that dead symlinks revoke are revoked in `ring`.
fn in_folder(folder: &Path, ring: &mut Keyring) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| Error::io("list", folder, error))? {
        let path = entry.map_err(|error| Error::io("list", folder, error))?.path();
        let fingerprint = path.file_name().and_then(|name| Fingerprint::parse(name.to_str()?));
        match (fingerprint, fs::read_link(&path)) {
            (Some(fingerprint), Ok(target)) if target == Path::new(REVOKED) => ring.revoke(fingerprint),
            (Some(_), _) => found.push(path),
            (None, _) if is_revocation(&path) || path.extension().is_some_and(|ending| ending == "pub") => {
                found.push(path);
            }
            _ => {}
        }
    }
    if !found.iter().any(|path| !is_revocation(path)) {
        return Err(Error::usage(format!("no public key is in the folder {}", folder.display()))
            .remedy("keys end in .pub, or are called by their fingerprint of 16 hex digits"));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::SecretKey;

    fn key(number: u8) -> PublicKey {
        SecretKey::from_random(&[number; 40]).public()
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_gives_its_keys_and_its_revocations() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("0101010101010101"), key(1).to_text("one")).unwrap();
        fs::write(at("site.pub"), key(2).to_text("two")).unwrap();
        fs::write(at("site.sec"), "untrusted comment: a secret that is not read").unwrap();
        fs::write(at("README"), "not a key").unwrap();
        std::os::unix::fs::symlink(REVOKED, at("0303030303030303")).unwrap();
        let ring = keyring(&[folder.path().to_owned()]).unwrap();
        let mut expected = Keyring::default();
        expected.add(key(1)).unwrap();
        expected.add(key(2)).unwrap();
        expected.revoke(key(3).fingerprint);
        assert_eq!(ring, expected);
    }

    #[test]
    fn what_is_no_key_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let error = keyring(&[folder.path().to_owned()]).unwrap_err();
        assert_eq!(error.message(), format!("no public key is in the folder {}", folder.path().display()));
        let path = folder.path().join("a.pub");
        fs::write(&path, "-----BEGIN PUBLIC KEY-----\n").unwrap();
        let error = keyring(std::slice::from_ref(&path)).unwrap_err();
        let told = format!("{}: this is no usign public key: its second line is no base64", path.display());
        assert!(error.to_string().starts_with(&told), "{error}");
        let missing = folder.path().join("b.pub");
        let error = keyring(std::slice::from_ref(&missing)).unwrap_err();
        assert_eq!(error.message(), format!("there is no file {}", missing.display()));
    }
}
