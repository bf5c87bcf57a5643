//! JSON text as a table, with the place of every key kept beside it.
//!
//! `serde_json` decides what is JSON and gives the values; it tells no places of values, so a second walk over the text,
//! known to be sound by then, finds those.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use toml::{Table, Value};

use crate::error::{Error, Result};

use super::document::{Document, child_path};
use super::places::{Places, TextPlaces};

impl Document {
    /// Parses JSON `text`, an object; `name` is what errors call it.
    ///
    /// # Errors
    /// Text that is not JSON or no object, `null`, and numbers that are too large, with line and column.
    pub(crate) fn parse_json(text: &str, name: &str) -> Result<Self> {
        let json: Json = serde_json::from_str(text).map_err(|error| {
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            let place = format!("{name}, line {}, column {}", error.line(), error.column());
            Error::usage(format!("not valid JSON: {message}")).at(place)
        })?;
        let mut walk = Walk::over(text, name);
        walk.value("", None);
        if let Some(key) = walk.doubled {
            return Err(Error::usage("not valid JSON: duplicate key").at(walk.places.describe(key)));
        }
        let places = walk.noted;
        match value(&json, "").map_err(|(path, message)| places.locate(Error::usage(message), &path))? {
            Value::Table(table) => Ok(Self { table, places }),
            _ => Err(Error::usage("not a JSON object").at(name)),
        }
    }
}

/// `json` as TOML has it; else the path of what it has not, and what that is.
fn value(json: &Json, path: &str) -> Result<Value, (String, String)> {
    match json {
        Json::Null => Err((path.to_owned(), format!("`{path}` is null; leave the key out"))),
        Json::Bool(truth) => Ok(Value::Boolean(*truth)),
        Json::String(text) => Ok(Value::String(text.clone())),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Ok(Value::Integer(integer)),
            (None, Some(float)) if !number.is_u64() => Ok(Value::Float(float)),
            _ => Err((path.to_owned(), format!("`{path}` is {number}, more than {}", i64::MAX))),
        },
        Json::Array(items) => {
            let items = items.iter().enumerate();
            items
                .map(|(index, item)| value(item, &format!("{path}[{index}]")))
                .collect::<Result<_, _>>()
                .map(Value::Array)
        }
        Json::Object(object) => {
            let entries = object.iter().map(|(key, json)| Ok((key.clone(), value(json, &child_path(path, key))?)));
            entries.collect::<Result<Table, _>>().map(Value::Table)
        }
    }
}

/// A walk over sound JSON.
struct Walk<'a> {
    text: &'a str,
    at: usize,
    places: TextPlaces<'a>,
    noted: Places,
    /// Where a key stands that its object has already; serde_json lets the last one win.
    doubled: Option<usize>,
}

impl<'a> Walk<'a> {
    fn over(text: &'a str, name: &str) -> Self {
        Self { text, at: 0, places: TextPlaces::of(text, name), noted: Places::default(), doubled: None }
    }

    /// Walks over a value. `key` is where its key stands; an item of a list has none.
    fn value(&mut self, path: &str, key: Option<usize>) {
        self.blanks();
        if !path.is_empty() {
            self.noted.insert(path.to_owned(), self.places.key_and_value(key.unwrap_or(self.at), self.at));
        }
        match self.next() {
            Some(b'{') => {
                let mut keys = BTreeSet::new();
                while let Some(key_at) = self.element(b'}') {
                    let end = self.plain_end();
                    let key = self.text.get(self.at..end).and_then(|key| serde_json::from_str::<String>(key).ok());
                    self.at = end;
                    self.blanks();
                    self.at += 1; // the colon
                    let key = key.unwrap_or_default();
                    self.value(&child_path(path, &key), Some(key_at));
                    if !keys.insert(key) {
                        self.doubled.get_or_insert(key_at);
                    }
                }
            }
            Some(b'[') => {
                let mut index = 0;
                while self.element(b']').is_some() {
                    self.value(&format!("{path}[{index}]"), None);
                    index += 1;
                }
            }
            _ => self.at = self.plain_end(),
        }
    }

    /// Enters an object or list, or goes on to its next element: where that begins. `None` behind the last, which `close`
    /// follows.
    fn element(&mut self, close: u8) -> Option<usize> {
        // The bracket that opens, or the comma between two.
        self.blanks();
        if self.next() != Some(close) {
            self.at += 1;
            self.blanks();
        }
        match self.next() {
            Some(byte) if byte != close => Some(self.at),
            _ => {
                self.at += 1;
                None
            }
        }
    }

    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.next().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Where the string, number or word here ends.
    fn plain_end(&self) -> usize {
        let bytes = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let is_string = bytes.first() == Some(&b'"');
        let mut escaped = false;
        for (count, byte) in bytes.iter().enumerate().skip(1) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if is_string => escaped = true,
                b'"' if is_string => return self.at + count + 1,
                b',' | b'}' | b']' | b':' if !is_string => return self.at + count,
                byte if !is_string && byte.is_ascii_whitespace() => return self.at + count,
                _ => {}
            }
        }
        self.text.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_value_knows_its_line_and_column() {
        let text = "{\"a\": {\"b,}\": [1, {\"c\": \"x\\\"]\"}],\n \"e\": {}, \"l\": [ ]},\n\"d\" : true}";
        let document = Document::parse_json(text, "h.json").unwrap();
        let at = |path: &str| document.places.of_value(path).unwrap();
        assert_eq!(document.places.of("a.b,}").as_deref(), Some("h.json, line 1, column 8"));
        assert_eq!(at("a.b,}"), "h.json, line 1, column 15");
        assert_eq!(at("a.b,}[1].c"), "h.json, line 1, column 25");
        assert_eq!(at("a.e"), "h.json, line 2, column 7");
        assert_eq!(at("a.l"), "h.json, line 2, column 16");
        assert_eq!(at("d"), "h.json, line 3, column 7");
        assert_eq!(document.table["a"]["b,}"][1]["c"].as_str(), Some("x\"]"));
    }

    #[test]
    fn what_toml_cannot_say_is_refused_at_its_place() {
        for (text, message) in [
            ("{\"a\":\n [1, null]}", "h.json, line 2, column 6: `a[1]` is null; leave the key out"),
            ("{\"a\": 18446744073709551615}", "h.json, line 1, column 2: `a` is 18446744073709551615, more than"),
            ("{\"a\": 1,\n}", "h.json, line 2, column 1: not valid JSON: trailing comma"),
            ("{\"a\": 1, \"b\": {\"a\": 1,\n\"a\": 1}}", "h.json, line 2, column 1: not valid JSON: duplicate key"),
            ("[1]", "h.json: not a JSON object"),
        ] {
            let error = Document::parse_json(text, "h.json").unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    fn json() -> impl Strategy<Value = Json> {
        let plain = prop_oneof![
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            "[\\PC\n\t\"\\\\]{0,6}".prop_map(Json::from),
        ];
        plain.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::btree_map("[a-z,{}\"]{1,3}", inner, 0..4)
                    .prop_map(|map| Json::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn the_walk_ends_where_the_text_does(json in json(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) }.unwrap();
            let mut walk = Walk::over(&text, "x");
            walk.value("", None);
            prop_assert_eq!(walk.at, text.len());
        }
    }
}
