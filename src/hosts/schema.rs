//! The hosts file's JSON schema: the recipe's, with hosts, groups and free variables.

use serde_json::{Map, Value as Json, json};

use crate::error::Result;
use crate::recipe;

/// The JSON schema of a hosts file.
///
/// # Errors
/// None but a damaged built-in overlay.
pub(crate) fn schema() -> Result<Json> {
    let mut schema = recipe::schema()?;
    if let Some(properties) = schema.get_mut("properties") {
        allow_templates(properties);
    }
    let recipe = schema.get("properties").and_then(Json::as_object).cloned().unwrap_or_default();
    let vars = json!({ "type": "object", "description": "Free variables, for templates." });
    let part = |own: Json, required: &[&str], description: &str| {
        let mut properties = recipe.clone();
        properties.extend(own.as_object().cloned().unwrap_or_else(Map::new));
        json!({
            "type": "object", "description": description, "properties": properties, "required": required,
            "additionalProperties": { "type": "object" },
        })
    };
    let names = json!({ "type": "array", "items": { "type": "string" } });
    let groups = json!({
        "description": "The group or groups that it is in; what the last one says wins.",
        "anyOf": [{ "type": "string" }, names],
    });
    let name =
        json!({ "type": "string", "description": "Its name; also its host name, unless `hostname` says otherwise." });
    let host = part(json!({ "name": name, "group": groups, "vars": vars }), &["name"], "A host.");
    let group = part(json!({ "vars": vars }), &[], "What the hosts of a group have in common.");
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".to_owned(), json!("ibwrt hosts"));
        let text = "What stands on top holds for every host. Every text may be a template.";
        object.insert("description".to_owned(), json!(text));
        if let Some(properties) = object.get_mut("properties").and_then(Json::as_object_mut) {
            properties.insert("vars".to_owned(), vars);
            properties.insert("group".to_owned(), json!({ "type": "object", "additionalProperties": group }));
            properties.insert("host".to_owned(), json!({ "type": "array", "items": host }));
        }
    }
    Ok(schema)
}

/// Lets a template stand where the schemas in `properties` take no text of that form.
fn allow_templates(properties: &mut Json) {
    for schema in properties.as_object_mut().into_iter().flat_map(Map::values_mut) {
        allow_template(schema);
    }
}

fn allow_template(schema: &mut Json) {
    if let Some(properties) = schema.get_mut("properties") {
        return allow_templates(properties);
    }
    if let Some(items) = schema.get_mut("items") {
        allow_template(items);
    }
    if schema.get("type") == Some(&json!("string")) && schema.get("enum").is_none() {
        return;
    }
    let mut outer = Map::new();
    if let Some(description) = schema.as_object_mut().and_then(|object| object.remove("description")) {
        outer.insert("description".to_owned(), description);
    }
    let template = json!({ "type": "string", "pattern": r"\{[{%]" });
    outer.insert("anyOf".to_owned(), json!([schema.take(), template]));
    *schema = Json::Object(outer);
}
