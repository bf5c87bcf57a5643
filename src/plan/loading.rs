//! In which order kmodloader would load what the autoload files name (kmodloader.c main_loader).

use std::collections::{BTreeMap, BTreeSet};

use crate::filesystem::FileType;
use crate::kernel::{KernelRelease, ModuleName};
use crate::openwrt::{AUTOLOAD_DIRECTORY, AutoloadFile, AutoloadLine, BOOT_DIRECTORY, System, Tree, loads_immediately};

use super::Wishes;
use super::wishes::depends_of;

/// Which modules need which: `depends=` of those that are in the image or wished.
#[derive(Debug, Clone, Default)]
pub(super) struct Dependencies(BTreeMap<ModuleName, Vec<ModuleName>>);

impl Dependencies {
    /// From the modules for the kernel `release`, with those of `wishes` in the place of their namesakes.
    pub(super) fn collect(system: &System, release: &KernelRelease, wishes: &Wishes) -> Self {
        let mut dependencies = BTreeMap::new();
        let mut insert = |name: &ModuleName, depends: Option<Vec<ModuleName>>| {
            depends.map(|depends| dependencies.insert(name.clone(), depends));
        };
        let installed = system.module_directory(release).map_or(&[][..], |directory| &directory.modules);
        for module in installed {
            let parsed = module.module.as_ref().ok();
            insert(&module.name, parsed.map(|parsed| parsed.modinfo.depends.clone().unwrap_or_default()));
        }
        wishes.packages.modules(release).iter().for_each(|(name, bytes)| insert(name, depends_of(bytes)));
        wishes.modules.iter().for_each(|wish| insert(&wish.name, wish.depends.clone()));
        Self(dependencies)
    }

    #[cfg(test)]
    pub(super) fn of(pairs: &[(&str, &[&str])]) -> Self {
        let names = |names: &[&str]| names.iter().map(|name| ModuleName::new(name)).collect();
        Self(pairs.iter().map(|(name, needs)| (ModuleName::new(name), names(needs))).collect())
    }

    /// Modules that cannot be loaded without `module`, itself left out.
    pub(super) fn users(&self, module: &ModuleName) -> BTreeSet<ModuleName> {
        let mut users = BTreeSet::new();
        let mut pending = vec![module.clone()];
        while let Some(current) = pending.pop() {
            for (name, needs) in &self.0 {
                if needs.contains(&current) && name != module && users.insert(name.clone()) {
                    pending.push(name.clone());
                }
            }
        }
        users
    }
}

/// One file that kmodloader reads, at one of its two runs.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    /// Whether it is read from `/etc/modules-boot.d`, before the overlay is there.
    pub(super) boot: bool,
    /// Its name in that directory.
    pub(super) name: String,
    /// Where the file itself is, symlinks followed.
    pub(super) path: String,
    /// Its lines.
    pub(super) lines: Vec<AutoloadLine>,
}

/// A line of an autoload file: the file's path and the line's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LinePlace {
    pub(super) path: String,
    pub(super) number: usize,
}

/// How a module gets loaded first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FirstLoad {
    /// By the line that names it.
    Named(LinePlace),
    /// As a dependency of what this line names; parameters of later lines come too late.
    Dependency(LinePlace),
}

/// The files of both directories, in the order in which kmodloader reads them.
pub(super) fn slots(tree: &Tree) -> Vec<Slot> {
    let read = |directory: &'static str, boot: bool| {
        AutoloadFile::read_directory(tree, directory).into_iter().filter_map(move |file| {
            let path = tree.resolve(&format!("{directory}/{}", file.name))?;
            let regular = tree.node(&path)?.metadata.file_type == FileType::Regular;
            regular.then_some(Slot { boot, name: file.name, path, lines: file.lines })
        })
    };
    read(BOOT_DIRECTORY, true).chain(read(AUTOLOAD_DIRECTORY, false)).collect()
}

/// Where `module`, needed by `users`, is loaded first; `None` when nothing loads it.
pub(super) fn first_load(slots: &[Slot], module: &ModuleName, users: &BTreeSet<ModuleName>) -> Option<FirstLoad> {
    [true, false].into_iter().find_map(|boot| {
        let run = || slots.iter().filter(move |slot| slot.boot == boot);
        let immediate = run().filter(|slot| loads_immediately(&slot.name));
        let deferred = || run().filter(|slot| !loads_immediately(&slot.name));
        let by_dependency =
            |(place, name): (LinePlace, &ModuleName)| users.contains(name).then_some(FirstLoad::Dependency(place));
        lines(immediate)
            .find_map(|(place, name)| match name == module {
                true => Some(FirstLoad::Named(place)),
                false => by_dependency((place, name)),
            })
            // Modules of the other files are loaded together at the end; of several lines for one module the last
            // decides its parameters.
            .or_else(|| {
                lines(deferred()).filter(|(_, name)| *name == module).last().map(|(place, _)| FirstLoad::Named(place))
            })
            .or_else(|| lines(deferred()).find_map(by_dependency))
    })
}

fn lines<'a>(slots: impl Iterator<Item = &'a Slot>) -> impl Iterator<Item = (LinePlace, &'a ModuleName)> {
    slots.flat_map(|slot| {
        slot.lines.iter().filter_map(|line| {
            Some((LinePlace { path: slot.path.clone(), number: line.number }, line.module.as_ref()?))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(boot: bool, name: &str, content: &str) -> Slot {
        let lines = AutoloadLine::parse_all(content.as_bytes());
        Slot { boot, name: name.to_owned(), path: format!("/etc/modules.d/{name}"), lines }
    }

    fn place(name: &str, number: usize) -> LinePlace {
        LinePlace { path: format!("/etc/modules.d/{name}"), number }
    }

    fn first(slots: &[Slot]) -> Option<FirstLoad> {
        let dependencies = Dependencies::of(&[("mlx4_ib", &["mlx4_core", "ib_core"]), ("mlx4_en", &["mlx4-core"])]);
        let module = ModuleName::new("mlx4_core");
        first_load(slots, &module, &dependencies.users(&module))
    }

    #[test]
    fn the_boot_run_comes_before_byte_order() {
        let slots = [
            slot(true, "36-mlx4-core", "mlx4_core\n"),
            slot(false, "30-x", "mlx4_core\n"),
            slot(false, "36-mlx4-core", "mlx4_core\n"),
        ];
        assert_eq!(first(&slots), Some(FirstLoad::Named(place("36-mlx4-core", 1))));
    }

    #[test]
    fn a_user_of_the_module_loads_it_too() {
        let slots = [slot(false, "30-x", "# x\nmlx4_ib\n"), slot(false, "36-mlx4-core", "mlx4_core\n")];
        assert_eq!(first(&slots), Some(FirstLoad::Dependency(place("30-x", 2))));
    }

    #[test]
    fn files_without_a_leading_digit_come_last_and_together() {
        let slots = [slot(false, "a", "mlx4_ib\n"), slot(false, "b", "mlx4_core\n"), slot(false, "c", "mlx4_core\n")];
        assert_eq!(first(&slots), Some(FirstLoad::Named(place("c", 1))));
        assert_eq!(first(&slots[..1]), Some(FirstLoad::Dependency(place("a", 1))));
        assert_eq!(first(&[slot(false, "30-x", "igb\n\tmlx4_core\n")]), None);
    }
}
