//! The clap types of `ibwrt batch merge`.

use std::path::PathBuf;

use clap::Args;

use crate::task::MergeRequest;

/// Join what the shards of a batch made.
///
/// Joins the sums and reports of all shards into one sha256sums and one report.json, as a run over all hosts would have
/// written them, and puts the outputs into one folder. Before anything is written it is checked that the shards are all of
/// one batch (image, hosts file and what it reads, version of ibwrt), that no shard and no host is missing or there twice,
/// and that every output has its digest.
#[derive(Debug, Args)]
#[command(after_long_help = MERGE_HELP)]
pub(super) struct MergeArguments {
    /// The folders that the shards wrote to; one folder may hold several shards
    #[arg(required = true, value_name = "DIR")]
    pub(super) folders: Vec<PathBuf>,
    /// The folder for everything: new, empty, or that of an earlier batch; outputs are linked there (hard links), or copied
    /// where that cannot be. It may be left out where all shards share a folder
    #[arg(short, long, value_name = "DIR")]
    pub(super) output: Option<PathBuf>,
    /// Sign sha256sums with this usign or signify secret key (sha256sums.sig)
    #[arg(long, value_name = "KEY", help_heading = "Signing")]
    sign: Option<PathBuf>,
}

impl MergeArguments {
    /// As the task takes it.
    pub(super) fn to_request(&self) -> MergeRequest {
        MergeRequest { folders: self.folders.clone(), output: self.output.clone(), sign: self.sign.clone() }
    }

    /// Where everything goes.
    pub(super) fn target(&self) -> Option<&PathBuf> {
        self.output.as_ref().or(self.folders.first())
    }
}

const MERGE_HELP: &str = "\
Outputs and sha256sums are byte for byte those of a run over all hosts, and so is
report.json but for the objects `run`, which tell of each shard's run. The shards'
own lists stay, so that a shard can be made again and merged again.

Exit codes:
  0  every host has its output
  1  a host failed in its shard, which report.json tells; or a shard or a host is
     missing or there twice, or an output is not what it was, and nothing was
     written
  2  the folders are not those of one batch, or a shard is still at work
  3 to 5  a report could not be read; `ibwrt --help` tells

Examples:
  Four machines, one folder on a shared filesystem:
    ibwrt batch image.img.gz --hosts hosts.toml -o images --shard 1/4   # and 2/4 …
    ibwrt batch merge images --sign site.sec

  Each with a folder of its own:
    ibwrt batch merge shard-1 shard-2 shard-3 shard-4 -o images";
