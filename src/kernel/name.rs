//! Names that must not be mixed up: a module's name and a kernel's release.

use std::fmt;

use serde::Serialize;

/// A module name. kmodloader, modprobe and the kernel treat `-` and `_` as equal, so this does too: it is stored with
/// underscores. [`ModuleName::new`] also takes a file name and cuts it at the first `.ko`, as kmodloader does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub(crate) struct ModuleName(String);

impl ModuleName {
    /// The name that `text` (a module name or a `.ko` file name, without folders) stands for.
    pub(crate) fn new(text: &str) -> Self {
        let stem = text.split_once(".ko").map_or(text, |(stem, _)| stem);
        Self(stem.replace('-', "_"))
    }

    /// With underscores.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A kernel release as `uname -r` prints it, such as `6.6.106`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub(crate) struct KernelRelease(String);

impl KernelRelease {
    /// The release `text`.
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As `uname -r` prints it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KernelRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_equal_modulo_dash_and_underscore_and_cut_at_ko() {
        assert_eq!(ModuleName::new("nvme-rdma.ko"), ModuleName::new("nvme_rdma"));
        assert_eq!(ModuleName::new("ib_core.ko.xz").as_str(), "ib_core");
    }
}
