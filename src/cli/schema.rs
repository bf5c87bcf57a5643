//! `ibwrt schema`.

use std::process::ExitCode;

use super::terminal::{Terminal, json};
use crate::error::Result;

pub(super) fn run(terminal: &Terminal) -> Result<ExitCode> {
    terminal.data(&json(&recipe_schema()?)?)?;
    Ok(ExitCode::SUCCESS)
}

/// To be joined with `recipe::schema()`.
fn recipe_schema() -> Result<serde_json::Value> {
    Err(crate::error::Error::unsupported("the schema is not built yet"))
}
