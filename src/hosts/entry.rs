//! A host and a group as they are written: the keys that are not the recipe's own are taken off.

use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::recipe::{Document, kind_of};

/// Longest name of a host, in bytes: a file name with an ending and a temporary file's prefix must fit in 255.
const NAME_MAX: usize = 200;

/// A host as it is written.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    /// Its name.
    pub(crate) name: String,
    /// Its place among all hosts, counted from 0.
    pub(crate) index: usize,
    /// The groups that it is in; what the last one says wins.
    pub(crate) groups: Vec<String>,
    /// Its free variables.
    pub(super) vars: Table,
    /// Its part of the recipe.
    pub(super) document: Document,
    /// Where it is written.
    pub(crate) place: String,
}

/// A group as it is written.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) vars: Table,
    pub(super) document: Document,
    pub(super) place: String,
}

impl Host {
    /// The host that `document` describes, with no index yet. `place` is where it stands, and `name` what it is called when
    /// it does not say so itself.
    ///
    /// # Errors
    /// No name or one that cannot be, groups that are no names, variables that are no table.
    pub(super) fn from_document(mut document: Document, place: &str, name: Option<&str>) -> Result<Self> {
        let place = document.places.of_value("name").unwrap_or_else(|| place.to_owned());
        let locate = |document: &Document, error: Error, key: &str| match document.places.of_value(key) {
            Some(place) => error.at(place),
            None => error.at(place.clone()),
        };
        let name = match (document.table.remove("name"), name) {
            (Some(Value::String(name)), _) => name,
            (Some(other), _) => {
                let error = Error::usage(format!("`name` is {}, where a string belongs", kind_of(&other)));
                return Err(locate(&document, error, "name"));
            }
            (None, Some(name)) => name.to_owned(),
            (None, None) => {
                return Err(Error::usage("this host has no `name`")
                    .at(place)
                    .remedy("give each host a name of its own: name = \"h1\""));
            }
        };
        check_name(&name).map_err(|error| locate(&document, error, "name"))?;
        let groups = document.table.remove("group");
        let groups = groups.map_or(Ok(Vec::new()), groups_in).map_err(|error| locate(&document, error, "group"))?;
        let vars = take_vars(&mut document)?;
        Ok(Self { name, index: 0, groups, vars, document, place })
    }
}

impl Group {
    /// The group `name` that `document` describes.
    ///
    /// # Errors
    /// A name that cannot be, variables that are no table or that are called `name`.
    pub(super) fn from_document(mut document: Document, place: &str, name: &str) -> Result<Self> {
        check_name(name).map_err(|error| error.at(place))?;
        let vars = take_vars(&mut document)?;
        if vars.contains_key("name") {
            let error =
                Error::usage("a group's variable cannot be called `name`: templates know the group's name by it");
            return Err(document.places.locate(error, "vars.name").remedy("give it another name"));
        }
        Ok(Self { vars, document, place: place.to_owned() })
    }
}

/// Names become file names, host names and words in a list.
fn check_name(name: &str) -> Result<()> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !name.is_empty() && name.len() <= NAME_MAX && !name.starts_with(['.', '-']) && name.bytes().all(sound) {
        return Ok(());
    }
    Err(Error::usage(format!("{name:?} cannot be the name of a host or group")).remedy(format!(
        "use letters, digits, `-`, `_` and `.`, at most {NAME_MAX}, and begin with a letter, digit or `_`"
    )))
}

/// The names in a host's `group`: a list, or words in a text.
fn groups_in(value: Value) -> Result<Vec<String>> {
    let refuse = |value: &Value| {
        Error::usage(format!("`group` is {}, where the name of a group or a list of names belongs", kind_of(value)))
    };
    let names = match value {
        Value::String(text) => text.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
        Value::Array(items) => {
            let names = items.into_iter().map(|item| match item {
                Value::String(name) => Ok(name),
                other => Err(refuse(&Value::Array(vec![other]))),
            });
            names.collect::<Result<_>>()?
        }
        other => return Err(refuse(&other)),
    };
    match names.iter().enumerate().find(|(index, name)| names.iter().take(*index).any(|other| other == *name)) {
        Some((_, name)) => Err(Error::usage(format!("the group `{name}` is named twice"))),
        None => Ok(names),
    }
}

/// Takes the free variables off.
pub(super) fn take_vars(document: &mut Document) -> Result<Table> {
    match document.table.remove("vars") {
        None => Ok(Table::new()),
        Some(Value::Table(vars)) => Ok(vars),
        Some(other) => {
            let error = Error::usage(format!("`vars` is {}, where a table of variables belongs", kind_of(&other)));
            Err(document.places.locate(error, "vars"))
        }
    }
}
