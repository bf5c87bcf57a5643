//! Joining what the shards of a batch left to what one run over all hosts would have left.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::parallel;
use crate::seal::{Signer, is_temporary, place_file};

use super::super::event::Observer;
use super::super::signer::readable_by_others;
use super::folder::{check_own, lock, remove};
use super::lists;
use super::lock::{Hold, Lock};
use super::parts::Parts;
use super::report::BatchReport;

/// Problems that are told in full.
const TOLD: usize = 20;

/// What `batch merge` is asked to do.
#[derive(Debug, Clone)]
pub(crate) struct MergeRequest {
    /// The folders that shards wrote to.
    pub(crate) folders: Vec<PathBuf>,
    /// Where everything goes; `None`: where the shards left it, if that is one folder.
    pub(crate) output: Option<PathBuf>,
    /// The secret key that signs the sums.
    pub(crate) sign: Option<PathBuf>,
}

/// Joins the sums and reports of all shards, and puts their outputs into one folder. Nothing is written unless every host is
/// there once, and every output has its digest.
///
/// # Errors
/// Usage when the folders are not those of one batch; a check naming all that is missing, there twice, or no longer what it
/// was; I/O.
pub(crate) fn merge(request: &MergeRequest, observer: &dyn Observer) -> Result<BatchReport> {
    let target = target(request)?;
    let signer = request.sign.as_deref().map(Signer::load).transpose()?;
    if target.is_dir() {
        check_own(target)?;
    }
    let mut locks = Locks::default();
    let merged = merged(request, target, signer.as_ref(), &mut locks, observer);
    locks.release();
    merged
}

fn target(request: &MergeRequest) -> Result<&Path> {
    match (&request.output, request.folders.as_slice()) {
        (Some(output), _) => Ok(output),
        (None, [only]) => Ok(only),
        (None, several) => Err(Error::usage(format!(
            "there are {} folders, and nothing says where their outputs go together",
            several.len()
        ))
        .remedy("name a folder with -o DIR; outputs are linked there, or copied where that cannot be")),
    }
}

/// Keeps batches out of the folders.
#[derive(Default)]
struct Locks {
    places: Vec<PathBuf>,
    held: Vec<Lock>,
}

impl Locks {
    /// Locks the folder at `path`, unless it is locked already.
    ///
    /// # Errors
    /// Usage when a batch is at work there; I/O.
    fn add(&mut self, path: &Path) -> Result<()> {
        let place = fs::canonicalize(path).map_err(|error| Error::io("open the folder", path, error))?;
        if !self.places.contains(&place) {
            self.held.extend(lock(path, Hold::Alone)?);
            self.places.push(place);
        }
        Ok(())
    }

    fn release(self) {
        self.held.into_iter().for_each(Lock::release);
    }
}

fn merged(
    request: &MergeRequest,
    target: &Path,
    signer: Option<&Signer>,
    locks: &mut Locks,
    observer: &dyn Observer,
) -> Result<BatchReport> {
    let mut parts = Parts::default();
    let mut folders: Vec<&PathBuf> = request.folders.iter().collect();
    folders.sort();
    folders.dedup();
    for folder in folders {
        locks.add(folder)?;
        parts.read(folder)?;
    }
    parts.check_alike()?;
    let mut problems = parts.problems();
    let outputs = Outputs::of(&parts);
    problems.extend(outputs.problems(observer));
    if !problems.is_empty() {
        return Err(told(&problems));
    }
    let Some(mut report) = parts.joined() else { return Err(Error::usage("there is no shard")) };
    fs::create_dir_all(target).map_err(|error| Error::io("create the folder", target, error))?;
    locks.add(target)?;
    remove(target, |name| is_temporary(name, None))?;
    outputs.place(target, observer)?;
    report.remarks = lists::write(target, None, &report, signer)?;
    report.signed_by = signer.map(Signer::fingerprint);
    report.remarks.extend(request.sign.as_deref().and_then(readable_by_others));
    Ok(report)
}

fn told(problems: &[String]) -> Error {
    let mut lines: Vec<String> = problems.iter().take(TOLD).cloned().collect();
    if problems.len() > TOLD {
        lines.push(format!("and {} more", problems.len() - TOLD));
    }
    let head = match problems.len() {
        1 => String::new(),
        count => format!("{count} things keep the shards from being one batch\n"),
    };
    Error::check(format!("{head}{}", lines.join("\n"))).remedy("nothing was written; mend it and merge again")
}

/// An output of a shard.
struct Output<'a> {
    folder: &'a Path,
    host: &'a super::HostOutcome,
    done: &'a super::Done,
}

/// All outputs.
struct Outputs<'a>(Vec<Output<'a>>);

impl<'a> Outputs<'a> {
    fn of(parts: &'a Parts) -> Self {
        let all = parts.reports.iter().flat_map(|report| {
            let done = report.report.hosts.iter().filter_map(|host| Some((host, host.done.as_ref()?)));
            done.map(|(host, done)| Output { folder: report.folder(), host, done })
        });
        Self(all.collect())
    }

    /// The outputs that are not what their report says.
    fn problems(&self, observer: &dyn Observer) -> Vec<String> {
        observer.begin("Checking the outputs", Some(self.0.iter().map(|output| output.done.length).sum()));
        let found = parallel::map(self.0.len(), |number| {
            let Output { folder, host, done } = self.0.get(number)?;
            let path = folder.join(&host.output);
            let problem = match fs::metadata(&path) {
                Ok(_) if done.is_at(&path) => None,
                Ok(metadata) if metadata.len() != done.length => {
                    Some(format!("has {} bytes, and not {}", metadata.len(), done.length))
                }
                Ok(_) => Some(format!("no longer has the digest {}", done.sha256)),
                Err(error) => Some(format!("cannot be read: {error}")),
            };
            observer.advance(done.length);
            Some(format!("the output {} of host {} {}: make its shard again", path.display(), host.host, problem?))
        });
        observer.end();
        found.into_iter().flatten().collect()
    }

    /// Puts those that are not there yet into the folder `target`.
    fn place(&self, target: &Path, observer: &dyn Observer) -> Result<()> {
        let is_there =
            |folder: &Path| matches!((fs::canonicalize(folder), fs::canonicalize(target)), (Ok(a), Ok(b)) if a == b);
        observer.begin("Bringing the outputs together", Some(self.0.len() as u64));
        let placed =
            self.0.iter().filter(|output| !is_there(output.folder)).try_for_each(|Output { folder, host, done }| {
                observer.advance(1);
                place_file(&folder.join(&host.output), &target.join(&host.output), &done.sha256)
            });
        observer.end();
        placed
    }
}
