//! Files that belong to the administrator: what was changed stays, and what the package brings goes beside it.

use crate::digest::sha256_hex;
use crate::package::{Format, Installed, Package, apk_digest};

/// What stands in the image, of a file that a package brings as well.
pub(super) struct Standing<'a> {
    /// Its absolute path.
    pub(super) path: &'a str,
    /// Its content, where it could be read.
    pub(super) content: Option<&'a [u8]>,
    /// The version of the package that the image has.
    pub(super) old: Option<&'a Installed>,
}

/// The path at which the manager would put the package's `content`, where it leaves what stands in its place alone.
///
/// opkg (opkg_install.c, backup_modified_conffiles, resolve_conffiles) asks about the files that the package lists as
/// conffiles. apk (database.c, apk_db_migrate_files) asks about everything in its protected directories, which are `etc`
/// without `etc/init.d` and `etc/apk`.
pub(super) fn beside(package: &Package, standing: &Standing<'_>, content: &[u8]) -> Option<String> {
    let there = standing.content;
    if there == Some(content) {
        return None;
    }
    let is_unchanged = match package.format {
        Format::Ipk if !package.conffiles.iter().any(|conffile| conffile == standing.path) => return None,
        Format::Apk if !is_protected(standing.path) => return None,
        Format::Ipk => {
            let came = standing.old.and_then(|old| old.conffiles.get(standing.path));
            came.is_some_and(|digest| there.is_some_and(|there| sha256_hex(there) == *digest))
        }
        Format::Apk => {
            let came = standing.old.and_then(|old| old.files.get(standing.path)?.as_ref());
            came.is_some_and(|digest| there.is_some_and(|there| apk_digest(there) == *digest))
        }
    };
    let ending = match package.format {
        Format::Ipk => "-opkg",
        Format::Apk => ".apk-new",
    };
    (!is_unchanged).then(|| format!("{}{ending}", standing.path))
}

fn is_protected(path: &str) -> bool {
    path.starts_with("/etc/") && !path.starts_with("/etc/init.d/") && !path.starts_with("/etc/apk/")
}
