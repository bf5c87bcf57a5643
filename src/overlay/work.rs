//! One overlay being resolved: its settings, and what it adds to the wishes with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::{Environment, Value, context};
use toml::Table;

use crate::error::{At, Error, Result};
use crate::filesystem::Attributes;
use crate::infiniband::IpoibSettings;
use crate::kernel::ModuleName;
use crate::openwrt::PackageManager;
use crate::plan::{AutoloadWish, Content, FileWish, Finding, LineWish, Managed, ManagedWish, Severity};
use crate::recipe::Recipe;
use crate::template::{self, serialized};

use super::catalogue::Overlay;
use super::description::Rules;
use super::local::{self, Local};
use super::resolve::{PackageFile, Resolved};
use super::{files, ipoib, settings};

/// One overlay being resolved.
pub(super) struct Work<'a> {
    overlay: &'a Overlay,
    recipe: &'a Recipe,
    environment: &'a Environment<'a>,
    /// Local files by the settings that name them.
    local: BTreeMap<String, Local>,
    resolved: &'a mut Resolved,
}

impl<'a> Work<'a> {
    /// Nothing of `overlay` is in `resolved` yet.
    pub(super) fn new(
        overlay: &'a Overlay,
        recipe: &'a Recipe,
        environment: &'a Environment<'a>,
        resolved: &'a mut Resolved,
    ) -> Self {
        Self { overlay, recipe, environment, local: BTreeMap::new(), resolved }
    }

    /// Adds what the overlay asks for; answers its settings in force. `provided` is what all overlays in force provide.
    ///
    /// # Errors
    /// Settings that its declaration or rules refuse, findings that are errors, and what its templates and files make impossible.
    pub(super) fn run(mut self, provided: &[String]) -> Result<Table> {
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
            self.resolved.add_autoload(wish)?;
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
            let (reason, is_own) = (self.reason(), is_template);
            let wish = FileWish { path, content, attributes, reason, is_certain, is_own };
            match file.package_manager {
                Some(manager) => self.wish_of(manager, Managed::File(wish)),
                None => self.resolved.add_file(wish)?,
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

/// Whether an overlay's file is rendered before it is put into the image.
fn is_template(source: &str) -> bool {
    source.ends_with(".j2")
}
