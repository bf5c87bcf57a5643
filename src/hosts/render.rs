//! From a host as it is written to its recipe: layers laid over each other, templates rendered, the recipe assembled.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use minijinja::{Environment, Value as Name, context};
use serde_json::Value as Json;
use toml::{Table, Value};

use crate::error::Result;
use crate::overlay::{Overlay, is_folder};
use crate::recipe::{
    self, CommandLineWishes, Document, Recipe, Rekey, child_path, overlays_by_name, recipe_file, typed,
};
use crate::template::{self, Outside, Secrets, serialized};

use super::{Host, Hosts};

/// A host's recipe.
#[derive(Debug, Clone)]
pub(crate) struct HostRecipe {
    /// What is wished for it, the common part included.
    pub(crate) recipe: Recipe,
    /// Name of its output file.
    pub(crate) output: String,
    /// What its templates read and nobody may repeat.
    pub(crate) secrets: Secrets,
}

/// Makes recipes of hosts.
#[derive(Debug)]
pub(crate) struct Renderer {
    hosts: Hosts,
    wishes: CommandLineWishes,
    /// The recipe file, below all hosts.
    below: Document,
    /// Template of the output's name.
    name: String,
    schema: Json,
    /// Schemas of overlays that are folders, by reference: the key of their table and what belongs there.
    folders: Mutex<BTreeMap<String, Option<(String, Json)>>>,
}

impl Renderer {
    /// Reads the recipe file that `wishes` name. `name` is the template of the output's name.
    ///
    /// # Errors
    /// A recipe file that cannot be read.
    pub(crate) fn new(hosts: Hosts, wishes: &CommandLineWishes, name: &str) -> Result<Self> {
        Ok(Self {
            hosts,
            below: recipe_file(wishes)?,
            wishes: wishes.clone(),
            name: name.to_owned(),
            schema: recipe::schema()?,
            folders: Mutex::default(),
        })
    }

    /// The hosts, in the order in which they are written.
    pub(crate) fn hosts(&self) -> &[Host] {
        &self.hosts.hosts
    }

    /// The recipe of `host`.
    ///
    /// # Errors
    /// A mistake in a template, with the place of the value it is in; those of [`Recipe::assemble`]. None repeats a secret.
    pub(crate) fn render(&self, host: &Host) -> Result<HostRecipe> {
        let secrets = Secrets::default();
        let rendered = self.rendered(host, &secrets);
        rendered.map_err(|error| secrets.cover_error(error))
    }

    fn rendered(&self, host: &Host, secrets: &Secrets) -> Result<HostRecipe> {
        let names = self.names(host);
        let plain = template::environment();
        let output = template::render_value(&plain, &self.name, &names);
        let output = output.map_err(|error| error.at(format!("--name {}", self.name)))?;
        let mut environment = plain;
        Outside { folder: self.hosts.folder.clone(), secrets: secrets.clone() }.add_to(&mut environment);

        let mut document = self.layered(host);
        let work = Work { renderer: self, environment, names: names.clone(), folders: self.folder_schemas(&document) };
        let mut table = std::mem::take(&mut document.table);
        for (key, value) in &mut table {
            work.value(value, key, &document)?;
        }
        document.table = table;
        let mut whole = self.below.clone();
        let document = document.rooted(&self.hosts.folder, &self.overlays_below());
        self.root_below(&mut whole, &document);
        whole.lay(&document);
        let mut recipe = Recipe::from_document(whole, &self.wishes)?;
        if recipe.hostname.is_none() {
            recipe.hostname = Some(host.name.clone());
            recipe.places.note("hostname", &host.place);
        }
        if recipe.rekey == Some(Rekey::ByName) {
            recipe.rekey = Some(Rekey::BySeed(host.name.clone()));
        }
        recipe.names = names;
        recipe.secrets = secrets.clone();
        Ok(HostRecipe { recipe, output, secrets: secrets.clone() })
    }

    /// The overlays that recipe file and command line put in force.
    fn overlays_below(&self) -> Vec<String> {
        self.below.overlays().into_iter().chain(self.wishes.overlays.iter().cloned()).collect()
    }

    /// Roots the local files that `below`, the recipe file's, names for overlays that only `document` puts in force.
    fn root_below(&self, below: &mut Document, document: &Document) {
        let Some(folder) = self.wishes.recipe.as_ref().and_then(|recipe| recipe.parent()) else { return };
        let known = overlays_by_name(&self.overlays_below());
        let mut overlays = overlays_by_name(&document.overlays());
        overlays.retain(|name, _| !known.contains_key(name) && !Overlay::builtin_names().contains(&name.as_str()));
        below.root_settings(folder, &overlays);
    }

    /// What the hosts file says of `host`.
    fn layered(&self, host: &Host) -> Document {
        let mut document = self.hosts.defaults.clone();
        for group in host.groups.iter().filter_map(|name| self.hosts.groups.get(name)) {
            document.lay(&group.document);
        }
        document.lay(&host.document);
        document
    }

    /// The names that templates know.
    fn names(&self, host: &Host) -> Name {
        let mut vars = plain_table(&self.hosts.vars);
        let mut group = Table::new();
        for (name, written) in host.groups.iter().filter_map(|name| Some((name, self.hosts.groups.get(name)?))) {
            group.insert("name".to_owned(), Value::String(name.clone()));
            group.extend(plain_table(&written.vars));
        }
        vars.extend(group.iter().filter(|(key, _)| *key != "name").map(|(key, value)| (key.clone(), value.clone())));
        vars.extend(plain_table(&host.vars));
        let vars = serialized(&vars);
        let (name, groups) = (host.name.clone(), host.groups.clone());
        context! {
            host => context! { name => name, index => host.index, groups => groups, vars => vars.clone() },
            group => serialized(&group),
            vars => vars,
        }
    }

    /// The schemas of the overlays that are folders and that `document` or the layers around it name.
    fn folder_schemas(&self, document: &Document) -> BTreeMap<String, Json> {
        let own = Document { table: document.table.clone(), ..Document::default() }.rooted(&self.hosts.folder, &[]);
        let references = own.overlays().into_iter().chain(self.overlays_below());
        let mut known = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let folders = references.filter(|reference| is_folder(reference)).filter_map(|reference| {
            // What is wrong with an overlay is said when it is resolved.
            let load =
                || Overlay::load(&reference).ok().map(|overlay| (overlay.name().to_owned(), overlay.schema().clone()));
            known.entry(reference.clone()).or_insert_with(load).clone()
        });
        folders.collect()
    }
}

/// One host's values being rendered.
struct Work<'a> {
    renderer: &'a Renderer,
    environment: Environment<'static>,
    names: Name,
    folders: BTreeMap<String, Json>,
}

impl Work<'_> {
    /// Renders all text in `value`, which stands at `path` of `document`.
    fn value(&self, value: &mut Value, path: &str, document: &Document) -> Result<()> {
        match value {
            Value::String(text) => {
                let rendered =
                    self.text(std::mem::take(text)).map_err(|error| match document.places.of_value(path) {
                        Some(place) => error.at(place),
                        None => error.at(format!("`{path}`")),
                    })?;
                *value = self.typed(rendered, path);
                Ok(())
            }
            Value::Array(items) => {
                let mut items = items.iter_mut().enumerate();
                items.try_for_each(|(index, item)| self.value(item, &format!("{path}[{index}]"), document))
            }
            Value::Table(table) => {
                table.iter_mut().try_for_each(|(key, value)| self.value(value, &child_path(path, key), document))
            }
            _ => Ok(()),
        }
    }

    fn text(&self, text: String) -> Result<String> {
        match ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark)) {
            true => template::render_value(&self.environment, &text, &self.names),
            false => Ok(text),
        }
    }

    fn typed(&self, text: String, path: &str) -> Value {
        let folder = path.split_once('.').and_then(|(name, rest)| Some((self.folders.get(name)?, rest)));
        match folder {
            Some((schema, rest)) => typed(text, rest, schema),
            None => typed(text, path, &self.renderer.schema),
        }
    }
}

/// The same without dates, which templates know as text.
fn plain_table(table: &Table) -> Table {
    table.iter().map(|(key, value)| (key.clone(), plain(value))).collect()
}

fn plain(value: &Value) -> Value {
    match value {
        Value::Datetime(date) => Value::String(date.to_string()),
        Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
        Value::Table(table) => Value::Table(plain_table(table)),
        other => other.clone(),
    }
}
