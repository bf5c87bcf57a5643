//! What a batch did: plain data. All but the fields `run` depends on the inputs alone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::hosts::HostRow;
use crate::plan::Finding;

use super::super::event::ErrorFacts;
use super::super::steps::Opened;
use super::folder::Done;
use super::shard::Shard;

/// How a host ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HostStatus {
    /// Its output is there.
    Done,
    /// It has none, for the reason in `error`.
    Failed,
    /// It was not begun, since another one failed.
    NotBegun,
}

/// What happened in this run and may be otherwise in the next.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Whether the output is that of an earlier run.
    pub(crate) kept: bool,
    /// Seconds that it took.
    pub(crate) seconds: f64,
}

/// What became of a host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HostOutcome {
    /// Its name.
    pub(crate) host: String,
    /// How it ended.
    pub(crate) status: HostStatus,
    /// Name of its output.
    pub(crate) output: String,
    /// The disk GUID that it gets, where `rekey` is wished for; its first group is the disk signature of an MBR.
    pub(crate) disk_guid: Option<String>,
    /// Its output, where it has one.
    #[serde(flatten)]
    pub(crate) done: Option<Done>,
    /// Why it failed.
    pub(crate) error: Option<String>,
    /// What to do about it.
    pub(crate) remedy: Option<String>,
    /// Of this run.
    pub(crate) run: Run,
    /// `error` and `remedy`, in parts.
    #[serde(skip)]
    pub(crate) failure: Option<ErrorFacts>,
}

impl HostOutcome {
    pub(super) fn done(row: &HostRow, done: Done, kept: bool, seconds: f64) -> Self {
        Self { done: Some(done), run: Run { kept, seconds }, ..Self::new(row, HostStatus::Done) }
    }

    pub(super) fn failed(row: &HostRow, error: &Error, seconds: f64) -> Self {
        Self {
            error: Some(error.to_string()),
            remedy: error.remedy_text().map(str::to_owned),
            run: Run { kept: false, seconds },
            failure: Some(error.into()),
            ..Self::new(row, HostStatus::Failed)
        }
    }

    pub(super) fn not_begun(row: &HostRow) -> Self {
        Self::new(row, HostStatus::NotBegun)
    }

    fn new(row: &HostRow, status: HostStatus) -> Self {
        Self {
            host: row.name.clone(),
            status,
            output: row.output.clone(),
            disk_guid: row.disk_guid.clone(),
            done: None,
            error: None,
            remedy: None,
            run: Run { kept: false, seconds: 0.0 },
            failure: None,
        }
    }
}

/// What a batch did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BatchReport {
    /// Version of this report's form.
    pub(crate) version: u32,
    /// Version of this program.
    pub(crate) ibwrt: String,
    /// The image.
    pub(crate) image: PathBuf,
    /// SHA-256 of its file.
    pub(crate) image_sha256: String,
    /// Its disk GUID or signature, where it has a partition table.
    pub(crate) image_disk_id: Option<String>,
    /// Digest of all that the outputs of all hosts come from, those of other shards included.
    pub(crate) inputs: String,
    /// Which part of the hosts this is, where it is not all of them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) shard: Option<Part>,
    /// The hosts, in the order in which they are written.
    pub(crate) hosts: Vec<HostOutcome>,
    /// Fingerprint of the key that signed the sums in this run; never in the file.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) signed_by: Option<String>,
    /// What is to be said of this run; never in the file.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) remarks: Vec<Finding>,
}

/// Part `number` (from 1) of `count` of the hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Which one.
    pub(crate) number: u32,
    /// Of how many.
    pub(crate) count: u32,
    /// The names of all hosts, in the order in which they are written: who joins the parts knows by them who is missing.
    pub(crate) all_hosts: Vec<String>,
}

impl Part {
    /// `shard` of the hosts in `rows`.
    pub(super) fn new(shard: Shard, rows: &[(HostRow, String)]) -> Self {
        let all_hosts = rows.iter().map(|(row, _)| row.name.clone()).collect();
        Self { number: shard.number(), count: shard.count(), all_hosts }
    }
}

impl BatchReport {
    /// Version of the form that is written here.
    pub(super) const VERSION: u32 = 1;

    pub(super) fn new(opened: &Opened, inputs: String, shard: Option<Part>, hosts: Vec<HostOutcome>) -> Self {
        let image_sha256 = opened.scene.medium.container().map(|container| container.sha256.clone());
        Self {
            version: Self::VERSION,
            ibwrt: env!("CARGO_PKG_VERSION").to_owned(),
            image: opened.path.clone(),
            image_sha256: image_sha256.unwrap_or_default(),
            inputs,
            shard,
            image_disk_id: opened.scene.medium.table().map(|table| table.disk_id.clone()),
            hosts,
            signed_by: None,
            remarks: Vec::new(),
        }
    }

    /// How many hosts ended so.
    pub(crate) fn count(&self, status: HostStatus) -> usize {
        self.hosts.iter().filter(|host| host.status == status).count()
    }

    /// Its outputs as `sha256sums` lists them, sorted by name.
    pub(super) fn sums(&self) -> String {
        let done = self.hosts.iter().filter_map(|host| Some((&host.output, &host.done.as_ref()?.sha256)));
        let lines: BTreeMap<_, _> = done.collect();
        lines.iter().map(|(name, sha256)| format!("{sha256} *{name}\n")).collect()
    }
}
