//! One overlay, parsed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::Value as Json;

use crate::error::{At, Error, Result};
use crate::recipe::{Document, Places, check_table, schema_of};
use crate::suggest::instead;

use super::description::{Description, Setting, SettingType};
use super::files::check_target;
use super::folder::{self, Folder};
use super::settings;

/// Name of the file that makes a folder an overlay.
pub(crate) const DESCRIPTION_FILE: &str = "overlay.toml";
/// Where its sources lie.
const FILES: &str = "files/";

/// An overlay: its description and its files. A clone shares them.
#[derive(Debug, Clone)]
pub(crate) struct Overlay {
    pub(super) description: Arc<Description>,
    pub(super) folder: Arc<Folder>,
    schema: Arc<Json>,
    /// What errors call it.
    pub(super) origin: String,
}

/// Whether `reference` names a folder rather than a built-in overlay: it has a path separator, or is an existing folder
/// that holds `overlay.toml`.
pub(crate) fn is_folder(reference: &str) -> bool {
    reference.contains(['/', std::path::MAIN_SEPARATOR]) || Path::new(reference).join(DESCRIPTION_FILE).is_file()
}

impl Overlay {
    /// Names of the overlays in the binary, sorted.
    pub(crate) fn builtin_names() -> Vec<&'static str> {
        folder::builtin_names()
    }

    /// The overlay that `reference` names: a built-in one by name, or a folder.
    ///
    /// # Errors
    /// No such overlay (with a suggestion), a folder that cannot be read, or a description that is wrong.
    pub(crate) fn load(reference: &str) -> Result<Self> {
        if is_folder(reference) {
            let root = Path::new(reference);
            if !root.exists() {
                return Err(Error::usage(format!("there is no folder {reference}"))
                    .remedy("check the path of the overlay; a built-in one is named without `/`: --overlay ipoib"));
            }
            if root.is_dir() && !root.join(DESCRIPTION_FILE).is_file() {
                return Err(Error::usage(format!("no {DESCRIPTION_FILE} in it, so it is not an overlay"))
                    .at(reference)
                    .remedy("`ibwrt overlays export ipoib DIR` writes one to start from"));
            }
            return Self::parse(folder::read(root).at(|| format!("overlay {reference}"))?, reference);
        }
        Self::builtin(reference)
    }

    /// The built-in overlay `name`, parsed once: thousands of hosts ask for it.
    fn builtin(name: &str) -> Result<Self> {
        static PARSED: Mutex<BTreeMap<String, Overlay>> = Mutex::new(BTreeMap::new());
        let known = || PARSED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(overlay) = known().get(name) {
            return Ok(overlay.clone());
        }
        let folder = folder::builtin(name).ok_or_else(|| {
            Error::usage(format!("there is no overlay `{name}`")).remedy(instead(
                name,
                &Self::builtin_names(),
                "built-in overlays",
            ))
        })?;
        let overlay = Self::parse(folder, name)?;
        known().insert(name.to_owned(), overlay.clone());
        Ok(overlay)
    }

    /// The overlay in `folder`; errors call it `origin`.
    pub(super) fn parse(folder: Folder, origin: &str) -> Result<Self> {
        let place = format!("overlay {origin}");
        let description = folder
            .get(DESCRIPTION_FILE)
            .ok_or_else(|| Error::usage(format!("there is no {DESCRIPTION_FILE}")))
            .and_then(|bytes| parse_description(bytes, &folder))
            .at(|| place)?;
        let schema = Arc::new(settings::schema(&description));
        Ok(Self { description: Arc::new(description), folder: Arc::new(folder), schema, origin: origin.to_owned() })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.description.name
    }

    /// What it does, one line.
    pub(crate) fn summary(&self) -> &str {
        &self.description.summary
    }

    /// What to know about it.
    pub(crate) fn description(&self) -> &str {
        self.description.description.trim()
    }

    /// Overlays that it stands on.
    pub(crate) fn requires(&self) -> &[String] {
        &self.description.requires
    }

    /// Modules that it wants, in every case or on a condition, with whether they are optional.
    pub(crate) fn modules(&self) -> Vec<(&str, bool)> {
        let modules = &self.description.modules;
        let required = modules.required.iter().map(|name| (name.as_str(), false));
        let optional = modules.optional.iter().map(|name| (name.as_str(), true));
        let conditional = self.description.module.iter().map(|module| (module.name.as_str(), true));
        let mut all = Vec::<(&str, bool)>::new();
        for (name, is_optional) in required.chain(optional).chain(conditional) {
            if !all.iter().any(|(other, _)| *other == name) {
                all.push((name, is_optional));
            }
        }
        all
    }

    /// Its settings; for `ipoib`, whose rules are built in, those of the short form.
    pub(crate) fn settings(&self) -> Vec<Setting> {
        settings::listed(&self.description)
    }

    /// Names of its settings that name local files.
    pub(crate) fn file_settings(&self) -> impl Iterator<Item = &str> {
        let files = self.description.setting.iter().filter(|setting| setting.kind == SettingType::File);
        files.map(|setting| setting.name.as_str())
    }

    /// Paths in the image that it may write, with what a template fills in as `<name>`.
    pub(crate) fn targets(&self) -> Vec<String> {
        let files = self.description.file.iter().map(|file| &file.path);
        let paths = files.chain(self.description.line.iter().map(|line| &line.path));
        paths.map(|path| path.replace("{{ ", "<").replace(" }}", ">")).collect()
    }

    /// JSON schema of its table in a recipe.
    pub(crate) fn schema(&self) -> &Json {
        &self.schema
    }

    /// Writes its files below `dir`, as a start for an overlay of one's own; answers the paths.
    ///
    /// # Errors
    /// A file that exists already, or a failed write.
    pub(crate) fn export(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        folder::write(&self.folder, dir)
    }

    /// The bytes of the source `name` below `files/`.
    pub(super) fn source(&self, name: &str) -> Option<&[u8]> {
        self.folder.get(&format!("{FILES}{name}")).map(Vec::as_slice)
    }
}

fn parse_description(bytes: &[u8], folder: &Folder) -> Result<Description> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Error::usage(format!("not UTF-8 from byte {}", error.valid_up_to())).at(DESCRIPTION_FILE))?;
    let document = Document::parse(text, DESCRIPTION_FILE)?;
    static SCHEMA: LazyLock<Json> = LazyLock::new(schema_of::<Description>);
    check_table(&SCHEMA, &document.table, "", &document.places)?;
    let description = Description::deserialize(document.table)
        .map_err(|error| Error::usage(error.message().to_owned()).at(DESCRIPTION_FILE))?;
    check(&description, folder, &document.places)?;
    Ok(description)
}

/// What the schema does not say.
fn check(description: &Description, folder: &Folder, places: &Places) -> Result<()> {
    let refuse = |path: &str, message: String| places.locate(Error::usage(message), path);
    let name = &description.name;
    let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || !name.bytes().all(sound) || crate::recipe::is_recipe_key(name) {
        return Err(refuse("name", format!("`{name}` cannot be the name of an overlay"))
            .remedy("use lower-case letters, digits and dashes, and no key that recipes have already"));
    }
    for (index, setting) in description.setting.iter().enumerate() {
        let path = format!("setting[{index}]");
        if description.setting.iter().take(index).any(|other| other.name == setting.name) {
            return Err(refuse(&path, format!("setting `{}` is declared twice", setting.name)));
        }
        if !setting.choices.is_empty() && !matches!(setting.kind, SettingType::String | SettingType::List) {
            return Err(refuse(
                &path,
                format!("setting `{}` has choices, but only strings can be chosen", setting.name),
            ));
        }
        if let Some(default) = &setting.default {
            settings::check_default(setting, default, &path, places)?;
        }
    }
    for (index, autoload) in description.autoload.iter().enumerate() {
        let file = &autoload.file;
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if file.is_empty() || file.starts_with('.') || !file.bytes().all(sound) {
            return Err(refuse(
                &format!("autoload[{index}].file"),
                format!("`{file}` cannot be a file of /etc/modules.d"),
            )
            .remedy("use a name such as 30-hw-network: letters, digits, `-`, `_` and `.`"));
        }
    }
    let listed = description.modules.required.iter().chain(&description.modules.optional);
    let listed = listed.chain(description.module.iter().map(|module| &module.name));
    let listed = listed.chain(description.autoload.iter().map(|autoload| &autoload.module));
    for name in listed.chain(description.same_build.iter().flatten()) {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
            return Err(refuse("modules", format!("`{name}` cannot be the name of a module"))
                .remedy("write it without folder and `.ko`"));
        }
    }
    for (index, line) in description.line.iter().enumerate() {
        check_target(&line.path).map_err(|error| places.locate(error, &format!("line[{index}]")))?;
    }
    check_files(description, folder, places)
}

fn check_files(description: &Description, folder: &Folder, places: &Places) -> Result<()> {
    for (index, file) in description.file.iter().enumerate() {
        let path = format!("file[{index}]");
        let locate = |error: Error| places.locate(error, &path);
        // What a template gives is checked once it is rendered.
        if !file.path.contains("{{") {
            check_target(&file.path).map_err(locate)?;
        }
        super::files::attributes(&file.mode, &file.owner).map_err(locate)?;
        let source = match (&file.source, &file.link, &file.from) {
            (Some(source), None, None) => source,
            (None, Some(_), None) => continue,
            (None, None, Some(from)) => {
                let is_file = |setting: &Setting| setting.name == *from && setting.kind == SettingType::File;
                if description.setting.iter().any(is_file) {
                    continue;
                }
                return Err(locate(Error::usage(format!("`{from}` is no setting of type \"file\""))));
            }
            (None, None, None) => {
                return Err(locate(Error::usage(
                    "a file needs `source` (below files/), `link`, or `from` (a setting)",
                )));
            }
            _ => return Err(locate(Error::usage("a file has one of `source`, `link` and `from`, not several"))),
        };
        let inside = !source.starts_with('/') && !source.split('/').any(|part| matches!(part, "" | "." | ".."));
        if !inside || source.contains('\\') {
            return Err(locate(Error::usage(format!("the source `{source}` leaves the overlay's folder files/")))
                .remedy("name a file below files/, without `..`"));
        }
        if !folder.contains_key(&format!("{FILES}{source}")) {
            let known = folder.keys().filter_map(|name| name.strip_prefix(FILES)).collect::<Vec<_>>();
            return Err(locate(Error::usage(format!("there is no source `{FILES}{source}`")))
                .remedy(instead(source, &known, "sources")));
        }
    }
    Ok(())
}
