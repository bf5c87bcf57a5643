//! The command line: clap types, exit codes, progress, human and JSON output.
//!
//! Results go to stdout: text for people, or with `--format json` exactly one JSON document, be it the report or
//! `{"error": …}`, or with `--format jsonl` one JSON object per event. What is for people only (errors, progress) goes to stderr.

mod args;
mod batch;
mod defect;
mod demo;
mod expand;
mod graph;
mod host_args;
mod host_bar;
mod hosts;
mod input_args;
mod inspect;
mod keygen;
mod manual;
mod merge;
mod merge_args;
mod overlays;
mod page;
mod patch;
mod patch_args;
mod progress;
mod render_checks;
mod render_edits;
mod render_growth;
mod render_identity;
mod sbom_args;
mod schema;
mod shard_args;
mod sign_args;
mod stream;
mod terminal;
mod unpatch;
mod verify;
mod verify_args;
mod watch;
mod wish_args;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::error::Result;
use args::{Arguments, Command};
use terminal::Terminal;

/// Runs the command line `arguments` (the program's name first) and answers with its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let early = terminal::Choices::from_words(&arguments);
    early.color.apply();
    let parsed = match Arguments::try_parse_from(&arguments) {
        Ok(parsed) => parsed,
        Err(error) => return terminal::clap_answer(&error, early.format),
    };
    parsed.global.color.apply();
    let terminal = Terminal::new(&parsed.global);
    defect::guarded(|| match dispatch(&parsed.command, &terminal) {
        Ok(code) => code,
        Err(error) => terminal.error(&error),
    })
}

fn dispatch(command: &Command, terminal: &Terminal) -> Result<ExitCode> {
    match command {
        Command::Patch(arguments) => patch::run(arguments, terminal),
        Command::Unpatch(arguments) => unpatch::run(arguments, terminal),
        Command::Batch(arguments) => batch::run(arguments, terminal),
        Command::Expand(arguments) => expand::run(arguments, terminal),
        Command::Hosts(arguments) => hosts::run(arguments, terminal),
        Command::Verify(arguments) => verify::run(arguments, terminal),
        Command::Inspect(arguments) => inspect::run(arguments, terminal),
        Command::Graph(arguments) => graph::run(arguments, terminal),
        Command::Overlays(arguments) => overlays::run(arguments, terminal),
        Command::Demo(arguments) => demo::run(arguments, terminal),
        Command::Keygen(arguments) => keygen::run(arguments, terminal),
        Command::Schema(arguments) => schema::run(arguments, terminal),
        Command::Completions(arguments) => manual::completions(arguments.shell, terminal),
        Command::Man(arguments) => manual::run(arguments, terminal),
    }
}
