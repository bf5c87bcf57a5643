//! Whether what loads with the image's kernel still loads with the one that takes its place.

use std::collections::{BTreeMap, BTreeSet};

use super::Wishes;
use crate::error::{Error, Result};
use crate::kernel::{KernelExports, KernelRelease, Module, ModuleName};
use crate::openwrt::{AutoloadFile, InstalledModule, LoadReport, ModuleFile, Outcome, Setup, System, Trap, simulate};

/// Most modules and messages that an error names; the others are counted.
const NAMED: usize = 6;
const MESSAGES: usize = 4;

/// A module file's name and what is in it, by that name.
type Files<'a> = BTreeMap<String, Result<&'a Module, &'a str>>;

/// Links the image's modules against the kernel `after`, with those of `wishes` in the place of their namesakes, and
/// compares with what the kernel `before` takes now. Each time kmodloader is followed twice: with the image's autoload files
/// as they are, and with every other module listed behind them, since what nothing loads at boot may be loaded by hand.
///
/// # Errors
/// Check: a module that loads now would no longer load; the message names it and the kernel's words.
pub(crate) fn check_relink(
    before: &KernelExports,
    after: &KernelExports,
    system: &System,
    wishes: &Wishes,
) -> Result<()> {
    let wished: Vec<_> = wishes
        .modules
        .iter()
        .map(|wish| (wish, Module::parse(&wish.bytes).map_err(|error| error.message().to_owned())))
        .collect();
    let old = installed(system, &before.release);
    let mut new = installed(system, &after.release);
    for (wish, module) in &wished {
        let twin = new.keys().find(|file| ModuleName::new(file) == wish.name).cloned();
        let module = module.as_ref().map_err(String::as_str);
        new.insert(twin.unwrap_or_else(|| wish.file_name.clone()), module);
    }
    let mut lost = BTreeMap::new();
    for others in [Vec::new(), vec![listing(&old)]] {
        let main = [system.autoload.clone(), others].concat();
        let was = load(before, &old, system, &main);
        let is = load(after, &new, system, &main);
        let loaded: BTreeSet<_> = was.attempts.iter().map(|attempt| &attempt.name).collect();
        for name in loaded.into_iter().filter(|name| was.is_loaded(name) && !is.is_loaded(name)) {
            lost.entry(name.clone()).or_insert_with(|| reason(&is, name));
        }
    }
    if lost.is_empty() { Ok(()) } else { Err(refusal(before, after, lost)) }
}

/// The module files for the kernel `release`.
fn installed<'a>(system: &'a System, release: &KernelRelease) -> Files<'a> {
    let modules = system.module_directory(release).map_or(&[][..], |directory| &directory.modules);
    let file =
        |module: &'a InstalledModule| (module.file_name().to_owned(), module.module.as_ref().map_err(String::as_str));
    modules.iter().map(file).collect()
}

/// An autoload file that names every module, and that is read last.
fn listing(files: &Files<'_>) -> AutoloadFile {
    let text: String = files.keys().map(|file| format!("{}\n", ModuleName::new(file))).collect();
    AutoloadFile::regular("~", text.as_bytes())
}

fn load(kernel: &KernelExports, files: &Files<'_>, system: &System, main: &[AutoloadFile]) -> LoadReport {
    let files: Vec<ModuleFile<'_>> =
        files.iter().map(|(file_name, module)| ModuleFile { file_name, module: *module }).collect();
    let modules_conf = &system.modules_conf_entries();
    simulate(kernel, &Setup { files: &files, boot: &system.boot_autoload, main, modules_conf })
}

/// Why a module does not load, and whether that is the fault of another one.
fn reason(report: &LoadReport, name: &ModuleName) -> (bool, String) {
    match report.attempt(name).map(|attempt| &attempt.outcome) {
        Some(Outcome::Asked(result)) => {
            let prefix = format!("{name}: ");
            let messages = result.refusals().iter().flat_map(|refusal| &refusal.messages);
            let messages: Vec<&str> =
                messages.map(|message| message.strip_prefix(&prefix).unwrap_or(message)).collect();
            (false, shortened(&messages, MESSAGES, "; "))
        }
        Some(Outcome::WaitsFor(names)) => {
            let names: Vec<&str> = names.iter().map(ModuleName::as_str).collect();
            (true, format!("needs {}", names.join(", ")))
        }
        None => match report.traps.iter().find_map(failure) {
            Some(failure) => (false, failure),
            None => (true, "nothing loads it any more".to_owned()),
        },
    }
}

/// How kmodloader fails as a whole.
fn failure(trap: &Trap) -> Option<String> {
    match trap {
        Trap::ScanAborts { file_name, reason } => Some(format!("kmodloader loads nothing: {file_name} {reason}")),
        Trap::ModulesConfCrashes { line, reason } => Some(format!("/etc/modules.conf line {line}: {reason}")),
        Trap::NoDepends { name, .. } => Some(format!("kmodloader crashes at {name}, which has no depends=")),
        Trap::Shadowed { .. } => None,
    }
}

/// The first `most` of `items`, and the number of the others.
fn shortened(items: &[&str], most: usize, separator: &str) -> String {
    let shown = items.iter().take(most).copied().collect::<Vec<_>>().join(separator);
    match items.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown}{separator}{more} more"),
    }
}

fn refusal(before: &KernelExports, after: &KernelExports, lost: BTreeMap<ModuleName, (bool, String)>) -> Error {
    let count = lost.len();
    let mut rows: Vec<_> = lost.into_iter().collect();
    // Those that fail by themselves first: they are the cause of the others.
    rows.sort_by_key(|(_, (indirect, _))| *indirect);
    let rows: Vec<String> = rows.into_iter().map(|(name, (_, reason))| format!("{name} ({reason})")).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    Error::check(format!(
        "{count} of the image's modules load with its kernel {} and would no longer load with the new {}: {}",
        before.release,
        after.release,
        shortened(&rows, NAMED, ", ")
    ))
    .remedy("build the modules with the new kernel, and give --replace-modules with --modules BUILD_TREE")
}

#[cfg(test)]
mod tests {
    use super::super::ModuleWish;
    use super::*;
    use crate::error::ErrorKind;
    use crate::kernel::test_module::fixtures;
    use crate::kernel::{Export, LoadRules};
    use crate::openwrt::testing::MemoryFilesystem;

    /// A kernel with everything that the fixtures' modules import, but for what begins with `without`.
    fn kernel(without: &str) -> KernelExports {
        let parsed: Vec<Module> = fixtures().values().map(|bytes| Module::parse(bytes).unwrap()).collect();
        let own: BTreeSet<&str> =
            parsed.iter().flat_map(|module| &module.exports).map(|export| export.name.as_str()).collect();
        let imports: BTreeSet<&str> = parsed.iter().flat_map(|module| &module.imports).map(String::as_str).collect();
        let names = imports.into_iter().filter(|name| !own.contains(name) && !name.starts_with(without));
        let export = |name: &str| Export { name: name.to_owned(), gpl_only: false, namespace: None, crc: None };
        KernelExports::of_exports(names.map(export).collect(), LoadRules::default())
    }

    /// A system for the release that [`KernelExports::of_exports`] gives itself.
    fn system(files: &[&str], autoload: &str) -> System {
        let mut root = MemoryFilesystem::openwrt();
        for file in files {
            root.add_file(&format!("/lib/modules/6.6.106/{file}"), &fixtures()[*file]);
        }
        root.add_file("/etc/modules.d/50-ib", autoload);
        System::read(&mut root, &[]).unwrap()
    }

    fn relinked(system: &System, wishes: &Wishes) -> Result<()> {
        check_relink(&kernel("no such symbol"), &kernel("irq_poll_"), system, wishes)
    }

    #[test]
    fn a_lost_module_is_named_with_its_symbols_before_those_that_need_it() {
        let error = relinked(&system(&["ib_core.ko", "ib_cm.ko"], "ib_cm\n"), &Wishes::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Check);
        assert_eq!(
            error.message(),
            "2 of the image's modules load with its kernel 6.6.106 and would no longer load with the new 6.6.106: ib_core \
             (Unknown symbol irq_poll_complete (err -2); Unknown symbol irq_poll_disable (err -2); Unknown symbol \
             irq_poll_init (err -2); Unknown symbol irq_poll_sched (err -2)), ib_cm (needs ib_core)"
        );
        assert!(error.remedy_text().unwrap().contains("--replace-modules"));
    }

    #[test]
    fn a_module_that_nothing_loads_at_boot_counts_too() {
        let error = relinked(&system(&["ib_core.ko"], ""), &Wishes::default()).unwrap_err();
        assert!(error.message().starts_with("1 of the image's modules"), "{error}");
    }

    #[test]
    fn what_did_not_load_before_is_no_loss() {
        // ib_cm needs ib_core, which is not there.
        relinked(&system(&["ib_cm.ko"], "ib_cm\n"), &Wishes::default()).unwrap();
        relinked(&system(&["mlx4_core.ko"], "mlx4_core\n"), &Wishes::default()).unwrap();
    }

    #[test]
    fn a_replacement_that_loads_saves_its_namesake_and_one_that_does_not_is_told() {
        let wish = |bytes: &[u8]| Wishes {
            modules: vec![ModuleWish {
                name: ModuleName::new("ib_core"),
                file_name: "ib_core.ko".to_owned(),
                bytes: bytes.into(),
                depends: super::super::depends_of(bytes),
                source_sha256: String::new(),
                origin: String::new(),
                reason: String::new(),
            }],
            ..Wishes::default()
        };
        let system = system(&["ib_core.ko"], "ib_core\n");
        relinked(&system, &wish(&fixtures()["mlx4_core.ko"])).unwrap();
        let error = relinked(&system, &wish(b"")).unwrap_err();
        assert!(error.message().contains("ib_core (kmodloader loads nothing: ib_core.ko "), "{error}");
    }
}
