//! What kmodloader loads, in which order: ubox kmodloader.c `main_loader`, offline. It is run twice at boot, over
//! `/etc/modules-boot.d` by init and over `/etc/modules.d` by `/etc/init.d/boot`; what each module meets in the kernel is
//! asked of a [`Linker`].

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{AutoloadFile, ModulesConf, ModulesConfEntry, loads_immediately};
use crate::kernel::{KernelExports, Linker, LoadResult, LoadStep, Module, ModuleName};

/// A `.ko` file of the module directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ModuleFile<'a> {
    /// File name, with `.ko`.
    pub(crate) file_name: &'a str,
    /// What it says, or why it cannot be read.
    pub(crate) module: Result<&'a Module, &'a str>,
}

/// One of the two runs at boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// `/etc/modules-boot.d`, before preinit.
    Boot,
    /// `/etc/modules.d`, from `/etc/init.d/boot`.
    Main,
}

/// Why a module is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cause {
    /// An autoload file names it.
    Listed {
        /// The file's name.
        file: String,
        /// 1-based line.
        line: usize,
    },
    /// It is in this module's `depends=`.
    DependencyOf(ModuleName),
}

/// A module that kmodloader selects, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Attempt {
    /// Which run.
    pub(crate) stage: Stage,
    /// The module.
    pub(crate) name: ModuleName,
    /// Why it is selected.
    pub(crate) cause: Cause,
    /// The parameters it is given.
    pub(crate) parameters: String,
    /// What becomes of it.
    pub(crate) outcome: Outcome,
}

/// What becomes of a selected module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The kernel was asked; its last answer.
    Asked(LoadResult),
    /// The kernel is never asked: these names of its `depends=` have no `.ko` file or are themselves not loaded.
    WaitsFor(Vec<ModuleName>),
}

/// What makes a whole run load nothing, or stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Trap {
    /// The scan of the module directory fails at this file: nothing is loaded at all, at either stage.
    ScanAborts {
        /// The file's name.
        file_name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `/etc/modules.conf` has a line that crashes the loader at its start: nothing is loaded at all.
    ModulesConfCrashes {
        /// 1-based line.
        line: usize,
        /// What is wrong with it, one sentence.
        reason: String,
    },
    /// A selected module has no `depends=`: the loader crashes there, and this run loads nothing more.
    NoDepends {
        /// Which run.
        stage: Stage,
        /// The module.
        name: ModuleName,
    },
    /// Two files of one name modulo `-` and `_`: the second is never looked at.
    Shadowed {
        /// The file that is ignored.
        file_name: String,
        /// The one that counts.
        by: String,
    },
}

/// What kmodloader does at boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LoadReport {
    /// Every module selected, in the order in which each is last asked for; those never asked for at the end of a stage.
    pub(crate) attempts: Vec<Attempt>,
    /// Modules that are there but that neither an entry nor a dependency selects, in byte order.
    pub(crate) never_loaded: Vec<ModuleName>,
    /// What makes runs fail as a whole.
    pub(crate) traps: Vec<Trap>,
    /// Missing names of `depends=`, with the modules that name them: kmodloader says "failed to find dependency".
    pub(crate) missing_dependencies: BTreeMap<ModuleName, BTreeSet<ModuleName>>,
}

impl LoadReport {
    /// The last attempt on `name`.
    pub(crate) fn attempt(&self, name: &ModuleName) -> Option<&Attempt> {
        self.attempts.iter().rev().find(|attempt| attempt.name == *name)
    }

    /// Whether `name` is in the kernel when booting is done.
    pub(crate) fn is_loaded(&self, name: &ModuleName) -> bool {
        let loaded = |attempt: &Attempt| matches!(&attempt.outcome, Outcome::Asked(result) if result.is_loaded());
        self.attempts.iter().any(|attempt| attempt.name == *name && loaded(attempt))
    }
}

/// What kmodloader finds in an image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup<'a> {
    /// The `*.ko` files of the module directory, in byte order of their names.
    pub(crate) files: &'a [ModuleFile<'a>],
    /// `/etc/modules-boot.d`, in byte order.
    pub(crate) boot: &'a [AutoloadFile],
    /// `/etc/modules.d`, in byte order.
    pub(crate) main: &'a [AutoloadFile],
    /// `/etc/modules.conf`; empty when there is none.
    pub(crate) modules_conf: &'a ModulesConf,
}

/// Runs both stages over `kernel`.
pub(crate) fn simulate(kernel: &KernelExports, setup: &Setup<'_>) -> LoadReport {
    let names: Vec<ModuleName> = setup.files.iter().map(|file| ModuleName::new(file.file_name)).collect();
    let mut traps: Vec<Trap> = setup.files.iter().filter_map(scan_trap).collect();
    let crashing = setup.modules_conf.traps.iter().find(|(_, trap)| trap.contains("crashes"));
    if let Some((line, reason)) = crashing {
        traps.push(Trap::ModulesConfCrashes { line: *line, reason: reason.clone() });
    }
    let dead = !traps.is_empty();
    let tree = Tree::new(setup.files, &names, &mut traps);
    let mut loader = Loader::new(kernel, tree, setup.modules_conf, traps);
    if !dead {
        loader.run(Stage::Boot, setup.boot);
        loader.run(Stage::Main, setup.main);
    }
    loader.report(dead)
}

/// Whether the scan of the module directory fails at this file (`scan_module`).
fn scan_trap(file: &ModuleFile<'_>) -> Option<Trap> {
    let reason = match file.module {
        Ok(module) if module.has_modinfo => return None,
        Ok(_) => "has no .modinfo section".to_owned(),
        Err(error) => error.to_owned(),
    };
    Some(Trap::ScanAborts { file_name: file.file_name.to_owned(), reason })
}

/// A module that the scan took up.
struct Scanned<'a> {
    name: &'a ModuleName,
    file_name: &'a str,
    module: &'a Module,
}

/// The lookup tree: modules in the order of `avl_modcmp`, and aliases in the same name space.
struct Tree<'a> {
    modules: Vec<Scanned<'a>>,
    index: BTreeMap<ModuleName, usize>,
}

impl<'a> Tree<'a> {
    fn new(files: &[ModuleFile<'a>], names: &'a [ModuleName], traps: &mut Vec<Trap>) -> Self {
        let mut modules: Vec<Scanned<'a>> = Vec::new();
        let mut taken: BTreeMap<ModuleName, &str> = BTreeMap::new();
        for (file, name) in files.iter().zip(names) {
            let Ok(module) = file.module else { continue };
            if let Some(by) = taken.get(name) {
                traps.push(Trap::Shadowed { file_name: file.file_name.to_owned(), by: (*by).to_owned() });
                continue;
            }
            taken.insert(name.clone(), file.file_name);
            for alias in &module.modinfo.aliases {
                taken.entry(ModuleName::new(alias)).or_insert(file.file_name);
            }
            modules.push(Scanned { name, file_name: file.file_name, module });
        }
        modules.sort_by(|a, b| loader_order(stem(a.file_name), stem(b.file_name)));
        let mut index = BTreeMap::new();
        for (position, scanned) in modules.iter().enumerate() {
            index.insert(scanned.name.clone(), position);
        }
        for (position, scanned) in modules.iter().enumerate() {
            for alias in &scanned.module.modinfo.aliases {
                index.entry(ModuleName::new(alias)).or_insert(position);
            }
        }
        Self { modules, index }
    }

    fn find(&self, name: &ModuleName) -> Option<usize> {
        self.index.get(name).copied()
    }

    fn get(&self, position: usize) -> Option<&Scanned<'a>> {
        self.modules.get(position)
    }
}

/// A file name up to its first `.ko`.
fn stem(file_name: &str) -> &str {
    file_name.split_once(".ko").map_or(file_name, |(stem, _)| stem)
}

/// The parameters that `/etc/modules.conf` gives to `<stem>.ko`.
fn options(conf: &ModulesConf, stem: &str) -> String {
    let parameters = |(_, entry): &'_ (usize, ModulesConfEntry)| match entry {
        ModulesConfEntry::Options { module, parameters } if module == stem => Some(parameters.clone()),
        _ => None,
    };
    conf.entries.iter().filter_map(parameters).collect::<Vec<_>>().join(" ")
}

/// `avl_modcmp`: `-` and `_` are equal; at the first difference the bytes as they stand decide.
fn loader_order(a: &str, b: &str) -> Ordering {
    let same = |a: u8, b: u8| a == b || matches!((a, b), (b'-', b'_') | (b'_', b'-'));
    let mut pairs = a.bytes().zip(b.bytes());
    match pairs.find(|&(a, b)| !same(a, b)) {
        Some((a, b)) => a.cmp(&b),
        None => a.len().cmp(&b.len()),
    }
}

/// kmodloader's `enum` of module states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Scanned,
    Probe,
    Loaded,
}

/// What is known about a module during a run.
struct Entry {
    state: State,
    cause: Option<Cause>,
    parameters: String,
    failed: bool,
    /// Whether the kernel was asked for it in this run.
    tried: bool,
}

/// Both runs.
struct Loader<'a> {
    tree: Tree<'a>,
    linker: Linker<'a>,
    conf: &'a ModulesConf,
    entries: Vec<Entry>,
    /// Positions of the entries in [`State::Probe`]: few, where the tree may hold thousands.
    selected: BTreeSet<usize>,
    ever_selected: BTreeSet<ModuleName>,
    report: LoadReport,
}

impl<'a> Loader<'a> {
    fn new(kernel: &'a KernelExports, tree: Tree<'a>, conf: &'a ModulesConf, traps: Vec<Trap>) -> Self {
        let step = |scanned: &Scanned<'a>| LoadStep { name: scanned.name, module: Ok(scanned.module) };
        let linker = Linker::new(kernel, tree.modules.iter().map(step));
        let fresh =
            || Entry { state: State::Scanned, cause: None, parameters: String::new(), failed: false, tried: false };
        let entries = tree.modules.iter().map(|_| fresh()).collect();
        let report =
            LoadReport { attempts: Vec::new(), never_loaded: Vec::new(), traps, missing_dependencies: BTreeMap::new() };
        let (selected, ever_selected) = (BTreeSet::new(), BTreeSet::new());
        Self { tree, linker, conf, entries, selected, ever_selected, report }
    }

    /// One run of the loader: it knows nothing of an earlier one but what is loaded.
    fn run(&mut self, stage: Stage, files: &[AutoloadFile]) {
        self.selected.clear();
        for (entry, scanned) in self.entries.iter_mut().zip(&self.tree.modules) {
            let loaded = entry.state == State::Loaded;
            entry.state = if loaded { State::Loaded } else { State::Scanned };
            (entry.failed, entry.tried, entry.cause) = (false, false, None);
            entry.parameters = options(self.conf, stem(scanned.file_name));
        }
        let finished = self.select_all(stage, files) && self.load(stage, true);
        if finished {
            self.note_waiting(stage);
        }
    }

    /// Reads the autoload files. Files whose name begins with a digit, or any byte below, are acted on line by line.
    /// `false` when the loader crashes.
    fn select_all(&mut self, stage: Stage, files: &[AutoloadFile]) -> bool {
        for file in files {
            let at_once = loads_immediately(&file.name);
            for line in &file.lines {
                let Some(name) = &line.module else { continue };
                let Some(position) = self.tree.find(name) else { continue };
                let blacklisted = self
                    .tree
                    .get(position)
                    .is_some_and(|scanned| self.conf.blacklisted(stem(scanned.file_name)).is_some());
                let Some(entry) = self.entries.get_mut(position) else { continue };
                if blacklisted || entry.state == State::Loaded {
                    continue;
                }
                if !line.parameters.is_empty() {
                    let separator = if entry.parameters.is_empty() { "" } else { " " };
                    entry.parameters = format!("{}{separator}{}", entry.parameters, line.parameters);
                }
                entry.state = State::Probe;
                self.selected.insert(position);
                entry.cause.get_or_insert_with(|| Cause::Listed { file: file.name.clone(), line: line.number });
                if at_once && !self.load(stage, false) {
                    return false;
                }
            }
        }
        true
    }

    /// `load_modprobe`: pulls in dependencies, then passes over the tree for as long as something is loaded. The final
    /// call gives refused modules one more round. `false` when the loader crashes.
    fn load(&mut self, stage: Stage, last: bool) -> bool {
        if !self.pull_dependencies(stage) {
            return false;
        }
        let mut retries = usize::from(last);
        loop {
            let mut progress = false;
            for position in self.selected.iter().copied().collect::<Vec<_>>() {
                progress |= self.try_insert(stage, position);
            }
            if progress {
                continue;
            }
            let failed = |position: &usize| self.entries.get(*position).is_some_and(|entry| entry.failed);
            let failed: Vec<usize> = self.selected.iter().copied().filter(failed).collect();
            if retries == 0 || failed.is_empty() {
                return true;
            }
            retries -= 1;
            for position in failed {
                if let Some(entry) = self.entries.get_mut(position) {
                    entry.failed = false;
                }
            }
        }
    }

    /// `load_moddeps` over every selected module. `false` when one without `depends=` crashes the loader.
    fn pull_dependencies(&mut self, stage: Stage) -> bool {
        let mut pending: Vec<usize> = self.selected.iter().rev().copied().collect();
        let mut seen = BTreeSet::new();
        while let Some(position) = pending.pop() {
            if !seen.insert(position) {
                continue;
            }
            let Some(scanned) = self.tree.get(position) else { continue };
            let Some(depends) = &scanned.module.modinfo.depends else {
                self.report.traps.push(Trap::NoDepends { stage, name: scanned.name.clone() });
                return false;
            };
            for needed in depends {
                let Some(provider) = self.tree.find(needed) else {
                    let users = self.report.missing_dependencies.entry(needed.clone()).or_default();
                    users.insert(scanned.name.clone());
                    continue;
                };
                let Some(entry) = self.entries.get_mut(provider).filter(|entry| entry.state != State::Loaded) else {
                    continue;
                };
                entry.state = State::Probe;
                self.selected.insert(provider);
                entry.cause.get_or_insert_with(|| Cause::DependencyOf(scanned.name.clone()));
                pending.push(provider);
            }
        }
        true
    }

    /// Asks the kernel for a selected module whose dependencies are all loaded. Whether it was loaded.
    fn try_insert(&mut self, stage: Stage, position: usize) -> bool {
        if self.state(position) != State::Probe || !self.waits_for(position).is_empty() {
            return false;
        }
        let Some(scanned) = self.tree.get(position) else { return false };
        let Some(entry) = self.entries.get_mut(position).filter(|entry| !entry.failed) else { return false };
        let result = self.linker.insert(LoadStep { name: scanned.name, module: Ok(scanned.module) });
        let loaded = result.is_loaded();
        entry.failed = !loaded;
        if loaded {
            entry.state = State::Loaded;
            self.selected.remove(&position);
        }
        let tried_before = std::mem::replace(&mut entry.tried, true);
        let attempt = Attempt {
            stage,
            name: scanned.name.clone(),
            cause: entry.cause.clone().unwrap_or_else(|| Cause::DependencyOf(scanned.name.clone())),
            parameters: entry.parameters.clone(),
            outcome: Outcome::Asked(result),
        };
        if tried_before {
            // A second try of the same run replaces the first.
            self.report.attempts.retain(|other| other.stage != stage || other.name != attempt.name);
        }
        self.ever_selected.insert(attempt.name.clone());
        self.report.attempts.push(attempt);
        loaded
    }

    /// `deps_available`: the names of its `depends=` that are not loaded.
    fn waits_for(&self, position: usize) -> Vec<ModuleName> {
        let depends = self.tree.get(position).and_then(|scanned| scanned.module.modinfo.depends.as_ref());
        let loaded =
            |name: &ModuleName| self.tree.find(name).is_some_and(|provider| self.state(provider) == State::Loaded);
        depends.into_iter().flatten().filter(|name| !loaded(name)).cloned().collect()
    }

    fn state(&self, position: usize) -> State {
        self.entries.get(position).map_or(State::Scanned, |entry| entry.state)
    }

    /// Selected modules that the kernel was never asked for in this run.
    fn note_waiting(&mut self, stage: Stage) {
        for (position, scanned) in self.tree.modules.iter().enumerate() {
            let missing = self.waits_for(position);
            let Some(entry) = self.entries.get(position) else { continue };
            if entry.state != State::Probe || missing.is_empty() {
                continue;
            }
            self.ever_selected.insert(scanned.name.clone());
            self.report.attempts.push(Attempt {
                stage,
                name: scanned.name.clone(),
                cause: entry.cause.clone().unwrap_or_else(|| Cause::DependencyOf(scanned.name.clone())),
                parameters: entry.parameters.clone(),
                outcome: Outcome::WaitsFor(missing),
            });
        }
    }

    fn report(self, dead: bool) -> LoadReport {
        let mut report = self.report;
        let mut never: Vec<ModuleName> = self.tree.modules.iter().map(|scanned| scanned.name.clone()).collect();
        never.retain(|name| dead || !self.ever_selected.contains(name));
        never.sort();
        report.never_loaded = never;
        report
    }
}

#[cfg(test)]
#[path = "kmodloader_tests.rs"]
mod tests;
