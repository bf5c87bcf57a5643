//! From the facts to nodes and edges.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Graph, KernelNode, LoadStage, ModuleNode, Need, Scope, Standing};
use super::words;
use crate::counted::some;
use crate::infiniband;
use crate::kernel::{KernelExports, Module, ModuleName, SymbolTable, Verdict};
use crate::openwrt::{
    AUTOLOAD_DIRECTORY, Attempt, BOOT_DIRECTORY, Cause, InstalledModule, LoadReport, Outcome, Stage, Trap,
};

/// What a graph is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// The kernel's export tables.
    pub(crate) kernel: &'a KernelExports,
    /// The files of the module directory, in byte order of their names.
    pub(crate) modules: &'a [InstalledModule],
    /// What kmodloader does with them.
    pub(crate) report: &'a LoadReport,
    /// Which option of a kernel a symbol belongs to.
    pub(crate) symbols: &'a SymbolTable,
}

/// The graph of the modules in `scope`.
pub(crate) fn build(facts: &Facts<'_>, scope: Scope) -> Graph {
    let index = Index::new(facts);
    let stack = infiniband::stack(index.files.values().map(|file| (&file.name, file.depends())));
    let mut nodes = BTreeMap::new();
    let mut needs = BTreeMap::new();
    for file in index.files.values() {
        let mut node = node(file, facts.report);
        node.infiniband = stack.contains(&file.name);
        if let Ok(module) = &file.module {
            index.resolve(file, module, &mut node, &mut needs);
            node.advice = words::advice(&node.missing_symbols, facts.symbols);
        }
        nodes.insert(file.name.clone(), node);
    }
    for (_, to) in needs.keys() {
        nodes.entry(to.clone()).or_insert_with(|| missing(to, facts.report));
    }
    let shown = shown(&nodes, &needs, scope);
    let total = nodes.len();
    nodes.retain(|name, _| shown.contains(name));
    needs.retain(|(from, _), _| shown.contains(from));
    let kernel = KernelNode {
        release: facts.kernel.release.clone(),
        exports: facts.kernel.exports().len(),
        proof: facts.kernel.proof,
    };
    Graph {
        kernel,
        scope,
        left_out: total.saturating_sub(nodes.len()),
        modules: nodes.into_values().collect(),
        needs: needs.into_values().collect(),
        remarks: facts.report.traps.iter().map(remark).collect(),
    }
}

/// Needs by their two ends.
type Needs = BTreeMap<(ModuleName, ModuleName), Need>;

/// Who has which name, and who exports which symbol.
struct Index<'a> {
    kernel: &'a KernelExports,
    /// Of several files with one name kmodloader sees the first only.
    files: BTreeMap<&'a ModuleName, &'a InstalledModule>,
    /// kmodloader finds a `depends=` by alias as well.
    aliases: BTreeMap<ModuleName, &'a ModuleName>,
    exporters: BTreeMap<&'a str, &'a ModuleName>,
    report: &'a LoadReport,
}

impl<'a> Index<'a> {
    fn new(facts: &Facts<'a>) -> Self {
        let mut files: BTreeMap<&ModuleName, &InstalledModule> = BTreeMap::new();
        for file in facts.modules {
            files.entry(&file.name).or_insert(file);
        }
        let mut aliases = BTreeMap::new();
        let mut exporters: BTreeMap<&str, &ModuleName> = BTreeMap::new();
        // Those that load come first: of two exporters of a symbol the kernel has the one that was loaded.
        let (loaded, others): (Vec<&InstalledModule>, Vec<&InstalledModule>) =
            files.values().partition(|file| facts.report.is_loaded(&file.name));
        for file in loaded.into_iter().chain(others) {
            let Ok(module) = &file.module else { continue };
            for export in &module.exports {
                exporters.entry(&export.name).or_insert(&file.name);
            }
            for alias in &module.modinfo.aliases {
                aliases.entry(ModuleName::new(alias)).or_insert(&file.name);
            }
        }
        Self { kernel: facts.kernel, files, aliases, exporters, report: facts.report }
    }

    /// Finds a home for every import and every `depends=` of `module`.
    fn resolve(&self, file: &InstalledModule, module: &Module, node: &mut ModuleNode, needs: &mut Needs) {
        let mut need = |to: &ModuleName, add: &dyn Fn(&mut Need)| {
            if *to != file.name {
                let empty = || Need { from: file.name.clone(), to: to.clone(), depends: false, symbols: Vec::new() };
                add(needs.entry((file.name.clone(), to.clone())).or_insert_with(empty));
            }
        };
        for name in file.depends() {
            let known = self.files.contains_key(name);
            let to = if known { name } else { self.aliases.get(name).copied().unwrap_or(name) };
            need(to, &|need| need.depends = true);
        }
        for symbol in &module.imports {
            match (self.kernel.export(symbol), self.exporters.get(symbol.as_str())) {
                (Some(_), _) => node.kernel_symbols.push(symbol.clone()),
                (None, Some(owner)) => need(owner, &|need| need.symbols.push(symbol.clone())),
                (None, None) => node.missing_symbols.push(symbol.clone()),
            }
        }
        // A weak import binds only to what is there by then.
        for symbol in &module.weak_imports {
            match (self.kernel.export(symbol), self.exporters.get(symbol.as_str())) {
                (Some(_), _) => node.kernel_symbols.push(symbol.clone()),
                (None, Some(owner)) if self.report.is_loaded(owner) => {
                    need(owner, &|need| need.symbols.push(symbol.clone()));
                }
                (None, _) => {}
            }
        }
        node.kernel_symbols.sort();
    }
}

/// The names of the modules in `scope`.
fn shown(nodes: &BTreeMap<ModuleName, ModuleNode>, needs: &Needs, scope: Scope) -> BTreeSet<ModuleName> {
    if scope == Scope::All {
        return nodes.keys().cloned().collect();
    }
    let mut providers: BTreeMap<&ModuleName, Vec<&ModuleName>> = BTreeMap::new();
    for (from, to) in needs.keys() {
        providers.entry(from).or_default().push(to);
    }
    let mut pending: Vec<&ModuleName> = nodes.values().filter(|node| node.infiniband).map(|node| &node.name).collect();
    let mut shown = BTreeSet::new();
    while let Some(name) = pending.pop() {
        if shown.insert(name.clone()) {
            pending.extend(providers.get(name).into_iter().flatten());
        }
    }
    shown
}

/// The node of a file, without its symbols.
fn node(file: &InstalledModule, report: &LoadReport) -> ModuleNode {
    let attempt = decisive(report, &file.name);
    let stage = attempt.map_or(LoadStage::Never, |attempt| match (&attempt.cause, attempt.stage) {
        (Cause::DependencyOf(_), _) => LoadStage::Dependency,
        (Cause::Listed { .. }, Stage::Boot) => LoadStage::Boot,
        (Cause::Listed { .. }, Stage::Main) => LoadStage::Main,
    });
    let mut node = ModuleNode {
        name: file.name.clone(),
        path: Some(file.path.clone()),
        size: file.size,
        infiniband: false,
        stage,
        entry: attempt.and_then(entry),
        pulled_in_by: attempt.and_then(|attempt| match &attempt.cause {
            Cause::DependencyOf(user) => Some(user.clone()),
            Cause::Listed { .. } => None,
        }),
        parameters: attempt.map(|attempt| attempt.parameters.clone()).unwrap_or_default(),
        standing: Standing::NotAsked,
        cause: None,
        messages: Vec::new(),
        advice: Vec::new(),
        kernel_symbols: Vec::new(),
        missing_symbols: Vec::new(),
    };
    match (&file.module, attempt.map(|attempt| &attempt.outcome)) {
        (Err(reason), _) => {
            node.standing = Standing::Unreadable;
            node.cause = Some("cannot be read".to_owned());
            node.messages = vec![format!("{}: {reason}", file.file_name())];
        }
        (Ok(_), Some(outcome)) => judge(&mut node, outcome),
        (Ok(_), None) => {}
    }
    node
}

/// Takes over what becomes of a selected module.
fn judge(node: &mut ModuleNode, outcome: &Outcome) {
    match outcome {
        Outcome::WaitsFor(names) => {
            node.standing = Standing::Waits;
            node.cause = Some(words::waits_for(names));
            let names = some(names, usize::MAX);
            node.messages =
                vec![format!("{}: kmodloader never asks the kernel, since {names} is not loaded", node.name)];
        }
        Outcome::Asked(result) => match &result.verdict {
            Verdict::Loads | Verdict::AlreadyLoaded => node.standing = Standing::Loads,
            Verdict::Refused(refusals) => {
                node.standing = Standing::Refused;
                node.cause = Some(words::cause(refusals));
                node.messages = refusals.iter().flat_map(|refusal| words::messages(&node.name, refusal)).collect();
            }
        },
    }
}

/// The attempt that decides what becomes of `name`: the one that loads it, else the last.
fn decisive<'a>(report: &'a LoadReport, name: &ModuleName) -> Option<&'a Attempt> {
    let loads = |attempt: &&Attempt| matches!(&attempt.outcome, Outcome::Asked(result) if result.is_loaded());
    let mut attempts = report.attempts.iter().filter(|attempt| attempt.name == *name);
    attempts.find(loads).or_else(|| report.attempt(name))
}

/// The autoload file that names the module.
fn entry(attempt: &Attempt) -> Option<String> {
    let Cause::Listed { file, .. } = &attempt.cause else { return None };
    let directory = match attempt.stage {
        Stage::Boot => BOOT_DIRECTORY,
        Stage::Main => AUTOLOAD_DIRECTORY,
    };
    Some(format!("{directory}/{file}"))
}

/// The node of a name in some `depends=` that is no file's.
fn missing(name: &ModuleName, report: &LoadReport) -> ModuleNode {
    // kmodloader.c load_moddeps.
    let messages = match report.missing_dependencies.contains_key(name) {
        true => vec![format!("kmodloader: failed to find dependency {name}")],
        false => Vec::new(),
    };
    ModuleNode {
        name: name.clone(),
        path: None,
        size: 0,
        infiniband: false,
        stage: LoadStage::Never,
        entry: None,
        pulled_in_by: None,
        parameters: String::new(),
        standing: Standing::Missing,
        cause: Some("no such file".to_owned()),
        messages,
        advice: Vec::new(),
        kernel_symbols: Vec::new(),
        missing_symbols: Vec::new(),
    }
}

fn remark(trap: &Trap) -> String {
    match trap {
        Trap::ScanAborts { file_name, reason } => {
            format!("kmodloader gives up at {file_name}, so that no module is loaded at all: {reason}")
        }
        Trap::ModulesConfCrashes { line, reason } => format!("/etc/modules.conf line {line}: {reason}"),
        Trap::NoDepends { stage, name } => {
            let directory = match stage {
                Stage::Boot => BOOT_DIRECTORY,
                Stage::Main => AUTOLOAD_DIRECTORY,
            };
            format!("{name} has no depends= line: kmodloader crashes there while it works through {directory}")
        }
        Trap::Shadowed { file_name, by } => format!("{file_name} is never looked at: {by} has the same name"),
    }
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
