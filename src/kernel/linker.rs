//! Which modules a kernel takes, in a given order: kernel/module/main.c `load_module`, offline.
//!
//! What depends on the machine (signatures under lockdown, `module_blacklist=`, memory, the module's own init function)
//! is not told.

use std::collections::{HashMap, HashSet};

use super::refusal::{Provider, Reason, Refusal};
use super::{Export, KernelExports, Module, ModuleName};

/// A module, in the order in which the kernel is asked to load it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoadStep<'a> {
    /// The file's name.
    pub(crate) name: &'a ModuleName,
    /// What it says, or why it cannot be read.
    pub(crate) module: Result<&'a Module, &'a str>,
}

/// What becomes of a module.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// The kernel takes it.
    Loads,
    /// One of the same internal name is loaded already (EEXIST).
    AlreadyLoaded,
    /// The kernel refuses it, for every one of these reasons.
    Refused(Vec<Refusal>),
}

/// What becomes of a module, and whose symbols it uses.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct LoadResult {
    /// The file's name.
    pub(crate) name: ModuleName,
    /// What the kernel answers.
    pub(crate) verdict: Verdict,
    /// The loaded modules whose symbols it uses, sorted.
    pub(crate) uses: Vec<ModuleName>,
}

impl LoadResult {
    /// Why the kernel refuses it; empty when it does not.
    pub(crate) fn refusals(&self) -> &[Refusal] {
        match &self.verdict {
            Verdict::Refused(refusals) => refusals,
            Verdict::Loads | Verdict::AlreadyLoaded => &[],
        }
    }

    /// Whether the module is in the kernel afterwards.
    pub(crate) fn is_loaded(&self) -> bool {
        !matches!(self.verdict, Verdict::Refused(_))
    }
}

#[cfg(test)]
/// Loads `order` into `kernel`, one after the other. A refused module's users are refused in turn.
pub(crate) fn link(kernel: &KernelExports, order: &[LoadStep<'_>]) -> Vec<LoadResult> {
    let mut linker = Linker::new(kernel, order.iter().copied());
    order.iter().map(|step| linker.insert(*step)).collect()
}

/// A kernel with the modules loaded so far.
pub(crate) struct Linker<'a> {
    kernel: &'a KernelExports,
    /// Who of all modules, loaded or not, exports a symbol: to say where a missing one could come from.
    exporters: HashMap<&'a str, &'a ModuleName>,
    refused: HashSet<&'a ModuleName>,
    tried: HashSet<&'a ModuleName>,
    loaded: Vec<Loaded<'a>>,
    loaded_names: HashSet<&'a str>,
    symbols: HashMap<&'a str, (usize, &'a Export)>,
}

/// A loaded module.
struct Loaded<'a> {
    file: &'a ModuleName,
    name: &'a str,
    proprietary: bool,
}

/// An exported symbol and the index of the loaded module that owns it (`None`: the kernel).
type Found<'a> = (&'a Export, Option<usize>);

impl<'a> Linker<'a> {
    /// `kernel` without modules; `known` are all modules there are.
    pub(crate) fn new(kernel: &'a KernelExports, known: impl Iterator<Item = LoadStep<'a>>) -> Self {
        let mut exporters = HashMap::new();
        for step in known {
            for export in step.module.iter().flat_map(|module| &module.exports) {
                exporters.entry(export.name.as_str()).or_insert(step.name);
            }
        }
        Self {
            kernel,
            exporters,
            refused: HashSet::new(),
            tried: HashSet::new(),
            loaded: Vec::new(),
            loaded_names: HashSet::new(),
            symbols: HashMap::new(),
        }
    }

    /// Asks the kernel to load a module. One that was refused may be tried again.
    pub(crate) fn insert(&mut self, step: LoadStep<'a>) -> LoadResult {
        let mut result = LoadResult { name: step.name.clone(), verdict: Verdict::Loads, uses: Vec::new() };
        let refusals = match step.module {
            Err(error) => vec![Refusal::new(Reason::NotAModule { error: error.to_owned() }, step.name.as_str())],
            Ok(module) => {
                let name = internal_name(step.name, module);
                match self.check(module, name) {
                    Ok(_) if self.loaded_names.contains(name) => {
                        result.verdict = Verdict::AlreadyLoaded;
                        return result;
                    }
                    Ok(linked) => {
                        result.uses = self.admit(step.name, module, name, &linked);
                        Vec::new()
                    }
                    Err(refusals) => refusals,
                }
            }
        };
        self.tried.insert(step.name);
        if refusals.is_empty() {
            self.refused.remove(step.name);
        } else {
            self.refused.insert(step.name);
            result.verdict = Verdict::Refused(refusals);
        }
        result
    }

    /// Every check, in the kernel's order: a failed early one ends it, unknown symbols are all named, then exports.
    fn check(&self, module: &Module, name: &str) -> Result<Linked, Vec<Refusal>> {
        self.check_identity(module).map_err(|reason| vec![Refusal::new(reason, name)])?;
        if self.loaded_names.contains(name) {
            return Ok(Linked::default());
        }
        let linked = self.resolve(module, name)?;
        self.check_exports(module).map_err(|reason| vec![Refusal::new(reason, name)])?;
        Ok(linked)
    }

    /// The checks before memory is allocated: `elf_validity_check`, `check_modstruct_version`, `check_modinfo`.
    fn check_identity(&self, module: &Module) -> Result<(), Reason> {
        let rules = &self.kernel.rules;
        let Some(size) = module.this_module_size else {
            return Err(Reason::NoThisModule { named: rules.names_module_in_elf_errors });
        };
        if let Some(expected) =
            rules.struct_module_size.filter(|&expected| rules.checks_struct_module && expected != size)
        {
            return Err(Reason::StructModuleSize { size, expected, named: rules.names_module_in_elf_errors });
        }
        let layout = self.kernel.export("module_layout").and_then(|export| export.crc);
        let versions = Versions::of(self.kernel, module);
        if versions.missing_altogether() && layout.is_some() && !rules.force_load {
            return Err(Reason::NoVersions);
        }
        if !versions.agree("module_layout", layout) {
            return Err(Reason::ModuleLayout);
        }
        let Some(expected) = &rules.vermagic else { return Ok(()) };
        match &module.modinfo.vermagic {
            None if rules.force_load => Ok(()),
            None => Err(Reason::NoVermagic),
            Some(vermagic) if same_vermagic(vermagic, expected, !module.versions.is_empty()) => Ok(()),
            Some(vermagic) => Err(Reason::Vermagic { vermagic: vermagic.clone(), expected: expected.clone() }),
        }
    }

    /// `simplify_symbols`: every import against the kernel, then the loaded modules.
    fn resolve(&self, module: &Module, name: &str) -> Result<Linked, Vec<Refusal>> {
        let versions = Versions::of(self.kernel, module);
        let mut linked = Linked { proprietary: !is_gpl_compatible(module), ..Linked::default() };
        let mut refusals = Vec::new();
        let weak = module.weak_imports.iter().map(|symbol| (symbol, true));
        for (symbol, weak) in module.imports.iter().map(|symbol| (symbol, false)).chain(weak) {
            match self.resolve_symbol(module, name, symbol, &versions, &mut linked) {
                Ok(()) => {}
                // A weak symbol may be missing, but not disagree.
                Err(Reason::UnknownSymbol { .. } | Reason::GplOnly { .. } | Reason::ProprietaryProvider { .. })
                    if weak => {}
                Err(reason) => refusals.push(Refusal::new(reason, name)),
            }
        }
        if refusals.is_empty() { Ok(linked) } else { Err(refusals) }
    }

    /// `resolve_symbol`.
    fn resolve_symbol(
        &self,
        module: &Module,
        name: &str,
        symbol: &str,
        versions: &Versions<'_>,
        linked: &mut Linked,
    ) -> Result<(), Reason> {
        let Some((export, owner)) = self.find(symbol, !linked.proprietary) else {
            return Err(match self.find(symbol, true) {
                Some((_, owner)) => Reason::GplOnly {
                    symbol: symbol.to_owned(),
                    owner: self.owner_name(owner).to_owned(),
                    licence: module.modinfo.license.clone(),
                },
                None => Reason::UnknownSymbol { symbol: symbol.to_owned(), provider: self.provider(symbol) },
            });
        };
        linked.gpl_only |= export.gpl_only;
        if let Some(proprietary) = owner.and_then(|owner| self.loaded.get(owner)).filter(|owner| owner.proprietary) {
            if linked.gpl_only {
                let owner = proprietary.name.to_owned();
                return Err(Reason::ProprietaryProvider { symbol: symbol.to_owned(), owner });
            }
            linked.proprietary = true;
        }
        if !versions.agree(symbol, export.crc) {
            return Err(Reason::Version { symbol: symbol.to_owned(), owner: self.owner_name(owner).to_owned() });
        }
        if let Some(namespace) = export.namespace.as_deref().filter(|space| !self.imports(module, name, space)) {
            return Err(Reason::Namespace { symbol: symbol.to_owned(), namespace: namespace.to_owned() });
        }
        linked.owners.extend(owner);
        Ok(())
    }

    /// `find_symbol`: the kernel's own tables first; without `gplok` GPL-only exports are passed over.
    fn find(&self, symbol: &str, gplok: bool) -> Option<Found<'a>> {
        let usable = |export: &Export| gplok || !export.gpl_only;
        let own = self.kernel.export(symbol).filter(|export| usable(export)).map(|export| (export, None));
        own.or_else(|| {
            let (owner, export) = self.symbols.get(symbol)?;
            usable(export).then_some((*export, Some(*owner)))
        })
    }

    /// `verify_namespace_is_imported`; a namespace `module:a,b*` is meant for the modules it names (Linux 6.16).
    fn imports(&self, module: &Module, name: &str, namespace: &str) -> bool {
        if let Some(modules) = namespace.strip_prefix("module:") {
            return modules.split(',').any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => ModuleName::new(pattern) == ModuleName::new(name),
            });
        }
        self.kernel.rules.allows_missing_namespaces || module.modinfo.namespaces.iter().any(|space| space == namespace)
    }

    /// `verify_exported_symbols`: the first symbol that someone else exports already.
    fn check_exports(&self, module: &Module) -> Result<(), Reason> {
        let (gpl_only, free): (Vec<_>, Vec<_>) = module.exports.iter().partition(|export| export.gpl_only);
        for export in free.into_iter().chain(gpl_only) {
            if let Some((_, owner)) = self.find(&export.name, true) {
                let owner = self.owner_name(owner).to_owned();
                return Err(Reason::DuplicateExport { symbol: export.name.clone(), owner });
            }
        }
        Ok(())
    }

    /// Adds a module that passed every check; returns whose symbols it uses.
    fn admit(&mut self, file: &'a ModuleName, module: &'a Module, name: &'a str, linked: &Linked) -> Vec<ModuleName> {
        let index = self.loaded.len();
        for export in &module.exports {
            self.symbols.insert(&export.name, (index, export));
        }
        self.loaded_names.insert(name);
        self.loaded.push(Loaded { file, name, proprietary: linked.proprietary });
        let mut uses: Vec<_> =
            linked.owners.iter().filter_map(|&owner| Some(self.loaded.get(owner)?.file.clone())).collect();
        uses.sort();
        uses.dedup();
        uses
    }

    /// `module_name`: the kernel calls itself "kernel".
    fn owner_name(&self, owner: Option<usize>) -> &str {
        owner.and_then(|owner| self.loaded.get(owner)).map_or("kernel", |owner| owner.name)
    }

    /// Where a missing symbol could come from.
    fn provider(&self, symbol: &str) -> Provider {
        match self.exporters.get(symbol) {
            Some(&name) if self.refused.contains(name) => Provider::Refused(name.clone()),
            Some(&name) if !self.tried.contains(name) => Provider::NotYetLoaded(name.clone()),
            _ => Provider::Nobody,
        }
    }
}

/// What is known about a module while its symbols are resolved.
#[derive(Debug, Default)]
struct Linked {
    proprietary: bool,
    gpl_only: bool,
    owners: HashSet<usize>,
}

/// The checksums a module expects; nothing when the kernel does not compare them.
struct Versions<'a> {
    wanted: Option<HashMap<&'a str, u64>>,
}

impl<'a> Versions<'a> {
    fn of(kernel: &KernelExports, module: &'a Module) -> Self {
        // The first entry of a name counts.
        let wanted = |module: &'a Module| {
            module.versions.iter().rev().map(|version| (version.name.as_str(), version.crc)).collect()
        };
        Self { wanted: kernel.modversions.then(|| wanted(module)) }
    }

    /// The kernel compares, but the module has no checksum at all.
    fn missing_altogether(&self) -> bool {
        self.wanted.as_ref().is_some_and(HashMap::is_empty)
    }

    /// `check_version`: a symbol without checksum on either side agrees.
    fn agree(&self, symbol: &str, crc: Option<u32>) -> bool {
        let (Some(wanted), Some(crc)) = (&self.wanted, crc) else { return true };
        wanted.get(symbol).is_none_or(|&wanted| wanted == u64::from(crc))
    }
}

/// The name the kernel knows the module by.
fn internal_name<'a>(file: &'a ModuleName, module: &'a Module) -> &'a str {
    module.internal_name.as_deref().or(module.modinfo.name.as_deref()).unwrap_or(file.as_str())
}

/// `license_is_gpl_compatible` (include/linux/license.h).
fn is_gpl_compatible(module: &Module) -> bool {
    const COMPATIBLE: [&str; 6] =
        ["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"];
    module.modinfo.license.as_deref().is_some_and(|licence| COMPATIBLE.contains(&licence))
}

/// `same_magic`: with checksums the release may differ, the rest may not.
fn same_vermagic(vermagic: &str, expected: &str, has_checksums: bool) -> bool {
    let rest = |text: &str| text.split_once(' ').map_or_else(String::new, |(_, rest)| rest.to_owned());
    if has_checksums && expected.contains(" modversions ") {
        return rest(vermagic) == rest(expected);
    }
    vermagic == expected
}

#[cfg(test)]
#[path = "linker_tests.rs"]
pub(crate) mod tests;

#[cfg(test)]
#[path = "agreement_tests.rs"]
mod agreement;
