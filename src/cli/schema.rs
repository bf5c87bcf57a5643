//! `ibwrt schema`.

use std::process::ExitCode;

use super::args::{SchemaArguments, SchemaOf};
use super::terminal::{Terminal, json};
use crate::error::Result;
use crate::{hosts, recipe, task};

pub(super) fn run(arguments: &SchemaArguments, terminal: &Terminal) -> Result<ExitCode> {
    let schema = match arguments.what {
        SchemaOf::Recipe => recipe::schema()?,
        SchemaOf::Hosts => hosts::schema()?,
        SchemaOf::Events => task::event_schema(),
    };
    terminal.data(&json(&schema)?)?;
    Ok(ExitCode::SUCCESS)
}
