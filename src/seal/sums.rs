//! `sha256sums` and `profiles.json` beside an image: checked before the work, updated after it.
//!
//! The order of an update is image, `profiles.json`, `sha256sums`, each whole or not at all. A crash in between leaves
//! a right image beside stale sums; the same run again mends them.

use std::path::{Path, PathBuf};

use super::list::{lines, read_list, with_entry};
use super::output::{Sealed, folder_of, replace_file};
use super::profiles::{self, Listed};
use super::sign::{Signer, signature_of};
use crate::digest::sha256_hex;
use crate::error::{Error, Result};

pub(super) const SUMS: &str = "sha256sums";
pub(super) const PROFILES: &str = "profiles.json";
/// Detached signatures over the bytes of `sha256sums`: usign's, GPG's.
const SIGNATURES: [&str; 2] = [SUMS_SIGNATURE, "sha256sums.asc"];
/// usign's.
pub(super) const SUMS_SIGNATURE: &str = "sha256sums.sig";

/// What [`update_sums`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SumsUpdate {
    /// Files that were changed or created.
    pub(crate) updated: Vec<PathBuf>,
    /// What a person should know or do about them, one sentence each.
    pub(crate) remarks: Vec<String>,
}

/// Checks `sha256`, the digest of the file `input`, against the `sha256sums` and the `profiles.json` beside it, where
/// they are and name it. Returns the names of the lists that agree.
///
/// # Errors
/// Corrupt when a list says otherwise; I/O when a list is there and cannot be read.
pub(crate) fn check_sums(input: &Path, sha256: &str) -> Result<Vec<String>> {
    let folder = folder_of(input);
    let Some(name) = input.file_name().and_then(|name| name.to_str()) else {
        return Ok(Vec::new());
    };
    let mut agreeing = Vec::new();
    let mut compare = |list: &Path, listed: &[String]| match listed.iter().find(|digest| *digest != sha256) {
        Some(other) => Err(Error::corrupt(format!("SHA-256 is {sha256}, but {} says {other}", list.display()))
            .at(input.display().to_string())
            .remedy(
                "the image is damaged or another one: download it again, or put the list that belongs to it there",
            )),
        None if listed.is_empty() => Ok(()),
        None => {
            agreeing.push(list.file_name().unwrap_or_default().display().to_string());
            Ok(())
        }
    };
    let path = folder.join(SUMS);
    if let Some(content) = read_list(&path)? {
        let named = lines(&content).filter(|line| line.names(name)).map(|line| line.digest.to_ascii_lowercase());
        compare(&path, &named.collect::<Vec<_>>())?;
    }
    let path = folder.join(PROFILES);
    if let Some(content) = read_list(&path)? {
        let told = std::str::from_utf8(&content).ok().and_then(|text| profiles::told(text, name).ok());
        let listed = told.unwrap_or_default().into_iter().filter_map(|entry| entry.sha256);
        compare(&path, &listed.collect::<Vec<_>>())?;
    }
    Ok(agreeing)
}

/// Enters `sealed` into the `sha256sums` and the `profiles.json` beside it, where they are; `create` makes a
/// `sha256sums` where there is none. `signer` signs the output and the list. Only the entries of the output's own name
/// (and of a `profiles.json` that lists it) change. A `profiles.json` that does not list the output is left alone: it
/// describes a build, and the output is none of its products.
///
/// # Errors
/// I/O.
pub(crate) fn update_sums(sealed: &Sealed, create: bool, signer: Option<&Signer>) -> Result<SumsUpdate> {
    let mut update = SumsUpdate::default();
    let folder = folder_of(&sealed.path);
    match signer {
        Some(signer) => update.updated.extend(signer.sign_file(&sealed.path)?),
        None if signature_of(&sealed.path).exists() => update.remarks.push(format!(
            "{} belongs to another image; sign the new one (--sign) or remove the signature",
            signature_of(&sealed.path).display()
        )),
        None => {}
    }
    let name = match sealed.path.file_name().and_then(|name| name.to_str()) {
        Some(name) if !name.contains(['\n', '\r', '\\']) => name,
        _ => {
            update.remarks.push("the output's name cannot be written in sha256sums; no list was updated".into());
            return Ok(update);
        }
    };
    let mut entries = vec![(name, sealed.sha256.clone())];
    entries.extend(update_profiles(&folder, name, sealed, &mut update)?.map(|digest| (PROFILES, digest)));
    let path = folder.join(SUMS);
    let (old, is_new) = match read_list(&path)? {
        Some(content) => (content, false),
        None if create || signer.is_some() => (Vec::new(), true),
        None => return Ok(update),
    };
    let mut content = old.clone();
    for (entry, digest) in &entries {
        // The list may leave out profiles.json; the output is always entered.
        if *entry == name || lines(&content).any(|line| line.names(entry)) {
            content = with_entry(&content, entry, digest);
        }
    }
    let is_changed = is_new || content != old;
    if is_changed {
        replace_file(&path, &content)?;
        update.updated.push(path);
    }
    if let Some(signer) = signer {
        update.updated.extend(signer.sign_sums(&folder)?);
    }
    for signature in stale_signatures(&folder, signer).filter(|_| is_changed) {
        update
            .remarks
            .push(format!("{signature} no longer matches the changed {SUMS}; sign it again or remove the signature"));
    }
    Ok(update)
}

/// The signatures on `sha256sums` in `folder` that `signer` does not renew.
pub(crate) fn stale_signatures(folder: &Path, signer: Option<&Signer>) -> impl Iterator<Item = &'static str> {
    let left = SIGNATURES.into_iter().filter(move |name| signer.is_none() || *name != SUMS_SIGNATURE);
    left.filter(|name| folder.join(name).exists()).collect::<Vec<_>>().into_iter()
}

/// Updates `profiles.json`. Returns its digest when it lists the output, changed or not: a run that broke off may have
/// left its entry in `sha256sums` stale.
fn update_profiles(folder: &Path, name: &str, sealed: &Sealed, update: &mut SumsUpdate) -> Result<Option<String>> {
    let path = folder.join(PROFILES);
    let Some(content) = read_list(&path)? else {
        return Ok(None);
    };
    let text = match std::str::from_utf8(&content) {
        Ok(text) => text,
        Err(error) => {
            update.remarks.push(format!("{PROFILES} is not UTF-8 ({error}); it was left as it is"));
            return Ok(None);
        }
    };
    let Sealed { sha256, sha256_unsigned, length, .. } = sealed;
    let listed = Listed { sha256, sha256_unsigned, size: *length };
    match profiles::updated(text, name, &listed) {
        Ok(Some(new)) => {
            if new != text {
                replace_file(&path, new.as_bytes())?;
                update.updated.push(path);
            }
            Ok(Some(sha256_hex(new.as_bytes())))
        }
        Ok(None) => {
            update.remarks.push(format!("{PROFILES} does not list {name}; it was left as it is"));
            Ok(None)
        }
        Err(error) => {
            update.remarks.push(format!("{PROFILES} cannot be read ({error}); it was left as it is"));
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;
    use crate::error::ErrorKind as Kind;
    use crate::image::Form;

    const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");
    const NAME: &str = "openwrt-mini-ib-ext4-combined.img.gz";
    const DIGEST: &str = "f8be22dbe83a99b1295f3c55835bb8284d53dd10dd4cafd1a6a4c410a13012af";

    /// A folder with the fixtures' lists, signature included, and `content` under the name `name`.
    fn folder(name: &str, content: &[u8]) -> (tempfile::TempDir, Sealed) {
        let folder = tempfile::tempdir().unwrap();
        for list in [SUMS, PROFILES, SIGNATURES[0]] {
            fs::copy(format!("{FIXTURES}/{list}"), folder.path().join(list)).unwrap();
        }
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let (length, sha256) = (content.len() as u64, sha256_hex(content));
        let sha256_unsigned = sha256.clone();
        (folder, Sealed { path, form: Form::Gzip, length, sha256, sha256_unsigned })
    }

    fn read(folder: &tempfile::TempDir, name: &str) -> String {
        fs::read_to_string(folder.path().join(name)).unwrap()
    }

    #[test]
    fn an_input_that_its_lists_know_is_named_by_both() {
        let input = Path::new(FIXTURES).join(NAME);
        assert_eq!(check_sums(&input, DIGEST).unwrap(), ["sha256sums", "profiles.json"]);
        assert!(check_sums(&Path::new(FIXTURES).join("unlisted.img"), DIGEST).unwrap().is_empty());
    }

    #[test]
    fn a_digest_that_a_list_contradicts_is_an_error_with_both() {
        let (folder, sealed) = folder(NAME, b"damaged");
        let error = check_sums(&sealed.path, &sealed.sha256).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        let list = folder.path().join(SUMS);
        let message = format!("SHA-256 is {}, but {} says {DIGEST}", sealed.sha256, list.display());
        assert_eq!(error.message(), message);
        assert!(error.remedy_text().is_some());
        fs::remove_file(list).unwrap();
        let error = check_sums(&sealed.path, &sealed.sha256).unwrap_err();
        assert!(error.message().contains("profiles.json says f8be22db"), "{error}");
    }

    #[test]
    fn updated_lists_satisfy_sha256sum_and_change_in_two_lines_only() {
        let (folder, sealed) = folder(NAME, b"new image");
        let update = update_sums(&sealed, false, None).unwrap();
        assert_eq!(update.updated, [folder.path().join(PROFILES), folder.path().join(SUMS)]);
        let remark = "sha256sums.sig no longer matches the changed sha256sums; sign it again or remove the signature";
        assert_eq!(update.remarks, [remark]);
        let (before, after) = (fs::read_to_string(format!("{FIXTURES}/{SUMS}")).unwrap(), read(&folder, SUMS));
        let changed: Vec<_> = before.lines().zip(after.lines()).filter(|(a, b)| a != b).map(|(_, b)| b).collect();
        let profiles = sha256_hex(read(&folder, PROFILES).as_bytes());
        assert_eq!(changed, [format!("{} *{NAME}", sealed.sha256), format!("{profiles} *{PROFILES}")]);
        assert_eq!(before.len(), after.len());
        let checked = Command::new("sha256sum")
            .args(["--check", "--strict", "--ignore-missing", SUMS])
            .current_dir(folder.path())
            .output()
            .expect("sha256sum is needed");
        assert!(checked.status.success(), "{checked:?}");
        assert_eq!(check_sums(&sealed.path, &sealed.sha256).unwrap(), ["sha256sums", "profiles.json"]);
        assert_eq!(update_sums(&sealed, false, None).unwrap(), SumsUpdate::default(), "the second time");
    }

    #[test]
    fn a_run_that_broke_off_behind_profiles_json_is_mended() {
        let (folder, sealed) = folder(NAME, b"new image");
        let sums = read(&folder, SUMS);
        update_sums(&sealed, false, None).unwrap();
        let whole = read(&folder, SUMS);
        fs::write(folder.path().join(SUMS), sums).unwrap();
        update_sums(&sealed, false, None).unwrap();
        assert_eq!(read(&folder, SUMS), whole);
    }

    #[test]
    fn a_new_name_is_entered_in_order_and_leaves_profiles_json_alone() {
        let (folder, sealed) = folder("openwrt-mini-ib-ext4-router.img.gz", b"image");
        let update = update_sums(&sealed, false, None).unwrap();
        let after = read(&folder, SUMS);
        let names: Vec<_> = after.lines().map(|line| line.split_at(66).1).collect();
        assert!(names.is_sorted(), "{names:?}");
        let entry = format!("{} *openwrt-mini-ib-ext4-router.img.gz\n", sealed.sha256);
        assert_eq!(after.replace(&entry, ""), fs::read_to_string(format!("{FIXTURES}/{SUMS}")).unwrap());
        assert_eq!(read(&folder, PROFILES), fs::read_to_string(format!("{FIXTURES}/{PROFILES}")).unwrap());
        let remark = "profiles.json does not list openwrt-mini-ib-ext4-router.img.gz; it was left as it is";
        assert_eq!(update.remarks[0], remark);
    }

    #[test]
    fn sums_are_created_only_when_asked_for() {
        let (folder, sealed) = folder("a.img.gz", b"image");
        for list in [SUMS, PROFILES] {
            fs::remove_file(folder.path().join(list)).unwrap();
        }
        assert_eq!(update_sums(&sealed, false, None).unwrap(), SumsUpdate::default());
        update_sums(&sealed, true, None).unwrap();
        assert_eq!(read(&folder, SUMS), format!("{} *a.img.gz\n", sealed.sha256));
    }
}
