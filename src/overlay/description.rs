//! `overlay.toml`: what an overlay says about itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::openwrt::PackageManager;
use crate::plan::Severity;

/// The whole of `overlay.toml`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    /// Name; also the name of its table in a recipe. Lower-case letters, digits and dashes.
    pub(crate) name: String,
    /// What it does, one line.
    pub(crate) summary: String,
    /// What to know about it.
    #[serde(default)]
    pub(crate) description: String,
    /// Built-in overlays that it stands on.
    #[serde(default)]
    pub(crate) requires: Vec<String>,
    /// Overlays that cannot be in force beside it.
    #[serde(default)]
    pub(crate) conflicts: Vec<String>,
    /// What it offers, for other overlays' conditions (`provided`): `infiniband` (ports with an InfiniBand link),
    /// `rdma` (RDMA devices of any link).
    #[serde(default)]
    pub(crate) provides: Vec<String>,
    /// Modules wanted in every case.
    #[serde(default)]
    pub(crate) modules: Modules,
    /// Modules wanted on a condition.
    #[serde(default)]
    pub(crate) module: Vec<ConditionalModule>,
    /// Groups of modules that must come from one build, so that those of the image are replaced.
    #[serde(default)]
    pub(crate) same_build: Vec<Vec<String>>,
    /// Modules loaded at boot, in order.
    #[serde(default)]
    pub(crate) autoload: Vec<Autoload>,
    /// Programs that it is for, by name: those in the image are proved to link.
    #[serde(default)]
    pub(crate) tools: Tools,
    /// Packages (.ipk or .apk) to be installed: files in the overlay's folder, by their path in it.
    #[serde(default)]
    pub(crate) packages: Vec<String>,
    /// Settings.
    #[serde(default)]
    pub(crate) setting: Vec<Setting>,
    /// Files, directories and links.
    #[serde(default)]
    pub(crate) file: Vec<File>,
    /// Lines of files that others write to as well.
    #[serde(default)]
    pub(crate) line: Vec<Line>,
    /// Remarks and refusals.
    #[serde(default)]
    pub(crate) finding: Vec<FindingRule>,
    /// Built-in rules that check the settings: `ipoib`.
    #[serde(default)]
    pub(crate) rules: Option<Rules>,
}

/// Modules wanted in every case.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Modules {
    /// Must be there.
    #[serde(default)]
    pub(crate) required: Vec<String>,
    /// Taken where the sources have them.
    #[serde(default)]
    pub(crate) optional: Vec<String>,
}

/// Programs that an overlay is for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tools {
    /// Must be there.
    #[serde(default)]
    pub(crate) required: Vec<String>,
    /// Looked at where they are there.
    #[serde(default)]
    pub(crate) optional: Vec<String>,
}

/// A module wanted on a condition.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConditionalModule {
    /// Its name.
    pub(crate) name: String,
    /// Expression; the module is wanted where it is true.
    pub(crate) when: String,
    /// Whether it is only taken where the sources have it.
    #[serde(default)]
    pub(crate) optional: bool,
}

/// A module loaded at boot.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Autoload {
    /// Its name.
    pub(crate) module: String,
    /// File of `/etc/modules.d` that gets the line where no file has it yet.
    #[serde(default = "default_autoload_file")]
    pub(crate) file: String,
    /// Whether that file is linked from `/etc/modules-boot.d`, which is read before preinit.
    #[serde(default = "default_true")]
    pub(crate) boot: bool,
    /// Template of the module's parameters; an empty result means none.
    #[serde(default)]
    pub(crate) parameters: String,
    /// Expression; the line is wanted where it is true.
    #[serde(default)]
    pub(crate) when: Option<String>,
}

/// The autoload file that the usual guide extends.
pub(crate) const DEFAULT_AUTOLOAD_FILE: &str = "30-hw-network";

fn default_autoload_file() -> String {
    DEFAULT_AUTOLOAD_FILE.to_owned()
}

const fn default_true() -> bool {
    true
}

/// Type of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SettingType {
    /// A string.
    String,
    /// An integer.
    Integer,
    /// True or false.
    Boolean,
    /// A list of strings; one string alone stands for a list of one.
    List,
    /// A table of any content.
    Table,
    /// A local file, relative to the recipe. Conditions and templates know it as `local.<name>`: `name` and `stem` of the
    /// file, `fingerprint` of the usign public key that it is, `pem` where it is a public key in PEM.
    File,
}

/// One setting.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setting {
    /// Its key.
    pub(crate) name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) kind: SettingType,
    /// What it does, one line.
    pub(crate) summary: String,
    /// Value where none is given. Without one, it is the empty value of its type (`""`, 0, false, `[]`).
    #[serde(default)]
    #[schemars(with = "Option<serde_json::Value>")]
    pub(crate) default: Option<toml::Value>,
    /// Strings to choose from.
    #[serde(default)]
    pub(crate) choices: Vec<String>,
    /// Least integer, or least number of values of a list.
    #[serde(default)]
    pub(crate) minimum: Option<i64>,
    /// Largest integer, or largest number of values of a list.
    #[serde(default)]
    pub(crate) maximum: Option<i64>,
    /// An example value.
    #[serde(default)]
    #[schemars(with = "Option<serde_json::Value>")]
    pub(crate) example: Option<toml::Value>,
}

/// A file, or a symlink.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// Where it goes: an absolute path, or a template of one.
    pub(crate) path: String,
    /// File below `files/`; one whose name ends in `.j2` is a template.
    #[serde(default)]
    pub(crate) source: Option<String>,
    /// Target of the symlink that is wished instead of a file.
    #[serde(default)]
    pub(crate) link: Option<String>,
    /// Setting of type `file` whose file is put there as it is.
    #[serde(default)]
    pub(crate) from: Option<String>,
    /// Octal permissions.
    #[serde(default = "default_mode")]
    pub(crate) mode: String,
    /// `uid:gid` or `root`.
    #[serde(default = "default_owner")]
    pub(crate) owner: String,
    /// Expression; the file is wanted where it is true.
    #[serde(default)]
    pub(crate) when: Option<String>,
    /// The file is wanted only in an image with this package manager.
    #[serde(default)]
    pub(crate) package_manager: Option<PackageManager>,
}

/// Lines in a file that others write to as well: they are added where they are missing.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    /// The file: an absolute path.
    pub(crate) path: String,
    /// Template of the lines.
    pub(crate) text: String,
    /// Template of one beginning for each of the lines: one that is there already and begins like this is replaced.
    #[serde(default)]
    pub(crate) replaces: String,
    /// Expression; the lines are wanted where it is true.
    #[serde(default)]
    pub(crate) when: Option<String>,
    /// The lines are wanted only in an image with this package manager.
    #[serde(default)]
    pub(crate) package_manager: Option<PackageManager>,
}

pub(crate) fn default_mode() -> String {
    "0644".to_owned()
}

pub(crate) fn default_owner() -> String {
    "root".to_owned()
}

/// A remark, or with severity `error` a refusal.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FindingRule {
    /// Stable identifier.
    pub(crate) id: String,
    /// Expression; the remark is made where it is true.
    pub(crate) when: String,
    /// Its weight.
    #[serde(with = "SeverityName")]
    #[schemars(with = "SeverityName")]
    pub(crate) severity: Severity,
    /// Template of one sentence.
    pub(crate) message: String,
    /// What to do about it.
    #[serde(default)]
    pub(crate) remedy: Option<String>,
    /// The remark is made only of an image with this package manager.
    #[serde(default)]
    pub(crate) package_manager: Option<PackageManager>,
}

/// [`Severity`] by name.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Severity", rename_all = "lowercase")]
pub(crate) enum SeverityName {
    /// Worth knowing.
    Note,
    /// It may not do what is meant.
    Warning,
    /// It cannot be.
    Error,
}

/// Built-in rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Rules {
    /// IPoIB interfaces.
    Ipoib,
}
