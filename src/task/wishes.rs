//! From what the overlays resolve to, and the modules on offer, to wishes for one image.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::digest::sha256_hex;
use crate::error::{At, Error, Result};
use crate::kernel::{KernelRelease, Module, ModuleName, strip};
use crate::openwrt::System;
use crate::overlay::Resolved;
use crate::package::Chosen;
use crate::plan::{Content, FileWish, Finding, Managed, ModuleWish, PackageWishes, Severity, Wishes, depends_of};
use crate::source::{self, ModuleSources, Offer, Required, Reserve, Selected};
use crate::userland::is_program;
use crate::verify::Expectations;

use super::module_set::ModuleSet;
use super::shelf::{ModuleQuestion, Shelf};

/// What the checks are to expect when `resolved` is in force.
pub(super) fn expectations(resolved: &Resolved) -> Expectations {
    let required = resolved.required.iter().filter(|(_, _, optional)| !optional);
    Expectations {
        overlays: resolved.overlays.clone(),
        modules: required.map(|(name, _, _)| name.clone()).collect(),
        autoload: resolved.autoload.clone(),
        files: resolved.files.clone(),
        lines: resolved.lines.clone(),
        managed: resolved.managed.clone(),
        interfaces: resolved.interfaces.clone(),
        programs: resolved.files.iter().filter(|wish| is_elf(wish)).map(|wish| wish.path.clone()).collect(),
        tools: resolved.tools.clone(),
        ..Expectations::default()
    }
}

fn is_elf(wish: &FileWish) -> bool {
    matches!(&wish.content, Content::File(bytes) if is_program(bytes))
}

/// What modules are chosen by, beside the sources.
pub(super) struct Stock<'a> {
    /// Which of the image's modules are replaced because its kernel is.
    pub(super) set: &'a ModuleSet,
    /// What serves where no source has a module.
    pub(super) reserve: &'a dyn Reserve,
    /// Whether debug sections stay.
    pub(super) keep_debug: bool,
}

/// The modules that are needed.
#[derive(Debug, Clone, Default)]
pub(super) struct ModuleChoice {
    /// Those to be put in, providers before users.
    modules: Vec<ModuleWish>,
    /// Those that the image has, with the reason.
    kept: Vec<(ModuleName, String)>,
    /// Those that are optional, and nowhere to be had.
    missing_optional: Vec<ModuleName>,
}

/// Chooses the modules for the image and joins them with the other wishes.
///
/// The modules of `packages` count as there.
///
/// # Errors
/// A module that is neither in the image nor on offer, or that was built for another kernel.
pub(super) fn wishes(
    resolved: &Resolved,
    system: &System,
    release: &KernelRelease,
    stock: &Stock<'_>,
    packages: PackageWishes,
    shelf: &Shelf,
) -> Result<Wishes> {
    let set = stock.set;

    let required = resolved.required.iter().map(|(name, reason, optional)| Required {
        name: name.clone(),
        reason: reason.clone(),
        optional: *optional,
    });
    let brought = packages.chosen.iter().map(|Chosen { package, .. }| package);
    let question = ModuleQuestion {
        sources: resolved.module_sources.clone(),
        required: required.chain(set.required()).collect(),
        same_build: resolved.same_build.clone(),
        release: release.clone(),
        keep_debug: stock.keep_debug,
        replaced: (set.replaced.clone(), set.replaces_all),
        packages: brought.map(|own| (own.name.clone(), own.version.clone(), own.source.clone())).collect(),
    };
    let choice = shelf.modules(question.clone(), || choose(&question, system, stock, &packages, shelf))?;
    let mut wishes = Wishes {
        autoload: loadable(resolved, &choice.missing_optional),
        files: resolved.files.clone(),
        lines: resolved.lines.clone(),
        root_password_hash: resolved.root_password_hash.clone(),
        ssh_keys: resolved.ssh_keys.clone(),
        obsolete: set.obsolete.clone(),
        packages,
        is_registered: resolved.is_registered,
        modules: choice.modules.clone(),
        kept: choice.kept.clone(),
        findings: resolved.findings.iter().chain(&set.findings).cloned().collect(),
        ..Wishes::default()
    };
    managed(resolved, system, &mut wishes)?;
    wishes.findings.extend(choice.missing_optional.iter().map(left_out));
    Ok(wishes)
}

/// Chooses the modules that answer `question`, and strips them.
fn choose(
    question: &ModuleQuestion,
    system: &System,
    stock: &Stock<'_>,
    packages: &PackageWishes,
    shelf: &Shelf,
) -> Result<ModuleChoice> {
    let (release, set) = (&question.release, stock.set);
    let sources = ModuleSources::open(&question.sources)?;
    let offer = Offer { sources: &sources, reserve: stock.reserve, same_build: &question.same_build };
    set.check_offer(offer, release)?;
    let mut installed = if set.replaces_all { BTreeMap::new() } else { installed(system, release) };
    for (name, bytes) in packages.modules(release) {
        let depends = Module::parse(bytes).at(|| format!("{name}.ko of a package"))?.modinfo.depends;
        installed.insert(name, depends.unwrap_or_default());
    }
    let selection = source::select(offer, release, &question.required, &installed)?;
    let mut modules = Vec::new();
    for selected in selection.modules {
        let mut wish = module_wish(selected, question.keep_debug, shelf)?;
        // The image's spelling is the one that its modules.conf knows.
        if let Some(file_name) = set.replaced.get(&wish.name) {
            wish.file_name.clone_from(file_name);
        }
        modules.push(wish);
    }
    Ok(ModuleChoice { modules, kept: selection.kept, missing_optional: selection.missing_optional })
}

/// Adds what is wished of an image with this package manager.
///
/// # Errors
/// Usage when the image has none, or an overlay refuses this one.
fn managed(resolved: &Resolved, system: &System, wishes: &mut Wishes) -> Result<()> {
    let Some(first) = resolved.managed.first() else { return Ok(()) };
    let manager = system.package_manager().ok_or_else(|| {
        Error::usage(format!("{} is about the image's package manager, and the image has none", first.reason))
            .remedy("leave the overlay out, or take an image with opkg or apk")
    })?;
    for managed in resolved.managed.iter().filter(|managed| managed.manager == manager) {
        match managed.wish.clone() {
            Managed::File(wish) => wishes.files.push(wish),
            Managed::Line(wish) => wishes.lines.push(wish),
            Managed::Finding(finding) if finding.severity == Severity::Error => {
                return Err(finding.into_error().at(managed.reason.clone()));
            }
            Managed::Finding(finding) => wishes.findings.push(finding),
        }
    }
    Ok(())
}

/// Names of the modules that the image holds for `release`, with what each depends on.
fn installed(system: &System, release: &KernelRelease) -> BTreeMap<ModuleName, Vec<ModuleName>> {
    let modules = system.module_directory(release).map_or(&[][..], |directory| &directory.modules);
    let readable = modules.iter().filter_map(|installed| Some((installed, installed.module.as_ref().ok()?)));
    readable
        .map(|(installed, module)| (installed.name.clone(), module.modinfo.depends.clone().unwrap_or_default()))
        .collect()
}

/// The autoload wishes without those for optional modules that are nowhere to be had.
fn loadable(resolved: &Resolved, missing: &[ModuleName]) -> Vec<crate::plan::AutoloadWish> {
    let missing = |module: &ModuleName| missing.contains(module);
    resolved.autoload.iter().filter(|wish| !missing(&wish.module)).cloned().collect()
}

fn left_out(name: &ModuleName) -> Finding {
    Finding {
        id: "optional-module-missing".to_owned(),
        severity: Severity::Note,
        message: format!("the optional module {name} is neither in the image nor among the module sources; left out"),
        remedy: None,
    }
}

fn module_wish(selected: Selected, keep_debug: bool, shelf: &Shelf) -> Result<ModuleWish> {
    let Selected { sourced, reason } = selected;
    let file_name = sourced.file_name();
    let source_sha256 = sourced.source_sha256.unwrap_or_else(|| sha256_hex(&sourced.bytes));
    let bytes = match keep_debug {
        true => Arc::from(sourced.bytes),
        false => shelf.stripped(&sourced.bytes, || strip(&sourced.bytes)).at(|| sourced.origin.clone())?,
    };
    let (name, origin) = (sourced.name, sourced.origin);
    let depends = depends_of(&bytes);
    Ok(ModuleWish { file_name, name, bytes, depends, source_sha256, origin, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystem::Filesystem;
    use crate::openwrt::testing::MemoryFilesystem;
    use crate::overlay::resolve;
    use crate::plan::{self, Change};
    use crate::recipe::{CommandLineWishes, Recipe};
    use crate::source::NoReserve;

    /// What package-feed changes in `root`.
    fn feed(root: &mut MemoryFilesystem, settings: &[&str]) -> Result<Vec<(String, String)>> {
        let settings = settings.iter().map(|text| (*text).to_owned()).collect();
        let wishes = CommandLineWishes { overlays: vec!["package-feed".into()], settings, ..Default::default() };
        let resolved = resolve(&Recipe::assemble(&wishes)?)?;
        let system = System::read(root, &expectations(&resolved).paths())?;
        let release = KernelRelease::new("6.12.117");
        let wishes = super::wishes(
            &resolved,
            &system,
            &release,
            &Stock { set: &ModuleSet::default(), reserve: &NoReserve, keep_debug: false },
            PackageWishes::default(),
            &Shelf::default(),
        )?;
        let edits = plan::plan(&system, &release, &wishes)?.edits;
        crate::apply::apply(&edits, root)?;
        let text = |edit: &plan::Edit| (edit.change != Change::Remove).then(|| root.text(&edit.path)).flatten();
        Ok(edits.iter().filter_map(|edit| Some((edit.path.clone(), text(edit)?))).collect())
    }

    #[test]
    fn the_feed_goes_where_the_image_s_package_manager_looks_and_moves_with_its_place() {
        let mut root = MemoryFilesystem::openwrt();
        root.add_file("/lib/apk/db/installed", "P:a\n");
        root.add_file("/etc/apk/repositories.d/customfeeds.list", "# mine");
        let edits = feed(&mut root, &["package-feed.url=https://a/packages.adb"]).unwrap();
        let path = "/etc/apk/repositories.d/customfeeds.list".to_owned();
        assert_eq!(edits, [(path, "# mine\nhttps://a/packages.adb\n".to_owned())]);
        assert_eq!(feed(&mut root, &["package-feed.url=https://a/packages.adb"]).unwrap(), []);

        let mut root = MemoryFilesystem::openwrt();
        root.add_file("/usr/lib/opkg/status", "Package: a\n");
        let path = "/etc/opkg/customfeeds.conf".to_owned();
        let edits = feed(&mut root, &["package-feed.url=https://a"]).unwrap();
        assert_eq!(edits, [(path.clone(), "src/gz site https://a\n".to_owned())]);
        let edits = feed(&mut root, &["package-feed.url=https://b"]).unwrap();
        assert_eq!(edits, [(path, "src/gz site https://b\n".to_owned())]);
        assert!(root.metadata("/etc/apk").unwrap().is_none());
    }

    #[test]
    fn an_image_without_a_package_manager_and_a_key_of_the_other_one_are_refused() {
        let mut root = MemoryFilesystem::openwrt();
        let error = feed(&mut root, &["package-feed.url=https://a"]).unwrap_err();
        assert_eq!(
            error.message(),
            "overlay package-feed is about the image's package manager, and the image has none"
        );
        root.add_file("/lib/apk/db/installed", "P:a\n");
        let key = concat!("package-feed.key=", env!("CARGO_MANIFEST_DIR"), "/fixtures/test-key.pub");
        let error = feed(&mut root, &["package-feed.url=https://a/packages.adb", key]).unwrap_err();
        assert!(error.to_string().starts_with("overlay package-feed: the image uses apk, whose keys are in PEM"));
    }
}
