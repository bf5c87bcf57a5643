//! apk's database (apk-tools 3, database.c, package.c): `installed`, `world`, `triggers`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::Installed;
use super::text::{field, replaced};
use crate::base64;
use crate::package::model::{ABI_TAG, name_without_abi};
use crate::package::{Alternative, AnyOf, Dependency, Provision};

/// What precedes a digest: which kind it is.
pub(crate) const Q1: &str = "Q1";

/// What of a package goes into `installed`.
#[derive(Debug, Clone, Default)]
pub(crate) struct ApkRecord {
    /// The lines of the header, in order: letter and value. Empty values are written for `T`, `U` and `L` only.
    pub(crate) header: Vec<(char, String)>,
    /// Directories without a leading slash, in byte order, with their permissions (`uid:gid:mode`, where they are not
    /// `0:0:755`).
    pub(crate) directories: BTreeMap<String, String>,
    /// Files by directory and name, with permissions (`uid:gid:mode`) and digest.
    pub(crate) files: BTreeMap<(String, String), (String, String)>,
}

/// `Q1` and the first 20 bytes of a SHA-256, as apk writes digests.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    format!("{Q1}{}", base64::encode(digest.get(..20).unwrap_or_default()))
}

/// Reads the packages of `installed`.
pub(super) fn parse(text: &str, alternatives: &BTreeMap<String, String>) -> Vec<Installed> {
    let mut packages = Vec::new();
    for group in text.split("\n\n") {
        let mut package = Installed::default();
        let (mut directory, mut file) = (String::new(), None);
        for line in group.lines() {
            let Some((letter, value)) = line.split_once(':') else { continue };
            match letter {
                "P" => value.clone_into(&mut package.name),
                "V" => value.clone_into(&mut package.version),
                "C" => value.clone_into(&mut package.identity),
                "D" => depends(value, &mut package),
                "p" => package.provides = value.split_whitespace().filter_map(provision).collect(),
                "g" => {
                    let mut tags = value.split_whitespace();
                    let abi = tags.find_map(|tag| tag.strip_prefix(ABI_TAG));
                    package.provides.extend(name_without_abi(&package.name, abi));
                }
                "F" => value.clone_into(&mut directory),
                "R" => {
                    let path = if directory.is_empty() { format!("/{value}") } else { format!("/{directory}/{value}") };
                    package.files.insert(path.clone(), None);
                    file = Some(path);
                }
                "Z" => {
                    if let Some(known) = file.as_ref().and_then(|path| package.files.get_mut(path)) {
                        *known = Some(value.to_owned());
                    }
                }
                _ => {}
            }
        }
        if package.name.is_empty() {
            continue;
        }
        let offers = alternatives.get(&package.name).map(String::as_str).unwrap_or_default();
        package.alternatives = offers.split_whitespace().filter_map(Alternative::parse).collect();
        packages.push(package);
    }
    packages
}

fn depends(value: &str, package: &mut Installed) {
    for word in value.split_whitespace() {
        match word.strip_prefix('!') {
            Some(conflict) => package.conflicts.extend(Dependency::parse_apk(conflict)),
            None => package.depends.extend(Dependency::parse_apk(word).map(|one| AnyOf(vec![one]))),
        }
    }
}

fn provision(word: &str) -> Option<Provision> {
    let Dependency { name, constraint } = Dependency::parse_apk(word)?;
    Some(Provision { name, version: constraint.map(|constraint| constraint.version) })
}

/// The stanza that apk writes for a package.
pub(crate) fn apk_stanza(record: &ApkRecord) -> String {
    let mut text = String::new();
    for (letter, value) in &record.header {
        if !value.is_empty() || matches!(letter, 'T' | 'U' | 'L') {
            let _ = writeln!(text, "{letter}:{value}");
        }
    }
    for (directory, permissions) in &record.directories {
        let own = || record.files.iter().filter(|((folder, _), _)| folder == directory);
        // The root stands there only for the files in it.
        if directory.is_empty() && own().next().is_none() {
            continue;
        }
        let _ = writeln!(text, "F:{directory}");
        if !permissions.is_empty() {
            let _ = writeln!(text, "M:{permissions}");
        }
        for ((_, name), (permissions, digest)) in own() {
            let _ = writeln!(text, "R:{name}");
            if permissions != "0:0:644" {
                let _ = writeln!(text, "a:{permissions}");
            }
            if !digest.is_empty() {
                let _ = writeln!(text, "Z:{digest}");
            }
        }
    }
    text
}

/// `installed` with `stanza` for the package `name`: in the place of the one that it had, else where its name puts it.
pub(crate) fn with_apk_stanza(installed: &[u8], name: &str, stanza: Option<&str>) -> Vec<u8> {
    replaced(installed, "P", name, stanza, |piece| field(piece, "P").is_some_and(|other| other > name.as_bytes()))
}

/// `world` with `entry` for the package `name`, in the place of what was said of it; lines are in byte order, as apk keeps
/// them.
pub(crate) fn with_world(world: &[u8], name: &str, entry: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(world);
    let is_own = |line: &str| Dependency::parse_apk(line).is_some_and(|known| known.name == name);
    if text.lines().any(|line| is_own(line) && (line == entry || line == name)) {
        return world.to_vec();
    }
    let mut lines: Vec<&str> = text.split_whitespace().filter(|line| !is_own(line)).collect();
    lines.push(entry);
    lines.sort_unstable();
    lines.iter().fold(String::new(), |text, line| text + line + "\n").into_bytes()
}

/// `triggers` without the line of the package with the identity `old`, and with one for `new` where it has globs.
pub(crate) fn with_trigger(triggers: &[u8], old: Option<&str>, new: &str, globs: &[String]) -> Vec<u8> {
    let text = String::from_utf8_lossy(triggers);
    let is_own = |line: &str| line.split(' ').next().is_some_and(|id| Some(id) == old || id == new);
    let mut result: String = text.lines().filter(|line| !is_own(line)).map(|line| format!("{line}\n")).collect();
    if !globs.is_empty() {
        let _ = writeln!(result, "{new} {}", globs.join(" "));
    }
    result.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_and_an_empty_file_have_the_digests_that_apk_gives_them() {
        // As apk-tools 3.0.8 wrote them for a link to foo and an empty file.
        assert_eq!(digest(b"foo"), "Q1LCa0a2j/xo/5m0U8HTBBNBNCLXA=");
        assert_eq!(digest(b""), "Q147DEQpj8HBSa+/TImW+5JCeuQeQ=");
    }

    #[test]
    fn a_package_stands_where_its_name_puts_it() {
        let text = b"C:Q1a=\nP:a\nV:1\n\nC:Q1c=\nP:c\nV:1\n\n";
        let added = with_apk_stanza(text, "b", Some("C:Q1b=\nP:b\nV:2\n"));
        let parsed = parse(std::str::from_utf8(&added).unwrap(), &BTreeMap::new());
        assert_eq!(parsed.iter().map(|package| package.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(with_apk_stanza(&added, "b", Some("C:Q1b=\nP:b\nV:2\n")), added);
    }

    #[test]
    fn the_world_is_kept_in_order_and_says_each_name_once() {
        assert_eq!(with_world(b"base-files\nrdma>1\n", "rdma", "rdma><Q1x="), b"base-files\nrdma><Q1x=\n");
        assert_eq!(with_world(b"rdma\n", "rdma", "rdma><Q1x="), b"rdma\n", "a wish without a version holds as well");
        assert_eq!(with_world(b"", "a", "a"), b"a\n");
    }

    #[test]
    fn a_trigger_follows_its_package() {
        let globs = ["/lib/*".to_owned(), "/x".to_owned()];
        assert_eq!(with_trigger(b"Q1a= /a\nQ1b= /b\n", Some("Q1a="), "Q1c=", &globs), b"Q1b= /b\nQ1c= /lib/* /x\n");
        assert_eq!(with_trigger(b"Q1a= /a\n", Some("Q1a="), "Q1c=", &[]), b"");
    }
}
