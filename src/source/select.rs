//! Which modules to take: those named, what they depend on, and what must come from the same build.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{ModuleSources, Reserve, SourcedModule};
use crate::error::{Error, Result};
use crate::kernel::{KernelRelease, ModuleName};

/// A module that something asks for by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Required {
    /// Its name.
    pub(crate) name: ModuleName,
    /// Who asks, such as "overlay connectx3".
    pub(crate) reason: String,
    /// Whether it may be missing.
    pub(crate) optional: bool,
}

/// A module to be put into the image.
#[derive(Debug, Clone)]
pub(crate) struct Selected {
    /// The file.
    pub(crate) sourced: SourcedModule,
    /// Why: "overlay connectx3", "needed by mlx4_ib", "from the same build as mlx5_ib".
    pub(crate) reason: String,
}

/// What [`select`] found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// Modules to put in, each after those that it depends on.
    pub(crate) modules: Vec<Selected>,
    /// Needed modules that the image has already and that stay, by name, with the reason.
    pub(crate) kept: Vec<(ModuleName, String)>,
    /// Optional ones that are not to be had, or whose dependencies are not, in the order asked for.
    pub(crate) missing_optional: Vec<ModuleName>,
}

/// Where modules are to be had.
#[derive(Clone, Copy)]
pub(crate) struct Offer<'a> {
    /// The sources that were given.
    pub(crate) sources: &'a ModuleSources,
    /// What serves where they have none.
    pub(crate) reserve: &'a dyn Reserve,
    /// Groups of modules that must come from one build.
    pub(crate) same_build: &'a [Vec<ModuleName>],
}

impl Offer<'_> {
    /// The module `name` for `release`, from the sources, or else from the reserve: but not beside one of the same build that
    /// the sources hold, and none that is `optional` where there are sources.
    ///
    /// # Errors
    /// As [`ModuleSources::find`] and [`Reserve::find`].
    pub(crate) fn find(
        &self,
        name: &ModuleName,
        release: &KernelRelease,
        optional: bool,
    ) -> Result<Option<SourcedModule>> {
        match self.sources.find(name, release)? {
            Some(sourced) => Ok(Some(sourced)),
            None if optional && !self.sources.is_empty() => Ok(None),
            None if self.mate_in_sources(name).is_some() => Ok(None),
            None => self.reserve.find(name, release),
        }
    }

    /// A module of the same build as `name` that the sources hold.
    fn mate_in_sources(&self, name: &ModuleName) -> Option<&ModuleName> {
        let groups = self.same_build.iter().filter(|group| group.contains(name));
        groups.flatten().find(|mate| *mate != name && self.sources.holds(mate))
    }
}

/// Selects the closure of `required` over `depends=` from what is on `offer`.
///
/// `installed`: the image's modules, each with its dependencies. They stay, unless one of the groups of the same build
/// holds them together with a module that is put in: then those of that group that the image has are replaced.
///
/// # Errors
/// Usage when a module is neither in the image nor on offer, naming the chain that leads to it; and as [`Offer::find`].
pub(crate) fn select(
    offer: Offer<'_>,
    release: &KernelRelease,
    required: &[Required],
    installed: &BTreeMap<ModuleName, Vec<ModuleName>>,
) -> Result<Selection> {
    let world = World { offer, release, installed };
    let mut state = State::default();
    for wish in required.iter().filter(|wish| !wish.optional) {
        if let Missing::Yes(error) = world.resolve(&mut state, wish)? {
            return Err(error);
        }
    }
    let mut missing_optional = Vec::new();
    for wish in required.iter().filter(|wish| wish.optional) {
        // A wish whose dependency is missing must leave nothing behind.
        let mut attempt = state.trial();
        match world.resolve(&mut attempt, wish)? {
            Missing::No => state.absorb(attempt),
            Missing::Yes(_) => missing_optional.push(wish.name.clone()),
        }
    }
    Ok(state.into_selection(missing_optional))
}

/// Whether something was not to be had, with the error that says so.
enum Missing {
    No,
    Yes(Error),
}

struct World<'a> {
    offer: Offer<'a>,
    release: &'a KernelRelease,
    installed: &'a BTreeMap<ModuleName, Vec<ModuleName>>,
}

/// One decision to be taken.
struct Task {
    name: ModuleName,
    reason: String,
    /// The names that led here, outermost first, without `name`.
    chain: Vec<ModuleName>,
    /// Whether the image's own copy does not do.
    must_inject: bool,
}

impl World<'_> {
    fn resolve(&self, state: &mut State, wish: &Required) -> Result<Missing> {
        let first =
            Task { name: wish.name.clone(), reason: wish.reason.clone(), chain: Vec::new(), must_inject: false };
        let mut tasks = VecDeque::from([first]);
        while let Some(task) = tasks.pop_front() {
            if state.injects(&task.name) || (state.kept.contains_key(&task.name) && !task.must_inject) {
                continue;
            }
            if let (Some(depends), false) = (self.installed.get(&task.name), task.must_inject) {
                tasks.extend(depends.iter().map(|needed| needed_by(needed, &task)));
                state.kept.insert(task.name, task.reason);
                continue;
            }
            let Some(sourced) = self.offer.find(&task.name, self.release, wish.optional)? else {
                return Ok(Missing::Yes(self.missing(&task, wish)));
            };
            let depends = sourced.module.modinfo.depends.as_deref().unwrap_or_default();
            tasks.extend(depends.iter().map(|needed| needed_by(needed, &task)));
            tasks.extend(self.group_mates(&task));
            state.inject(Selected { sourced, reason: task.reason });
        }
        Ok(Missing::No)
    }

    /// The image's modules that must be replaced because `task` is put in.
    fn group_mates(&self, task: &Task) -> Vec<Task> {
        let groups = self.offer.same_build.iter().filter(|group| group.contains(&task.name));
        let mates = groups.flatten().filter(|mate| **mate != task.name && self.installed.contains_key(*mate));
        let mate_task = |mate: &ModuleName| Task {
            name: mate.clone(),
            reason: format!("from the same build as {}", task.name),
            chain: extended(&task.chain, &task.name),
            must_inject: true,
        };
        mates.map(mate_task).collect()
    }

    fn missing(&self, task: &Task, wish: &Required) -> Error {
        let name = &task.name;
        let searched = match self.offer.sources.is_empty() {
            true => "what was put in before".to_owned(),
            false => self.offer.sources.described(),
        };
        if task.must_inject {
            let partner = task.chain.last().map_or("its partner", ModuleName::as_str);
            return Error::usage(format!(
                "{partner} is put in, so {name} must come from the same build, but it is not in {searched}"
            ))
            .remedy(format!("name the folder or archive that holds both {partner} and {name}"));
        }
        let chain = task.chain.iter().chain([name]).map(ModuleName::as_str).collect::<Vec<_>>();
        let subject = match chain.split_first() {
            Some((first, rest)) if !rest.is_empty() => format!("{first} needs {}, which", rest.join(", which needs ")),
            _ => name.to_string(),
        };
        let (mut problem, remedy) = if self.offer.sources.is_empty() {
            (
                "is not in the image, and no source of modules was given".to_owned(),
                "say with --modules where modules are: the build_dir of your OpenWrt build, another folder, or an archive"
                    .to_owned(),
            )
        } else {
            (
                format!("is neither in the image nor in {searched}"),
                format!(
                    "build the kernel with {name} as a module, and name the folder or archive that holds {name}.ko"
                ),
            )
        };
        if let Some(reason) = self.offer.reserve.why_not(name, self.release) {
            problem.push_str("; ");
            problem.push_str(&reason);
        }
        Error::usage(format!("{subject} {problem} (asked for by {})", wish.reason)).remedy(remedy)
    }
}

fn needed_by(needed: &ModuleName, task: &Task) -> Task {
    Task {
        name: needed.clone(),
        reason: format!("needed by {}", task.name),
        chain: extended(&task.chain, &task.name),
        must_inject: false,
    }
}

fn extended(chain: &[ModuleName], last: &ModuleName) -> Vec<ModuleName> {
    chain.iter().chain([last]).cloned().collect()
}

/// Decisions taken so far.
#[derive(Default)]
struct State {
    /// In the order decided.
    injected: Vec<Selected>,
    names: BTreeSet<ModuleName>,
    kept: BTreeMap<ModuleName, String>,
}

impl State {
    fn injects(&self, name: &ModuleName) -> bool {
        self.names.contains(name)
    }

    fn inject(&mut self, selected: Selected) {
        self.kept.remove(&selected.sourced.name);
        self.names.insert(selected.sourced.name.clone());
        self.injected.push(selected);
    }

    /// The same decisions without the files themselves.
    fn trial(&self) -> Self {
        Self { injected: Vec::new(), names: self.names.clone(), kept: self.kept.clone() }
    }

    fn absorb(&mut self, trial: Self) {
        self.injected.extend(trial.injected);
        self.names = trial.names;
        self.kept = trial.kept;
    }

    fn into_selection(self, missing_optional: Vec<ModuleName>) -> Selection {
        let order = provider_order(&self.injected);
        let mut slots: Vec<Option<Selected>> = self.injected.into_iter().map(Some).collect();
        let modules = order.into_iter().filter_map(|index| slots.get_mut(index).and_then(Option::take)).collect();
        Selection { modules, kept: self.kept.into_iter().collect(), missing_optional }
    }
}

/// Indices of `modules`, each after those that it depends on; otherwise in the given order. In a circle of
/// dependencies the one met first comes last. Iterative: the depth is the input's.
fn provider_order(modules: &[Selected]) -> Vec<usize> {
    let by_name: BTreeMap<&ModuleName, usize> =
        modules.iter().enumerate().map(|(index, selected)| (&selected.sourced.name, index)).collect();
    let needed = |index: usize| -> Vec<usize> {
        let depends = modules.get(index).and_then(|selected| selected.sourced.module.modinfo.depends.as_deref());
        depends.unwrap_or_default().iter().filter_map(|name| by_name.get(name).copied()).collect()
    };
    let mut order = Vec::with_capacity(modules.len());
    let mut seen = BTreeSet::new();
    for root in 0..modules.len() {
        if !seen.insert(root) {
            continue;
        }
        let mut path = vec![(root, needed(root).into_iter())];
        while let Some((index, below)) = path.last_mut() {
            match below.next() {
                Some(next) if seen.insert(next) => path.push((next, needed(next).into_iter())),
                Some(_) => {}
                None => {
                    order.push(*index);
                    path.pop();
                }
            }
        }
    }
    order
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
