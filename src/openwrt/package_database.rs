//! Which package manager's database the root holds.

use std::collections::BTreeMap;

use serde::Serialize;

use super::tree::Tree;
use crate::package::Database;

/// The database of opkg (24.10 and older).
pub(crate) const OPKG_STATUS: &str = "/usr/lib/opkg/status";
/// Where opkg keeps control files, file lists and scripts.
pub(crate) const OPKG_INFO: &str = "/usr/lib/opkg/info";
/// The control file of the package `kernel` beside it.
pub(crate) const OPKG_KERNEL_CONTROL: &str = "/usr/lib/opkg/info/kernel.control";
/// The database of apk (25.12 and newer).
pub(crate) const APK_INSTALLED: &str = "/lib/apk/db/installed";

/// Where apk keeps it, and beside it the scripts and triggers.
pub(crate) const APK_DATABASE: &str = "/lib/apk/db";
/// Where OpenWrt's .apk files put what apk's database does not hold.
pub(super) const APK_PACKAGES: &str = "/lib/apk/packages";

/// The package database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum PackageDatabase {
    /// `/usr/lib/opkg/status`.
    Opkg {
        /// Version of the package `kernel`, such as `6.6.106~<hash>-r1`.
        kernel: Option<String>,
        /// Number of installed packages.
        packages: usize,
    },
    /// `/lib/apk/db/installed`.
    Apk {
        /// Version of the package `kernel`.
        kernel: Option<String>,
        /// Number of installed packages.
        packages: usize,
    },
    /// No database: built with CLEAN_IPKG, or removed.
    None,
}

impl PackageDatabase {
    /// Reads whichever database is in `tree`; apk's where both are.
    pub(crate) fn read(tree: &Tree) -> Self {
        if let Some(text) = tree.text(APK_INSTALLED) {
            return Self::parse_apk(&text);
        }
        tree.text(OPKG_STATUS).map_or(Self::None, |text| Self::parse_opkg(&text))
    }

    /// Reads `/usr/lib/opkg/status`.
    pub(crate) fn parse_opkg(text: &str) -> Self {
        let database = Database::parse_opkg(text, &BTreeMap::new());
        Self::Opkg { kernel: version(&database), packages: database.packages.len() }
    }

    /// Reads `/lib/apk/db/installed`.
    pub(crate) fn parse_apk(text: &str) -> Self {
        let database = Database::parse_apk(text, &BTreeMap::new());
        Self::Apk { kernel: version(&database), packages: database.packages.len() }
    }

    /// Version of the package `kernel`.
    pub(crate) fn kernel(&self) -> Option<&str> {
        match self {
            Self::Opkg { kernel, .. } | Self::Apk { kernel, .. } => kernel.as_deref(),
            Self::None => None,
        }
    }
}

/// What is installed, by the database in `tree`; nothing where there is none, or one that lists nothing (CLEAN_IPKG).
pub(crate) fn database(tree: &Tree) -> Option<Database> {
    let beside = |folder: &str, ending: &str| -> BTreeMap<String, String> {
        let files = tree.children(folder).into_iter().filter_map(|(file, _)| {
            let name = file.strip_suffix(ending)?;
            Some((name.to_owned(), tree.text(&format!("{folder}/{file}"))?))
        });
        files.collect()
    };
    let database = match (tree.text(APK_INSTALLED), tree.text(OPKG_STATUS)) {
        (Some(installed), _) => Database::parse_apk(&installed, &beside(APK_PACKAGES, ".alternatives")),
        (None, Some(status)) => Database::parse_opkg(&status, &beside(OPKG_INFO, ".list")),
        (None, None) => return None,
    };
    (!database.packages.is_empty()).then_some(database)
}

fn version(database: &Database) -> Option<String> {
    database.find("kernel").map(|kernel| kernel.version.clone())
}

/// `content` (opkg's status or a control file, or apk's installed) with `version` in every entry of the package `kernel`
/// that is installed; every other byte stays. `None` when there is no such entry.
pub(crate) fn with_kernel_version(content: &[u8], version: &str) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    let mut changed = Vec::with_capacity(content.len());
    let mut found = false;
    for stanza in lines.chunk_by(|one, next| is_blank(one) == is_blank(next)) {
        let kernel = field(stanza, b"Package").or_else(|| field(stanza, b"P")) == Some(b"kernel");
        let words = field(stanza, b"Status").map(|status| status.split(|byte| *byte == b' ').nth(2));
        let installed = words.is_none_or(|state| state == Some(b"installed"));
        for line in stanza {
            match value_of(line, b"Version").or_else(|| value_of(line, b"V")).filter(|_| kernel && installed) {
                Some((head, tail)) => {
                    found = true;
                    changed.extend([head, version.as_bytes(), tail].concat());
                }
                None => changed.extend_from_slice(line),
            }
        }
    }
    found.then_some(changed)
}

fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

/// The value of the first line with that field.
fn field<'a>(stanza: &[&'a [u8]], name: &[u8]) -> Option<&'a [u8]> {
    stanza.iter().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(b":")?.trim_ascii()))
}

/// What stands before and behind the value, when `line` has that field.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let value = line.strip_prefix(name)?.strip_prefix(b":")?;
    // Of an empty value the line's end is no part.
    let end = line.trim_ascii_end().len();
    let start = line.len().checked_sub(value.trim_ascii_start().len())?.min(end);
    Some((line.get(..start)?, line.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opkg_names_the_kernel_and_counts_what_is_installed() {
        let text = "Package: libc\nVersion: 1.2.5-r4\nDepends: \nStatus: install user installed\nArchitecture: x86_64\n\
                    Conffiles:\n Package: no\nInstalled-Time: 1735689600\n\n\
                    Package: kernel\nVersion: 6.12.117~0123456789abcdef0123456789abcdef-r1\nDepends: \n\
                    Status: install hold installed\nArchitecture: x86_64\n\n\
                    Package: gone\nVersion: 1\nStatus: deinstall ok not-installed\n\n";
        let database = PackageDatabase::parse_opkg(text);
        assert_eq!(
            database,
            PackageDatabase::Opkg { kernel: Some("6.12.117~0123456789abcdef0123456789abcdef-r1".into()), packages: 2 }
        );
    }

    #[test]
    fn apk_names_the_kernel_too() {
        let text = "C:Q1abc=\nP:base-files\nV:1637\nA:x86_64\nF:etc\nR:banner\nZ:Q1x=\n\n\
                    C:Q1def=\nP:kernel\nV:6.12.117~0123456789abcdef0123456789abcdef-r1\nA:x86_64\n\n";
        let database = PackageDatabase::parse_apk(text);
        assert_eq!(database.kernel(), Some("6.12.117~0123456789abcdef0123456789abcdef-r1"));
        assert!(matches!(database, PackageDatabase::Apk { packages: 2, .. }));
    }

    #[test]
    fn an_empty_database_knows_no_kernel() {
        assert_eq!(PackageDatabase::parse_opkg(""), PackageDatabase::Opkg { kernel: None, packages: 0 });
    }

    #[test]
    fn only_the_version_of_the_installed_kernel_changes() {
        let text = b"Package: kernel-x\nVersion: 1\n\nPackage: kernel\nVersion: 2\nStatus: deinstall ok not-installed\n\n\n\
                     Package: kernel\nDepends: \nVersion:\t 3 \r\nStatus: install ok installed\nConffiles:\n Version: no\xff";
        let changed = with_kernel_version(text, "4~x").unwrap();
        let expected = String::from_utf8_lossy(text).replace("\t 3 \r", "\t 4~x \r");
        assert_eq!(String::from_utf8_lossy(&changed), expected);
        assert_eq!(with_kernel_version(b"Package: kernel-x\nVersion: 1\n", "2"), None);
        assert_eq!(with_kernel_version(b"P:kernel\nV:\n", "2").unwrap(), b"P:kernel\nV:2\n".to_vec());
    }
}
