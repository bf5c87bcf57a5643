//! What a batch tells of its hosts while it runs.

use std::time::Instant;

use crate::hosts::HostRow;

use super::super::event::{Event, ShardFacts};
use super::super::steps::Opened;
use super::report::{BatchReport, HostOutcome, HostStatus};
use super::{BatchRequest, Done};

/// All is ready: `kept` of `hosts` keep an earlier output.
pub(super) fn batch_begun(request: &BatchRequest, opened: &Opened, hosts: usize, kept: usize) -> Event {
    Event::BatchBegun {
        image: request.image.display().to_string(),
        image_sha256: opened.scene.medium.container().map(|container| container.sha256.clone()).unwrap_or_default(),
        folder: request.folder.display().to_string(),
        shard: request.shard.map(|shard| ShardFacts { number: shard.number(), count: shard.count() }),
        hosts,
        kept,
    }
}

/// Work on a host begins.
pub(super) fn host_begun(row: &HostRow) -> Event {
    Event::HostBegun { host: row.name.clone(), output: row.output.clone() }
}

/// How a host ended; nothing of one that was not begun.
pub(super) fn host_ended(outcome: &HostOutcome) -> Option<Event> {
    let (host, output, seconds) = (outcome.host.clone(), outcome.output.clone(), rounded(outcome.run.seconds));
    if let Some(Done { inputs, plan, length, sha256, findings }) = outcome.done.clone() {
        let findings = findings.into_iter().filter_map(|finding| serde_json::from_value(finding).ok()).collect();
        let kept = outcome.run.kept;
        return Some(Event::HostDone { host, output, sha256, length, inputs, plan, findings, kept, seconds });
    }
    let error = outcome.failure.clone()?;
    Some(Event::HostFailed { host, output, error, seconds })
}

/// All is written, of what began at `begun`.
pub(super) fn batch_done(report: &BatchReport, begun: Instant) -> Event {
    let kept = report.hosts.iter().filter(|host| host.run.kept).count();
    Event::BatchDone {
        hosts: report.hosts.len(),
        made: report.count(HostStatus::Done) - kept,
        kept,
        failed: report.count(HostStatus::Failed),
        not_begun: report.count(HostStatus::NotBegun),
        seconds: rounded(begun.elapsed().as_secs_f64()),
        remarks: report.remarks.clone(),
    }
}

/// Seconds, to the millisecond.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
