//! Expand: from a base image and a delta to the image that the delta stands for, in a file or on a block device.

use std::path::PathBuf;

use serde::Serialize;

use super::report::OutputFacts;
use super::target::published;
use crate::error::{Error, Result};
use crate::image::{Disk, Form, Image, Keep};
use crate::plan::Finding;
use crate::progress::Progress;
use crate::seal::{Delta, Device, Output, digest_as, is_block_device};

/// What `expand` is asked to do.
#[derive(Debug, Clone)]
pub(crate) struct ExpandRequest {
    /// The image that the delta was made against.
    pub(crate) base: PathBuf,
    /// The delta.
    pub(crate) delta: PathBuf,
    /// The image to write, or a block device.
    pub(crate) output: PathBuf,
    /// The block device whose content may be lost.
    pub(crate) yes_erase: Option<PathBuf>,
    /// Replace an existing output.
    pub(crate) force: bool,
}

/// What `expand` did.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ExpandReport {
    /// The base image.
    pub(crate) base: PathBuf,
    /// SHA-256 of its file.
    pub(crate) base_sha256: String,
    /// The delta.
    pub(crate) delta: PathBuf,
    /// Pages of 4096 bytes that it changed.
    pub(crate) pages: u64,
    /// Length of the disk in bytes.
    pub(crate) disk_length: u64,
    /// Form of the output that the delta stands for.
    pub(crate) form: Form,
    /// Its SHA-256, which was held against what was made.
    pub(crate) sha256: String,
    /// The file, where one was written.
    pub(crate) output: Option<OutputFacts>,
    /// The block device, where one was written and read back.
    pub(crate) device: Option<PathBuf>,
    /// What is worth knowing.
    pub(crate) findings: Vec<Finding>,
}

/// Where the image goes.
enum Target {
    File(Output),
    Device(Device),
}

/// Makes the image that a delta stands for.
///
/// # Errors
/// Any of the rooms'; usage when the base is another one; corrupt when the result is not what the delta says.
pub(crate) fn expand(request: &ExpandRequest, progress: &dyn Progress) -> Result<ExpandReport> {
    let target = prepare(request)?;
    let delta = Delta::read(&request.delta)?;
    if let Target::Device(device) = &target {
        device.check_length(delta.header.disk_length)?;
    }
    let base = Image::open_showing(&mut |_| {}, Keep::DiskAndStream, &request.base, progress)?;
    let place = |error: Error| error.at(request.delta.display().to_string());
    let disk = delta.expanded(&base.disk, &base.container).map_err(place)?;
    let mut report = report(request, &delta);
    match target {
        Target::Device(device) => {
            check(&delta, &digest_as(delta.header.form, &disk, progress)?).map_err(place)?;
            let path = device.path().to_owned();
            device.write(&disk, progress)?;
            report.device = Some(path);
        }
        Target::File(output) => report.output = Some(written(output, &delta, &disk, &mut report.findings, progress)?),
    }
    Ok(report)
}

/// Where the result goes, found possible before the work starts.
fn prepare(request: &ExpandRequest) -> Result<Target> {
    let path = &request.output;
    if is_block_device(path) {
        return Device::prepare(path, request.yes_erase.as_deref()).map(Target::Device);
    }
    if let Some(erased) = &request.yes_erase {
        return Err(Error::usage(format!(
            "--yes-erase names {}, but the output {} is not a block device",
            erased.display(),
            path.display()
        ))
        .remedy("leave it out, or name the device with -o as well"));
    }
    // Neither input is ever replaced.
    Output::prepare(path, Some(&request.delta), request.force)?;
    let output = Output::prepare(path, Some(&request.base), request.force)?;
    if output.form() == Form::Delta {
        return Err(Error::usage(format!("{} would be a delta, not an image", path.display()))
            .remedy("end the output's name in .img.gz or .img"));
    }
    Ok(Target::File(output))
}

/// Writes the image, and gives it its name when it is what the delta says.
fn written(
    output: Output,
    delta: &Delta,
    disk: &Disk,
    findings: &mut Vec<Finding>,
    progress: &dyn Progress,
) -> Result<OutputFacts> {
    let is_same_form = output.form() == delta.header.form;
    if !is_same_form {
        check(delta, &digest_as(delta.header.form, disk, progress)?)?;
    }
    let filled = output.fill(disk, progress)?;
    if is_same_form {
        check(delta, filled.sha256())?;
    }
    published(filled, false, None, findings)
}

/// What was made has the digest that the delta tells.
fn check(delta: &Delta, sha256: &str) -> Result<()> {
    let header = &delta.header;
    if sha256 == header.output.sha256 {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "the {} has SHA-256 {sha256}, the delta of {} says {}",
        header.form.name(),
        header.tool,
        header.output.sha256
    ))
    .remedy(format!("this is ibwrt {}: use the release that made the delta", env!("CARGO_PKG_VERSION"))))
}

fn report(request: &ExpandRequest, delta: &Delta) -> ExpandReport {
    let header = &delta.header;
    ExpandReport {
        base: request.base.clone(),
        base_sha256: header.base.sha256.clone(),
        delta: request.delta.clone(),
        pages: header.pages,
        disk_length: header.disk_length,
        form: header.form,
        sha256: header.output.sha256.clone(),
        output: None,
        device: None,
        findings: Vec::new(),
    }
}
