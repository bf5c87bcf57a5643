//! Batch: many hosts from one image. It is opened once; what hosts have in common is read, worked out, carried out and
//! compressed once; each output is what a patch with the host's whole recipe makes.

mod folder;
mod ground;
mod inputs;
mod lock;
mod names;
mod report;
mod shard;
mod told;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::hosts::{Host, HostRow, Hosts, Renderer, survey};
use crate::overlay;
use crate::parallel;
use crate::plan::Finding;
use crate::progress::Progress;
use crate::recipe::CommandLineWishes;
use crate::seal::Output;

use super::event::Observer;
use super::hosts::check_output;
use super::medium::Medium;
use super::steps::{self, Opened, Wished};
use super::{Input, growth};
use folder::{Done, Folder};
use ground::Grounds;
use report::Part;
pub(crate) use report::{BatchReport, HostOutcome, HostStatus};
pub(crate) use shard::Shard;

/// What `batch` is asked to do.
#[derive(Debug, Clone)]
pub(crate) struct BatchRequest {
    /// The image; never touched.
    pub(crate) image: PathBuf,
    /// The hosts file, or a folder of files.
    pub(crate) hosts: PathBuf,
    /// Where the outputs go.
    pub(crate) folder: PathBuf,
    /// The part of the hosts that is made; `None` makes all.
    pub(crate) shard: Option<Shard>,
    /// What the command line says; it wins over every host.
    pub(crate) wishes: CommandLineWishes,
    /// Template of the outputs' names.
    pub(crate) name: String,
    /// Keep debug sections of modules.
    pub(crate) keep_debug: bool,
    /// Make every host again, whatever an earlier run made.
    pub(crate) force: bool,
    /// Begin no further host once one failed.
    pub(crate) fail_fast: bool,
    /// Checks that may fail.
    pub(crate) allow: Vec<String>,
    /// Checks that are not run.
    pub(crate) skip: Vec<String>,
    /// Timestamp of what is written (`SOURCE_DATE_EPOCH`); `None` takes the image's build date.
    pub(crate) epoch: Option<u64>,
}

/// A host that is to be made, or was.
struct Item {
    row: HostRow,
    /// Digest of all that its output comes from.
    inputs: String,
}

/// Makes an image for every host.
///
/// # Errors
/// Those of the image and of the hosts file, before anything is written; I/O in the output's folder, such as a full disk,
/// after which no further host is begun. A host that fails otherwise is a row of the report.
pub(crate) fn batch(request: &BatchRequest, observer: &dyn Observer) -> Result<BatchReport> {
    let renderer = Renderer::new(Hosts::read(&request.hosts)?, &request.wishes, &request.name)?;
    let opened = steps::open(&Input::Image(request.image.clone()), observer)?;
    observer.begin("Rendering the hosts", None);
    let rows = survey(&renderer, |_, recipe, resolved| {
        check_output(&recipe.output, &request.name)?;
        let wished = steps::resolved_wished(&recipe.recipe, resolved, &opened.shelf)?;
        inputs::digest(request, &opened, &wished, &recipe.output)
    })?;
    observer.end();
    let all_inputs = inputs::of_all(&rows);
    let part = request.shard.map(|shard| Part::new(shard, &rows));
    let own = rows.into_iter().filter(|(row, _)| request.shard.is_none_or(|shard| shard.takes(row.index)));
    let items: Vec<Item> = own.map(|(row, inputs)| Item { row, inputs }).collect();
    let mut folder = Folder::open(&request.folder, request.shard)?;
    observer.begin("Looking at what earlier runs made", None);
    let kept: Vec<Option<Done>> = parallel::map(items.len(), |number| {
        let item = items.get(number)?;
        folder.kept(&item.row.output, &item.inputs).filter(|_| !request.force)
    });
    observer.end();
    let work = Work::new(request, &opened, &renderer);
    let mut outcomes: Vec<Option<HostOutcome>> = items.iter().map(|_| None).collect();
    let mut failure = None;
    let begun = Instant::now();
    observer.event(&told::batch_begun(request, &opened, items.len(), kept.iter().flatten().count()));
    parallel::each(
        items.len(),
        |number| {
            let item = items.get(number)?;
            let host = renderer.hosts().get(item.row.index)?;
            let kept = kept.get(number).cloned().flatten();
            // What is kept needs no work, so it is in the report however this run ends.
            if kept.is_none() && work.stopped.load(Ordering::Relaxed) {
                return None;
            }
            observer.event(&told::host_begun(&item.row));
            Some(kept.map_or_else(|| work.outcome(host, item), |done| HostOutcome::done(&item.row, done, true, 0.0)))
        },
        |number, outcome| {
            let Some(outcome) = outcome else { return };
            let noted = outcome.done.as_ref().map_or(Ok(()), |done| folder.note(&outcome.output, done));
            if let Some(event) = told::host_ended(&outcome) {
                observer.event(&event);
            }
            work.stopped.fetch_or(noted.is_err(), Ordering::Relaxed);
            failure = failure.take().or(noted.err());
            if let Some(slot) = outcomes.get_mut(number) {
                *slot = Some(outcome);
            }
        },
    );
    let outcomes = items.iter().zip(outcomes);
    let hosts = outcomes.map(|(item, outcome)| outcome.unwrap_or_else(|| HostOutcome::not_begun(&item.row))).collect();
    let report = BatchReport::new(&opened, all_inputs, part, hosts);
    let closed = folder.close(&report);
    if let Some(failure) = work.refused.get().map(Error::again).or(failure) {
        return Err(failure);
    }
    closed?;
    observer.event(&told::batch_done(&report, begun));
    Ok(report)
}

/// What making a host needs beside it.
struct Work<'a> {
    request: &'a BatchRequest,
    opened: &'a Opened,
    renderer: &'a Renderer,
    grounds: Grounds,
    /// What the operating system refused first, which it would to every other host as well.
    refused: OnceLock<Error>,
    /// Whether no further host is begun.
    stopped: AtomicBool,
}

impl<'a> Work<'a> {
    fn new(request: &'a BatchRequest, opened: &'a Opened, renderer: &'a Renderer) -> Self {
        let grounds = Grounds::default();
        Self { request, opened, renderer, grounds, refused: OnceLock::new(), stopped: AtomicBool::new(false) }
    }

    fn outcome(&self, host: &Host, item: &Item) -> HostOutcome {
        let begun = Instant::now();
        let rendered = self.renderer.render(host).and_then(|rendered| {
            let made = overlay::resolve(&rendered.recipe)
                .and_then(|resolved| steps::resolved_wished(&rendered.recipe, resolved, &self.opened.shelf))
                .and_then(|wished| self.make(&wished, item));
            let cover = |mut finding: Finding| {
                finding.message = rendered.secrets.cover(&finding.message);
                finding.remedy = finding.remedy.map(|remedy| rendered.secrets.cover(&remedy));
                finding
            };
            made.map(|(mut done, findings)| {
                let findings = findings.into_iter().map(cover);
                done.findings = findings.filter_map(|finding| serde_json::to_value(finding).ok()).collect();
                done
            })
            .map_err(|error| rendered.secrets.cover_error(error))
        });
        let seconds = begun.elapsed().as_secs_f64();
        match rendered {
            Ok(done) => HostOutcome::done(&item.row, done, false, seconds),
            Err(error) => {
                let is_refused = error.kind() == ErrorKind::Io;
                if is_refused {
                    let _ = self.refused.set(error.again().at(format!("host {}", item.row.name)));
                }
                // Said by who failed, so that a thread fails at most once.
                self.stopped.fetch_or(is_refused || self.request.fail_fast, Ordering::Relaxed);
                HostOutcome::failed(&item.row, &error, seconds)
            }
        }
    }

    /// Plans, carries out, checks and writes one host.
    fn make(&self, wished: &Wished, item: &Item) -> Result<(Done, Vec<Finding>)> {
        let request = self.request;
        let (opened, planned, _) = growth::planned(self.opened.clone(), wished, request.keep_debug)?;
        let epoch = request.epoch.or_else(|| planned.system.build_time()).unwrap_or(0);
        let (medium, rehearsal) = self.grounds.carried_out(&opened, &planned, epoch)?;
        let checks = steps::checked(medium.clone(), &opened.unpacked, wished, &request.skip, &request.allow);
        if checks.failed() {
            let problems: Vec<String> = checks
                .failures()
                .flat_map(|row| row.outcome.problems().iter().map(move |text| format!("{}: {text}", row.id)))
                .collect();
            return Err(Error::check(problems.join("\n")));
        }
        let Medium::Image(image) = &medium else { return Err(Error::usage("a tree of files is no image")) };
        let path = request.folder.join(&item.row.output);
        let whose = Folder::whose(request.shard);
        let output = Output::prepare_as(&whose, &path, Some(&request.image), true)?.rehearsed(rehearsal);
        let sealed = output.fill(&image.disk, &Unseen)?.publish(None)?;
        let done = Done {
            inputs: item.inputs.clone(),
            plan: inputs::plan_digest(&planned),
            length: sealed.length,
            sha256: sealed.sha256,
            findings: Vec::new(),
        };
        Ok((done, opened.remarks.iter().chain(&planned.plan.findings).cloned().collect()))
    }
}

/// Progress of a single host, which nobody watches.
struct Unseen;

impl Progress for Unseen {
    fn begin(&self, _step: &str, _total: Option<u64>) {}
    fn advance(&self, _by: u64) {}
    fn end(&self) {}
}
