//! The `ibwrt` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ibwrt::cli::run(std::env::args_os())
}
