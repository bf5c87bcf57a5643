//! The reports of a batch's shards, and whether they are one batch: all of it, and nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::counted::some;
use crate::error::{Error, Result};

use super::folder::names;
use super::names::List;
use super::report::{BatchReport, HostOutcome};
use super::shard::Shard;

/// Names that are told in full.
const TOLD: usize = 3;

/// The report of a shard.
#[derive(Debug)]
pub(super) struct ShardReport {
    /// Its file.
    pub(super) path: PathBuf,
    pub(super) shard: Shard,
    /// The names of all hosts.
    all_hosts: Arc<Vec<String>>,
    pub(super) report: BatchReport,
}

impl ShardReport {
    /// The folder that it lies in, and its outputs.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

/// What shards left in some folders.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Reports, sorted by folder and shard.
    pub(super) reports: Vec<ShardReport>,
    /// Journals of runs that did not end.
    unfinished: Vec<(Shard, PathBuf)>,
}

impl Parts {
    /// Adds what lies in the folder at `path`.
    ///
    /// # Errors
    /// Usage when no shard left anything there; corrupt or unsupported reports; I/O.
    pub(super) fn read(&mut self, path: &Path) -> Result<()> {
        let names = names(path)?;
        let before = self.reports.len() + self.unfinished.len();
        for name in &names {
            match List::of_name(name) {
                Some((List::Report, Some(shard))) => self.add(read(path.join(name), shard)?),
                Some((List::Journal, Some(shard))) => self.unfinished.push((shard, path.join(name))),
                _ => {}
            }
        }
        if before < self.reports.len() + self.unfinished.len() {
            return Ok(());
        }
        let error = Error::usage(format!("there is no report of a shard in the folder {}", path.display()));
        Err(match names.contains(&List::Report.name(None)) {
            true => error.remedy("its report.json is of all hosts already: there is nothing to merge"),
            false => error.remedy("name the folders that `ibwrt batch --shard K/N -o DIR` wrote to"),
        })
    }

    fn add(&mut self, mut report: ShardReport) {
        // A thousand shards of ten thousand hosts each know all names: one list of them is enough.
        let known = self.reports.first().map(|first| &first.all_hosts).filter(|known| **known == report.all_hosts);
        report.all_hosts = known.cloned().unwrap_or(report.all_hosts);
        self.reports.push(report);
    }

    /// Checks that all reports are of one batch.
    ///
    /// # Errors
    /// Usage, naming the two files that differ first, and in what.
    pub(super) fn check_alike(&self) -> Result<()> {
        let Some(first) = self.reports.first() else { return Ok(()) };
        for other in &self.reports {
            let differ = |what: &str, one: &str, another: &str| {
                let (first, other) = (first.path.display(), other.path.display());
                Error::usage(format!(
                    "{first} and {other} are not of one batch: {what} is {one} in the first, {another} in the second"
                ))
            };
            let (one, another) = (&first.report, &other.report);
            if first.shard.count() != other.shard.count() {
                let (one, another) = (first.shard.count().to_string(), other.shard.count().to_string());
                return Err(differ("the number of shards", &one, &another).remedy(format!(
                    "remove the lists of the shards that are out of date, such as {}",
                    first.path.with_file_name(format!("*.*-of-{one}*")).display()
                )));
            }
            let again =
                "make the shards again from one image, with one version of ibwrt; hosts that need no change are kept";
            if one.ibwrt != another.ibwrt {
                return Err(differ("the version of ibwrt", &one.ibwrt, &another.ibwrt).remedy(again));
            }
            if one.image_sha256 != another.image_sha256 {
                return Err(differ("SHA-256 of the image", &one.image_sha256, &another.image_sha256).remedy(again));
            }
            if let Some((one, another)) = difference(&first.all_hosts, &other.all_hosts) {
                return Err(differ("the list of hosts", &one, &another)
                    .remedy("make the shards again with one hosts file; hosts that need no change are kept"));
            }
            if one.inputs != another.inputs {
                return Err(differ("what the hosts come from (`inputs`)", &one.inputs, &another.inputs).remedy(
                    "a hosts file, a secret, a module or an option differed: make the shards again with the same ones; \
                     hosts that need no change are kept",
                ));
            }
        }
        Ok(())
    }

    /// What is missing or there twice: shards and hosts. Empty when all hosts are there once.
    pub(super) fn problems(&self) -> Vec<String> {
        let Some(first) = self.reports.first() else { return self.unfinished.iter().map(unfinished).collect() };
        let all_hosts = first.all_hosts.as_slice();
        let mut problems: Vec<String> = self.unfinished.iter().map(unfinished).collect();
        let mut absent = BTreeSet::new();
        let mut by_shard: BTreeMap<Shard, Vec<String>> = BTreeMap::new();
        for report in &self.reports {
            by_shard.entry(report.shard).or_default().push(report.path.display().to_string());
        }
        for shard in first.shard.all() {
            let own: Vec<&str> = shard.slice(all_hosts).map(String::as_str).collect();
            if own.is_empty() {
                // Nor does any later one have a host.
                break;
            }
            let hosts = named(&own);
            match by_shard.get(&shard).map(Vec::as_slice).unwrap_or_default() {
                [] => {
                    let (number, count) = (shard.number(), shard.count());
                    problems.push(format!(
                        "{shard} is missing, and with it {hosts}: make it with --shard {number}/{count}"
                    ));
                    absent.extend(own);
                }
                [_] => {}
                twice => problems.push(format!("{shard} is there twice, and with it {hosts}: {}", twice.join(" and "))),
            }
        }
        problems.extend(self.strays(all_hosts, &absent));
        problems
    }

    /// What is wrong with single hosts. Those that are `absent` with their shard were told.
    fn strays(&self, all_hosts: &[String], absent: &BTreeSet<&str>) -> Vec<String> {
        let mut found: BTreeMap<&str, Vec<&ShardReport>> = BTreeMap::new();
        for report in &self.reports {
            report.report.hosts.iter().for_each(|host| found.entry(&host.host).or_default().push(report));
        }
        let known: BTreeSet<&str> = all_hosts.iter().map(String::as_str).collect();
        let mut problems = Vec::new();
        for host in all_hosts.iter().filter(|host| !absent.contains(host.as_str())) {
            match found.get(host.as_str()).map(Vec::as_slice) {
                Some([_]) => {}
                // Hosts of a shard that is there twice were told.
                Some([first, rest @ ..])
                    if rest.iter().any(|other| other.shard != first.shard)
                        || rest.iter().any(|other| other.path == first.path) =>
                {
                    let files: Vec<_> =
                        std::iter::once(first).chain(rest).map(|report| report.path.display().to_string()).collect();
                    problems.push(format!("host {host} is there twice: in {}", files.join(" and ")));
                }
                Some(_) => {}
                None => problems.push(format!("host {host} is missing: no shard has it")),
            }
        }
        for (host, reports) in found.iter().filter(|(host, _)| !known.contains(*host)) {
            let files =
                reports.iter().map(|report| report.path.display().to_string()).collect::<Vec<_>>().join(" and ");
            problems.push(format!("host {host} in {files} is none of the hosts file"));
        }
        problems
    }

    /// One report of all hosts, in the order of the hosts file.
    pub(super) fn joined(&self) -> Option<BatchReport> {
        let first = self.reports.first()?;
        let hosts = self.reports.iter().flat_map(|report| &report.report.hosts);
        let mut by_name: BTreeMap<&str, &HostOutcome> = hosts.map(|host| (host.host.as_str(), host)).collect();
        let hosts = first.all_hosts.iter().filter_map(|name| by_name.remove(name.as_str()).cloned()).collect();
        // The image as the first shard found it: others may have it at another place.
        let first = self.reports.iter().min_by_key(|report| report.shard)?;
        Some(BatchReport { shard: None, hosts, ..first.report.clone() })
    }
}

fn read(path: PathBuf, shard: Shard) -> Result<ShardReport> {
    let text = fs::read(&path).map_err(|error| Error::io("read", &path, error))?;
    let remedy = "make the shard again; hosts that need no change are kept";
    let corrupt = |message: String| Error::corrupt(message).at(path.display().to_string()).remedy(remedy);
    let mut report: BatchReport =
        serde_json::from_slice(&text).map_err(|error| corrupt(format!("it is no report of a shard: {error}")))?;
    if report.version != BatchReport::VERSION {
        let error = Error::unsupported(format!(
            "the report's form is version {}, not {}",
            report.version,
            BatchReport::VERSION
        ));
        return Err(error.at(path.display().to_string()).remedy("merge with the version of ibwrt that wrote it"));
    }
    let part = report.shard.take().ok_or_else(|| corrupt("it does not say which shard it is of".to_owned()))?;
    if (part.number, part.count) != (shard.number(), shard.count()) {
        return Err(corrupt(format!("it is of shard {} of {}", part.number, part.count)));
    }
    // Outputs are put into another folder by their names.
    let is_name = |output: &str| Path::new(output).file_name().is_some_and(|name| name == output);
    if let Some(host) = report.hosts.iter().find(|host| !is_name(&host.output)) {
        return Err(corrupt(format!("the output of host {} is {:?}, which is no file name", host.host, host.output)));
    }
    Ok(ShardReport { path, shard, all_hosts: Arc::new(part.all_hosts), report })
}

fn unfinished((shard, journal): &(Shard, PathBuf)) -> String {
    format!("{shard} did not end ({}): run it again, it goes on where it was", journal.display())
}

/// Where two lists begin to differ.
fn difference(one: &[String], another: &[String]) -> Option<(String, String)> {
    let at = |list: &[String], index: usize| match list.get(index) {
        Some(name) => format!("{name} at place {}", index + 1),
        None => format!("{} long", list.len()),
    };
    let longest = one.len().max(another.len());
    let index = (0..longest).find(|index| one.get(*index) != another.get(*index))?;
    Some((at(one, index), at(another, index)))
}

/// `host h1`, `hosts h1 and h2`, `hosts h1, h2, h3 and 5 more`.
fn named(hosts: &[&str]) -> String {
    match hosts {
        [] => "no host".to_owned(),
        [one] => format!("host {one}"),
        [front @ .., last] if hosts.len() <= TOLD => format!("hosts {} and {last}", front.join(", ")),
        all => format!("hosts {}", some(all, TOLD)),
    }
}
