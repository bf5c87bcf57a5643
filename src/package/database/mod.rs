//! What the managers write down about installed packages, read and written.

mod apk;
mod apk_scripts;
mod opkg;
mod text;

use std::collections::BTreeMap;

use super::{Alternative, AnyOf, Dependency, Format, Provision};

pub(crate) use apk::{ApkRecord, Q1, apk_stanza, digest as apk_digest, with_apk_stanza, with_trigger, with_world};
pub(crate) use apk_scripts::with_scripts;
pub(crate) use opkg::{OpkgRecord, opkg_stanza, with_opkg_stanza};

/// An installed package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Installed {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// What it needs.
    pub(crate) depends: Vec<AnyOf>,
    /// What it stands for beside its name.
    pub(crate) provides: Vec<Provision>,
    /// What it cannot be installed with.
    pub(crate) conflicts: Vec<Dependency>,
    /// Commands of which it offers one form.
    pub(crate) alternatives: Vec<Alternative>,
    /// Absolute paths of the files of the administrator, with the digest that they came with (opkg; hex).
    pub(crate) conffiles: BTreeMap<String, String>,
    /// Absolute paths of its files, with the digest that apk writes down.
    pub(crate) files: BTreeMap<String, Option<String>>,
    /// apk's identity of the package file, `Q1…`; empty with opkg.
    pub(crate) identity: String,
}

/// The database of one manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Database {
    /// Whose.
    pub(crate) format: Format,
    /// What is installed, in the order of the file.
    pub(crate) packages: Vec<Installed>,
}

impl Database {
    /// Reads opkg's status file; `lists` are the contents of the `.list` files by package name.
    pub(crate) fn parse_opkg(status: &str, lists: &BTreeMap<String, String>) -> Self {
        Self { format: Format::Ipk, packages: opkg::parse(status, lists) }
    }

    /// Reads apk's `installed`; `alternatives` are the contents of the `.alternatives` files by package name.
    pub(crate) fn parse_apk(installed: &str, alternatives: &BTreeMap<String, String>) -> Self {
        Self { format: Format::Apk, packages: apk::parse(installed, alternatives) }
    }

    /// The package of that name.
    pub(crate) fn find(&self, name: &str) -> Option<&Installed> {
        self.packages.iter().find(|package| package.name == name)
    }

    /// Whose the file at the absolute `path` is.
    pub(crate) fn owner(&self, path: &str) -> Option<&Installed> {
        self.packages.iter().find(|package| package.files.contains_key(path))
    }
}
