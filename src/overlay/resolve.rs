//! Recipe and overlays made wishes: which modules, autoload lines, files and settings, without knowledge of any image.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use minijinja::{Environment, context};
use toml::Table;

use crate::error::{At, Error, Result};
use crate::filesystem::Attributes;
use crate::infiniband::{IpoibInterface, is_port_guid};
use crate::kernel::ModuleName;
use crate::plan::{AutoloadWish, Content, FileWish, Finding, LineWish, ManagedWish};
use crate::recipe::{ExtraContent, Recipe};
use crate::suggest::{instead, suggestion};
use crate::template::{self, Outside, serialized};

use super::catalogue::Overlay;
use super::login;
use super::work::Work;

/// Overlays that may be in force at once.
const OVERLAYS_MAX: usize = 64;

const HOSTNAME_SCRIPT: &str = include_str!("61-ibwrt-hostname.j2");
const HOSTNAME_PATH: &str = "/etc/uci-defaults/61-ibwrt-hostname";

/// What recipe and overlays ask for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resolved {
    /// Names of the overlays in force, those required by others before them.
    pub(crate) overlays: Vec<String>,
    /// Modules wanted: name, reason, and whether it is optional. An optional module that no source has is left out, and
    /// so is its autoload line.
    pub(crate) required: Vec<(ModuleName, String, bool)>,
    /// Groups of modules that must come from one build.
    pub(crate) same_build: Vec<Vec<ModuleName>>,
    /// Modules to be loaded, in order.
    pub(crate) autoload: Vec<AutoloadWish>,
    /// Files and symlinks to be present.
    pub(crate) files: Vec<FileWish>,
    /// Lines of files that others write to as well.
    pub(crate) lines: Vec<LineWish>,
    /// What is wished only of an image with a certain package manager.
    pub(crate) managed: Vec<ManagedWish>,
    /// crypt(3) hash for root's password.
    pub(crate) root_password_hash: Option<String>,
    /// Public keys for root, one line each.
    pub(crate) ssh_keys: Vec<String>,
    /// IPoIB interfaces, parents before children.
    pub(crate) interfaces: Vec<IpoibInterface>,
    /// What is to be said about the wishes; never of severity `Error`.
    pub(crate) findings: Vec<Finding>,
    /// Where modules are looked for.
    pub(crate) module_sources: Vec<PathBuf>,
    /// Programs that the overlays are for, and whether they may be missing.
    pub(crate) tools: Vec<(String, bool)>,
    /// Packages, or folders of packages, to be put in.
    pub(crate) packages: Vec<PathBuf>,
    /// Packages that overlays bring.
    pub(crate) package_files: Vec<PackageFile>,
    /// Whether modules that come without a package are registered as one.
    pub(crate) is_registered: bool,
    /// Folders that are searched for what packages need.
    pub(crate) package_folders: Vec<PathBuf>,
}

impl Resolved {
    /// Wishes that a module be loaded, once whoever wishes it.
    ///
    /// # Errors
    /// Usage when two overlays want other parameters for it.
    pub(super) fn add_autoload(&mut self, wish: AutoloadWish) -> Result<()> {
        let Some(other) = self.autoload.iter_mut().find(|other| other.module == wish.module) else {
            self.autoload.push(wish);
            return Ok(());
        };
        if other.parameters.is_empty() {
            other.parameters = wish.parameters;
        } else if !wish.parameters.is_empty() && wish.parameters != other.parameters {
            return Err(Error::usage(format!(
                "{} and {} want different parameters for {}: `{}` and `{}`",
                other.reason, wish.reason, wish.module, other.parameters, wish.parameters
            ))
            .remedy("change the settings of one of them"));
        }
        other.boot |= wish.boot;
        Ok(())
    }

    /// Wishes a file.
    ///
    /// # Errors
    /// Usage when another one is wished for its path.
    pub(super) fn add_file(&mut self, wish: FileWish) -> Result<()> {
        if let Some(other) = self.files.iter().find(|other| other.path == wish.path) {
            return Err(Error::usage(format!(
                "{} is wished twice: by {} and by {}",
                wish.path, other.reason, wish.reason
            ))
            .remedy("keep one of the two"));
        }
        self.files.push(wish);
        Ok(())
    }
}

/// A package in an overlay's folder.
#[derive(Debug, Clone)]
pub(crate) struct PackageFile {
    /// Where the overlay comes from.
    pub(crate) overlay: String,
    /// Its path in the overlay's folder.
    pub(crate) name: String,
    /// Its content.
    pub(crate) bytes: Vec<u8>,
}

impl PackageFile {
    /// What errors call it.
    pub(crate) fn origin(&self) -> String {
        format!("{} » {}", self.overlay, self.name)
    }
}

/// Resolves `recipe`.
///
/// # Errors
/// An overlay that does not exist or is wrong, conflicts, settings that its declaration or rules refuse, settings of an
/// overlay that is not in force, and names, hashes, keys or paths that cannot be.
pub(crate) fn resolve(recipe: &Recipe) -> Result<Resolved> {
    let overlays = in_force(recipe)?;
    check_tables(recipe, &overlays)?;
    let mut resolved = Resolved {
        overlays: overlays.iter().map(|overlay| overlay.name().to_owned()).collect(),
        root_password_hash: recipe.root_password_hash.clone(),
        module_sources: recipe.modules.clone(),
        packages: recipe.packages.clone(),
        package_folders: recipe.package_folders.clone(),
        is_registered: !recipe.leaves_unregistered,
        ..Resolved::default()
    };
    let mut environment = template::environment();
    environment.add_test("port_guid", is_port_guid);
    let mut all_settings = BTreeMap::new();
    let mut provided = overlays.iter().flat_map(|overlay| overlay.description.provides.clone()).collect::<Vec<_>>();
    provided.sort();
    provided.dedup();
    for overlay in &overlays {
        let work = Work::new(overlay, recipe, &environment, &mut resolved);
        all_settings.insert(overlay.name().to_owned(), work.run(&provided)?);
    }
    add_login(recipe, &environment, &mut resolved)?;
    add_extra_files(recipe, &environment, &all_settings, &mut resolved)?;
    Ok(resolved)
}

/// The overlays in force: those asked for, each after the ones that it requires.
fn in_force(recipe: &Recipe) -> Result<Vec<Overlay>> {
    let mut overlays = Vec::new();
    for (index, reference) in recipe.overlays.iter().enumerate() {
        let loaded = Overlay::load(reference).and_then(|overlay| enter(overlay, &mut overlays, &mut Vec::new()));
        loaded.map_err(|error| recipe.places.locate(error, &format!("overlays[{index}]")))?;
    }
    for overlay in &overlays {
        for other in &overlays {
            if overlay.description.conflicts.iter().any(|name| name == other.name()) {
                return Err(Error::usage(format!(
                    "overlays `{}` and `{}` exclude each other",
                    overlay.name(),
                    other.name()
                ))
                .remedy("leave one of them out"));
            }
        }
    }
    Ok(overlays)
}

fn enter(overlay: Overlay, overlays: &mut Vec<Overlay>, above: &mut Vec<String>) -> Result<()> {
    if let Some(other) = overlays.iter().find(|other| other.name() == overlay.name()) {
        return match other.folder == overlay.folder {
            true => Ok(()),
            false => Err(Error::usage(format!(
                "two different overlays are called `{}`: {} and {}",
                overlay.name(),
                other.origin,
                overlay.origin
            ))
            .remedy("rename one of them in its overlay.toml, or leave one out")),
        };
    }
    if above.iter().any(|name| name == overlay.name()) || above.len() >= OVERLAYS_MAX {
        return Err(Error::usage(format!("overlay `{}` requires itself, by {}", overlay.name(), above.join(" -> ")))
            .remedy("remove one of these from `requires`"));
    }
    above.push(overlay.name().to_owned());
    for name in &overlay.description.requires {
        if !overlays.iter().any(|other| other.name() == name) {
            let required = Overlay::load(name).at(|| format!("required by overlay {}", overlay.origin))?;
            enter(required, overlays, above)?;
        }
    }
    above.pop();
    if overlays.len() >= OVERLAYS_MAX {
        return Err(Error::usage(format!("more than {OVERLAYS_MAX} overlays are in force")));
    }
    overlays.push(overlay);
    Ok(())
}

/// Every table of settings belongs to an overlay in force.
fn check_tables(recipe: &Recipe, overlays: &[Overlay]) -> Result<()> {
    for name in recipe.settings.keys() {
        if overlays.iter().any(|overlay| overlay.name() == name) {
            continue;
        }
        let builtin = Overlay::builtin_names();
        let error = if builtin.contains(&name.as_str()) {
            Error::usage(format!("there are settings for the overlay `{name}`, but it is not in force"))
                .remedy(format!("add --overlay {name} (in a recipe: overlays = [\"{name}\"]), or drop its settings"))
        } else {
            let in_force = overlays.iter().map(Overlay::name);
            let known = in_force.chain(builtin).collect::<Vec<_>>();
            Error::usage(format!("`{name}` is neither an overlay in force nor a key of a recipe")).remedy(
                match suggestion(name, known.iter().copied()) {
                    Some(_) => instead(name, &known, "overlays"),
                    None => format!(
                        "{}; one of your own is put in force by its folder, such as overlays = [\"./{name}\"]",
                        instead(name, &known, "overlays")
                    ),
                },
            )
        };
        return Err(recipe.places.locate(error, name));
    }
    Ok(())
}

fn add_login(recipe: &Recipe, environment: &Environment<'_>, resolved: &mut Resolved) -> Result<()> {
    let locate = |error: Error, key: &str| recipe.places.locate(error, key);
    if let Some(hash) = &recipe.root_password_hash {
        login::check_password_hash(hash).map_err(|error| locate(error, "root_password_hash"))?;
    }
    for key in &recipe.ssh_keys {
        if !resolved.ssh_keys.contains(key) {
            resolved.ssh_keys.push(key.clone());
        }
    }
    if let Some(hostname) = &recipe.hostname {
        login::check_hostname(hostname).map_err(|error| locate(error, "hostname"))?;
        let script = template::render(environment, HOSTNAME_PATH, HOSTNAME_SCRIPT, &context! { hostname => hostname })?;
        let content = Content::File(Arc::from(script.into_bytes()));
        let reason = "host name".to_owned();
        let attributes = Attributes::root(0o644);
        let path = HOSTNAME_PATH.to_owned();
        resolved.add_file(FileWish { path, content, attributes, reason, is_certain: true, is_own: true })?;
    }
    Ok(())
}

fn add_extra_files(
    recipe: &Recipe,
    environment: &Environment<'_>,
    settings: &BTreeMap<String, Table>,
    resolved: &mut Resolved,
) -> Result<()> {
    let context = context! {
        settings => serialized(settings),
        hostname => recipe.hostname.clone(),
        overlays => resolved.overlays.clone(),
        ipoib => context! { interfaces => serialized(&resolved.interfaces) },
        ..recipe.names.clone(),
    };
    for file in &recipe.files {
        let bytes = match &file.content {
            ExtraContent::Bytes(bytes) => bytes.clone(),
            ExtraContent::Template { path, text } => {
                let mut environment = environment.clone();
                let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
                Outside { folder, secrets: recipe.secrets.clone() }.add_to(&mut environment);
                let name = path.display().to_string();
                template::render(&environment, &name, text, &context)?.into_bytes()
            }
        };
        let wish = FileWish {
            path: file.path.clone(),
            content: Content::File(bytes.into()),
            attributes: file.attributes,
            reason: "recipe".to_owned(),
            is_certain: true,
            is_own: true,
        };
        resolved.add_file(wish)?;
    }
    Ok(())
}
