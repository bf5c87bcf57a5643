//! The version of the package `kernel` in the image's package database.

use super::draft::{Draft, Stage};
use super::files::existing;
use crate::error::{Error, Result};
use crate::filesystem::Attributes;
use crate::openwrt::{APK_INSTALLED, OPKG_KERNEL_CONTROL, OPKG_STATUS, PackageDatabase, System, with_kernel_version};

/// Gives the package `kernel` the version `version`; everything else in the database's files stays byte by byte.
///
/// # Errors
/// Usage when the image has no package database, or none with that package.
pub(super) fn kernel_version(draft: &mut Draft<'_>, system: &System, version: Option<&str>) -> Result<()> {
    let Some(version) = version else { return Ok(()) };
    let paths: &[&str] = match system.packages {
        PackageDatabase::Opkg { kernel: Some(_), .. } => &[OPKG_STATUS, OPKG_KERNEL_CONTROL],
        PackageDatabase::Apk { kernel: Some(_), .. } => &[APK_INSTALLED],
        _ => {
            return Err(Error::usage(format!(
                "the package kernel cannot get version {version}: the image has no package database that lists it"
            ))
            .remedy("leave --kernel-version out"));
        }
    };
    for path in paths {
        let (place, content) = existing(draft, path)?;
        // The control file beside the status is absent where the image was built without it.
        let Some(changed) = with_kernel_version(&content, version) else { continue };
        let reason = "kernel swap: version of the package kernel";
        draft.update(&place, changed, Attributes::root(0o644), reason, Stage::File)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Wishes;
    use super::super::tests::{patched, planned};
    use super::*;
    use crate::openwrt::testing::MemoryFilesystem;

    const STATUS: &str = "Package: libc\nVersion: 1\nStatus: install user installed\n\nPackage: kernel\nVersion: 6.12.117~a-r1\n\
                          Status: install user installed\n\n";

    fn wishes() -> Wishes {
        Wishes { kernel_version: Some("6.12.117~b-r1".to_owned()), ..Wishes::default() }
    }

    #[test]
    fn status_and_control_of_opkg_change_in_one_field() {
        let mut root = MemoryFilesystem::openwrt();
        root.add_file(OPKG_STATUS, STATUS);
        root.add_file(OPKG_KERNEL_CONTROL, "Package: kernel\nVersion: 6.12.117~a-r1\nSection: sys\n");
        let (after, plan) = patched(&root, &wishes());
        assert_eq!(plan.edits.len(), 2);
        assert_eq!(after.text(OPKG_STATUS).unwrap(), STATUS.replace("~a-", "~b-"));
        let control = after.text(OPKG_KERNEL_CONTROL).unwrap();
        assert_eq!(control, "Package: kernel\nVersion: 6.12.117~b-r1\nSection: sys\n");
    }

    #[test]
    fn an_apk_database_changes_in_one_line() {
        let mut root = MemoryFilesystem::openwrt();
        root.add_file(APK_INSTALLED, "C:Q1a=\nP:kernel\nV:6.12.117~a-r1\nA:x86_64\n\nC:Q1b=\nP:x\nV:2\n\n");
        let (after, _) = patched(&root, &wishes());
        let text = after.text(APK_INSTALLED).unwrap();
        assert_eq!(text, "C:Q1a=\nP:kernel\nV:6.12.117~b-r1\nA:x86_64\n\nC:Q1b=\nP:x\nV:2\n\n");
    }

    #[test]
    fn without_a_database_there_is_no_version_to_change() {
        let error = planned(&MemoryFilesystem::openwrt(), &wishes()).unwrap_err();
        assert!(error.message().starts_with("the package kernel cannot get version 6.12.117~b-r1:"), "{error}");
    }
}
