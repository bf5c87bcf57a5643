//! The OpenWrt system inside a root filesystem, as facts: release, module directories, autoload entries, UCI, package
//! database, boot configuration. Nothing here knows InfiniBand, and nothing here changes anything.

mod accounts;
mod authorized_keys;
mod autoload;
mod boot;
mod feeds;
mod init_script;
mod kmodloader;
mod modules;
mod modules_conf;
mod package_database;
mod package_manager;
mod partuuid;
mod release;
mod shadow;
mod system;
#[cfg(test)]
pub(crate) mod testing;
mod tree;
mod uci;

pub(crate) use accounts::Accounts;
pub(crate) use authorized_keys::{AUTHORIZED_KEYS, merge as merge_authorized_keys};
pub(crate) use autoload::{
    AUTOLOAD_DIRECTORY, AutoloadFile, AutoloadLine, BOOT_DIRECTORY, loads_immediately, split_lines,
};
pub(crate) use boot::{BootConfiguration, MenuEntry, RootReference};
pub(crate) use feeds::Feeds;
pub(crate) use init_script::{INIT_SCRIPTS, RUN_LINKS, enabling_links};
pub(crate) use kmodloader::{Attempt, Cause, LoadReport, ModuleFile, Outcome, Setup, Stage, Trap, simulate};
pub(crate) use modules::{InstalledModule, Known as KnownModules, MODULES_DIRECTORY, ModuleDirectory};
pub(crate) use modules_conf::{ModulesConf, ModulesConfEntry};
pub(crate) use package_database::{
    APK_DATABASE, APK_INSTALLED, OPKG_INFO, OPKG_KERNEL_CONTROL, OPKG_STATUS, PackageDatabase, with_kernel_version,
};
pub(crate) use package_manager::PackageManager;
pub(crate) use partuuid::named_partitions;
pub(crate) use release::Release;
pub(crate) use shadow::{hash_problem, with_root_password};
pub(crate) use system::System;
pub(crate) use tree::{Node, Tree};
pub(crate) use uci::{UciFile, UciSection};
