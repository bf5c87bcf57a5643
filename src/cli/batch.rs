//! `ibwrt batch`.

use std::process::ExitCode;

use super::host_args::{BatchAction, BatchArguments, BatchCommand};
use super::merge;
use super::page::{Page, Tone};
use super::patch::epoch;
use super::render_edits;
use super::shard_args::Slice;
use super::terminal::Terminal;
use crate::counted::number;
use crate::error::{Error, ErrorKind, Result};
use crate::task::{self, BatchReport, BatchRequest, HostStatus};

pub(super) fn run(command: &BatchCommand, terminal: &Terminal) -> Result<ExitCode> {
    match command {
        BatchCommand::Make(arguments) => make(arguments, terminal),
        BatchCommand::Act(BatchAction::Merge(arguments)) => merge::run(arguments, terminal),
    }
}

fn make(arguments: &BatchArguments, terminal: &Terminal) -> Result<ExitCode> {
    if let Some(threads) = arguments.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build_global();
        pool.map_err(|error| Error::usage(format!("--threads {threads}: {error}")))?;
    }
    let slice = arguments.sharding.slice(&|name| std::env::var(name).ok())?;
    let request = BatchRequest {
        image: arguments.image.clone(),
        hosts: arguments.hosts.clone(),
        folder: arguments.output.clone(),
        shard: slice.as_ref().map(|slice| slice.shard),
        wishes: arguments.wishes.to_wishes(),
        name: arguments.name().to_owned(),
        keep_debug: arguments.keep_debug,
        force: arguments.force,
        fail_fast: arguments.fail_fast,
        sign: arguments.sign.clone(),
        allow: arguments.allow.clone(),
        skip: arguments.skip.clone(),
        epoch: epoch()?,
    };
    let report = task::batch(&request, terminal.progress())?;
    terminal.report_unless_told(&report, |page| {
        render(page, &report, arguments, slice.as_ref());
    })?;
    Ok(exit_code(&report))
}

/// Whether every host has its output.
pub(super) fn exit_code(report: &BatchReport) -> ExitCode {
    let is_complete = report.count(HostStatus::Done) == report.hosts.len();
    if is_complete { ExitCode::SUCCESS } else { ExitCode::from(ErrorKind::Check.exit_code()) }
}

/// Who signed the sums, where somebody did.
pub(super) fn signature(page: &mut Page, report: &BatchReport) {
    if let Some(key) = &report.signed_by {
        page.labelled("sha256sums.sig:", Tone::Good, &format!("signed by key {key}"));
    }
}

/// What is to be said of the run, and the hosts that failed, and why.
pub(super) fn failures(page: &mut Page, report: &BatchReport) {
    render_edits::findings(page, &report.remarks);
    for host in &report.hosts {
        let Some(error) = &host.error else { continue };
        page.labelled(&format!("{}:", host.host), Tone::Bad, error);
        if let Some(remedy) = &host.remedy {
            page.labelled("  help:", Tone::Accent, remedy);
        }
    }
}

fn render(page: &mut Page, report: &BatchReport, arguments: &BatchArguments, slice: Option<&Slice>) {
    failures(page, report);
    page.gap();
    if let (Some(slice), Some(part)) = (slice, &report.shard) {
        let (own, all) = (report.hosts.len(), number(part.all_hosts.len(), "host"));
        page.labelled(
            &format!("{}:", slice.shard),
            Tone::Strong,
            &format!("{own} of {all}, as {} says", slice.said_by),
        );
    }
    let kept = report.hosts.iter().filter(|host| host.run.kept).count();
    let (done, failed) = (report.count(HostStatus::Done), report.count(HostStatus::Failed));
    let tone = if done == report.hosts.len() { Tone::Good } else { Tone::Bad };
    page.labelled(
        &format!("{}:", number(report.hosts.len(), "host")),
        tone,
        &format!(
            "{} written to {}, {kept} kept from an earlier run, {failed} failed, {} not begun",
            done - kept,
            arguments.output.display(),
            report.count(HostStatus::NotBegun)
        ),
    );
    signature(page, report);
}
