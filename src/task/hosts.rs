//! The hosts file, rendered without an image.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::hosts::{HostRow, Hosts, Renderer, survey};
use crate::recipe::CommandLineWishes;
use crate::seal;

/// What is asked of a hosts file.
#[derive(Debug, Clone)]
pub(crate) struct HostsRequest {
    /// The file, or a folder of files.
    pub(crate) hosts: PathBuf,
    /// What the command line says; it wins over every host.
    pub(crate) wishes: CommandLineWishes,
    /// Template of the outputs' names.
    pub(crate) name: String,
}

/// The hosts of a file.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct HostsReport {
    /// The file, or the folder of files.
    pub(crate) file: PathBuf,
    /// Its hosts, in the order in which they are written.
    pub(crate) hosts: Vec<HostRow>,
}

/// Renders and resolves every host.
///
/// # Errors
/// Usage, naming every host with a mistake, and what two hosts share and may not; I/O.
pub(crate) fn check_hosts(request: &HostsRequest) -> Result<HostsReport> {
    let renderer = Renderer::new(Hosts::read(&request.hosts)?, &request.wishes, &request.name)?;
    let rows = survey(&renderer, |_, recipe, _| check_output(&recipe.output, &request.name))?;
    Ok(HostsReport { file: request.hosts.clone(), hosts: rows.into_iter().map(|(row, ())| row).collect() })
}

/// Whether `output`, rendered from the template `name`, can be a file in the output's folder.
///
/// # Errors
/// Usage when it cannot.
pub(super) fn check_output(output: &str, name: &str) -> Result<()> {
    let place = || format!("--name {name}");
    let plain = |character: char| !character.is_control() && !"/\\".contains(character);
    if output.is_empty() || output.starts_with(['.', '-']) || !output.chars().all(plain) {
        let error = Error::usage(format!("{output:?} cannot be the name of an output file")).at(place());
        return Err(error.remedy("name a file, without folders, such as {{ host.name }}.img.gz"));
    }
    seal::check_ending(Path::new(output)).map_err(|error| error.at(place()))
}
