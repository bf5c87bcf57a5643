//! `sha256sums` and `profiles.json` beside an image: checked before the work, updated after it.
//!
//! The order of an update is image, `profiles.json`, `sha256sums`, each whole or not at all. A crash in between leaves
//! a right image beside stale sums; the same run again mends them.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::output::{Sealed, folder_of, replace_file};
use super::profiles;
use crate::digest::sha256_hex;
use crate::error::{Error, Result};

const SUMS: &str = "sha256sums";
const PROFILES: &str = "profiles.json";
/// Detached signatures over the bytes of `sha256sums`.
const SIGNATURES: [&str; 2] = ["sha256sums.sig", "sha256sums.asc"];
/// Longest list that is read; the one of a whole buildbot target has a few MB.
const LONGEST: u64 = 64 << 20;

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
        let listed = std::str::from_utf8(&content).ok().and_then(|text| profiles::digests(text, name).ok());
        compare(&path, &listed.unwrap_or_default())?;
    }
    Ok(agreeing)
}

/// Enters `sealed` into the `sha256sums` and the `profiles.json` beside it, where they are; `create` makes a
/// `sha256sums` where there is none. Only the entries of the output's own name (and of a `profiles.json` that lists it)
/// change. A `profiles.json` that does not list the output is left alone: it describes a build, and the output is none
/// of its products.
///
/// # Errors
/// I/O.
pub(crate) fn update_sums(sealed: &Sealed, create: bool) -> Result<SumsUpdate> {
    let mut update = SumsUpdate::default();
    let folder = folder_of(&sealed.path);
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
        None if create => (Vec::new(), true),
        None => return Ok(update),
    };
    let mut content = old.clone();
    for (entry, digest) in &entries {
        // The list may leave out profiles.json; the output is always entered.
        if *entry == name || lines(&content).any(|line| line.names(entry)) {
            content = with_entry(&content, entry, digest);
        }
    }
    if is_new || content != old {
        replace_file(&path, &content)?;
        update.updated.push(path);
        for signature in SIGNATURES.iter().filter(|signature| folder.join(signature).exists()) {
            update.remarks.push(format!(
                "{signature} no longer matches the changed {SUMS}; sign it again or remove the signature"
            ));
        }
    }
    Ok(update)
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
    match profiles::updated(text, name, &sealed.sha256, sealed.length) {
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

/// The content of the file at `path`; `None` when there is none.
fn read_list(path: &Path) -> Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", path, error)),
    };
    let mut content = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut content).map_err(|error| Error::io("read", path, error))?;
    if content.len() as u64 > LONGEST {
        return Err(Error::unsupported(format!("{} is longer than {LONGEST} bytes", path.display()))
            .remedy("move it out of the image's folder"));
    }
    Ok(Some(content))
}

/// One well-formed line: 64 hex digits, a blank, a blank or asterisk, the path.
struct Line<'a> {
    /// Where the digest lies in the list.
    place: Range<usize>,
    digest: &'a str,
    path: &'a [u8],
}

impl Line<'_> {
    fn names(&self, name: &str) -> bool {
        self.path.strip_prefix(b"./").unwrap_or(self.path) == name.as_bytes()
    }
}

/// The well-formed lines of `list`.
fn lines(list: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut start = 0;
    list.split_inclusive(|byte| *byte == b'\n').filter_map(move |line| {
        let place = start..start + 64;
        start += line.len();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (digest, rest) = line.split_at_checked(64)?;
        let path = rest.strip_prefix(b" *").or_else(|| rest.strip_prefix(b"  "))?;
        let digest =
            std::str::from_utf8(digest).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        Some(Line { place, digest, path })
    })
}

/// `list` with the entry of `name` replaced where it is, or put in front of the first greater path (the lists are
/// sorted in the C locale). All other bytes stay.
fn with_entry(list: &[u8], name: &str, digest: &str) -> Vec<u8> {
    let mut new = list.to_vec();
    let places: Vec<_> = lines(list).filter(|line| line.names(name)).map(|line| line.place).collect();
    if !places.is_empty() {
        for place in places {
            for (old, new) in new.iter_mut().skip(place.start).zip(digest.bytes().take(place.len())) {
                *old = new;
            }
        }
        return new;
    }
    let at = lines(list).find(|line| line.path > name.as_bytes()).map_or(list.len(), |line| line.place.start);
    let mut entry = format!("{digest} *{name}\n");
    if at == list.len() && list.last().is_some_and(|byte| *byte != b'\n') {
        entry.insert(0, '\n');
    }
    new.splice(at..at, entry.into_bytes());
    new
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
        (folder, Sealed { path, form: Form::Gzip, length, sha256 })
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
        let update = update_sums(&sealed, false).unwrap();
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
        assert_eq!(update_sums(&sealed, false).unwrap(), SumsUpdate::default(), "the second time");
    }

    #[test]
    fn a_run_that_broke_off_behind_profiles_json_is_mended() {
        let (folder, sealed) = folder(NAME, b"new image");
        let sums = read(&folder, SUMS);
        update_sums(&sealed, false).unwrap();
        let whole = read(&folder, SUMS);
        fs::write(folder.path().join(SUMS), sums).unwrap();
        update_sums(&sealed, false).unwrap();
        assert_eq!(read(&folder, SUMS), whole);
    }

    #[test]
    fn a_new_name_is_entered_in_order_and_leaves_profiles_json_alone() {
        let (folder, sealed) = folder("openwrt-mini-ib-ext4-router.img.gz", b"image");
        let update = update_sums(&sealed, false).unwrap();
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
        assert_eq!(update_sums(&sealed, false).unwrap(), SumsUpdate::default());
        update_sums(&sealed, true).unwrap();
        assert_eq!(read(&folder, SUMS), format!("{} *a.img.gz\n", sealed.sha256));
    }

    #[test]
    fn other_lines_keep_their_bytes_whatever_they_are() {
        let digest = "0".repeat(64);
        let list = format!("# made by hand\n{digest}  b\r\nnonsense\n{digest}  ./d\n{digest} *last").into_bytes();
        let ones = "1".repeat(64);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let old = text(list.clone());
        assert_eq!(text(with_entry(&list, "b", &ones)), old.replace(&format!("{digest}  b"), &format!("{ones}  b")));
        assert_eq!(
            text(with_entry(&list, "d", &ones)),
            old.replace(&format!("{digest}  ./d"), &format!("{ones}  ./d"))
        );
        assert_eq!(text(with_entry(&list, "z", &ones)), format!("{old}\n{ones} *z\n"));
    }
}
