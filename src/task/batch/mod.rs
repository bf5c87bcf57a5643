//! Batch: many hosts from one image. It is opened once; what hosts have in common is read, worked out, carried out and
//! compressed once; each output is what a patch with the host's whole recipe makes.

mod choice;
mod folder;
mod ground;
mod inputs;
mod lists;
mod lock;
mod merge;
mod names;
mod parts;
mod proof;
mod report;
mod shard;
mod told;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::hosts::{Host, HostRow, Hosts, Renderer, survey};
use crate::parallel;
use crate::plan::Finding;
use crate::progress::Silent;
use crate::recipe::CommandLineWishes;
use crate::seal::{Output, Signer};

use super::event::Observer;
use super::hosts::check_output;
use super::medium::Medium;
use super::signer::readable_by_others;
use super::steps::{self, Checking, Opened, Planned, Wished};
use super::{Input, growth};
use folder::{Done, Folder, whose};
use ground::{Grounds, Task};
pub(crate) use merge::{MergeRequest, merge};
use report::Part;
pub(crate) use report::{BatchReport, HostOutcome, HostStatus};
pub(crate) use shard::Shard;

/// How many hosts are planned before the first one is made.
const LOOKED_AHEAD: usize = 4;

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
    /// The secret key that signs the sums.
    pub(crate) sign: Option<PathBuf>,
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
    let signer = signer(request)?;
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
    let folder = Folder::open(&request.folder, request.shard)?;
    observer.begin("Looking at what earlier runs made", None);
    let kept: Vec<Option<Done>> = parallel::map(items.len(), |number| {
        let item = items.get(number)?;
        folder.kept(&item.row.output, &item.inputs).filter(|_| !request.force)
    });
    observer.end();
    let work = Work::new(request, &opened, &renderer);
    let begun = Instant::now();
    observer.event(&told::batch_begun(request, &opened, items.len(), kept.iter().flatten().count()));
    let folder = Mutex::new(folder);
    let hosts = work.all(&items, &kept, &folder, observer);
    let folder = folder.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut report = BatchReport::new(&opened, all_inputs, part, hosts);
    let closed = folder.close(&report, signer.as_ref());
    if let Some(refused) = work.refused.get() {
        return Err(refused.again());
    }
    report.remarks = closed?;
    report.signed_by = signer.map(|signer| signer.fingerprint());
    report.remarks.extend(request.sign.as_deref().and_then(readable_by_others));
    observer.event(&told::batch_done(&report, begun));
    Ok(report)
}

/// Reads the key.
fn signer(request: &BatchRequest) -> Result<Option<Signer>> {
    match (&request.sign, request.shard) {
        (Some(_), Some(shard)) => Err(Error::usage(format!("{shard} has no list of all outputs to sign"))
            .remedy("leave --sign out here: `ibwrt batch merge --sign KEY` signs the list of all shards")),
        (key, _) => key.as_deref().map(Signer::load).transpose(),
    }
}

/// What making a host needs beside it.
struct Work<'a> {
    request: &'a BatchRequest,
    opened: &'a Opened,
    renderer: &'a Renderer,
    grounds: Grounds,
    /// What the operating system refused first, as it would for every other host.
    refused: OnceLock<Error>,
    /// Whether no further host is begun.
    stopped: AtomicBool,
}

impl<'a> Work<'a> {
    fn new(request: &'a BatchRequest, opened: &'a Opened, renderer: &'a Renderer) -> Self {
        let grounds = Grounds::default();
        Self { request, opened, renderer, grounds, refused: OnceLock::new(), stopped: AtomicBool::new(false) }
    }

    /// Makes `items` by several threads, but for those that are `kept`; the outcomes stand in their order.
    fn all(
        &self,
        items: &[Item],
        kept: &[Option<Done>],
        folder: &Mutex<Folder>,
        observer: &dyn Observer,
    ) -> Vec<HostOutcome> {
        self.look_ahead(items, kept);
        let outcomes = parallel::map(items.len(), |number| {
            let (item, kept) = (items.get(number)?, kept.get(number)?.clone());
            // What is kept needs no work, so it is in the report however this run ends.
            if kept.is_none() && self.stopped.load(Ordering::Relaxed) {
                return Some(HostOutcome::not_begun(&item.row));
            }
            observer.event(&told::host_begun(&item.row));
            let outcome = match kept {
                Some(done) => HostOutcome::done(&item.row, done, true, 0.0),
                None => self.outcome(self.renderer.hosts().get(item.row.index)?, item),
            };
            if let Some(done) = &outcome.done
                && let Err(error) = folder.lock().unwrap_or_else(PoisonError::into_inner).note(&outcome.output, done)
            {
                self.stop(error);
            }
            if let Some(event) = told::host_ended(&outcome) {
                observer.event(&event);
            }
            Some(outcome)
        });
        outcomes.into_iter().flatten().collect()
    }

    /// Plans the first few hosts, so that the first one of them stands on what it has in common with the others. Their mistakes
    /// are told when it is their turn.
    fn look_ahead(&self, items: &[Item], kept: &[Option<Done>]) {
        let to_make = items.iter().zip(kept).filter(|(_, kept)| kept.is_none());
        let first: Vec<&Item> = to_make.map(|(item, _)| item).take(LOOKED_AHEAD).collect();
        if first.len() < 2 {
            return;
        }
        for item in first {
            let Some(host) = self.renderer.hosts().get(item.row.index) else { continue };
            let _ = self.renderer.render(host).and_then(|rendered| {
                let wished = steps::recipe_wished(&rendered.recipe, &self.opened.shelf)?;
                let (opened, planned, _) = growth::planned(self.opened.clone(), &wished, self.request.keep_debug)?;
                self.grounds.meet(&self.task(item, &opened, &wished, &planned))
            });
        }
    }

    fn task<'b>(&self, item: &Item, opened: &'b Opened, wished: &'b Wished, planned: &'b Planned) -> Task<'b> {
        Task { host: item.row.index, opened, wished, planned, epoch: planned.dated(self.request.epoch).unwrap_or(0) }
    }

    /// Begins no further host, since the operating system refused something.
    fn stop(&self, error: Error) {
        let _ = self.refused.set(error);
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn outcome(&self, host: &Host, item: &Item) -> HostOutcome {
        let begun = Instant::now();
        let rendered = self.renderer.render(host).and_then(|rendered| {
            let made =
                steps::recipe_wished(&rendered.recipe, &self.opened.shelf).and_then(|wished| self.make(&wished, item));
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
                // Said by the thread that failed, so that none fails twice.
                if error.kind() == ErrorKind::Io {
                    self.stop(error.again().at(format!("host {}", item.row.name)));
                }
                self.stopped.fetch_or(self.request.fail_fast, Ordering::Relaxed);
                HostOutcome::failed(&item.row, &error, seconds)
            }
        }
    }

    /// Plans, carries out, checks and writes one host.
    fn make(&self, wished: &Wished, item: &Item) -> Result<(Done, Vec<Finding>)> {
        let request = self.request;
        let (opened, planned, _) = growth::planned(self.opened.clone(), wished, request.keep_debug)?;
        let (medium, ground) = self.grounds.carried_out(&self.task(item, &opened, wished, &planned))?;
        let BatchRequest { skip, allow, .. } = request;
        let checking = Checking { unpacked: &opened.unpacked, wished, skip, allow };
        let checks = match &ground {
            Some(ground) => ground.checked(&medium, &checking),
            None => checking.of(medium.clone()),
        };
        if checks.failed() {
            return Err(Error::check(checks.problems().join("\n")));
        }
        let Medium::Image(image) = &medium else { return Err(Error::usage("a tree of files is no image")) };
        let path = request.folder.join(&item.row.output);
        let whose = whose(request.shard);
        let mut output = Output::prepare_as(&whose, &path, Some(&request.image), true)?;
        if let Some(ground) = ground {
            output = ground.helped(output, &image.disk, &request.image, (&whose, &request.folder));
        }
        let sealed = output.fill(&image.disk, &Silent)?.publish(None)?;
        let done = Done {
            inputs: item.inputs.clone(),
            plan: inputs::plan_digest(&planned, &opened.shelf),
            length: sealed.length,
            sha256: sealed.sha256,
            findings: Vec::new(),
        };
        Ok((done, opened.remarks.iter().chain(&planned.plan.findings).cloned().collect()))
    }
}
