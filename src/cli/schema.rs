//! `ibwrt schema`.

use std::process::ExitCode;

use super::terminal::{Terminal, json};
use crate::error::Result;
use crate::recipe;

pub(super) fn run(terminal: &Terminal) -> Result<ExitCode> {
    terminal.data(&json(&recipe::schema()?)?)?;
    Ok(ExitCode::SUCCESS)
}
