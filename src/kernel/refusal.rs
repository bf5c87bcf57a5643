//! Why a kernel refuses a module, in its own words.

use serde::Serialize;

use super::ModuleName;

/// One reason for which the kernel refuses a module, and what it prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Refusal {
    /// The lines the kernel logs, without time stamp; empty when it refuses in silence.
    pub(crate) messages: Vec<String>,
    /// The reason.
    pub(crate) reason: Reason,
}

/// Where a symbol that nothing exports so far could come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Provider {
    /// A module that is there but has not been loaded at that point: the order is wrong, or nothing loads it.
    NotYetLoaded(ModuleName),
    /// A module that was refused itself.
    Refused(ModuleName),
    /// No module there is: an option of the kernel, or a missing module.
    Nobody,
}

/// Why the kernel refuses a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub(crate) enum Reason {
    /// The file is no module at all.
    NotAModule {
        /// What is wrong with it.
        error: String,
    },
    /// It has no `.gnu.linkonce.this_module`.
    NoThisModule {
        /// Whether the kernel's message names the module.
        named: bool,
    },
    /// Its `struct module` has another size than the kernel's.
    StructModuleSize {
        /// Bytes in the module.
        size: u64,
        /// Bytes in the kernel.
        expected: u64,
        /// Whether the kernel's message names the module.
        named: bool,
    },
    /// Its `struct module` differs (checksum of `module_layout`).
    ModuleLayout,
    /// It has no checksums, and the kernel insists on them.
    NoVersions,
    /// It was built for another kernel.
    Vermagic {
        /// Its `vermagic=`.
        vermagic: String,
        /// The kernel's.
        expected: String,
    },
    /// It does not say what it was built for, and the kernel insists on it.
    NoVermagic,
    /// A symbol that neither the kernel nor a loaded module exports.
    UnknownSymbol {
        /// The symbol.
        symbol: String,
        /// Where it could come from.
        provider: Provider,
    },
    /// A symbol that is kept for GPL-compatible modules.
    GplOnly {
        /// The symbol.
        symbol: String,
        /// Who exports it.
        owner: String,
        /// The module's licence.
        licence: Option<String>,
    },
    /// A symbol of a proprietary module, used by one that also uses GPL-only symbols.
    ProprietaryProvider {
        /// The symbol.
        symbol: String,
        /// The proprietary module.
        owner: String,
    },
    /// A symbol whose type differs from what the module was built with.
    Version {
        /// The symbol.
        symbol: String,
        /// Who exports it.
        owner: String,
    },
    /// A symbol of a namespace that the module does not import.
    Namespace {
        /// The symbol.
        symbol: String,
        /// The namespace.
        namespace: String,
    },
    /// It exports what is exported already.
    DuplicateExport {
        /// The symbol.
        symbol: String,
        /// Who exports it already.
        owner: String,
    },
}

impl Refusal {
    /// The refusal of the module with internal name `module`.
    pub(super) fn new(reason: Reason, module: &str) -> Self {
        Self { messages: reason.messages(module), reason }
    }

    /// The symbol it is about, if it is about one that is missing.
    pub(crate) fn missing_symbol(&self) -> Option<&str> {
        match &self.reason {
            Reason::UnknownSymbol { symbol, .. } => Some(symbol),
            _ => None,
        }
    }
}

impl Reason {
    /// The kernel's words: kernel/module/main.c and kernel/module/version.c.
    fn messages(&self, module: &str) -> Vec<String> {
        let unknown = |symbol: &str, error: i32| format!("{module}: Unknown symbol {symbol} (err {error})");
        // ENOENT and EINVAL.
        let (missing, invalid) = (-2, -22);
        match self {
            Self::NotAModule { .. } | Self::NoVersions | Self::NoVermagic => Vec::new(),
            Self::NoThisModule { named: true } => {
                vec![format!("module {module}: Exactly one .gnu.linkonce.this_module section must exist.")]
            }
            Self::NoThisModule { named: false } => vec![format!("{module}: No module found in object")],
            Self::StructModuleSize { named, .. } => {
                let prefix = if *named { format!("module {module}: ") } else { String::new() };
                vec![format!(
                    "{prefix}.gnu.linkonce.this_module section size must match the kernel's built struct module size at \
                     run time"
                )]
            }
            Self::ModuleLayout => vec![format!("{module}: disagrees about version of symbol module_layout")],
            Self::Vermagic { vermagic, expected } => {
                vec![format!("{module}: version magic '{vermagic}' should be '{expected}'")]
            }
            Self::UnknownSymbol { symbol, .. } | Self::GplOnly { symbol, .. } => vec![unknown(symbol, missing)],
            Self::ProprietaryProvider { symbol, owner } => vec![
                format!(
                    "{module}: module using GPL-only symbols uses symbols {symbol} from proprietary module {owner}."
                ),
                unknown(symbol, missing),
            ],
            Self::Version { symbol, .. } => {
                vec![format!("{module}: disagrees about version of symbol {symbol}"), unknown(symbol, invalid)]
            }
            Self::Namespace { symbol, namespace } => vec![
                format!("{module}: module uses symbol ({symbol}) from namespace {namespace}, but does not import it."),
                unknown(symbol, invalid),
            ],
            Self::DuplicateExport { symbol, owner } => {
                vec![format!("{module}: exports duplicate symbol {symbol} (owned by {owner})")]
            }
        }
    }
}
