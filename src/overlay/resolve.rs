//! Recipe and overlays made wishes: which modules, autoload lines, files and settings, without knowledge of any image.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use minijinja::{Environment, Value, context};
use toml::Table;

use crate::error::{At, Error, Result};
use crate::filesystem::Attributes;
use crate::infiniband::{IpoibInterface, IpoibSettings, is_port_guid};
use crate::kernel::ModuleName;
use crate::openwrt::PackageManager;
use crate::plan::{AutoloadWish, Content, FileWish, Finding, LineWish, Managed, ManagedWish, Severity};
use crate::recipe::{ExtraContent, Recipe};
use crate::suggest::instead;
use crate::template::{self, Outside, serialized};

use super::catalogue::Overlay;
use super::description::Rules;
use super::local::{self, Local};
use super::{files, ipoib, login, settings};

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
        let local = BTreeMap::new();
        let mut work = Work { overlay, recipe, environment: &environment, local, resolved: &mut resolved };
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

/// Whether an overlay's file is rendered before it is put into the image.
fn is_template(source: &str) -> bool {
    source.ends_with(".j2")
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
            Error::usage(format!("`{name}` is neither an overlay in force nor a key of a recipe"))
                .remedy(instead(name, &known, "overlays"))
        };
        return Err(recipe.places.locate(error, name));
    }
    Ok(())
}

/// One overlay being resolved.
struct Work<'a> {
    overlay: &'a Overlay,
    recipe: &'a Recipe,
    environment: &'a Environment<'a>,
    /// Local files by the settings that name them.
    local: BTreeMap<String, Local>,
    resolved: &'a mut Resolved,
}

impl Work<'_> {
    /// Adds what the overlay asks for; answers its settings in force.
    fn run(&mut self, provided: &[String]) -> Result<Table> {
        let description = &self.overlay.description;
        let empty = Table::new();
        let given = self.recipe.settings.get(&description.name).unwrap_or(&empty);
        let places = &self.recipe.places;
        if description.rules == Some(Rules::Ipoib) {
            ipoib::refuse_impossible(given, &description.name, places)?;
        }
        let settings = settings::in_force(self.overlay, given, places)?;
        self.local = local::read(description, &settings, places)?;
        let ipoib = match description.rules {
            Some(Rules::Ipoib) => {
                let (ipoib, findings) = ipoib::check(&settings, &description.name, places)?;
                self.resolved.findings.extend(findings);
                self.resolved.interfaces.extend(ipoib.interfaces.iter().cloned());
                ipoib
            }
            None => IpoibSettings::default(),
        };
        let context = context! {
            settings => serialized(&settings),
            given => serialized(given),
            hostname => self.recipe.hostname.clone(),
            overlays => self.resolved.overlays.clone(),
            provided => provided.to_vec(),
            local => serialized(&self.local),
            ipoib => context! {
                interfaces => serialized(&ipoib.interfaces),
                zones => serialized(&ipoib.zones),
                wait => ipoib.wait,
                roots => ipoib.roots(),
                bare_roots => ipoib.bare_roots(),
            },
        };
        self.findings(&context)?;
        self.add(&context).at(|| format!("overlay {}", self.overlay.origin))?;
        Ok(settings)
    }

    fn add(&mut self, context: &Value) -> Result<()> {
        self.modules(context)?;
        self.autoload(context)?;
        self.packages()?;
        self.files(context)?;
        self.lines(context)
    }

    fn holds(&self, when: Option<&String>, context: &Value) -> Result<bool> {
        when.map_or(Ok(true), |when| template::holds(self.environment, when, context))
    }

    fn reason(&self) -> String {
        format!("overlay {}", self.overlay.name())
    }

    fn findings(&mut self, context: &Value) -> Result<()> {
        for rule in &self.overlay.description.finding {
            let origin = || format!("overlay {}", self.overlay.origin);
            if !template::holds(self.environment, &rule.when, context).at(origin)? {
                continue;
            }
            let place = format!("message of finding `{}`", rule.id);
            let message = template::render(self.environment, &place, &rule.message, context).at(origin)?;
            let remedy = rule.remedy.clone();
            let finding = Finding { id: rule.id.clone(), severity: rule.severity, message, remedy };
            if let Some(manager) = rule.package_manager {
                self.wish_of(manager, Managed::Finding(finding));
                continue;
            }
            if finding.severity == Severity::Error {
                return Err(self.recipe.places.locate(finding.into_error(), self.overlay.name()));
            }
            self.resolved.findings.push(finding);
        }
        Ok(())
    }

    fn modules(&mut self, context: &Value) -> Result<()> {
        let description = &self.overlay.description;
        let mut wanted = Vec::new();
        wanted.extend(description.modules.required.iter().map(|name| (name, false)));
        for module in &description.module {
            if template::holds(self.environment, &module.when, context)? {
                wanted.push((&module.name, module.optional));
            }
        }
        wanted.extend(description.modules.optional.iter().map(|name| (name, true)));
        let reason = self.reason();
        for (name, optional) in wanted {
            let name = ModuleName::new(name);
            match self.resolved.required.iter_mut().find(|(other, _, _)| *other == name) {
                Some((_, other_reason, other_optional)) => {
                    if *other_optional && !optional {
                        *other_optional = false;
                        other_reason.clone_from(&reason);
                    }
                }
                None => self.resolved.required.push((name, reason.clone(), optional)),
            }
        }
        for group in &description.same_build {
            self.resolved.same_build.push(group.iter().map(|name| ModuleName::new(name)).collect());
        }
        Ok(())
    }

    fn packages(&mut self) -> Result<()> {
        let tools = &self.overlay.description.tools;
        self.resolved.tools.extend(tools.required.iter().map(|name| (name.clone(), false)));
        self.resolved.tools.extend(tools.optional.iter().map(|name| (name.clone(), true)));
        for name in &self.overlay.description.packages {
            let bytes = self.overlay.folder.get(name).ok_or_else(|| {
                Error::usage(format!("there is no file `{name}` in the overlay"))
                    .remedy("put the package into the overlay's folder, or take it out of `packages`")
            })?;
            let (overlay, name) = (self.overlay.origin.clone(), name.clone());
            self.resolved.package_files.push(PackageFile { overlay, name, bytes: bytes.clone() });
        }
        Ok(())
    }

    fn autoload(&mut self, context: &Value) -> Result<()> {
        for autoload in &self.overlay.description.autoload {
            if !self.holds(autoload.when.as_ref(), context)? {
                continue;
            }
            let place = format!("parameters of {}", autoload.module);
            let parameters = template::render(self.environment, &place, &autoload.parameters, context)?;
            let parameters = parameters.trim().to_owned();
            if parameters.chars().any(char::is_control) {
                return Err(
                    Error::usage(format!("{parameters:?} spans several lines or holds control characters")).at(place)
                );
            }
            let wish = AutoloadWish {
                module: ModuleName::new(&autoload.module),
                parameters,
                file: autoload.file.clone(),
                boot: autoload.boot,
                reason: self.reason(),
            };
            merge_autoload(&mut self.resolved.autoload, wish)?;
        }
        Ok(())
    }

    fn files(&mut self, context: &Value) -> Result<()> {
        for file in &self.overlay.description.file {
            if !self.holds(file.when.as_ref(), context)? {
                continue;
            }
            let attributes = files::attributes(&file.mode, &file.owner)?;
            let (content, attributes) = match (&file.source, &file.link, &file.from) {
                (Some(source), ..) => (Content::File(self.content(source, context)?.into()), attributes),
                (None, Some(target), _) => (Content::Symlink(target.clone()), Attributes::root(0o777)),
                (None, None, Some(from)) => (Content::File(self.local_content(from)?), attributes),
                (None, None, None) => continue,
            };
            let path = template::render(self.environment, &format!("path {}", file.path), &file.path, context)?;
            files::check_target(&path)?;
            let is_template = file.source.as_deref().is_some_and(is_template);
            let is_certain = !is_template || self.recipe.settings.contains_key(self.overlay.name());
            let wish = FileWish { path, content, attributes, reason: self.reason(), is_certain };
            match file.package_manager {
                Some(manager) => self.wish_of(manager, Managed::File(wish)),
                None => add_file(&mut self.resolved.files, wish)?,
            }
        }
        Ok(())
    }

    fn lines(&mut self, context: &Value) -> Result<()> {
        for rule in &self.overlay.description.line {
            if !self.holds(rule.when.as_ref(), context)? {
                continue;
            }
            let render =
                |source: &str| template::render(self.environment, &format!("line of {}", rule.path), source, context);
            let (text, replaces) = (render(&rule.text)?, render(&rule.replaces)?);
            let mut replaces = replaces.lines();
            for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                let wish = LineWish {
                    path: rule.path.clone(),
                    line: line.to_owned(),
                    replaces: replaces.next().unwrap_or_default().to_owned(),
                    reason: self.reason(),
                };
                match rule.package_manager {
                    Some(manager) => self.wish_of(manager, Managed::Line(wish)),
                    None => self.resolved.lines.push(wish),
                }
            }
        }
        Ok(())
    }

    /// Wishes something of an image with this package manager.
    fn wish_of(&mut self, manager: PackageManager, wish: Managed) {
        let reason = self.reason();
        self.resolved.managed.push(ManagedWish { manager, wish, reason });
    }

    /// The file that the setting `from` names.
    fn local_content(&self, from: &str) -> Result<Arc<[u8]>> {
        let named = self.local.get(from).filter(|local| !local.name().is_empty());
        named.map(|local| Arc::clone(&local.bytes)).ok_or_else(|| {
            Error::usage(format!("the setting `{from}` names no file"))
                .remedy(format!("name one: --set {}.{from}=FILE", self.overlay.name()))
        })
    }

    fn content(&self, source: &str, context: &Value) -> Result<Vec<u8>> {
        let bytes =
            self.overlay.source(source).ok_or_else(|| Error::usage(format!("there is no source `files/{source}`")))?;
        if !is_template(source) {
            return Ok(bytes.to_vec());
        }
        let name = format!("files/{source}");
        let text = std::str::from_utf8(bytes)
            .map_err(|error| Error::usage(format!("not UTF-8 from byte {}", error.valid_up_to())).at(name.clone()))?;
        Ok(template::render(self.environment, &name, text, context)?.into_bytes())
    }
}

fn merge_autoload(all: &mut Vec<AutoloadWish>, wish: AutoloadWish) -> Result<()> {
    let Some(other) = all.iter_mut().find(|other| other.module == wish.module) else {
        all.push(wish);
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

fn add_file(all: &mut Vec<FileWish>, wish: FileWish) -> Result<()> {
    if let Some(other) = all.iter().find(|other| other.path == wish.path) {
        return Err(Error::usage(format!("{} is wished twice: by {} and by {}", wish.path, other.reason, wish.reason))
            .remedy("keep one of the two"));
    }
    all.push(wish);
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
        add_file(&mut resolved.files, FileWish { path, content, attributes, reason, is_certain: true })?;
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
        };
        add_file(&mut resolved.files, wish)?;
    }
    Ok(())
}
