//! Text read as the value that belongs where it stands: what templates render to, and cells of a CSV file.

use serde_json::Value as Json;
use toml::Value;

use super::document::parse_value;

/// `text` as the value of the key `path`: as it is where `schema` takes text there, or knows no such key; else the TOML
/// value that it spells, if it spells one.
pub(crate) fn typed(text: String, path: &str, schema: &Json) -> Value {
    let found = schemas_at(schema, path);
    if found.is_empty() || found.iter().any(|schema| takes_text(schema)) {
        return Value::String(text);
    }
    parse_value(&text)
}

/// What `schema` says of `path`, such as `ipoib.interface[0].mtu`, in each of its alternatives.
fn schemas_at<'a>(schema: &'a Json, path: &str) -> Vec<&'a Json> {
    let mut found = vec![schema];
    for part in path.split('.') {
        let (key, items) = part.split_once('[').map_or((part, 0), |(key, rest)| (key, rest.matches('[').count() + 1));
        found = step(&found, |schema| schema.get("properties")?.get(key));
        for _ in 0..items {
            found = step(&found, |schema| schema.get("items"));
        }
    }
    found.into_iter().flat_map(alternatives).collect()
}

fn step<'a>(schemas: &[&'a Json], below: impl Fn(&'a Json) -> Option<&'a Json>) -> Vec<&'a Json> {
    schemas.iter().flat_map(|schema| alternatives(schema)).filter_map(below).collect()
}

/// The schema itself, or what it chooses from.
fn alternatives(schema: &Json) -> Vec<&Json> {
    let branches = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Json::as_array);
    branches.map_or_else(|| vec![schema], |branches| branches.iter().flat_map(alternatives).collect())
}

fn takes_text(schema: &Json) -> bool {
    match schema.get("type") {
        Some(Json::String(name)) => name == "string",
        Some(Json::Array(names)) => names.iter().any(|name| name == "string"),
        _ => true, // a constant, a choice, or no matter what
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::schema;

    #[test]
    fn text_becomes_what_belongs_there() {
        let schema = schema().unwrap();
        let typed = |path: &str, text: &str| typed(text.to_owned(), path, &schema);
        assert_eq!(typed("hostname", "12"), Value::from("12"));
        assert_eq!(typed("replace_modules", "true"), Value::from(true));
        assert_eq!(typed("ipoib.mtu", "2044"), Value::from(2044));
        assert_eq!(typed("ipoib.mtu", "much"), Value::from("much"), "for the schema to refuse");
        assert_eq!(typed("ipoib.interface[1].mtu", "2044"), Value::from(2044));
        assert_eq!(typed("ipoib.pkeys", "[1]"), Value::from(vec![1]));
        assert_eq!(typed("ipoib.pkeys[0]", "1"), Value::from("1"), "a pkey may be text");
        assert_eq!(typed("ipoib.pkeys[0].mtu", "1500"), Value::from(1500));
        assert_eq!(typed("ipoib.mode", "connected"), Value::from("connected"));
        assert_eq!(typed("ipoib.zone.masquerade", "true"), Value::from(true));
        assert_eq!(typed("connectx3.port_type[0]", "ib"), Value::from("ib"));
        assert_eq!(typed("of.ones.own", "1"), Value::from("1"));
    }
}
