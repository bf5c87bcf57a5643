//! Which package manager's database the root holds.

use serde::Serialize;

use super::tree::Tree;

/// The database of opkg (24.10 and older).
pub(crate) const OPKG_STATUS: &str = "/usr/lib/opkg/status";
/// The database of apk (25.12 and newer).
pub(crate) const APK_INSTALLED: &str = "/lib/apk/db/installed";

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

    /// Reads `/usr/lib/opkg/status` (libopkg/pkg.c): RFC 822 stanzas; the third word of `Status` tells what is installed.
    pub(crate) fn parse_opkg(text: &str) -> Self {
        let installed = |stanza: &Stanza<'_>| {
            stanza.field("Status").is_none_or(|status| status.split_whitespace().nth(2) == Some("installed"))
        };
        let stanzas: Vec<Stanza<'_>> = stanzas(text).filter(installed).collect();
        let packages = stanzas.iter().filter(|stanza| stanza.field("Package").is_some()).count();
        Self::Opkg { kernel: version(&stanzas, "Package", "Version"), packages }
    }

    /// Reads `/lib/apk/db/installed` (apk-tools database.c): stanzas of one-letter fields.
    pub(crate) fn parse_apk(text: &str) -> Self {
        let stanzas: Vec<Stanza<'_>> = stanzas(text).collect();
        let packages = stanzas.iter().filter(|stanza| stanza.field("P").is_some()).count();
        Self::Apk { kernel: version(&stanzas, "P", "V"), packages }
    }

    /// Version of the package `kernel`.
    pub(crate) fn kernel(&self) -> Option<&str> {
        match self {
            Self::Opkg { kernel, .. } | Self::Apk { kernel, .. } => kernel.as_deref(),
            Self::None => None,
        }
    }
}

struct Stanza<'a>(Vec<&'a str>);

impl<'a> Stanza<'a> {
    /// Value of the first field of this name; continuation lines start with a blank and so never match.
    fn field(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
    }
}

fn stanzas(text: &str) -> impl Iterator<Item = Stanza<'_>> {
    let lines: Vec<&str> = text.lines().collect();
    let groups: Vec<Stanza<'_>> = lines
        .split(|line| line.trim().is_empty())
        .filter(|group| !group.is_empty())
        .map(|group| Stanza(group.to_vec()))
        .collect();
    groups.into_iter()
}

fn version(stanzas: &[Stanza<'_>], name: &str, version: &str) -> Option<String> {
    let kernel = stanzas.iter().find(|stanza| stanza.field(name) == Some("kernel"))?;
    kernel.field(version).map(str::to_owned)
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
}
