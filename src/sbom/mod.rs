//! A software bill of materials of what was added to an image, as CycloneDX 1.6 or SPDX 2.3. Pure, and the same bytes for
//! the same contents: its identifier follows from them.

mod cyclonedx;
mod spdx;
#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::civil::Moment;
use crate::digest::sha256_hex;

/// The forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SbomForm {
    /// CycloneDX 1.6 in JSON.
    CycloneDx,
    /// SPDX 2.3 in JSON.
    Spdx,
}

impl SbomForm {
    /// What is appended to the name of the output.
    pub(crate) const fn ending(self) -> &'static str {
        match self {
            Self::CycloneDx => ".cdx.json",
            Self::Spdx => ".spdx.json",
        }
    }
}

/// What a component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ComponentKind {
    /// A kernel module.
    Module,
    /// The kernel.
    Kernel,
    /// A package.
    Package,
    /// Another file.
    File,
}

/// Something that was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Component {
    /// What it is.
    pub(crate) kind: ComponentKind,
    /// Its name: of the module, of the package, else its path.
    pub(crate) name: String,
    /// Its version, where it has one; for a module the kernel's release.
    pub(crate) version: Option<String>,
    /// Its path in the image; `None` for a package.
    pub(crate) path: Option<String>,
    /// SHA-256 of its content, 64 lower-case hex digits; `None` for a package.
    pub(crate) sha256: Option<String>,
    /// Its licence in its own words, such as the `license=` of a module.
    pub(crate) licence: Option<String>,
    /// Who wanted it.
    pub(crate) reason: String,
}

/// What an image was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Inventory {
    /// Name of the output file.
    pub(crate) image: String,
    /// Its SHA-256; `None` for a tree of files.
    pub(crate) sha256: Option<String>,
    /// What system it holds, such as `OpenWrt 24.10.0`.
    pub(crate) system: String,
    /// Seconds since 1970.
    pub(crate) time: u64,
    /// In the order in which they were added.
    pub(crate) components: Vec<Component>,
}

impl Inventory {
    /// The document.
    pub(crate) fn write(&self, form: SbomForm) -> String {
        let value = match form {
            SbomForm::CycloneDx => cyclonedx::document(self),
            SbomForm::Spdx => spdx::document(self),
        };
        format!("{value:#}\n")
    }

    /// A UUID of version 8 (RFC 9562 section 5.8) out of the contents' SHA-256.
    fn uuid(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        let mut digits: Vec<char> = sha256_hex(text.as_bytes()).chars().take(32).collect();
        if let Some(version) = digits.get_mut(12) {
            *version = '8';
        }
        if let Some(variant) = digits.get_mut(16) {
            *variant = 'a';
        }
        let mut uuid: String = digits.into_iter().collect();
        for at in [20, 16, 12, 8] {
            uuid.insert(at, '-');
        }
        uuid
    }

    fn created(&self) -> String {
        Moment::of(self.time).to_string()
    }
}

/// The tool, as the documents name it.
const TOOL: &str = env!("CARGO_PKG_NAME");
const TOOL_VERSION: &str = env!("CARGO_PKG_VERSION");
