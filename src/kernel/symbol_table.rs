//! Which option of a kernel's configuration a symbol belongs to: `overlays/symbols.toml`.

use serde::{Deserialize, Serialize};

use super::KernelExports;
use crate::error::{Error, Result};

/// One option and the symbols that come with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SymbolEntry {
    /// The Kconfig option, without `CONFIG_`.
    pub(crate) option: String,
    /// Its symbols' names; one that ends in `*` stands for all names with that beginning.
    pub(crate) symbols: Vec<String>,
    /// An exported symbol that tells that the option is built into a kernel.
    pub(crate) evidence: Option<String>,
    /// The modules that export them when the option is `m`; none for what only the kernel image can hold.
    #[serde(default)]
    pub(crate) modules: Vec<String>,
    /// The OpenWrt package that has the module.
    pub(crate) package: Option<String>,
    /// What sets the option in a build.
    pub(crate) set_by: String,
    /// What it is for, a clause.
    pub(crate) explanation: String,
    /// What to do when it is missing, a clause.
    pub(crate) remedy: String,
}

impl SymbolEntry {
    fn covers(&self, symbol: &str) -> bool {
        self.symbols.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => symbol.starts_with(prefix),
            None => symbol == pattern,
        })
    }

    /// Why a symbol of this entry is missing in `kernel`, one sentence.
    pub(crate) fn cause(&self) -> String {
        if self.modules.is_empty() {
            return format!(
                "this kernel was built without CONFIG_{}; {} would set it: {}",
                self.option, self.set_by, self.explanation
            );
        }
        let files: Vec<String> = self.modules.iter().map(|module| format!("{module}.ko")).collect();
        let files = files.join(" or ");
        format!("it belongs to CONFIG_{}, in {files} unless built in: {}", self.option, self.explanation)
    }
}

/// The table, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SymbolTable {
    entry: Vec<SymbolEntry>,
}

impl SymbolTable {
    /// The table that the program holds.
    ///
    /// # Errors
    /// Corrupt when the embedded file does not parse: a defect of the program, caught by its tests.
    pub(crate) fn built_in() -> Result<Self> {
        Self::parse(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/overlays/symbols.toml")))
    }

    /// Reads a table.
    ///
    /// # Errors
    /// Corrupt with the place in the text.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| Error::corrupt(error.to_string()).at("symbols.toml"))
    }

    /// The entry that `symbol` belongs to: the first that covers it.
    pub(crate) fn explain(&self, symbol: &str) -> Option<&SymbolEntry> {
        self.entry.iter().find(|entry| entry.covers(symbol))
    }

    /// The entries that `kernel` has built in, by their evidence; in the table's order.
    pub(crate) fn built_into(&self, kernel: &KernelExports) -> Vec<&SymbolEntry> {
        let has =
            |entry: &&SymbolEntry| entry.evidence.as_deref().is_some_and(|symbol| kernel.export(symbol).is_some());
        self.entry.iter().filter(has).collect()
    }

    /// All entries, in the table's order.
    pub(crate) fn entries(&self) -> &[SymbolEntry] {
        &self.entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::linker::tests::fixture_modules;

    #[test]
    fn the_embedded_table_covers_what_infiniband_asks_of_a_kernel() {
        let table = SymbolTable::built_in().unwrap();
        let option = |symbol: &str| table.explain(symbol).map(|entry| entry.option.as_str());
        assert_eq!(option("irq_poll_sched"), Some("IRQ_POLL"));
        assert_eq!(option("hmm_range_fault"), Some("HMM_MIRROR"));
        assert_eq!(option("mmu_interval_notifier_insert"), Some("MMU_NOTIFIER"));
        assert_eq!(option("dma_buf_pin"), Some("DMA_SHARED_BUFFER"));
        assert_eq!(option("ib_umem_get"), Some("INFINIBAND_USER_ACCESS"));
        assert_eq!(option("ib_alloc_mr"), Some("INFINIBAND"));
        assert_eq!(option("printk"), None);
        let cause = table.explain("irq_poll_sched").unwrap().cause();
        assert!(
            cause.starts_with("this kernel was built without CONFIG_IRQ_POLL; INFINIBAND=m would set it:"),
            "{cause}"
        );
    }

    #[test]
    fn every_entry_is_reachable_and_its_evidence_is_its_own() {
        let table = SymbolTable::built_in().unwrap();
        for entry in table.entries() {
            let pattern = entry.symbols.first().unwrap();
            let symbol = pattern.strip_suffix('*').unwrap_or(pattern);
            assert_eq!(table.explain(symbol).map(|found| &found.option), Some(&entry.option), "{pattern}");
            if let Some(evidence) = &entry.evidence {
                assert_eq!(table.explain(evidence).map(|found| &found.option), Some(&entry.option), "{evidence}");
            }
        }
    }

    #[test]
    fn what_a_fixture_module_exports_is_explained_by_that_module() {
        let table = SymbolTable::built_in().unwrap();
        let mut wrong = Vec::new();
        for (name, module) in fixture_modules() {
            for export in &module.exports {
                let Some(entry) = table.explain(&export.name) else { continue };
                if !entry.modules.iter().any(|module| module == name.as_str()) {
                    wrong.push(format!("{name}: {} -> {}", export.name, entry.option));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn what_a_kernel_has_built_in_is_told_by_its_exports() {
        let kernel = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/bzImage-with-ib"));
        let kernel = KernelExports::read(kernel).unwrap();
        let table = SymbolTable::built_in().unwrap();
        let options: Vec<_> = table.built_into(&kernel).iter().map(|entry| entry.option.as_str()).collect();
        for option in ["IRQ_POLL", "DMA_SHARED_BUFFER", "MMU_NOTIFIER", "HMM_MIRROR", "NET_DEVLINK"] {
            assert!(options.contains(&option), "{option} in {options:?}");
        }
        for option in ["INFINIBAND", "MLX4_CORE", "SUNRPC", "CGROUP_RDMA"] {
            assert!(!options.contains(&option), "{option} in {options:?}");
        }
    }

    #[test]
    fn a_misspelt_key_is_an_error_with_its_line() {
        let error = SymbolTable::parse("[[entry]]\noptoin = \"X\"\n").unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}
