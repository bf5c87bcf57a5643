//! What a package says and holds, whichever format it came in.

use std::sync::Arc;

use serde::Serialize;

use super::{AnyOf, Dependency, Entry, Provision, Q1};
use crate::base64;

/// The formats, each that of one package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// opkg's.
    Ipk,
    /// That of apk-tools 3.
    Apk,
}

impl Format {
    /// Its manager's name.
    pub(crate) const fn manager(self) -> &'static str {
        match self {
            Self::Ipk => "opkg",
            Self::Apk => "apk",
        }
    }

    /// Its ending.
    pub(crate) const fn ending(self) -> &'static str {
        match self {
            Self::Ipk => ".ipk",
            Self::Apk => ".apk",
        }
    }
}

/// A command that several packages offer: a symlink to the offer of the highest priority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alternative {
    /// The higher wins.
    pub(crate) priority: i64,
    /// Absolute path of the symlink.
    pub(crate) link: String,
    /// What it points to when this offer wins.
    pub(crate) target: String,
}

impl Alternative {
    /// Reads `prio:link:target`; nothing where it is not of that form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (priority, rest) = text.trim().split_once(':')?;
        let (link, target) = rest.rsplit_once(':')?;
        let priority = priority.parse().ok()?;
        (link.starts_with('/') && !target.is_empty()).then(|| Self {
            priority,
            link: link.to_owned(),
            target: target.to_owned(),
        })
    }
}

/// A script, or another file that the manager keeps about a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Script {
    /// `postinst`, `prerm-pkg`, … (opkg), `post-install`, … (apk).
    pub(crate) name: String,
    /// Its text.
    pub(crate) content: Arc<[u8]>,
    /// Permissions.
    pub(crate) mode: u16,
}

/// What only one of the managers knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Details {
    /// opkg: the control file, byte by byte.
    Ipk {
        /// Its text.
        control: String,
    },
    /// apk: what its database says beside the rest.
    Apk(Box<ApkDetails>),
}

/// What apk's database says of a package beside the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ApkDetails {
    /// Identity: the first 20 bytes of a SHA-256 over the description.
    pub(crate) id: [u8; 20],
    /// Length of the package file in bytes.
    pub(crate) file_size: u64,
    /// What its files take, in bytes.
    pub(crate) installed_size: u64,
    /// One line.
    pub(crate) description: String,
    /// Where it comes from on the web.
    pub(crate) url: String,
    /// Its licence.
    pub(crate) license: String,
    /// The source package.
    pub(crate) origin: String,
    /// Who cares for it.
    pub(crate) maintainer: String,
    /// Seconds since 1970; 0 for none.
    pub(crate) build_time: u64,
    /// Commit of the source, in hex; empty for none.
    pub(crate) commit: String,
    /// Which of several providers is taken.
    pub(crate) provider_priority: u64,
    /// Whose files it may replace before others.
    pub(crate) replaces_priority: u64,
    /// Packages in whose presence it is installed by itself.
    pub(crate) install_if: Vec<String>,
    /// Tags.
    pub(crate) tags: Vec<String>,
    /// Dependencies and conflicts as its database spells them, in its order.
    pub(crate) depends: Vec<String>,
    /// What it provides, likewise.
    pub(crate) provides: Vec<String>,
    /// Whose files it may replace, likewise.
    pub(crate) replaces: Vec<String>,
    /// Globs of directories whose changes call the trigger script.
    pub(crate) triggers: Vec<String>,
}

/// The tag by which OpenWrt's .apk files tell the ABI version.
pub(super) const ABI_TAG: &str = "openwrt:abiversion=";

/// The name without the ABI version that a library's name ends in, such as `libubox` for `libubox20240329`.
pub(super) fn name_without_abi(name: &str, abi: Option<&str>) -> Option<Provision> {
    let base = name.strip_suffix(abi?.trim())?.trim_end_matches('-');
    (!base.is_empty() && base != name).then(|| Provision { name: base.to_owned(), version: None })
}

/// A package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    /// What messages call it: the path of its file.
    pub(crate) source: String,
    /// Its format.
    pub(crate) format: Format,
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// `x86_64`, `all`, `noarch`.
    pub(crate) architecture: String,
    /// What it needs.
    pub(crate) depends: Vec<AnyOf>,
    /// What it stands for beside its name.
    pub(crate) provides: Vec<Provision>,
    /// What it cannot be installed with.
    pub(crate) conflicts: Vec<Dependency>,
    /// Whose files it may replace.
    pub(crate) replaces: Vec<Dependency>,
    /// Commands of which it offers one form.
    pub(crate) alternatives: Vec<Alternative>,
    /// Users and groups that it needs, as `Require-User` says it.
    pub(crate) users: Option<String>,
    /// Absolute paths of files that belong to the administrator once they are there.
    pub(crate) conffiles: Vec<String>,
    /// What the manager keeps about it.
    pub(crate) scripts: Vec<Script>,
    /// Its files, directories before what is in them.
    pub(crate) entries: Vec<Entry>,
    /// Whether the file carries a signature; who signed is not looked at. An .ipk never does.
    pub(crate) is_signed: bool,
    /// SHA-256 of the file, 64 lower-case hex digits.
    pub(crate) sha256: String,
    /// What only its manager knows.
    pub(crate) details: Details,
}

impl Package {
    /// apk's identity of it, as its database spells it; an .ipk has none.
    pub(crate) fn identity(&self) -> Option<String> {
        match &self.details {
            Details::Ipk { .. } => None,
            Details::Apk(details) => Some(format!("{Q1}{}", base64::encode(&details.id))),
        }
    }

    /// Its licence in its own words; empty where it says nothing.
    pub(crate) fn licence(&self) -> &str {
        match &self.details {
            Details::Ipk { control } => {
                control.lines().find_map(|line| line.strip_prefix("License:")).map_or("", str::trim)
            }
            Details::Apk(details) => &details.license,
        }
    }

    /// `name version`.
    pub(crate) fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }
}
