//! An overlay's settings: their schema, their defaults, their values.

use serde_json::{Map, Value as Json, json};
use toml::{Table, Value};

use crate::error::Result;
use crate::infiniband::InterfaceInput;
use crate::recipe::{Places, check_table, check_value, schema_of};

use super::Overlay;
use super::description::{Description, Rules, Setting, SettingType};

/// JSON schema of the overlay's table in a recipe.
pub(super) fn schema(description: &Description) -> Json {
    let mut schema = match description.rules {
        Some(Rules::Ipoib) => ipoib_schema(),
        None => json!({ "type": "object", "additionalProperties": false, "properties": {} }),
    };
    if let Some(properties) = schema.get_mut("properties").and_then(Json::as_object_mut) {
        for setting in &description.setting {
            properties.insert(setting.name.clone(), setting_schema(setting));
        }
    }
    if let Some(object) = schema.as_object_mut() {
        object.insert("description".to_owned(), Json::String(description.summary.clone()));
    }
    schema
}

/// An interface's keys, and any number of interfaces.
fn ipoib_schema() -> Json {
    let interface = schema_of::<InterfaceInput>();
    let mut schema = interface.clone();
    if let Some(properties) = schema.get_mut("properties").and_then(Json::as_object_mut) {
        let list = json!({ "type": "array", "description": "Any number of interfaces.", "items": interface });
        properties.insert("interface".to_owned(), list);
    }
    schema
}

fn setting_schema(setting: &Setting) -> Json {
    let mut one = Map::new();
    let kind = match setting.kind {
        SettingType::String | SettingType::List | SettingType::File => "string",
        SettingType::Integer => "integer",
        SettingType::Boolean => "boolean",
        SettingType::Table => "object",
    };
    one.insert("type".to_owned(), json!(kind));
    if !setting.choices.is_empty() {
        one.insert("enum".to_owned(), json!(setting.choices));
    }
    let bounds = |schema: &mut Map<String, Json>, least: &str, most: &str| {
        for (key, bound) in [(least, setting.minimum), (most, setting.maximum)] {
            if let Some(bound) = bound {
                schema.insert(key.to_owned(), json!(bound));
            }
        }
    };
    let mut schema = if setting.kind == SettingType::List {
        let mut list = Map::new();
        list.insert("type".to_owned(), json!("array"));
        list.insert("items".to_owned(), Json::Object(one.clone()));
        bounds(&mut list, "minItems", "maxItems");
        let mut either = Map::new();
        either.insert("anyOf".to_owned(), json!([one, list]));
        either
    } else {
        if setting.kind == SettingType::Integer {
            bounds(&mut one, "minimum", "maximum");
        }
        one
    };
    schema.insert("description".to_owned(), json!(setting.summary));
    if let Some(default) = setting.default.as_ref().and_then(|value| serde_json::to_value(value).ok()) {
        schema.insert("default".to_owned(), default);
    }
    if let Some(example) = setting.example.as_ref().and_then(|value| serde_json::to_value(value).ok()) {
        schema.insert("examples".to_owned(), json!([example]));
    }
    Json::Object(schema)
}

/// Checks a declared default against its own declaration.
pub(super) fn check_default(setting: &Setting, default: &Value, path: &str, places: &Places) -> Result<()> {
    check_value(&setting_schema(setting), default, &format!("{path}.default"), places)
}

/// The settings that a listing shows.
pub(super) fn listed(description: &Description) -> Vec<Setting> {
    let mut all = description.setting.clone();
    if description.rules == Some(Rules::Ipoib) {
        let schema = schema_of::<InterfaceInput>();
        let properties = schema.get("properties").and_then(Json::as_object);
        all.extend(properties.into_iter().flatten().map(|(name, schema)| from_schema(name, schema)));
    }
    all
}

fn from_schema(name: &str, schema: &Json) -> Setting {
    let kind = match schema.get("type").and_then(Json::as_str) {
        Some("integer") => SettingType::Integer,
        Some("boolean") => SettingType::Boolean,
        Some("array") => SettingType::List,
        Some("object") => SettingType::Table,
        _ if schema.get("anyOf").is_some() && matches!(name, "address" | "dns") => SettingType::List,
        _ => SettingType::String,
    };
    let constants = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Json::as_array);
    let choices = constants.into_iter().flatten().filter_map(|branch| branch.get("const")?.as_str());
    Setting {
        name: name.to_owned(),
        kind,
        summary: schema.get("description").and_then(Json::as_str).unwrap_or_default().replace('\n', " "),
        default: None,
        choices: choices.map(str::to_owned).collect(),
        minimum: None,
        maximum: None,
        example: None,
    }
}

/// Checks `given` and answers the values in force: defaults filled in, a single value of a list made a list.
///
/// # Errors
/// As [`check_table`].
pub(super) fn in_force(overlay: &Overlay, given: &Table, places: &Places) -> Result<Table> {
    let description = &overlay.description;
    check_table(overlay.schema(), given, &description.name, places)?;
    let mut table = given.clone();
    for setting in &description.setting {
        let value = table.remove(&setting.name).or_else(|| setting.default.clone());
        let value = value.unwrap_or_else(|| match setting.kind {
            SettingType::String | SettingType::File => Value::String(String::new()),
            SettingType::Integer => Value::Integer(0),
            SettingType::Boolean => Value::Boolean(false),
            SettingType::List => Value::Array(Vec::new()),
            SettingType::Table => Value::Table(Table::new()),
        });
        let value = match value {
            Value::String(text) if setting.kind == SettingType::List => Value::Array(vec![Value::String(text)]),
            value => value,
        };
        table.insert(setting.name.clone(), value);
    }
    Ok(table)
}
