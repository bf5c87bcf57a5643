//! `/etc/modules.d` and `/etc/modules-boot.d`, read as kmodloader reads them.

use serde::Serialize;

use crate::kernel::ModuleName;

/// Where kmodloader finds the modules to load after the overlay is mounted.
pub(crate) const AUTOLOAD_DIRECTORY: &str = "/etc/modules.d";
/// Where it finds those to load before preinit.
pub(crate) const BOOT_DIRECTORY: &str = "/etc/modules-boot.d";

/// One line of an autoload file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct AutoloadLine {
    /// 1-based line number.
    pub(crate) number: usize,
    /// The line as it stands, without the newline.
    pub(crate) text: String,
    /// The module kmodloader takes from it; `None` for blank lines, comments and lines that it silently ignores.
    pub(crate) module: Option<ModuleName>,
    /// What follows the first blank, trimmed at the end.
    pub(crate) parameters: String,
    /// Why kmodloader would ignore a line that looks meant (tab, CR, leading blank), one sentence.
    pub(crate) trap: Option<String>,
}

/// One file of `/etc/modules.d` or `/etc/modules-boot.d`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct AutoloadFile {
    /// File name.
    pub(crate) name: String,
    /// Where a symlink points.
    pub(crate) link_target: Option<String>,
    /// Whether it is a dangling symlink.
    pub(crate) dangling: bool,
    /// Its lines (of the file it resolves to).
    pub(crate) lines: Vec<AutoloadLine>,
}
