//! The rules `ipoib`: from the settings' table to checked interfaces.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::infiniband::{InterfaceInput, IpoibInput, IpoibSettings, Violation, refused_key};
use crate::plan::Finding;
use crate::recipe::Places;

/// Keys of the table that do not belong to the short form's interface.
const OUTER_KEYS: [&str; 2] = ["interface", "wait"];

/// Refuses what an IPoIB device cannot do, before such keys are merely unknown.
pub(super) fn refuse_impossible(table: &Table, path: &str, places: &Places) -> Result<()> {
    refuse_in(table, path, places)?;
    let interfaces = table.get("interface").and_then(Value::as_array);
    for (index, interface) in interfaces.into_iter().flatten().enumerate() {
        if let Value::Table(table) = interface {
            refuse_in(table, &format!("{path}.interface[{index}]"), places)?;
        }
    }
    Ok(())
}

fn refuse_in(table: &Table, path: &str, places: &Places) -> Result<()> {
    for (key, value) in table {
        let text = match value {
            Value::Table(inner) => inner.get("mode").and_then(Value::as_str),
            value => value.as_str(),
        };
        if let Some(violation) = refused_key(key, text) {
            return Err(locate(violation, path, places));
        }
    }
    let children = table.get("pkeys").and_then(Value::as_array);
    for (index, child) in children.into_iter().flatten().enumerate() {
        if let Value::Table(child) = child {
            refuse_in(child, &format!("{path}.pkeys[{index}]"), places)?;
        }
    }
    Ok(())
}

/// Checks the settings in `table`, whose keys the schema has let through.
pub(super) fn check(table: &Table, path: &str, places: &Places) -> Result<(IpoibSettings, Vec<Finding>)> {
    let input = input(table, path, places)?;
    IpoibSettings::check(&input).map_err(|violation| locate(violation, path, places))
}

fn input(table: &Table, path: &str, places: &Places) -> Result<IpoibInput> {
    let own = table.iter().filter(|(key, _)| !OUTER_KEYS.contains(&key.as_str()));
    let own = own.map(|(key, value)| (key.clone(), value.clone())).collect::<Table>();
    let short = (!own.is_empty()).then(|| read::<InterfaceInput>(Value::Table(own), path, places)).transpose()?;
    let interfaces = table.get("interface").and_then(Value::as_array).into_iter().flatten().enumerate();
    let interface = interfaces
        .map(|(index, value)| read(value.clone(), &format!("{path}.interface[{index}]"), places))
        .collect::<Result<Vec<_>>>()?;
    let wait = table.get("wait").map(|value| read(value.clone(), &format!("{path}.wait"), places)).transpose()?;
    Ok(IpoibInput { short, interface, wait })
}

fn read<T: DeserializeOwned>(value: Value, path: &str, places: &Places) -> Result<T> {
    value.try_into().map_err(|error: toml::de::Error| {
        places.locate(Error::usage(format!("`{path}` cannot be read: {}", error.message().trim_end())), path)
    })
}

fn locate(violation: Violation, path: &str, places: &Places) -> Error {
    let key = match violation.key.as_str() {
        "" => path.to_owned(),
        key => format!("{path}.{key}"),
    };
    let mut violation = violation;
    violation.message = format!("`{key}`: {}", violation.message);
    places.locate(violation.into_error(), &key)
}
