//! The folder that a batch writes to: what earlier runs left there, and what this one leaves. Several shards of one batch may
//! share it, each with lists of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::file_sha256;
use crate::error::{Error, Result};
use crate::plan::{Finding, Severity};
use crate::seal::{Signer, is_temporary};

use super::lists;
use super::lock::{Hold, Lock};
use super::names::{LOCK, List};
use super::report::BatchReport;
use super::shard::Shard;

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

impl Done {
    /// Whether the file at `path` is this output, by length and digest.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == self.length)
            && file_sha256(path).is_ok_and(|sha256| sha256 == self.sha256)
    }
}

/// A line of the journal, or a host of a report.
#[derive(Serialize, Deserialize)]
struct Line {
    output: String,
    #[serde(flatten)]
    done: Done,
}

/// What earlier runs made, by the output's name and the digest of what it came from.
type Earlier = BTreeMap<(String, String), Done>;

/// The folder, locked.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    shard: Option<Shard>,
    earlier: Earlier,
    journal: Lock,
    lock: Lock,
}

impl Folder {
    /// Opens the folder at `path` for the hosts of `shard`, or for all, or makes it, and removes what a killed run left half
    /// done. While it is open nobody else works in it, but for other shards of as many.
    ///
    /// # Errors
    /// Usage when it holds something that is not from a batch, or somebody is at work there; I/O.
    pub(super) fn open(path: &Path, shard: Option<Shard>) -> Result<Self> {
        fs::create_dir_all(path).map_err(|error| Error::io("create the folder", path, error))?;
        check_own(path)?;
        let lock = lock(path, if shard.is_some() { Hold::Shared } else { Hold::Alone })?;
        let lock = lock.ok_or_else(|| Error::io("write in", path, io::ErrorKind::PermissionDenied.into()))?;
        match Self::locked(path, shard) {
            Ok((journal, earlier)) => Ok(Self { path: path.to_owned(), shard, earlier, journal, lock }),
            Err(error) => {
                lock.release();
                Err(error)
            }
        }
    }

    /// What is to be done once the folder is locked: the journal, and what earlier runs made.
    fn locked(path: &Path, shard: Option<Shard>) -> Result<(Lock, Earlier)> {
        let journal_path = path.join(List::Journal.name(shard));
        let journal =
            Lock::take(&journal_path, Hold::Alone).map_err(|error| Error::io("lock", &journal_path, error))?;
        let who = shard.map(|shard| shard.to_string()).unwrap_or_default();
        let mut journal = journal.ok_or_else(|| at_work(path, &who))?;
        let names = names(path)?;
        if let Some(Err(error)) = shard.map(|shard| check_counts(path, &names, shard)) {
            // What an earlier run noted there stays.
            if journal.file().metadata().is_ok_and(|metadata| metadata.len() == 0) {
                journal.release();
            }
            return Err(error);
        }
        let whose = shard.map(Shard::label);
        remove(path, |name| is_temporary(name, whose.as_deref()))?;
        let mut earlier = Earlier::new();
        for name in &names {
            let lines = match List::of_name(name) {
                Some((List::Report, _)) => reported(&path.join(name)),
                Some((List::Journal, _)) => journaled(&path.join(name)),
                _ => continue,
            };
            earlier.extend(lines.into_iter().map(|line| ((line.output, line.done.inputs.clone()), line.done)));
        }
        // A line that was cut must not swallow the next one.
        journal.file().write_all(b"\n").map_err(|error| Error::io("write", &journal_path, error))?;
        Ok((journal, earlier))
    }

    /// The output `name` of an earlier run, if it came from the same `inputs` and still has its digest.
    pub(super) fn kept(&self, name: &str, inputs: &str) -> Option<Done> {
        let done = self.earlier.get(&(name.to_owned(), inputs.to_owned()))?;
        done.is_at(&self.path.join(name)).then(|| done.clone())
    }

    /// Notes that the output `name` has its name.
    ///
    /// # Errors
    /// I/O.
    pub(super) fn note(&mut self, name: &str, done: &Done) -> Result<()> {
        let line = Line { output: name.to_owned(), done: done.clone() };
        let text = serde_json::to_string(&line).unwrap_or_default();
        let written = self.journal.file().write_all(format!("{text}\n").as_bytes());
        written.map_err(|error| Error::io("write", &self.path.join(List::Journal.name(self.shard)), error))
    }

    /// Writes sums, signed by `signer`, and report; the journal is no longer needed, and after a run over all hosts neither are
    /// lists of shards. What is to be said of signatures and locks is returned.
    ///
    /// # Errors
    /// I/O.
    pub(super) fn close(self, report: &BatchReport, signer: Option<&Signer>) -> Result<Vec<Finding>> {
        let Self { path, shard, journal, lock, .. } = self;
        let unlocked = (!lock.is_sure()).then(|| no_locks(&path));
        let written = lists::write(&path, shard, report, signer).and_then(|findings| {
            journal.release();
            if shard.is_none() {
                remove(&path, |name| List::of_name(name).is_some_and(|(_, shard)| shard.is_some()))?;
            }
            Ok(findings.into_iter().chain(unlocked).collect())
        });
        lock.release();
        written
    }
}

/// Removes the files in the folder at `path` whose names are `meant`.
///
/// # Errors
/// I/O.
pub(super) fn remove(path: &Path, meant: impl Fn(&str) -> bool) -> Result<()> {
    for name in names(path)?.iter().filter(|name| meant(name)) {
        let file = path.join(name);
        fs::remove_file(&file).map_err(|error| Error::io("remove", &file, error))?;
    }
    Ok(())
}

/// Whose the temporary files of a run over `shard`, or over all hosts, are.
pub(super) fn whose(shard: Option<Shard>) -> String {
    shard.map(Shard::label).unwrap_or_default()
}

/// Takes the lock of the folder at `path`; `None` where nobody can write.
///
/// # Errors
/// Usage when somebody is at work there; I/O.
pub(super) fn lock(path: &Path, hold: Hold) -> Result<Option<Lock>> {
    let file = path.join(LOCK);
    match Lock::take(&file, hold) {
        Ok(Some(lock)) => Ok(Some(lock)),
        Ok(None) => Err(at_work(path, "a batch")),
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
            Ok(None)
        }
        Err(error) => Err(Error::io("lock", &file, error)),
    }
}

fn at_work(path: &Path, who: &str) -> Error {
    Error::usage(format!("{who} is at work in the folder {}", path.display()))
        .remedy("wait until it is done, or give this run a folder of its own")
}

fn no_locks(path: &Path) -> Finding {
    Finding {
        id: "no-locks".to_owned(),
        severity: Severity::Note,
        message: format!("the filesystem of {} knows no locks: nothing keeps a second batch out", path.display()),
        remedy: Some("mount it with locks (NFS: lockd; Lustre: -o flock), or see to it that only one runs".to_owned()),
    }
}

/// Names in the folder at `path`, sorted.
///
/// # Errors
/// I/O.
pub(super) fn names(path: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.map_err(|error| Error::io("list", path, error))?;
    let mut names: Vec<String> = entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// Whether the folder at `path` is empty or that of a batch.
///
/// # Errors
/// Usage when it is not; I/O.
pub(super) fn check_own(path: &Path) -> Result<()> {
    let is_own = || {
        let names = names(path)?;
        let has_list = names.iter().any(|name| matches!(List::of_name(name), Some((List::Report | List::Journal, _))));
        Ok::<_, Error>(has_list || names.iter().all(|name| is_temporary(name, None) || name == LOCK))
    };
    // A shard that ends just now has its report before its journal goes, but a listing may miss both.
    if is_own()? || is_own()? {
        return Ok(());
    }
    Err(Error::usage(format!("the folder {} holds files that are not from a batch", path.display()))
        .remedy("name an empty folder, a new one, or that of an earlier batch"))
}

/// Whether nobody makes shards of another count.
fn check_counts(path: &Path, names: &[String], own: Shard) -> Result<()> {
    for name in names {
        let Some((List::Journal, Some(shard))) = List::of_name(name) else { continue };
        if shard.count() == own.count() {
            continue;
        }
        let journal = path.join(name);
        if Lock::is_held(&journal).map_err(|error| Error::io("lock", &journal, error))? {
            return Err(at_work(path, &shard.to_string()));
        }
    }
    Ok(())
}

/// The outputs that the journal at `path` names. The last line of a killed run may be cut.
fn journaled(path: &Path) -> Vec<Line> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The outputs that the report at `path` names; none where there is no report.
fn reported(path: &Path) -> Vec<Line> {
    #[derive(Deserialize)]
    struct Report {
        hosts: Vec<serde_json::Value>,
    }
    let report = fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Report>(&bytes).ok());
    let hosts = report.into_iter().flat_map(|report| report.hosts);
    hosts.filter_map(|host| serde_json::from_value(host).ok()).collect()
}
