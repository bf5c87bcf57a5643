//! `ibwrt batch merge`.

use std::process::ExitCode;

use super::batch::{exit_code, failures, signature};
use super::merge_args::MergeArguments;
use super::page::{Page, Tone};
use super::terminal::Terminal;
use crate::counted::number;
use crate::error::Result;
use crate::task::{self, BatchReport, HostStatus};

pub(super) fn run(arguments: &MergeArguments, terminal: &Terminal) -> Result<ExitCode> {
    let report = task::merge(&arguments.to_request(), terminal.progress())?;
    terminal.report(&report, |page| {
        render(page, &report, arguments);
    })?;
    Ok(exit_code(&report))
}

fn render(page: &mut Page, report: &BatchReport, arguments: &MergeArguments) {
    failures(page, report);
    page.gap();
    let (done, failed) = (report.count(HostStatus::Done), report.count(HostStatus::Failed));
    let tone = if done == report.hosts.len() { Tone::Good } else { Tone::Bad };
    let folder = arguments.target().map(|folder| folder.display().to_string()).unwrap_or_default();
    page.labelled(
        &format!("{}:", number(report.hosts.len(), "host")),
        tone,
        &format!("{done} in {folder}, {failed} failed, {} not begun", report.count(HostStatus::NotBegun)),
    );
    signature(page, report);
}
