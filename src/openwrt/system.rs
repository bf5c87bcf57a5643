//! All facts about one root filesystem.

use super::modules::{Known, MODULES_DIRECTORY};
use super::modules_conf::ModulesConf;
use super::package_database::{APK_DATABASE, APK_INSTALLED, APK_PACKAGES, OPKG_INFO, OPKG_STATUS, database};
use super::tree::MAX_LOADED;
use super::{AUTOLOAD_DIRECTORY, AutoloadFile, BOOT_DIRECTORY, ModuleDirectory, PackageDatabase, Release, Tree};
use crate::error::{Error, Result};
use crate::filesystem::{FileType, Filesystem, Space};
use crate::history::ORIGINALS;
use crate::kernel::KernelRelease;
use crate::package::Database;

const RELEASE_FILE: &str = "/etc/openwrt_release";
const OS_RELEASE: &str = "/usr/lib/os-release";
const MODULES_CONF: &str = "/etc/modules.conf";
/// Most bytes of a file under `/etc` that are loaded without being asked for.
const MAX_CONFIGURATION: u64 = 1 << 20;

/// The system in a root filesystem.
#[derive(Debug, Clone)]
pub(crate) struct System {
    /// Who built it.
    pub(crate) release: Release,
    /// `/lib/modules/*`, in byte order.
    pub(crate) module_directories: Vec<ModuleDirectory>,
    /// `/etc/modules.d/*`, in byte order.
    pub(crate) autoload: Vec<AutoloadFile>,
    /// `/etc/modules-boot.d/*`, in byte order.
    pub(crate) boot_autoload: Vec<AutoloadFile>,
    /// `/etc/modules.conf`, where present.
    pub(crate) modules_conf: Option<String>,
    /// The package database.
    pub(crate) packages: PackageDatabase,
    /// Every path; content loaded for the files under `/etc` and for those that were asked for.
    pub(crate) tree: Tree,
    /// Room left.
    pub(crate) space: Space,
}

impl System {
    /// Reads the facts from `root`; `wanted` are further paths whose content is to be loaded, where they exist:
    /// those of the file wishes that a plan is to be made for, since what was not loaded counts as different there.
    ///
    /// # Errors
    /// Corrupt filesystem structures; a root that holds no OpenWrt (unsupported).
    pub(crate) fn read(root: &mut dyn Filesystem, wanted: &[String]) -> Result<Self> {
        Self::read_knowing(root, wanted, &Known::default())
    }

    /// The same, of a root in which some modules are known already.
    ///
    /// # Errors
    /// As [`System::read`].
    pub(crate) fn read_knowing(root: &mut dyn Filesystem, wanted: &[String], known: &Known<'_>) -> Result<Self> {
        let mut tree = Tree::walk(root)?;
        if tree.metadata(RELEASE_FILE).is_none() && tree.metadata(MODULES_DIRECTORY).is_none() {
            return Err(Error::unsupported(format!(
                "no OpenWrt in this root filesystem ({} paths): looked for {RELEASE_FILE} and {MODULES_DIRECTORY}",
                tree.nodes.len()
            ))
            .remedy("give an OpenWrt x86_64 image (…-combined.img.gz, …-combined-efi.img.gz or …-rootfs.img.gz), or the tree of its root"));
        }
        for (path, limit) in contents(&tree, wanted) {
            tree.load(root, &path, limit)?;
        }
        let os_release = tree.text(OS_RELEASE).or_else(|| tree.text("/etc/os-release"));
        Ok(Self {
            release: Release::parse(tree.text(RELEASE_FILE).as_deref(), os_release.as_deref()),
            module_directories: ModuleDirectory::read_all(root, &tree, known)?,
            autoload: AutoloadFile::read_directory(&tree, AUTOLOAD_DIRECTORY),
            boot_autoload: AutoloadFile::read_directory(&tree, BOOT_DIRECTORY),
            modules_conf: tree.text(MODULES_CONF),
            packages: PackageDatabase::read(&tree),
            space: root.space()?,
            tree,
        })
    }

    /// The module directory for the kernel `release`.
    pub(crate) fn module_directory(&self, release: &KernelRelease) -> Option<&ModuleDirectory> {
        self.module_directories.iter().find(|directory| directory.release == *release)
    }

    /// `/etc/modules.conf`, read; empty where there is none.
    pub(crate) fn modules_conf_entries(&self) -> ModulesConf {
        self.modules_conf.as_deref().map(ModulesConf::parse).unwrap_or_default()
    }

    /// Whether kmodloader finds the same in both: modules, by their paths and contents, entries and options.
    pub(crate) fn boots_like(&self, other: &Self) -> bool {
        let modules = |system: &Self| -> Option<Vec<(String, String)>> {
            let all = system.module_directories.iter().flat_map(|directory| &directory.modules);
            // Of one that could not be read nothing is known.
            all.map(|module| (!module.sha256.is_empty()).then(|| (module.path.clone(), module.sha256.clone())))
                .collect()
        };
        (&self.autoload, &self.boot_autoload, &self.modules_conf)
            == (&other.autoload, &other.boot_autoload, &other.modules_conf)
            && modules(self).is_some_and(|own| modules(other) == Some(own))
    }

    /// When the image was built, in seconds since 1970: as os-release says (`OPENWRT_BUILD_DATE`, 2024 and later), else
    /// when the packages of the image were installed into it (opkg's `Installed-Time`; the buildroot writes its
    /// SOURCE_DATE_EPOCH there). A package that was installed later does not count.
    pub(crate) fn build_time(&self) -> Option<u64> {
        self.release.build_date.or_else(|| {
            let status = self.tree.text(OPKG_STATUS)?;
            let times = status.lines().filter_map(|line| line.strip_prefix("Installed-Time:"));
            times.filter_map(|time| time.trim().parse().ok()).min()
        })
    }

    /// What is installed, by the package manager's database; nothing where there is none.
    pub(crate) fn database(&self) -> Option<Database> {
        database(&self.tree)
    }

    /// Loads the content of further files, where they exist.
    ///
    /// # Errors
    /// Corrupt filesystem structures.
    pub(crate) fn load<'a>(
        &mut self,
        root: &mut dyn Filesystem,
        paths: impl IntoIterator<Item = &'a str>,
    ) -> Result<()> {
        paths.into_iter().try_for_each(|path| self.tree.load(root, path, MAX_LOADED))
    }

    /// Whether `path` leads to a file whose content would be [loaded](System::load), and is not yet.
    pub(crate) fn lacks(&self, path: &str) -> bool {
        self.tree.lacks(path, MAX_LOADED)
    }

    /// Whether this system is for the machines that this program knows: OpenWrt's target x86/64.
    ///
    /// # Errors
    /// Unsupported, with the target's name. A system that does not say is let through.
    pub(crate) fn check_target(&self) -> Result<()> {
        let Release { target, architecture, .. } = &self.release;
        let other_target = !target.is_empty() && target != "x86/64";
        let other_architecture = !architecture.is_empty() && architecture != "x86_64";
        if other_target || other_architecture {
            return Err(Error::unsupported(format!(
                "this OpenWrt is built for target {target:?}, architecture {architecture:?}; only x86/64 (x86_64) is handled"
            ))
            .remedy("give an image of the target x86/64"));
        }
        Ok(())
    }
}

/// Which files to load, each with the greatest length in bytes that is loaded.
fn contents(tree: &Tree, wanted: &[String]) -> Vec<(String, u64)> {
    let configuration = tree
        .descendants("/etc")
        .into_iter()
        .filter(|(_, node)| matches!(node.metadata.file_type, FileType::Regular | FileType::Symlink))
        // What earlier contents are kept there is for nobody but who undoes a patch.
        .filter(|(path, _)| !path.starts_with(ORIGINALS))
        .map(|(path, _)| (path, MAX_CONFIGURATION));
    let databases = [OS_RELEASE, OPKG_STATUS, APK_INSTALLED].map(|path| (path.to_owned(), MAX_LOADED));
    let beside = [OPKG_INFO, APK_DATABASE, APK_PACKAGES].into_iter().flat_map(|folder| tree.descendants(folder));
    let beside = beside.map(|(path, _)| (path, MAX_CONFIGURATION));
    let builtin = tree
        .children(MODULES_DIRECTORY)
        .into_iter()
        .map(|(name, _)| (format!("{MODULES_DIRECTORY}/{name}/modules.builtin"), MAX_CONFIGURATION));
    let wanted = wanted.iter().map(|path| (path.clone(), MAX_LOADED));
    configuration.chain(databases).chain(beside).chain(builtin).chain(wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::MemoryFilesystem;
    use super::*;

    #[test]
    fn without_a_build_date_the_first_installation_tells_the_time() {
        let mut root = MemoryFilesystem::openwrt();
        root.add_file("/usr/lib/os-release", "ID=openwrt\n");
        let status = "Package: a\nInstalled-Time: 1735689700\n\nPackage: b\nInstalled-Time: 1735689600\n";
        root.add_file("/usr/lib/opkg/status", status);
        let system = System::read(&mut root, &[]).unwrap();
        assert_eq!(system.build_time(), Some(1_735_689_600));
    }

    #[test]
    fn a_stock_root_is_read() {
        let mut root = MemoryFilesystem::openwrt();
        root.add_file("/usr/bin/tool", "binary");
        root.add_file("/usr/bin/other", "binary");
        let system = System::read(&mut root, &["/usr/bin/tool".to_owned(), "/not/there".to_owned()]).unwrap();
        assert_eq!(system.release.target, "x86/64");
        assert_eq!(system.build_time(), Some(1_738_624_177));
        assert_eq!(system.autoload.len(), 2);
        assert_eq!(system.boot_autoload[0].lines[0].text, "igb");
        assert_eq!(system.packages, PackageDatabase::None);
        assert_eq!(system.tree.text("/usr/bin/tool").as_deref(), Some("binary"));
        assert_eq!(system.tree.content("/usr/bin/other"), None, "nobody asked for it");
        assert_eq!(system.module_directory(&KernelRelease::new("6.12.117")).unwrap().modules.len(), 1);
        system.check_target().unwrap();
    }

    #[test]
    fn a_root_without_openwrt_is_named_as_such() {
        let mut root = MemoryFilesystem::new();
        root.add_file("/etc/debian_version", "13\n");
        let error = System::read(&mut root, &[]).unwrap_err();
        assert_eq!(
            error.message(),
            "no OpenWrt in this root filesystem (3 paths): looked for /etc/openwrt_release and /lib/modules"
        );
    }

    #[test]
    fn another_target_is_refused_by_name() {
        let mut root = MemoryFilesystem::openwrt();
        root.add_file("/etc/openwrt_release", "DISTRIB_TARGET='mediatek/filogic'\nDISTRIB_ARCH='aarch64_cortex-a53'\n");
        let error = System::read(&mut root, &[]).unwrap().check_target().unwrap_err();
        assert!(error.message().contains("\"mediatek/filogic\", architecture \"aarch64_cortex-a53\""), "{error}");
    }
}
