//! The folder that a batch writes to: what an earlier run left there, and what this one leaves.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::file_sha256;
use crate::error::{Error, Result};
use crate::seal::replace_file;

use super::report::BatchReport;

const REPORT: &str = "report.json";
const SUMS: &str = "sha256sums";
/// One line per output that was finished, for the run after one that was killed.
const JOURNAL: &str = ".ibwrt-batch.jsonl";
/// What temporary files begin and end with.
const TEMPORARY: (&str, &str) = (".ibwrt-", ".part");

/// An output that has its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    /// Digest of all that it comes from.
    pub(crate) inputs: String,
    /// Digest of the edits that made it.
    pub(crate) plan: String,
    /// Its length in bytes.
    pub(crate) length: u64,
    /// SHA-256 of the file.
    pub(crate) sha256: String,
    /// What is to be said of it: findings as they are reported.
    pub(crate) findings: Vec<serde_json::Value>,
}

/// A line of the journal, or a host of a report.
#[derive(Serialize, Deserialize)]
struct Line {
    output: String,
    #[serde(flatten)]
    done: Done,
}

/// The folder.
pub(super) struct Folder {
    path: PathBuf,
    /// What earlier runs made, by the output's name.
    earlier: BTreeMap<String, Done>,
    journal: File,
}

impl Folder {
    /// Opens the folder at `path`, or makes it, and removes what a killed run left half done.
    ///
    /// # Errors
    /// Usage when it holds something that is not from a batch; I/O.
    pub(super) fn open(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).map_err(|error| Error::io("create the folder", path, error))?;
        let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let entries = entries.map_err(|error| Error::io("list", path, error))?;
        let names: Vec<String> = entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        let is_temporary = |name: &&String| name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1);
        let is_own = names.iter().any(|name| name == REPORT || name == JOURNAL);
        if !is_own && names.iter().any(|name| !is_temporary(&name)) {
            return Err(Error::usage(format!("the folder {} holds files that are not from a batch", path.display()))
                .remedy("name an empty folder, a new one, or that of an earlier batch"));
        }
        for name in names.iter().filter(is_temporary) {
            let file = path.join(name);
            fs::remove_file(&file).map_err(|error| Error::io("remove", &file, error))?;
        }
        let journal_path = path.join(JOURNAL);
        let mut earlier = reported(&path.join(REPORT));
        let journal = fs::read_to_string(&journal_path).unwrap_or_default();
        // The last line of a killed run may be cut.
        let lines = journal.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
        earlier.extend(lines.map(|line| (line.output, line.done)));
        let journal = OpenOptions::new().create(true).append(true).open(&journal_path);
        let mut journal = journal.map_err(|error| Error::io("open", &journal_path, error))?;
        // A cut line must not swallow the next one.
        journal.write_all(b"\n").map_err(|error| Error::io("write", &journal_path, error))?;
        Ok(Self { path: path.to_owned(), earlier, journal })
    }

    /// The output `name` of an earlier run, if it came from the same `inputs` and still has its digest.
    pub(super) fn kept(&self, name: &str, inputs: &str) -> Option<Done> {
        let done = self.earlier.get(name).filter(|done| done.inputs == inputs)?;
        let path = self.path.join(name);
        let is_whole = fs::metadata(&path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == done.length);
        (is_whole && file_sha256(&path).is_ok_and(|sha256| sha256 == done.sha256)).then(|| done.clone())
    }

    /// Notes that the output `name` has its name.
    ///
    /// # Errors
    /// I/O.
    pub(super) fn note(&mut self, name: &str, done: &Done) -> Result<()> {
        let line = Line { output: name.to_owned(), done: done.clone() };
        let text = serde_json::to_string(&line).unwrap_or_default();
        self.journal.write_all(format!("{text}\n").as_bytes()).map_err(|error| Error::io("write", &self.path, error))
    }

    /// Writes sums and report; the journal is no longer needed.
    ///
    /// # Errors
    /// I/O.
    pub(super) fn close(self, report: &BatchReport) -> Result<()> {
        let done = report.hosts.iter().filter_map(|host| Some((&host.output, &host.done.as_ref()?.sha256)));
        let lines: BTreeMap<_, _> = done.collect();
        let sums: String = lines.iter().map(|(name, sha256)| format!("{sha256} *{name}\n")).collect();
        replace_file(&self.path.join(SUMS), sums.as_bytes())?;
        let mut text = serde_json::to_string_pretty(report)
            .map_err(|error| Error::unsupported(format!("the report cannot be written as JSON: {error}")))?;
        text.push('\n');
        replace_file(&self.path.join(REPORT), text.as_bytes())?;
        let journal = self.path.join(JOURNAL);
        fs::remove_file(&journal).map_err(|error| Error::io("remove", &journal, error))
    }
}

/// The outputs that the report at `path` names; none where there is no report.
fn reported(path: &Path) -> BTreeMap<String, Done> {
    #[derive(Deserialize)]
    struct Report {
        hosts: Vec<serde_json::Value>,
    }
    let report = fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Report>(&bytes).ok());
    let hosts = report.into_iter().flat_map(|report| report.hosts);
    hosts.filter_map(|host| serde_json::from_value::<Line>(host).ok()).map(|line| (line.output, line.done)).collect()
}
