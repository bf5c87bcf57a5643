//! Which package manager an image uses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PackageDatabase, System};

/// A package manager of OpenWrt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PackageManager {
    /// Until 24.10.
    Opkg,
    /// From 25.12 on.
    Apk,
}

/// What tells the package manager where its database is gone: its own configuration.
const CONFIGURATIONS: [(&str, PackageManager); 2] =
    [("/etc/opkg.conf", PackageManager::Opkg), ("/etc/apk", PackageManager::Apk)];

impl System {
    /// The package manager: by its database, else by its configuration.
    pub(crate) fn package_manager(&self) -> Option<PackageManager> {
        self.packages.manager().or_else(|| {
            let there = CONFIGURATIONS.iter().find(|(path, _)| self.tree.metadata(path).is_some());
            there.map(|(_, manager)| *manager)
        })
    }
}

impl PackageDatabase {
    /// Whose database it is.
    pub(crate) fn manager(&self) -> Option<PackageManager> {
        match self {
            Self::Opkg { .. } => Some(PackageManager::Opkg),
            Self::Apk { .. } => Some(PackageManager::Apk),
            Self::None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::MemoryFilesystem;
    use super::*;

    #[test]
    fn without_a_database_the_configuration_tells() {
        let mut root = MemoryFilesystem::openwrt();
        let manager = |root: &mut MemoryFilesystem| System::read(root, &[]).unwrap().package_manager();
        assert_eq!(manager(&mut root), None);
        root.add_file("/etc/apk/world", "");
        assert_eq!(manager(&mut root), Some(PackageManager::Apk));
        root.add_file("/usr/lib/opkg/status", "Package: a\n");
        assert_eq!(manager(&mut root), Some(PackageManager::Opkg));
    }
}
