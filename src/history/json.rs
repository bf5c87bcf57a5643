//! The manifest as JSON: one line per input and per path, in a fixed order, so that the same patch gives the same bytes.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{InputFile, InputKind, MANIFEST, Manifest, Record, State, Tool};
use crate::error::{Error, Result};
use crate::filesystem::Attributes;

/// The version of the form, raised by whatever an older reader would misunderstand.
const FORMAT: u32 = 1;
/// Longest path.
const LONGEST_PATH: usize = 4096;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonManifest {
    format: u32,
    tool: JsonTool,
    recipe: String,
    inputs: Vec<JsonInput>,
    boot: Vec<JsonRecord>,
    root: Vec<JsonRecord>,
}

/// What is read first, of whatever version.
#[derive(Deserialize)]
struct JsonFormat {
    format: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonTool {
    name: String,
    version: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonInput {
    kind: JsonKind,
    name: String,
    sha256: String,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum JsonKind {
    Image,
    Kernel,
    Module,
    Package,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonRecord {
    path: String,
    change: String,
    by: String,
    put: JsonState,
    was: JsonState,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    links: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum JsonState {
    Nothing,
    File { sha256: String, size: u64, mode: String, owner: String },
    Directory { mode: String, owner: String },
    Symlink { target: String, owner: String },
}

/// The manifest's file.
///
/// # Errors
/// Usage: a state that it cannot tell, a device node.
pub(crate) fn to_json(manifest: &Manifest) -> Result<Vec<u8>> {
    let line = |value: serde_json::Result<String>| {
        value.map_err(|error| Error::unsupported(format!("the manifest cannot be written as JSON: {error}")))
    };
    let lines = |values: Vec<String>| match values.is_empty() {
        true => "[]".to_owned(),
        false => format!("[\n    {}\n  ]", values.join(",\n    ")),
    };
    let Manifest { tool: Tool { name, version }, recipe, inputs, boot, root } = manifest;
    let tool = JsonTool { name: name.clone(), version: version.clone() };
    let inputs = inputs.iter().map(|input| line(serde_json::to_string(&JsonInput::from(input))));
    let records = |records: &[Record]| -> Result<String> {
        let all = records.iter().map(|record| line(serde_json::to_string(&JsonRecord::of(record)?)));
        Ok(lines(all.collect::<Result<_>>()?))
    };
    let mut text = String::new();
    let written = write!(
        text,
        "{{\n  \"format\": {FORMAT},\n  \"tool\": {},\n  \"recipe\": \"{recipe}\",\n  \"inputs\": {},\n  \"boot\": {},\n  \
         \"root\": {}\n}}\n",
        line(serde_json::to_string(&tool))?,
        lines(inputs.collect::<Result<_>>()?),
        records(boot)?,
        records(root)?,
    );
    written.map_err(|error| Error::unsupported(format!("the manifest cannot be written: {error}")))?;
    Ok(text.into_bytes())
}

/// Reads the manifest's file.
///
/// # Errors
/// Corrupt, with the place; unsupported when a later version wrote it.
pub(crate) fn parse(bytes: &[u8]) -> Result<Manifest> {
    read(bytes).map_err(|error| {
        error.at(MANIFEST).remedy(
            "patch the original image anew; or remove /etc/ibwrt from this one, and what was put in counts as its own",
        )
    })
}

fn read(bytes: &[u8]) -> Result<Manifest> {
    let damaged = |error: serde_json::Error| Error::corrupt(format!("the manifest cannot be read: {error}"));
    let JsonFormat { format } = serde_json::from_slice(bytes).map_err(damaged)?;
    if format != FORMAT {
        return Err(Error::unsupported(format!("the manifest has format {format}, this ibwrt reads {FORMAT}"))
            .remedy("take an ibwrt that is at least as new as the one that patched the image"));
    }
    let json: JsonManifest = serde_json::from_slice(bytes).map_err(damaged)?;
    let recipe = digest(json.recipe).map_err(|error| error.at("recipe"))?;
    let inputs = json.inputs.into_iter().enumerate();
    let inputs = inputs.map(|(at, input)| input.checked().map_err(|error| error.at(format!("inputs[{at}]"))));
    Ok(Manifest {
        tool: Tool { name: json.tool.name, version: json.tool.version },
        recipe,
        inputs: inputs.collect::<Result<_>>()?,
        boot: records(json.boot).map_err(|error| error.at("boot"))?,
        root: records(json.root).map_err(|error| error.at("root"))?,
    })
}

fn records(records: Vec<JsonRecord>) -> Result<Vec<Record>> {
    let records = records.into_iter().enumerate();
    let records = records.map(|(at, record)| record.checked().map_err(|error| error.at(format!("[{at}]"))));
    let records = records.collect::<Result<Vec<Record>>>()?;
    for pair in records.windows(2) {
        if let [one, two] = pair
            && one.path >= two.path
        {
            return Err(Error::corrupt(format!("{} does not come behind {}", two.path, one.path)));
        }
    }
    Ok(records)
}

impl From<&InputFile> for JsonInput {
    fn from(input: &InputFile) -> Self {
        let kind = match input.kind {
            InputKind::Image => JsonKind::Image,
            InputKind::Kernel => JsonKind::Kernel,
            InputKind::Module => JsonKind::Module,
            InputKind::Package => JsonKind::Package,
        };
        Self { kind, name: input.name.clone(), sha256: input.sha256.clone() }
    }
}

impl JsonInput {
    fn checked(self) -> Result<InputFile> {
        let kind = match self.kind {
            JsonKind::Image => InputKind::Image,
            JsonKind::Kernel => InputKind::Kernel,
            JsonKind::Module => InputKind::Module,
            JsonKind::Package => InputKind::Package,
        };
        Ok(InputFile { kind, name: self.name, sha256: digest(self.sha256)? })
    }
}

impl JsonRecord {
    fn of(record: &Record) -> Result<Self> {
        Ok(Self {
            path: record.path.clone(),
            change: record.change().to_owned(),
            by: record.by.clone(),
            put: JsonState::of(&record.path, &record.put)?,
            was: JsonState::of(&record.path, &record.was)?,
            links: record.links.clone(),
        })
    }

    fn checked(self) -> Result<Record> {
        let (put, was) = (self.put.checked()?, self.was.checked()?);
        let record = Record { path: path(self.path)?, by: self.by, put, was, links: Vec::new() };
        let links = self.links.into_iter().map(path).collect::<Result<_>>()?;
        if record.change() != self.change || record.put == record.was {
            let (path, found) = (&record.path, &self.change);
            return Err(Error::corrupt(format!("{path} is said to be a change of kind `{found}`, which it is not")));
        }
        Ok(Record { links, ..record })
    }
}

fn mode(attributes: Attributes) -> String {
    format!("{:04o}", attributes.mode)
}

fn owner(attributes: Attributes) -> String {
    format!("{}:{}", attributes.uid, attributes.gid)
}

impl JsonState {
    fn of(path: &str, state: &State) -> Result<Self> {
        Ok(match state {
            State::Absent => Self::Nothing,
            State::File { sha256, size, attributes } => {
                Self::File { sha256: sha256.clone(), size: *size, mode: mode(*attributes), owner: owner(*attributes) }
            }
            State::Directory(attributes) => Self::Directory { mode: mode(*attributes), owner: owner(*attributes) },
            State::Symlink { target, attributes } => {
                Self::Symlink { target: target.clone(), owner: owner(*attributes) }
            }
            State::Special => {
                return Err(Error::usage(format!(
                    "{path} is a device node, FIFO or socket that would go, and could not be put back"
                ))
                .remedy("give up the way back: --no-manifest"));
            }
        })
    }

    fn checked(self) -> Result<State> {
        Ok(match self {
            Self::Nothing => State::Absent,
            Self::File { sha256, size, mode, owner } => {
                State::File { sha256: digest(sha256)?, size, attributes: attributes(&mode, &owner)? }
            }
            Self::Directory { mode, owner } => State::Directory(attributes(&mode, &owner)?),
            Self::Symlink { target, .. } if target.is_empty() || target.contains('\0') => {
                return Err(Error::corrupt("a symlink has no target"));
            }
            Self::Symlink { target, owner } => State::Symlink { target, attributes: attributes("0777", &owner)? },
        })
    }
}

fn digest(text: String) -> Result<String> {
    match text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        true => Ok(text),
        false => Err(Error::corrupt(format!("{text:?} is no SHA-256 of 64 lower-case hex digits"))),
    }
}

fn path(text: String) -> Result<String> {
    let names = text.strip_prefix('/').filter(|names| !names.is_empty());
    let is_name = |name: &str| !matches!(name, "" | "." | "..") && name.len() <= 255 && !name.contains('\0');
    match text.len() <= LONGEST_PATH && names.is_some_and(|names| names.split('/').all(is_name)) {
        true => Ok(text),
        false => Err(Error::corrupt(format!("{text:?} is no absolute path without `.` and `..`"))),
    }
}

fn attributes(mode: &str, owner: &str) -> Result<Attributes> {
    let octal = Some(mode).filter(|mode| mode.len() == 4).and_then(|mode| u16::from_str_radix(mode, 8).ok());
    let octal = octal.ok_or_else(|| Error::corrupt(format!("{mode:?} is no octal mode of four digits")))?;
    let ids = owner.split_once(':').and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
    let (uid, gid) = ids.ok_or_else(|| Error::corrupt(format!("{owner:?} is no owner and group as numbers")))?;
    Ok(Attributes { mode: octal, uid, gid })
}
