//! Files of one's own: `[[file]]` of a recipe and `--file` of the command line.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::filesystem::Attributes;
use crate::overlay::{check_target, parse_attributes};

/// Longest file that is taken, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// A file to be put into the image. It has one of `content`, `source` and `template`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileInput {
    /// Where it goes: an absolute path in the image.
    pub(crate) path: String,
    /// Its text.
    pub(crate) content: Option<String>,
    /// Local file with its bytes, relative to the recipe.
    pub(crate) source: Option<String>,
    /// Local file with its template, relative to the recipe. Templates know `hostname`, `overlays` and `settings`;
    /// in a batch also `host`, `group` and `vars`.
    pub(crate) template: Option<String>,
    /// Octal permissions as text; `"0644"` by default.
    pub(crate) mode: Option<String>,
    /// `root`, or `uid:gid` in numbers; `root` by default.
    pub(crate) owner: Option<String>,
}

/// What a file of one's own holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExtraContent {
    /// These bytes.
    Bytes(Vec<u8>),
    /// What this template renders to.
    Template {
        /// Where it lies.
        path: PathBuf,
        /// Its text.
        text: String,
    },
}

/// A file of one's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExtraFile {
    /// Absolute path in the image.
    pub(crate) path: String,
    /// What it holds.
    pub(crate) content: ExtraContent,
    /// Permissions and owner.
    pub(crate) attributes: Attributes,
}

impl ExtraFile {
    /// Checks `input` and reads the local file that it names.
    ///
    /// # Errors
    /// A path that cannot be, none or several of `content`, `source`, `template`, or a failed read.
    pub(crate) fn load(input: &FileInput) -> Result<Self> {
        check_target(&input.path)?;
        let attributes =
            parse_attributes(input.mode.as_deref().unwrap_or("0644"), input.owner.as_deref().unwrap_or("root"))?;
        let content = match (&input.content, &input.source, &input.template) {
            (Some(text), None, None) => ExtraContent::Bytes(text.clone().into_bytes()),
            (None, Some(source), None) => ExtraContent::Bytes(read_local(Path::new(source))?),
            (None, None, Some(template)) => {
                let path = Path::new(template);
                let text = String::from_utf8(read_local(path)?).map_err(|error| {
                    let at = error.utf8_error().valid_up_to();
                    Error::usage(format!("the template is not UTF-8 from byte {at}")).at(path.display().to_string())
                })?;
                ExtraContent::Template { path: path.to_owned(), text }
            }
            (None, None, None) => {
                return Err(Error::usage(format!("the file {} has no content", input.path))
                    .remedy("give it `content = \"…\"`, `source = \"local/file\"` or `template = \"local/file.j2\"`"));
            }
            _ => {
                return Err(Error::usage(format!("the file {} has more than one content", input.path))
                    .remedy("keep one of `content`, `source` and `template`"));
            }
        };
        Ok(Self { path: input.path.clone(), content, attributes })
    }

    /// Reads `PATH=LOCAL[,mode=0755][,owner=0:0]`. A LOCAL whose name ends in `.j2` is a template.
    ///
    /// # Errors
    /// As [`ExtraFile::load`], or text of another form.
    pub(crate) fn from_argument(text: &str) -> Result<Self> {
        const REMEDY: &str = "write --file PATH=LOCAL, such as --file /etc/banner=banner.txt,mode=0644,owner=root";
        let place = format!("--file {text}");
        let (path, rest) = text
            .split_once('=')
            .ok_or_else(|| Error::usage("there is no `=` in it").at(place.clone()).remedy(REMEDY))?;
        let mut input = FileInput { path: path.to_owned(), ..FileInput::default() };
        let mut local = rest;
        while let Some((before, option)) = local.rsplit_once(',') {
            match option.split_once('=') {
                Some(("mode", mode)) if input.mode.is_none() => input.mode = Some(mode.to_owned()),
                Some(("owner", owner)) if input.owner.is_none() => input.owner = Some(owner.to_owned()),
                _ => break,
            }
            local = before;
        }
        if local.is_empty() {
            return Err(Error::usage("the local file is missing").at(place).remedy(REMEDY));
        }
        let target = if local.ends_with(".j2") { &mut input.template } else { &mut input.source };
        *target = Some(local.to_owned());
        Self::load(&input).map_err(|error| error.at(place))
    }
}

/// The bytes of a local file.
///
/// # Errors
/// One that is no regular file, is too long or cannot be read.
pub(crate) fn read_local(path: &Path) -> Result<Vec<u8>> {
    let metadata = std::fs::metadata(path).map_err(|error| Error::io("read", path, error))?;
    let refuse = |message: String| Err(Error::usage(message).at(path.display().to_string()));
    if !metadata.is_file() {
        return refuse("it is not a regular file".to_owned());
    }
    if metadata.len() > FILE_BYTES_MAX {
        return refuse(format!("it is {} bytes long, and at most {FILE_BYTES_MAX} are taken", metadata.len()));
    }
    std::fs::read(path).map_err(|error| Error::io("read", path, error))
}
