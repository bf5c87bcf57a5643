//! TOML text as a table, with the place of every key kept beside it.

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use crate::error::{Error, Result};

use super::places::{Place, Places, TextPlaces};

/// A table and where its keys stand.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Document {
    /// What was said.
    pub(crate) table: Table,
    /// Where.
    pub(crate) places: Places,
}

impl Document {
    /// Parses TOML `text`; `name` is what errors call it.
    ///
    /// # Errors
    /// Text that is not TOML, with line and column.
    pub(crate) fn parse(text: &str, name: &str) -> Result<Self> {
        let refuse = |error: &toml::de::Error| {
            let place =
                error.span().map_or_else(|| name.to_owned(), |span| TextPlaces::of(text, name).describe(span.start));
            Error::usage(format!("not valid TOML: {}", error.message().trim_end())).at(place)
        };
        let tree = DeTable::parse(text).map_err(|error| refuse(&error))?;
        let table = toml::from_str::<Table>(text).map_err(|error| refuse(&error))?;
        let mut noted = Noted { text: TextPlaces::of(text, name), places: Places::default() };
        noted.table(tree.get_ref(), "");
        Ok(Self { table, places: noted.places })
    }

    /// Carries out one `--set key=value`. The value is TOML, or else a bare string; the key is dotted. What was there
    /// is replaced.
    ///
    /// # Errors
    /// No `=`, a key that is not one, or a key below something that is not a table.
    pub(crate) fn set(&mut self, assignment: &str) -> Result<()> {
        const REMEDY: &str = "write --set KEY=VALUE, such as --set ipoib.address=10.10.0.5/24";
        let place = format!("--set {assignment}");
        let refuse = |message: String| Error::usage(message).at(place.clone()).remedy(REMEDY);
        let (key, value) = assignment.split_once('=').ok_or_else(|| refuse("there is no `=` in it".to_owned()))?;
        let Some(path) = dotted(key) else { return Err(refuse(format!("`{key}` is not a dotted key"))) };
        self.insert(&path, parse_value(value), &Place::Option(place.as_str().into()))
            .map_err(|error| error.at(place.clone()).remedy(REMEDY))
    }

    /// Puts `value`, said at `place`, at the dotted key `path`, in the place of what was there.
    ///
    /// # Errors
    /// A key below something that is not a table, without a place.
    pub(crate) fn insert(&mut self, path: &[&str], value: Value, place: &Place) -> Result<()> {
        let Some((last, parents)) = path.split_last() else { return Err(Error::usage("the key is empty")) };
        let mut table = &mut self.table;
        let mut seen = String::new();
        for part in parents {
            push_key(&mut seen, part);
            if !table.contains_key(*part) {
                self.places.insert(seen.clone(), place.clone());
            }
            let entry = table.entry((*part).to_owned()).or_insert_with(|| Value::Table(Table::new()));
            let kind = kind_of(entry);
            table = entry.as_table_mut().ok_or_else(|| {
                Error::usage(format!("`{seen}` is {kind}, so nothing below it can be set"))
                    .remedy(format!("set `{seen}` as a whole, or write it in the recipe"))
            })?;
        }
        push_key(&mut seen, last);
        table.insert((*last).to_owned(), value);
        self.places.forget(&seen);
        self.places.insert(seen, place.clone());
        Ok(())
    }
}

/// The parts of the dotted key `key`; `None` when it is not one.
pub(crate) fn dotted(key: &str) -> Option<Vec<&str>> {
    let sound = |part: &&str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    let path = key.split('.').map(str::trim).collect::<Vec<_>>();
    path.iter().all(sound).then_some(path)
}

/// `text` as a TOML value, or else as the string it is.
pub(crate) fn parse_value(text: &str) -> Value {
    let text = text.trim();
    if text.contains(['\n', '\r']) {
        return Value::String(text.to_owned());
    }
    toml::from_str::<Table>(&format!("value = {text}"))
        .ok()
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

/// What sort of value it is, with its article.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "an integer",
        Value::Float(_) => "a float",
        Value::Boolean(_) => "a boolean",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// Appends `key` to the dotted `path`.
pub(crate) fn push_key(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}

/// `path` with `key` below it.
pub(crate) fn child_path(path: &str, key: &str) -> String {
    let mut child = path.to_owned();
    push_key(&mut child, key);
    child
}

/// The places of a TOML document, being noted.
struct Noted<'a> {
    text: TextPlaces<'a>,
    places: Places,
}

impl Noted<'_> {
    fn note(&mut self, path: &str, key: usize, value: usize) {
        self.places.insert(path.to_owned(), self.text.key_and_value(key, value));
    }

    fn table(&mut self, table: &DeTable<'_>, path: &str) {
        for (key, value) in table.iter() {
            let path = child_path(path, key.get_ref());
            self.note(&path, key.span().start, value.span().start);
            self.value(value, &path);
        }
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, path: &str) {
        match value.get_ref() {
            DeValue::Table(table) => self.table(table, path),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.note(&path, item.span().start, item.span().start);
                    self.value(item, &path);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_knows_its_line_and_column() {
        let text = "hostname = 'a'\n[ipoib]\n  mtu = 1\n[[ipoib.interface]]\npkeys = [1, 0x8001]\n";
        let document = Document::parse(text, "r.toml").unwrap();
        assert_eq!(document.places.of("hostname").as_deref(), Some("r.toml, line 1, column 1"));
        assert_eq!(document.places.of("ipoib.mtu").as_deref(), Some("r.toml, line 3, column 3"));
        assert_eq!(document.places.of("ipoib.interface[0].pkeys[1]").as_deref(), Some("r.toml, line 5, column 13"));
        assert_eq!(document.places.of("ipoib.mtu.none.such").as_deref(), Some("r.toml, line 3, column 3"));
        assert_eq!(document.places.of("none"), None);
    }

    #[test]
    fn text_that_is_not_toml_names_line_and_column() {
        let error = Document::parse("a = 1\nb = = 2\n", "r.toml").unwrap_err();
        assert_eq!(error.places(), ["r.toml, line 2, column 5"]);
        assert!(error.message().starts_with("not valid TOML: "), "{error}");
        let error = Document::parse("a = 1\na = 2\n", "r.toml").unwrap_err();
        assert_eq!(error.to_string(), "r.toml, line 2, column 1: not valid TOML: duplicate key");
    }

    #[test]
    fn set_takes_toml_or_else_a_bare_string_and_replaces() {
        let mut document = Document::parse("[ipoib]\naddress = ['1', '2']\n", "r.toml").unwrap();
        for (text, value) in [
            ("ipoib.address=10.10.0.5/24", Value::from("10.10.0.5/24")),
            ("ipoib.mtu=2044", Value::from(2044)),
            ("ipoib.umcast=true", Value::from(true)),
            ("ipoib.pkeys=[0x8001]", Value::from(vec![0x8001])),
            ("ipoib.zone=\"a b\"", Value::from("a b")),
            ("ipoib.zone={ name = 'x' }", "name = 'x'".parse::<Table>().unwrap().into()),
            ("ipoib.gateway=a\nb=1", Value::from("a\nb=1")),
        ] {
            document.set(text).unwrap();
            let key = text.split_once('=').unwrap().0.split_once('.').unwrap().1;
            assert_eq!(document.table["ipoib"].get(key), Some(&value), "{text}");
        }
        assert_eq!(document.places.of("ipoib.address[0]").as_deref(), Some("--set ipoib.address=10.10.0.5/24"));
    }

    #[test]
    fn set_refuses_what_is_no_assignment() {
        let mut document = Document::parse("a = 1", "r.toml").unwrap();
        for (text, message) in [
            ("hostname", "--set hostname: there is no `=` in it"),
            ("a..b=1", "--set a..b=1: `a..b` is not a dotted key"),
            ("a.b=1", "--set a.b=1: `a` is an integer, so nothing below it can be set"),
            ("=1", "--set =1: `` is not a dotted key"),
        ] {
            assert_eq!(document.set(text).unwrap_err().to_string(), message);
        }
    }
}
