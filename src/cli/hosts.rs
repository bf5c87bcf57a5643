//! `ibwrt hosts`.

use std::process::ExitCode;

use super::host_args::{HostsAction, HostsArguments};
use super::page::{Page, Tone};
use super::terminal::Terminal;
use crate::counted::number;
use crate::error::Result;
use crate::hosts::HostRow;
use crate::task::{self, HostsReport};

pub(super) fn run(arguments: &HostsArguments, terminal: &Terminal) -> Result<ExitCode> {
    let HostsAction::Check(arguments) = &arguments.action;
    let report = task::check_hosts(&arguments.to_request())?;
    terminal.report(&report, |page| {
        render(page, &report);
    })?;
    Ok(ExitCode::SUCCESS)
}

fn render(page: &mut Page, report: &HostsReport) {
    let row = |row: &HostRow| {
        let addresses: Vec<_> = row.addresses.iter().map(|own| format!("{} {}", own.device, own.address)).collect();
        let mut name = row.name.clone();
        if row.hostname != row.name {
            name.push_str(&format!(" ({})", row.hostname));
        }
        let disk = row.disk_guid.clone().unwrap_or_default();
        [name, row.groups.join(" "), addresses.join(", "), row.output.clone(), disk]
    };
    page.table(
        &["host", "group", "addresses", "output", "disk GUID"],
        &report.hosts.iter().map(row).collect::<Vec<_>>(),
    );
    page.gap();
    let count = number(report.hosts.len(), "host");
    page.labelled(
        &format!("{count}:"),
        Tone::Good,
        "all can be rendered, and no two share a name, an address or an output.",
    );
}
