//! Which package manager's database the root holds.

use serde::Serialize;

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
