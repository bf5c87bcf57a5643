//! The OpenWrt system inside a root filesystem, as facts: release, module directories, autoload entries, UCI, package
//! database, boot configuration. Nothing here knows InfiniBand, and nothing here changes anything.

mod autoload;
mod boot;
mod modules;
mod package_database;
mod release;
mod shadow;
mod system;
mod tree;
mod uci;

pub(crate) use autoload::{AUTOLOAD_DIRECTORY, AutoloadFile, AutoloadLine, BOOT_DIRECTORY};
pub(crate) use boot::{BootConfiguration, MenuEntry, RootReference};
pub(crate) use modules::{InstalledModule, ModuleDirectory};
pub(crate) use package_database::PackageDatabase;
pub(crate) use release::Release;
pub(crate) use system::System;
pub(crate) use tree::{Node, Tree};
