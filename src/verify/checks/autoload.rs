//! Who loads the modules: `/etc/modules.d`, `/etc/modules-boot.d` and `/etc/modules.conf`, as kmodloader reads them
//! (ubox kmodloader.c main_loader and load_options).

use std::collections::BTreeSet;

use super::set::{built_in, closure, directory, find, infiniband, with_directory};
use super::{judge, number, skip, with_system};
use crate::infiniband::PROVIDERS;
use crate::kernel::ModuleName;
use crate::openwrt::{AUTOLOAD_DIRECTORY, AutoloadFile, BOOT_DIRECTORY, ModuleDirectory, System};
use crate::plan::{AutoloadWish, Severity};
use crate::verify::{Check, Evidence, Outcome};

pub(super) const AUTOLOAD_NAMES: Check = Check {
    id: "autoload-names",
    severity: Severity::Error,
    claim: "Every module that must be loaded at boot is named in /etc/modules.d; nothing else loads it.",
    remedy: "Add a line with the module's name to /etc/modules.d/30-hw-network, or run `ibwrt patch` with the overlay.",
    run: autoload_names,
};

fn autoload_names(evidence: &Evidence<'_>) -> Outcome {
    with_directory(evidence, |system, directory| {
        let named: BTreeSet<&ModuleName> = lines(&system.autoload).map(|line| line.module).collect();
        let wished: BTreeSet<ModuleName> = match evidence.expectations.autoload.as_slice() {
            [] => must_be_named(directory),
            wishes => wishes.iter().map(|wish| wish.module.clone()).collect(),
        };
        if wished.is_empty() {
            return skip("there is no InfiniBand module to be loaded");
        }
        let built_in = built_in(evidence, directory);
        let unnamed = wished.iter().filter(|name| !named.contains(name) && !built_in.contains(name));
        let problems = unnamed.map(|name| format!("{name} is named in no file of {AUTOLOAD_DIRECTORY}")).collect();
        judge(problems, || {
            // Entries for modules that are not there are normal (built-in ones), and skipped by kmodloader.
            let idle = named.iter().filter(|name| find(directory, name).is_none()).count();
            let idle = match idle {
                0 => String::new(),
                1 => "; 1 entry names a module that is not there, which is harmless".to_owned(),
                _ => format!("; {idle} entries name modules that are not there, which is harmless"),
            };
            format!("{} named{idle}", number(wished.len(), "module"))
        })
    })
}

/// Modules present that nobody depends on, so that only an autoload entry loads them.
pub(super) fn must_be_named(directory: &ModuleDirectory) -> BTreeSet<ModuleName> {
    let user_facing = |name: &ModuleName| name.as_str() == "ib_ipoib" || PROVIDERS.contains(&name.as_str());
    infiniband(directory).into_iter().filter(user_facing).collect()
}

/// A line that kmodloader takes, with the file that it stands in.
struct Line<'a> {
    file: &'a AutoloadFile,
    number: usize,
    module: &'a ModuleName,
    parameters: &'a str,
}

/// The lines that kmodloader takes, in its order.
fn lines(files: &[AutoloadFile]) -> impl Iterator<Item = Line<'_>> {
    files.iter().flat_map(|file| {
        file.lines.iter().filter_map(move |line| {
            let module = line.module.as_ref()?;
            Some(Line { file, number: line.number, module, parameters: &line.parameters })
        })
    })
}

/// Lines of autoload files that look meant but that kmodloader ignores, one sentence each.
pub(super) fn line_traps(system: &System) -> Vec<String> {
    let traps = |directory: &'static str, files: &[AutoloadFile]| -> Vec<String> {
        // A link's lines are reported where they stand.
        let own = files.iter().filter(|file| file.link_target.is_none());
        own.flat_map(|file| {
            file.lines.iter().filter_map(move |line| {
                let trap = line.trap.as_deref()?;
                Some(format!("{directory}/{} line {}: {trap}", file.name, line.number))
            })
        })
        .collect()
    };
    let mut problems = traps(AUTOLOAD_DIRECTORY, &system.autoload);
    problems.extend(traps(BOOT_DIRECTORY, &system.boot_autoload));
    problems
}

pub(super) const AUTOLOAD_PARAMETERS: Check = Check {
    id: "autoload-parameters",
    severity: Severity::Error,
    claim: "Module parameters stand on the line that loads the module first; later ones are dropped.",
    remedy: "Move the parameters to the first line that loads the module (directly or as a dependency), in \
             /etc/modules-boot.d before /etc/modules.d.",
    run: autoload_parameters,
};

fn autoload_parameters(evidence: &Evidence<'_>) -> Outcome {
    with_directory(evidence, |system, directory| {
        let with_parameters = |wish: &&AutoloadWish| !wish.parameters.is_empty();
        let wishes: Vec<&AutoloadWish> = evidence.expectations.autoload.iter().filter(with_parameters).collect();
        if wishes.is_empty() {
            return skip("no module parameters are expected");
        }
        let problems = wishes.iter().filter_map(|wish| parameter_problem(system, directory, wish)).collect();
        judge(problems, || {
            let all: Vec<String> = wishes.iter().map(|wish| format!("{} {}", wish.module, wish.parameters)).collect();
            all.join(", ")
        })
    })
}

fn parameter_problem(system: &System, directory: &ModuleDirectory, wish: &AutoloadWish) -> Option<String> {
    let name = &wish.module;
    let wanted = &wish.parameters;
    let Some((folder, line)) = first_load(system, directory, name) else {
        return Some(format!("nothing loads {name}, which is to get `{wanted}`"));
    };
    let place = format!("{folder}/{} line {}", line.file.name, line.number);
    if line.module != name {
        return Some(format!("{name} is pulled in by {} ({place}) before it gets `{wanted}`", line.module));
    }
    let given: Vec<&str> = line.parameters.split_whitespace().collect();
    let absent = wanted.split_whitespace().any(|parameter| !given.contains(&parameter));
    absent.then(|| match line.parameters {
        "" => format!("{name} is loaded first by {place}, without `{wanted}`"),
        other => format!("{name} is loaded first by {place} with `{other}`, not with `{wanted}`"),
    })
}

/// The line that gets `name` loaded: files whose name begins with a digit load line by line, the others all together
/// at the end, so that there every line's parameters count.
fn first_load<'a>(
    system: &'a System,
    directory: &ModuleDirectory,
    name: &ModuleName,
) -> Option<(&'static str, Line<'a>)> {
    let pulls = |line: &Line<'_>| closure(directory, [line.module.clone()]).0.contains(name) || line.module == name;
    for (folder, files) in [(BOOT_DIRECTORY, &system.boot_autoload), (AUTOLOAD_DIRECTORY, &system.autoload)] {
        let at_once = |line: &Line<'_>| line.file.name.as_bytes().first().is_some_and(|byte| *byte <= b'9');
        let found = lines(files)
            .find(|line| at_once(line) && pulls(line))
            .or_else(|| lines(files).find(|line| !at_once(line) && line.module == name))
            .or_else(|| lines(files).find(|line| !at_once(line) && pulls(line)));
        if let Some(line) = found {
            return Some((folder, line));
        }
    }
    None
}

pub(super) const BOOT_LINK: Check = Check {
    id: "boot-link",
    severity: Severity::Error,
    claim: "Links in /etc/modules-boot.d lead to a file, and those that are expected are there.",
    remedy: "Link it anew: /etc/modules-boot.d/<file> -> ../modules.d/<file>, or run `ibwrt patch` with the overlay.",
    run: boot_link,
};

fn boot_link(evidence: &Evidence<'_>) -> Outcome {
    with_system(evidence, |system| {
        let dangling = system.boot_autoload.iter().filter(|file| file.dangling);
        let mut problems: Vec<String> = dangling
            .map(|file| {
                let target = file.link_target.as_deref().unwrap_or("?");
                format!("{BOOT_DIRECTORY}/{} points to {target}, where nothing is", file.name)
            })
            .collect();
        for wish in evidence.expectations.autoload.iter().filter(|wish| wish.boot) {
            let early = lines(&system.boot_autoload).any(|line| *line.module == wish.module);
            let built_in =
                directory(evidence, system).is_some_and(|found| built_in(evidence, found).contains(&wish.module));
            if !early && !built_in {
                problems
                    .push(format!("{} is to be loaded early, but no file of {BOOT_DIRECTORY} names it", wish.module));
            }
        }
        judge(problems, || match system.boot_autoload.len() {
            0 => "none, and none is expected".to_owned(),
            count => format!("{} lead to files", number(count, "link")),
        })
    })
}

/// A line's words, without the comment that `#` starts anywhere.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split('#').next().unwrap_or_default().split_whitespace()
}

pub(super) const BLACKLIST: Check = Check {
    id: "blacklist",
    severity: Severity::Error,
    claim: "No module that must be loaded is blacklisted in /etc/modules.conf.",
    remedy: "Remove the `blacklist` lines of these modules from /etc/modules.conf.",
    run: blacklist,
};

fn blacklist(evidence: &Evidence<'_>) -> Outcome {
    with_directory(evidence, |system, directory| {
        let mut wished = must_be_named(directory);
        wished.extend(evidence.expectations.autoload.iter().map(|wish| wish.module.clone()));
        let listed = system.modules_conf.iter().flat_map(|text| text.lines()).filter_map(|line| {
            let mut words = words(line);
            (words.next() == Some("blacklist")).then_some(words.next()?.into())
        });
        let listed: Vec<String> = listed.collect();
        // kmodloader compares the line with the file's name to the letter: no `-` for `_` here.
        let hit = |name: &&ModuleName| {
            let stem = find(directory, name).and_then(|module| module.path.rsplit('/').next()?.split(".ko").next());
            stem.is_some_and(|stem| listed.iter().any(|listed| listed == stem))
        };
        let problems = wished.iter().filter(hit).map(|name| format!("{name} is blacklisted")).collect();
        judge(problems, || match listed.len() {
            0 => "nothing is blacklisted".to_owned(),
            count => format!("{count} blacklisted, none of them needed"),
        })
    })
}

#[cfg(test)]
mod tests {
    use crate::verify::specimen::{Specimen, autoload_file, passed, problems, skipped};

    #[test]
    fn a_module_that_nothing_loads_is_named() {
        let mut specimen = Specimen::patched();
        specimen.system.autoload[0].lines.retain(|line| line.text != "ib_ipoib");
        assert_eq!(problems(&specimen, "autoload-names"), ["ib_ipoib is named in no file of /etc/modules.d"]);
        specimen.expectations = Default::default();
        assert_eq!(problems(&specimen, "autoload-names"), ["ib_ipoib is named in no file of /etc/modules.d"]);
    }

    #[test]
    fn an_entry_for_an_absent_module_is_harmless() {
        let mut specimen = Specimen::patched();
        specimen.system.autoload.push(autoload_file("50-usb", "usbcore"));
        assert_eq!(
            passed(&specimen, "autoload-names"),
            "3 modules named; 1 entry names a module that is not there, which is harmless"
        );
    }

    #[test]
    fn a_trap_is_told_with_its_line() {
        let mut specimen = Specimen::patched();
        specimen.system.autoload[0].lines[1].trap = Some("a leading blank".into());
        assert_eq!(problems(&specimen, "kmodloader-traps"), ["/etc/modules.d/30-hw-network line 2: a leading blank"]);
    }

    #[test]
    fn parameters_on_a_later_line_are_dropped() {
        let mut specimen = Specimen::patched();
        specimen.system.autoload.insert(0, autoload_file("20-early", "mlx4_core"));
        assert_eq!(
            problems(&specimen, "autoload-parameters"),
            ["mlx4_core is loaded first by /etc/modules.d/20-early line 1, without `port_type_array=1,1`"]
        );
    }

    #[test]
    fn a_dependency_pulled_in_earlier_loses_its_parameters() {
        let mut specimen = Specimen::patched();
        specimen.system.autoload.insert(0, autoload_file("20-early", "mlx4_ib"));
        assert_eq!(
            problems(&specimen, "autoload-parameters"),
            ["mlx4_core is pulled in by mlx4_ib (/etc/modules.d/20-early line 1) before it gets `port_type_array=1,1`"]
        );
    }

    #[test]
    fn a_file_that_begins_with_a_letter_loads_last() {
        let mut specimen = Specimen::patched();
        specimen.system.autoload.insert(0, autoload_file("Early", "mlx4_core port_type_array=2,2"));
        assert_eq!(passed(&specimen, "autoload-parameters"), "mlx4_core port_type_array=1,1");
    }

    #[test]
    fn the_boot_directory_loads_first() {
        let mut specimen = Specimen::patched();
        specimen.system.boot_autoload.push(autoload_file("36-mlx4-core", "mlx4_core port_type_array=2,2"));
        assert_eq!(
            problems(&specimen, "autoload-parameters"),
            [
                "mlx4_core is loaded first by /etc/modules-boot.d/36-mlx4-core line 1 with `port_type_array=2,2`, not with \
              `port_type_array=1,1`"
            ]
        );
    }

    #[test]
    fn a_dangling_boot_link_is_told_with_its_target() {
        let mut specimen = Specimen::patched();
        let mut link = autoload_file("36-mlx4-core", "");
        link.link_target = Some("../modules.d/36-mlx4-core".into());
        link.dangling = true;
        specimen.system.boot_autoload.push(link);
        assert_eq!(
            problems(&specimen, "boot-link"),
            ["/etc/modules-boot.d/36-mlx4-core points to ../modules.d/36-mlx4-core, where nothing is"]
        );
    }

    #[test]
    fn an_early_load_that_is_wished_must_be_linked() {
        let mut specimen = Specimen::patched();
        specimen.expectations.autoload[0].boot = true;
        assert_eq!(
            problems(&specimen, "boot-link"),
            ["mlx4_core is to be loaded early, but no file of /etc/modules-boot.d names it"]
        );
    }

    #[test]
    fn a_bare_word_in_modules_conf_crashes_the_loader() {
        let mut specimen = Specimen::patched();
        specimen.system.modules_conf =
            Some("# note\noptions mlx4_core debug_level=1\noptions foo # x\nblacklist\n".into());
        assert_eq!(
            problems(&specimen, "kmodloader-traps"),
            [
                "/etc/modules.conf line 3: `options foo` has no parameters: kmodloader crashes on it and loads nothing",
                "/etc/modules.conf line 4: `blacklist` stands alone: kmodloader crashes on it and loads nothing"
            ]
        );
    }

    #[test]
    fn a_blacklisted_module_is_told_if_spelled_to_the_letter() {
        let mut specimen = Specimen::patched();
        specimen.system.modules_conf = Some("blacklist mlx4-ib\n".into());
        passed(&specimen, "blacklist");
        specimen.system.modules_conf = Some("blacklist mlx4_ib\n".into());
        assert_eq!(problems(&specimen, "blacklist"), ["mlx4_ib is blacklisted"]);
    }

    #[test]
    fn a_stock_image_has_nothing_to_load() {
        let specimen = Specimen::stock();
        assert_eq!(skipped(&specimen, "autoload-names"), "there is no InfiniBand module to be loaded");
        assert_eq!(skipped(&specimen, "autoload-parameters"), "no module parameters are expected");
    }
}
