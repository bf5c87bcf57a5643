//! `profiles.json`: one entry per image of a build, found by its `name`, in whatever formatting it came. Values are
//! replaced in the text, so that everything else keeps its bytes.

use std::ops::Range;

use serde_json::Value;

/// The places of an image entry's values in the text, quotes included.
#[derive(Debug, Default)]
struct Entry {
    sha256: Option<Range<usize>>,
    sha256_unsigned: Option<Range<usize>>,
    size: Option<Range<usize>>,
}

/// What an entry that was found says of its image, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) sha256: Option<String>,
    pub(super) sha256_unsigned: Option<String>,
    pub(super) size: Option<String>,
}

/// What the image entries with the name `name` say.
///
/// # Errors
/// A text that is no JSON.
pub(super) fn told(text: &str, name: &str) -> serde_json::Result<Vec<Told>> {
    let digest = |place: Option<Range<usize>>| Some(string(text, &place?)?.to_ascii_lowercase());
    let told = |entry: Entry| Told {
        sha256: digest(entry.sha256),
        sha256_unsigned: digest(entry.sha256_unsigned),
        size: entry.size.and_then(|place| text.get(place)).map(str::to_owned),
    };
    Ok(entries(text, name)?.into_iter().map(told).collect())
}

/// What an entry is to say of its image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed<'a> {
    /// SHA-256 of the file.
    pub(super) sha256: &'a str,
    /// SHA-256 of the file without the signature chunk behind it; the same where there is none.
    pub(super) sha256_unsigned: &'a str,
    /// Length of the file in bytes.
    pub(super) size: u64,
}

/// `text` with the new digests and size in the entries with the name `name`; `None` when there is none. A field that is
/// absent is not added.
///
/// # Errors
/// A text that is no JSON.
pub(super) fn updated(text: &str, name: &str, listed: &Listed<'_>) -> serde_json::Result<Option<String>> {
    let entries = entries(text, name)?;
    if entries.is_empty() {
        return Ok(None);
    }
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    for Entry { sha256: signed, sha256_unsigned: unsigned, size: length } in entries {
        edits.extend(signed.map(|place| (place, format!("\"{}\"", listed.sha256))));
        edits.extend(unsigned.map(|place| (place, format!("\"{}\"", listed.sha256_unsigned))));
        edits.extend(length.map(|place| (place, listed.size.to_string())));
    }
    // From the back, so that the places in front stay where they are.
    edits.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
    let mut new = text.to_owned();
    for (place, value) in edits {
        new.replace_range(place, &value);
    }
    Ok(Some(new))
}

/// A value that is being walked through.
enum Open {
    /// The key whose value comes next, and the plain values so far.
    Object {
        key: Option<String>,
        values: Vec<(String, Range<usize>)>,
    },
    Array,
}

/// The objects in `text` that have a `name` equal to `name` and a `sha256`.
fn entries(text: &str, name: &str) -> serde_json::Result<Vec<Entry>> {
    serde_json::from_str::<Value>(text)?; // from here on the text is known to be JSON
    let mut found = Vec::new();
    let mut open = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        let start = at;
        at += 1;
        match byte {
            b'{' => open.push(Open::Object { key: None, values: Vec::new() }),
            b'[' => open.push(Open::Array),
            b'}' | b']' => {
                if let Some(Open::Object { values, .. }) = open.pop() {
                    found.extend(entry(text, name, values));
                }
                forget_key(&mut open);
            }
            b':' | b',' | b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => {
                at = end_of_plain(text, start);
                take_plain(text, start..at, &mut open);
            }
        }
    }
    Ok(found)
}

/// A composite value is over: the key in front of it has had its value.
fn forget_key(open: &mut [Open]) {
    if let Some(Open::Object { key, .. }) = open.last_mut() {
        *key = None;
    }
}

/// A string, number or word: a key, or the value of one, or an item.
fn take_plain(text: &str, place: Range<usize>, open: &mut [Open]) {
    if let Some(Open::Object { key, values }) = open.last_mut() {
        match key.take() {
            Some(key) => values.push((key, place)),
            None => *key = string(text, &place),
        }
    }
}

/// Where the string, number or word that begins at `start` ends.
fn end_of_plain(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let is_string = bytes.get(start) == Some(&b'"');
    let mut escaped = false;
    for (at, byte) in bytes.iter().enumerate().skip(start + 1) {
        if is_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => return at + 1,
                _ => {}
            }
        } else if matches!(byte, b',' | b'}' | b']' | b':' | b' ' | b'\t' | b'\r' | b'\n') {
            return at;
        }
    }
    bytes.len()
}

/// The string that lies at `place`, unescaped.
fn string(text: &str, place: &Range<usize>) -> Option<String> {
    serde_json::from_str(text.get(place.clone())?).ok()
}

fn entry(text: &str, name: &str, values: Vec<(String, Range<usize>)>) -> Option<Entry> {
    let mut entry = Entry::default();
    let mut named = false;
    for (key, place) in values {
        match key.as_str() {
            "name" => named = string(text, &place)? == name,
            "sha256" => entry.sha256 = Some(place),
            "sha256_unsigned" => entry.sha256_unsigned = Some(place),
            "size" => entry.size = Some(place),
            _ => {}
        }
    }
    (named && entry.sha256.is_some()).then_some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXTURE: &str = include_str!("../../fixtures/profiles.json");
    const NAME: &str = "openwrt-mini-ib-ext4-combined.img.gz";

    fn new_digest() -> String {
        "ab".repeat(32)
    }

    /// An image without a signature chunk.
    fn listed(sha256: &str, size: u64) -> Listed<'_> {
        Listed { sha256, sha256_unsigned: sha256, size }
    }

    #[test]
    fn a_signed_image_has_two_digests() {
        let text = r#"{"name":"a","sha256":"x","sha256_unsigned":"y"}"#;
        let listed = Listed { sha256: "signed", sha256_unsigned: "bare", size: 1 };
        let expected = r#"{"name":"a","sha256":"signed","sha256_unsigned":"bare"}"#;
        assert_eq!(updated(text, "a", &listed).unwrap().unwrap(), expected);
    }

    /// The entry of `name` and everything else, as JSON.
    fn split(text: &str, name: &str) -> (Value, Value) {
        let mut all: Value = serde_json::from_str(text).unwrap();
        let images = all["profiles"]["generic"]["images"].as_array_mut().unwrap();
        let at = images.iter().position(|image| image["name"] == name).unwrap();
        (images.remove(at), all)
    }

    #[test]
    fn only_the_named_entry_changes_and_only_its_digests() {
        let new = updated(FIXTURE, NAME, &listed(&new_digest(), 7)).unwrap().unwrap();
        let (mut before, others_before) = split(FIXTURE, NAME);
        let (after, others_after) = split(&new, NAME);
        assert_eq!(others_before, others_after);
        before["sha256"] = new_digest().into();
        before["sha256_unsigned"] = new_digest().into();
        assert_eq!(after, before);
        assert_eq!(new.len(), FIXTURE.len());
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Value>(&new).unwrap()).unwrap(), new);
    }

    #[test]
    fn the_size_changes_where_there_is_one_and_the_formatting_stays() {
        let text = "{ \"images\" : [\n  {\"size\": 1 , \"name\":\"\\u0061.img\", \"x\": [{\"y\": \"}\\\"\"}],\n\
            \"sha256\" : \"old\", \"title\": \"caf\\u00e9\"} ] }\n";
        let new = updated(text, "a.img", &listed("new", 123_456)).unwrap().unwrap();
        assert_eq!(new, text.replace("\"old\"", "\"new\"").replace(": 1 ,", ": 123456 ,"));
    }

    #[test]
    fn a_name_that_is_not_listed_changes_nothing() {
        assert_eq!(updated(FIXTURE, "other.img.gz", &listed("new", 7)).unwrap(), None);
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        assert!(updated("{\"images\":[", NAME, &listed("new", 7)).is_err());
    }

    #[test]
    fn the_listed_digest_is_found() {
        let digest = "f8be22dbe83a99b1295f3c55835bb8284d53dd10dd4cafd1a6a4c410a13012af";
        let told = told(FIXTURE, NAME).unwrap();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].sha256.as_deref(), Some(digest));
    }
}
