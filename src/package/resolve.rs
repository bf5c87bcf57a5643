//! Which packages go in: those asked for, and what they need of those on offer; or what is missing, before anything is
//! written.

use std::collections::BTreeSet;

use super::{AnyOf, Database, Dependency, Format, Installed, Package, Provision, version};
use crate::error::{Error, Result};

/// Architectures that run on x86/64; opkg says `all` and apk `noarch` for what runs everywhere.
const ARCHITECTURES: [&str; 3] = ["x86_64", "all", "noarch"];
/// Most packages that one run puts in.
const MOST_PACKAGES: usize = 4096;

/// A package that goes in.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    /// The package.
    pub(crate) package: Package,
    /// Who needs it; nobody where it was asked for itself.
    pub(crate) needed_by: Option<String>,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// What goes in, each behind what it needs.
    pub(crate) packages: Vec<Chosen>,
    /// Packages that were asked for and are there already, as `name version`.
    pub(crate) present: Vec<String>,
    /// Dependencies that nothing can be said about, because the image has no database.
    pub(crate) unknown: Vec<String>,
}

/// Chooses `given` and what it needs of `offered`. `database` is what the image has.
///
/// # Errors
/// Usage: a package of another manager or architecture, two versions of one package, an older version than the image has
/// (with opkg), a missing dependency (with the chain that leads to it), a conflict.
pub(crate) fn resolve(database: Option<&Database>, given: Vec<Package>, offered: Vec<Package>) -> Result<Selection> {
    let Some(format) = given.first().map(|package| package.format) else { return Ok(Selection::default()) };
    let format = database.map_or(format, |database| database.format);
    for package in &given {
        check_format(package, format, database.is_some())?;
        check_architecture(package)?;
    }
    let fits = |package: &Package| package.format == format && check_architecture(package).is_ok();
    let offered: Vec<Package> = offered.into_iter().filter(fits).collect();
    let mut resolver = Resolver { format, database, offered, selection: Selection::default(), missing: Vec::new() };
    for package in given {
        resolver.ask(package)?;
    }
    resolver.close()?;
    resolver.check_missing()?;
    resolver.check_conflicts()?;
    resolver.check_dependents()?;
    resolver.selection.packages = ordered(format, std::mem::take(&mut resolver.selection.packages));
    Ok(resolver.selection)
}

fn check_format(package: &Package, format: Format, is_known: bool) -> Result<()> {
    if package.format == format {
        return Ok(());
    }
    let (own, other) = (package.format, format);
    let why = match is_known {
        true => format!("the image's packages are managed by {}, which takes {} only", other.manager(), other.ending()),
        false => format!("the packages given before it are {}", other.ending()),
    };
    Err(Error::usage(format!("this is an {} for {}, but {why}", own.ending(), own.manager()))
        .at(package.source.clone())
        .remedy(format!("give the {} of the same package, from the feed of the image's release", other.ending())))
}

fn check_architecture(package: &Package) -> Result<()> {
    if ARCHITECTURES.contains(&package.architecture.as_str()) {
        return Ok(());
    }
    Err(Error::usage(format!("{} is built for {}, the image for x86_64", package.title(), package.architecture))
        .at(package.source.clone())
        .remedy("take the package from the feed for x86_64"))
}

struct Resolver<'a> {
    format: Format,
    database: Option<&'a Database>,
    offered: Vec<Package>,
    selection: Selection,
    missing: Vec<String>,
}

impl Resolver<'_> {
    /// Takes a package that was asked for, unless the image has it.
    fn ask(&mut self, package: Package) -> Result<()> {
        if let Some(other) = self.selection.packages.iter().find(|other| other.package.name == package.name) {
            return match other.package.version == package.version {
                true => Ok(()),
                false => Err(Error::usage(format!(
                    "two versions of {} are given: {} ({}) and {} ({})",
                    package.name, other.package.version, other.package.source, package.version, package.source
                ))
                .remedy("leave one of them out")),
            };
        }
        let installed = self.database.and_then(|database| database.find(&package.name));
        if let Some(installed) = installed {
            let order = version::compare(self.format, &package.version, &installed.version);
            let is_same = match self.format {
                Format::Ipk => order.is_eq(),
                // Of two builds of one version apk takes the one that it is given.
                Format::Apk => package.identity().is_some_and(|identity| identity == installed.identity),
            };
            if is_same {
                self.selection.present.push(package.title());
                return Ok(());
            }
            if order.is_lt() && self.format == Format::Ipk {
                return Err(Error::usage(format!(
                    "the image has {} {}, which is newer than {}: opkg does not go back",
                    installed.name, installed.version, package.version
                ))
                .at(package.source)
                .remedy("leave it out, or give a newer one"));
            }
        }
        self.selection.packages.push(Chosen { package, needed_by: None });
        Ok(())
    }

    /// Adds what the chosen packages need, until nothing is needed any more.
    fn close(&mut self) -> Result<()> {
        let mut next = 0;
        while let Some(chosen) = self.selection.packages.get(next) {
            let (name, depends) = (chosen.package.name.clone(), chosen.package.depends.clone());
            for any_of in depends {
                if self.is_met(&any_of) {
                    continue;
                }
                match self.best_offer(&any_of) {
                    Some(package) => {
                        let needed_by = Some(name.clone());
                        self.selection.packages.push(Chosen { package, needed_by });
                    }
                    None => self.note_missing(&name, &any_of),
                }
            }
            next += 1;
            if self.selection.packages.len() > MOST_PACKAGES {
                return Err(Error::usage(format!("more than {MOST_PACKAGES} packages would go in")));
            }
        }
        Ok(())
    }

    fn note_missing(&mut self, name: &str, any_of: &AnyOf) {
        if self.database.is_none() {
            self.selection.unknown.push(format!("{any_of} ({name} needs it)"));
            return;
        }
        let mut chain = vec![any_of.to_string(), name.to_owned()];
        let mut above = self.needed_by(name);
        while let Some(user) = above.filter(|user| !chain.contains(user)) {
            above = self.needed_by(&user);
            chain.push(user);
        }
        chain.reverse();
        let there = any_of.0.iter().filter_map(|dependency| self.other_version(dependency)).collect::<Vec<_>>();
        let there = if there.is_empty() { String::new() } else { format!("; there is {}", there.join(" and ")) };
        self.missing.push(format!("{any_of} ({}{there})", chain.join(" -> ")));
    }

    fn needed_by(&self, name: &str) -> Option<String> {
        self.selection.packages.iter().find(|chosen| chosen.package.name == name)?.needed_by.clone()
    }

    /// A package of the wanted name, but of another version.
    fn other_version(&self, dependency: &Dependency) -> Option<String> {
        let installed = self.remaining().find(|installed| installed.name == dependency.name);
        let installed = installed.map(|installed| format!("{} {} in the image", installed.name, installed.version));
        let mut others = self.selection.packages.iter().map(|chosen| &chosen.package).chain(&self.offered);
        installed.or_else(|| others.find(|other| other.name == dependency.name).map(Package::title))
    }

    /// Installed packages but those that are replaced.
    fn remaining(&self) -> impl Iterator<Item = &Installed> {
        let installed = self.database.map_or(&[][..], |database| &database.packages);
        let chosen = &self.selection.packages;
        installed.iter().filter(move |known| chosen.iter().all(|chosen| chosen.package.name != known.name))
    }

    fn is_met(&self, any_of: &AnyOf) -> bool {
        any_of.0.iter().any(|dependency| {
            self.remaining().any(|known| meets(self.format, dependency, &known.name, &known.version, &known.provides))
                || self.selection.packages.iter().any(|chosen| chosen.package.meets(dependency))
        })
    }

    /// The offer for the first name that has one: one of that very name before those that provide it, the newest first.
    fn best_offer(&self, any_of: &AnyOf) -> Option<Package> {
        let best = |dependency: &Dependency| {
            let fitting = self.offered.iter().filter(|package| package.meets(dependency));
            fitting.max_by(|a, b| {
                let own = |package: &&Package| package.name == dependency.name;
                own(a).cmp(&own(b)).then_with(|| version::compare(self.format, &a.version, &b.version))
            })
        };
        any_of.0.iter().find_map(best).cloned()
    }

    fn check_missing(&self) -> Result<()> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let is_kernel = self.missing.iter().any(|missing| missing.starts_with("kernel "));
        let remedy = match is_kernel {
            true => {
                "take kernel modules from the very build that the image's kernel comes from; give other missing packages \
                     with --package, or name a folder of packages with --package-dir"
            }
            false => "give the missing packages with --package, or name a folder of packages with --package-dir",
        };
        let verb = if self.missing.len() == 1 { "a dependency is" } else { "dependencies are" };
        Err(Error::usage(format!(
            "{verb} neither in the image nor among the packages given: {}",
            self.missing.join(", ")
        ))
        .remedy(remedy))
    }

    fn check_conflicts(&self) -> Result<()> {
        let refuse = |one: &str, other: &str| {
            Err(Error::usage(format!("{one} conflicts with {other}")).remedy("leave one of the two out"))
        };
        for Chosen { package, .. } in &self.selection.packages {
            for conflict in &package.conflicts {
                let installed = self
                    .remaining()
                    .find(|known| meets(self.format, conflict, &known.name, &known.version, &known.provides));
                if let Some(other) = installed {
                    return refuse(&package.title(), &format!("{} {}, which the image has", other.name, other.version));
                }
            }
            for other in self.selection.packages.iter().map(|chosen| &chosen.package) {
                let clash = package.conflicts.iter().any(|conflict| other.meets(conflict));
                if clash && other.name != package.name {
                    return refuse(&package.title(), &other.title());
                }
            }
            let objecting =
                self.remaining().find(|known| known.conflicts.iter().any(|conflict| package.meets(conflict)));
            if let Some(other) = objecting {
                return refuse(&format!("{} {}, which the image has,", other.name, other.version), &package.title());
            }
        }
        Ok(())
    }

    /// What stays must still have what it needs when a package is replaced by another version.
    fn check_dependents(&self) -> Result<()> {
        let Some(database) = self.database else { return Ok(()) };
        let was_met = |any_of: &AnyOf| {
            any_of.0.iter().any(|dependency| {
                database
                    .packages
                    .iter()
                    .any(|known| meets(self.format, dependency, &known.name, &known.version, &known.provides))
            })
        };
        for known in self.remaining() {
            if let Some(lost) = known.depends.iter().find(|any_of| was_met(any_of) && !self.is_met(any_of)) {
                return Err(Error::usage(format!(
                    "{} {}, which the image has, needs {lost}, which would go with the packages that are replaced",
                    known.name, known.version
                ))
                .remedy(format!("give a {} that goes with them as well", known.name)));
            }
        }
        Ok(())
    }
}

impl Package {
    /// Whether it will do for `dependency`.
    fn meets(&self, dependency: &Dependency) -> bool {
        meets(self.format, dependency, &self.name, &self.version, &self.provides)
    }
}

/// Whether a package will do for `dependency`, by its name or by what it provides. With opkg what it provides has the
/// package's own version where none is said; with apk it has none.
fn meets(format: Format, dependency: &Dependency, name: &str, version: &str, provides: &[Provision]) -> bool {
    let own = (format == Format::Ipk).then_some(version);
    let provided =
        |provision: &Provision| dependency.takes(format, &provision.name, provision.version.as_deref().or(own));
    dependency.takes(format, name, Some(version)) || provides.iter().any(provided)
}

/// Each package behind those that it needs; otherwise in the order given.
fn ordered(format: Format, packages: Vec<Chosen>) -> Vec<Chosen> {
    fn visit(format: Format, index: usize, packages: &[Chosen], seen: &mut BTreeSet<usize>, order: &mut Vec<usize>) {
        if !seen.insert(index) {
            return;
        }
        let depends = packages.get(index).map(|chosen| chosen.package.depends.as_slice()).unwrap_or_default();
        for dependency in depends.iter().flat_map(|any_of| &any_of.0) {
            let provider = packages.iter().position(|other| {
                meets(format, dependency, &other.package.name, &other.package.version, &other.package.provides)
            });
            if let Some(provider) = provider {
                visit(format, provider, packages, seen, order);
            }
        }
        order.push(index);
    }
    let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
    (0..packages.len()).for_each(|index| visit(format, index, &packages, &mut seen, &mut order));
    let mut slots: Vec<Option<Chosen>> = packages.into_iter().map(Some).collect();
    order.into_iter().filter_map(|index| slots.get_mut(index)?.take()).collect()
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
