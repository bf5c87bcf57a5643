//! A TOML value held against a JSON schema. The schema that editors get is the one that decides, so the two cannot
//! drift apart; errors say place, path, and what was probably meant.

use serde_json::Value as Json;
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::suggest::{instead, quoted_list, suggestion};

use super::document::{child_path, kind_of};
use super::places::Places;

/// Checks `table`, which stands at `path`, against an object schema without references.
///
/// # Errors
/// An unknown or missing key, a value of another type, out of range or not among the choices: each with its place.
pub(crate) fn check_table(schema: &Json, table: &Table, path: &str, places: &Places) -> Result<()> {
    let empty = serde_json::Map::new();
    let properties = schema.get("properties").and_then(Json::as_object).unwrap_or(&empty);
    let open = schema.get("additionalProperties") != Some(&Json::Bool(false));
    for (key, value) in table {
        let path = child_path(path, key);
        match properties.get(key) {
            Some(schema) => check_value(schema, value, &path, places)?,
            None if open => {}
            None => {
                let known = properties.keys().map(String::as_str).collect::<Vec<_>>();
                let error = Error::usage(format!("unknown key `{path}`")).remedy(instead(key, &known, "keys"));
                return Err(places.locate(error, &path));
            }
        }
    }
    for key in schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str) {
        if !table.contains_key(key) {
            let error = Error::usage(format!("the key `{}` is missing", child_path(path, key)));
            return Err(places.locate(error, path));
        }
    }
    Ok(())
}

/// Checks one value; as [`check_table`].
pub(crate) fn check_value(schema: &Json, value: &Value, path: &str, places: &Places) -> Result<()> {
    let wrong = |error: Error| places.locate(error, path);
    if let Some(choices) = choices(schema) {
        let found = value.as_str().unwrap_or_default();
        if value.is_str() && choices.contains(&found) {
            return Ok(());
        }
        let error = match value.as_str() {
            Some(text) => Error::usage(format!("`{path}` is \"{text}\", not one of {}", quoted_list(&choices))),
            None => Error::usage(format!("`{path}` is {}, not one of {}", kind_of(value), quoted_list(&choices))),
        };
        let probable = suggestion(found, choices.iter().copied());
        return Err(wrong(match probable {
            Some(choice) => error.remedy(format!("did you mean `{choice}`?")),
            None => error,
        }));
    }
    if let Some(branches) = branches(schema) {
        let fitting = branches.iter().filter(|branch| takes(branch, value)).collect::<Vec<_>>();
        let mut first = None;
        for branch in fitting {
            match check_value(branch, value, path, places) {
                Ok(()) => return Ok(()),
                Err(error) => first = first.or(Some(error)),
            }
        }
        return Err(first.unwrap_or_else(|| wrong(mismatch(schema, value, path))));
    }
    if !takes(schema, value) {
        return Err(wrong(mismatch(schema, value, path)));
    }
    match value {
        Value::Table(table) => check_table(schema, table, path, places),
        Value::Array(items) => {
            check_length(schema, items.len(), path).map_err(wrong)?;
            let Some(schema) = schema.get("items") else { return Ok(()) };
            items
                .iter()
                .enumerate()
                .try_for_each(|(index, item)| check_value(schema, item, &format!("{path}[{index}]"), places))
        }
        Value::Integer(number) => check_range(schema, *number, path).map_err(wrong),
        _ => Ok(()),
    }
}

fn mismatch(schema: &Json, value: &Value, path: &str) -> Error {
    Error::usage(format!("`{path}` is {}, where {} belongs", kind_of(value), describe(schema)))
}

fn check_length(schema: &Json, length: usize, path: &str) -> Result<()> {
    let bound = |key: &str| schema.get(key).and_then(Json::as_u64).and_then(|bound| usize::try_from(bound).ok());
    if let Some(least) = bound("minItems").filter(|least| length < *least) {
        return Err(Error::usage(format!("`{path}` holds {length} values, but needs at least {least}")));
    }
    if let Some(most) = bound("maxItems").filter(|most| length > *most) {
        return Err(Error::usage(format!("`{path}` holds {length} values, but may hold at most {most}")));
    }
    Ok(())
}

fn check_range(schema: &Json, number: i64, path: &str) -> Result<()> {
    let bound = |key: &str| schema.get(key).and_then(Json::as_i64);
    if let Some(least) = bound("minimum").filter(|least| number < *least) {
        return Err(Error::usage(format!("`{path}` is {number}, but must be {least} or more")));
    }
    if let Some(most) = bound("maximum").filter(|most| number > *most) {
        return Err(Error::usage(format!("`{path}` is {number}, but must be {most} or less")));
    }
    Ok(())
}

/// The strings a schema chooses from: `enum`, `const`, or alternatives of constants only.
fn choices(schema: &Json) -> Option<Vec<&str>> {
    if let Some(values) = schema.get("enum").and_then(Json::as_array) {
        return Some(values.iter().filter_map(Json::as_str).collect());
    }
    if let Some(value) = schema.get("const").and_then(Json::as_str) {
        return Some(vec![value]);
    }
    let all = branches(schema)?.iter().map(choices).collect::<Option<Vec<_>>>()?;
    Some(all.into_iter().flatten().collect())
}

fn branches(schema: &Json) -> Option<&Vec<Json>> {
    schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Json::as_array)
}

/// Whether `value` is of a type that the schema takes; its content is not looked at.
fn takes(schema: &Json, value: &Value) -> bool {
    if let Some(branches) = branches(schema) {
        return branches.iter().any(|branch| takes(branch, value));
    }
    let types = types(schema);
    let found = match value {
        Value::String(_) => "string",
        Value::Integer(_) => "integer",
        Value::Float(_) => "number",
        Value::Boolean(_) => "boolean",
        Value::Datetime(_) => "date",
        Value::Array(_) => "array",
        Value::Table(_) => "object",
    };
    types.is_empty() || types.contains(&found)
}

fn types(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(name)) => vec![name.as_str()],
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).collect(),
        _ if schema.get("const").is_some() || schema.get("enum").is_some() => vec!["string"],
        _ => Vec::new(),
    }
}

/// What the schema takes, in words.
fn describe(schema: &Json) -> String {
    let mut words = match branches(schema) {
        Some(branches) => branches.iter().map(describe).collect::<Vec<_>>(),
        None => types(schema)
            .into_iter()
            .filter_map(|name| match name {
                "string" => Some("a string".to_owned()),
                "integer" => Some("an integer".to_owned()),
                "number" => Some("a number".to_owned()),
                "boolean" => Some("true or false".to_owned()),
                "array" => Some(schema.get("items").map_or_else(|| "a list".to_owned(), describe_items)),
                "object" => Some("a table".to_owned()),
                _ => None,
            })
            .collect(),
    };
    words.dedup();
    words.join(" or ")
}

fn describe_items(items: &Json) -> String {
    match types(items).as_slice() {
        ["string"] => "a list of strings".to_owned(),
        ["integer"] => "a list of integers".to_owned(),
        ["object"] => "a list of tables".to_owned(),
        _ => "a list".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::document::Document;
    use super::*;

    fn verdict(text: &str) -> Result<()> {
        let strings = json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]});
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["name"],
            "properties": {
                "name": {"type": "string"},
                "address": strings,
                "mtu": {"type": "integer", "minimum": 68, "maximum": 65520},
                "mode": {"oneOf": [{"const": "datagram"}, {"const": "connected"}]},
                "ports": {"type": "array", "maxItems": 2, "items": {"type": "string", "enum": ["ib", "eth"]}},
            }
        });
        let document = Document::parse(text, "r.toml").unwrap();
        check_table(&schema, &document.table, "", &document.places)
    }

    #[test]
    fn what_fits_the_schema_passes() {
        verdict("name='x'\naddress='a'\nmtu=68\nmode='connected'\nports=['ib','eth']").unwrap();
        verdict("name='x'\naddress=['a', 'b']").unwrap();
    }

    #[test]
    fn each_misfit_names_place_path_and_what_belongs_there() {
        for (text, message, remedy) in [
            ("adress='a'\nname='x'", "r.toml, line 1, column 1: unknown key `adress`", "did you mean `address`?"),
            (
                "name='x'\nzzz=1",
                "r.toml, line 2, column 1: unknown key `zzz`",
                "the keys here are `address`, `mode`, `mtu`, `name`, `ports`",
            ),
            ("name=1", "r.toml, line 1, column 1: `name` is an integer, where a string belongs", ""),
            (
                "name='x'\naddress=5",
                "r.toml, line 2, column 1: `address` is an integer, where a string or a list of strings belongs",
                "",
            ),
            (
                "name='x'\naddress=['a', 5]",
                "r.toml, line 2, column 15: `address[1]` is an integer, where a string belongs",
                "",
            ),
            ("name='x'\nmtu=67", "r.toml, line 2, column 1: `mtu` is 67, but must be 68 or more", ""),
            ("name='x'\nmtu=65521", "r.toml, line 2, column 1: `mtu` is 65521, but must be 65520 or less", ""),
            (
                "name='x'\nmode='conected'",
                "r.toml, line 2, column 1: `mode` is \"conected\", not one of `datagram`, `connected`",
                "did you mean `connected`?",
            ),
            (
                "name='x'\nmode=1",
                "r.toml, line 2, column 1: `mode` is an integer, not one of `datagram`, `connected`",
                "",
            ),
            (
                "name='x'\nports=['ib','eth','ib']",
                "r.toml, line 2, column 1: `ports` holds 3 values, but may hold at most 2",
                "",
            ),
            ("mtu=68", "the key `name` is missing", ""),
        ] {
            let error = verdict(text).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert_eq!(error.remedy_text().unwrap_or_default(), remedy, "{message}");
        }
    }
}
