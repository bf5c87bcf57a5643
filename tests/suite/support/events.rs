//! The stream of `--format jsonl`, judged: every line by the schema that the program prints, the order by what is promised.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::program::ibwrt;

/// The events of a stream.
pub(crate) struct Events(pub(crate) Vec<Value>);

/// How a stream has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With an event that is the last.
    Whole,
    /// Anywhere: the program was killed, or the reader went away.
    Cut,
}

impl Events {
    /// Reads a stream and asserts what holds for all.
    #[track_caller]
    pub(crate) fn read(stream: &[u8], end: End) -> Self {
        let text = std::str::from_utf8(stream).unwrap();
        let whole = text.rfind('\n').map_or(0, |last| last + 1);
        assert!(end == End::Cut || whole == text.len(), "the last line is cut: {text}");
        let schema = ibwrt(Path::new("."), ["schema", "events"]).expect_status(0);
        let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
        let read = |line: &str| {
            let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            check(&event, &schema).unwrap_or_else(|fault| panic!("{fault}: {line}"));
            event
        };
        let events = Self(text[..whole].lines().map(read).collect());
        events.check_order(end);
        events
    }

    /// The events called `name`.
    pub(crate) fn called(&self, name: &str) -> Vec<&Value> {
        self.0.iter().filter(|event| event["event"] == name).collect()
    }

    /// The names of all events, in their order.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|event| event["event"].as_str().unwrap()).collect()
    }

    /// The most hosts that were in work at once.
    pub(crate) fn most_in_work(&self) -> usize {
        let mut in_work = 0_usize;
        let after = self.names().into_iter().map(|name| {
            match name {
                "host-begun" => in_work += 1,
                "host-done" | "host-failed" => in_work -= 1,
                _ => {}
            }
            in_work
        });
        after.max().unwrap_or_default()
    }

    /// The last event.
    pub(crate) fn last(&self) -> &Value {
        self.0.last().unwrap()
    }

    fn check_order(&self, end: End) {
        let names = self.names();
        let ends = |name: &&str| ["report", "batch-done", "error"].contains(name);
        if end == End::Whole {
            assert!(names.last().is_some_and(ends), "{names:?}");
        }
        assert!(names.iter().take(names.len().saturating_sub(1)).all(|name| !ends(name)), "{names:?}");
        assert!(names.iter().enumerate().all(|(at, name)| (at == 0) == (*name == "begun")), "{names:?}");
        let mut state: BTreeMap<&str, &str> = BTreeMap::new();
        let mut steps = 0;
        for event in &self.0 {
            let (name, host) = (event["event"].as_str().unwrap(), event["host"].as_str().unwrap_or_default());
            match name {
                "step-begun" => steps += 1,
                "step-done" => steps -= 1,
                "host-begun" => assert_eq!(state.insert(host, name), None, "{host} is begun twice"),
                "host-done" | "host-failed" => {
                    assert_eq!(state.insert(host, name), Some("host-begun"), "{host} ends, but is not in work");
                }
                _ => {}
            }
            assert!((0..=1).contains(&steps), "steps do not nest: {names:?}");
            assert!(!name.starts_with("host-") || names.contains(&"batch-begun"), "{names:?}");
        }
        let Some(done) = self.called("batch-done").first().copied() else { return };
        let count = |name: &str| state.values().filter(|found| **found == name).count() as u64;
        let kept = self.called("host-done").iter().filter(|event| event["kept"] == true).count() as u64;
        let told = ["made", "kept", "failed"].map(|key| done[key].as_u64().unwrap());
        assert_eq!(told, [count("host-done") - kept, kept, count("host-failed")], "{done}");
        assert_eq!(count("host-begun"), 0, "a host was begun and did not end");
        let all = told.iter().sum::<u64>() + done["not_begun"].as_u64().unwrap();
        assert_eq!(Some(all), done["hosts"].as_u64(), "{done}");
        assert_eq!(self.called("batch-begun")[0]["hosts"], done["hosts"]);
        assert_eq!(self.called("batch-begun")[0]["kept"], done["kept"]);
    }
}

/// Holds `value` against a JSON schema, as far as the one of the events goes.
fn check(value: &Value, schema: &Value) -> Result<(), String> {
    const KNOWN: [&str; 14] = [
        "$schema",
        "title",
        "description",
        "format",
        "type",
        "const",
        "oneOf",
        "anyOf",
        "items",
        "properties",
        "required",
        "additionalProperties",
        "minimum",
        "maximum",
    ];
    let Some(schema) = schema.as_object() else { return Ok(()) };
    if let Some(key) = schema.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(format!("the schema has a key that is not checked: {key}"));
    }
    let kinds = schema.get("type").map(|kinds| kinds.as_array().cloned().unwrap_or_else(|| vec![kinds.clone()]));
    if kinds.is_some_and(|kinds| !kinds.iter().any(|kind| is_kind(value, kind.as_str().unwrap()))) {
        return Err(format!("{value} is no {}", schema["type"]));
    }
    if schema.get("const").is_some_and(|wanted| wanted != value) {
        return Err(format!("{value} is not {}", schema["const"]));
    }
    for (key, wanted) in [("oneOf", 1), ("anyOf", usize::MAX)] {
        let Some(choices) = schema.get(key).and_then(Value::as_array) else { continue };
        let faults: Vec<String> = choices.iter().filter_map(|choice| check(value, choice).err()).collect();
        let fitting = choices.len() - faults.len();
        if fitting == 0 || fitting > wanted {
            return Err(format!("{fitting} of {key} fit: {}", faults.join("; ")));
        }
    }
    for (key, beyond) in [("minimum", f64::lt as fn(&f64, &f64) -> bool), ("maximum", f64::gt)] {
        let bound = schema.get(key).and_then(Value::as_f64);
        if let (Some(bound), Some(number)) = (bound, value.as_f64())
            && beyond(&number, &bound)
        {
            return Err(format!("{value} is beyond the {key} {bound}"));
        }
    }
    if let (Some(items), Some(schema)) = (value.as_array(), schema.get("items")) {
        items.iter().try_for_each(|item| check(item, schema))?;
    }
    let Some(object) = value.as_object() else { return Ok(()) };
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    if let Some(key) = required.filter_map(Value::as_str).find(|key| !object.contains_key(*key)) {
        return Err(format!("{key} is missing"));
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (key, value) in object {
        match properties.and_then(|properties| properties.get(key)) {
            Some(schema) => check(value, schema).map_err(|fault| format!("{key}: {fault}"))?,
            None if schema.get("additionalProperties") == Some(&Value::Bool(false)) => {
                return Err(format!("{key} is not in the schema"));
            }
            None => {}
        }
    }
    Ok(())
}

fn is_kind(value: &Value, kind: &str) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("{other} is no kind of JSON"),
    }
}
