//! The clap types of what concerns many hosts.

use std::path::PathBuf;

use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};

use super::merge_args::MergeArguments;
use super::shard_args::Sharding;
use super::wish_args::HostWishes;
use crate::task::HostsRequest;

/// How output files are called when nothing is said.
pub(super) const OUTPUT_NAME: &str = "{{ host.name }}.img.gz";
/// The same for deltas.
const DELTA_NAME: &str = "{{ host.name }}.ibdelta";

/// Work with a hosts file: a recipe for each of many hosts.
///
/// A hosts file (TOML, JSON or CSV, or a folder of them) holds a recipe for every host: what stands on top holds for all,
/// what stands in a group for its hosts, what stands in a host for that host. Every text in it may be a template.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  ibwrt hosts check hosts.toml\n  ibwrt schema hosts > ibwrt-hosts.schema.json"
)]
pub(super) struct HostsArguments {
    #[command(subcommand)]
    pub(super) action: HostsAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum HostsAction {
    Check(HostsCheckArguments),
}

/// Render every host of a hosts file, without an image.
///
/// Shows names, addresses and output files. Mistakes are told for all hosts at once: unknown keys, undefined names in
/// templates, settings that cannot be; names, addresses and output files that two hosts share.
#[derive(Debug, Args)]
#[command(after_long_help = HOSTS_HELP)]
pub(super) struct HostsCheckArguments {
    /// The hosts file: .toml, .json or .csv, or a folder of them
    #[arg(value_name = "FILE|DIR")]
    pub(super) hosts: PathBuf,
    /// Template of the output files' names
    #[arg(long, value_name = "TEMPLATE", default_value = OUTPUT_NAME)]
    pub(super) name: String,
    #[command(flatten)]
    pub(super) wishes: HostWishes,
}

const HOSTS_HELP: &str = "\
The hosts file:
  overlays = [\"connectx3\", \"ipoib\"]        # any key of a recipe, for every host
  vars.subnet = \"10.10.0.0/22\"             # free variables, for templates

  [ipoib]
  address = \"{{ cidr_address(vars.subnet, host.index + 1) }}\"

  [group.storage]                          # any key of a recipe, for its hosts
  overlays = [\"storage\"]

  [[host]]
  name = \"h1\"                              # also its host name and output file
  group = \"storage\"                        # or a list; the last one wins

  [[host]]
  name = \"h2\"
  hostname = \"gateway\"                     # any key of a recipe
  ipoib.address = \"10.10.3.254/22\"

  In CSV the header names dotted keys: name,group,ipoib.address,vars.rack.
  In a folder, hosts.toml, hosts.json and hosts.csv are such files, and every
  other .toml is one host, called by its file's name.

Identifiers:
  rekey = true                             # disk GUID and PARTUUIDs by host.name
  rekey = \"{{ host.name }} of 2026\"        # or by any text; false: the image's

What wins:
  command line, host, group, top of the hosts file, recipe file. Lists of
  overlays, modules, SSH keys and files are added up instead.

Templates know:
  host.name  host.index (from 0)  host.groups  vars.NAME  group.NAME
  cidr_host(subnet, n)     address number n of a subnet
  cidr_address(subnet, n)  the same with the subnet's prefix length
  file(path)  env(name)    text of a file, an environment variable
  secret(name)             of an environment variable or file; never printed
  Paths count from the hosts file's folder. An undefined name is an error. Text
  where a key takes a number or a list is read as that.

Examples:
  ibwrt hosts check hosts.toml --recipe site.toml
  ibwrt hosts check hosts.csv --overlay connectx3 --overlay ipoib
  ibwrt hosts check hosts/ --format json | jq .hosts";

impl HostsCheckArguments {
    /// As the job takes them.
    pub(super) fn to_request(&self) -> HostsRequest {
        HostsRequest { hosts: self.hosts.clone(), wishes: self.wishes.to_wishes(), name: self.name.clone() }
    }
}

/// Make an image for every host of a hosts file.
///
/// Opens the image once, and makes for each host what `patch` makes with the host's whole recipe; what hosts have in common
/// is done once. Outputs, sha256sums and report.json go into one folder, each whole or not at all. A second run makes only
/// the hosts whose inputs changed, or whose output is no longer what it was.
#[derive(Debug, Args)]
#[command(after_long_help = BATCH_HELP, disable_help_subcommand = true)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct BatchArguments {
    /// The image (.img, .img.gz, .img.zst, .qcow2 or .vmdk); never touched
    pub(super) image: PathBuf,
    /// The hosts file: .toml, .json or .csv, or a folder of them
    #[arg(long, value_name = "FILE|DIR")]
    pub(super) hosts: PathBuf,
    /// The folder for the outputs: new, empty, or that of an earlier batch
    #[arg(short, long, value_name = "DIR")]
    pub(super) output: PathBuf,
    /// Template of the output files' names; their ending decides the form
    #[arg(long, value_name = "TEMPLATE", default_value = OUTPUT_NAME)]
    pub(super) name: String,
    /// Write only what each host changes in IMAGE, as HOST.ibdelta; `ibwrt expand` makes the image of it
    #[arg(long, conflicts_with = "name")]
    pub(super) delta: bool,
    #[command(flatten)]
    pub(super) wishes: HostWishes,
    #[command(flatten)]
    pub(super) sharding: Sharding,
    /// Sign sha256sums with this usign or signify secret key (sha256sums.sig); of shards `batch merge` signs it
    #[arg(long, value_name = "KEY", help_heading = "Signing")]
    pub(super) sign: Option<PathBuf>,
    /// Make every host again, whatever an earlier run made
    #[arg(short, long, help_heading = "Running")]
    pub(super) force: bool,
    /// Begin no further host once one failed
    #[arg(long, help_heading = "Running")]
    pub(super) fail_fast: bool,
    /// Threads to work with; otherwise RAYON_NUM_THREADS, or as many as there are processors
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = "Running")]
    pub(super) threads: Option<u16>,
    /// Keep the modules' debug sections; they are stripped otherwise
    #[arg(long, help_heading = "Running")]
    pub(super) keep_debug: bool,
    /// Write outputs although this check fails (repeatable)
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = super::args::check_id(), hide_possible_values = true)]
    #[arg(help_heading = "Checks on the results")]
    pub(super) allow: Vec<String>,
    /// Leave this check out (repeatable); `ibwrt verify --list-checks` lists them
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = super::args::check_id(), hide_possible_values = true)]
    #[arg(help_heading = "Checks on the results")]
    pub(super) skip: Vec<String>,
}

/// What `batch` does: it makes images, unless a command behind it says otherwise.
#[derive(Debug)]
pub(super) enum BatchCommand {
    Make(Box<BatchArguments>),
    Act(BatchAction),
}

#[derive(Debug, Subcommand)]
pub(super) enum BatchAction {
    Merge(MergeArguments),
}

// By hand: derived, options beside a subcommand are no longer required when there is none.
impl Args for BatchCommand {
    fn augment_args(command: Command) -> Command {
        BatchAction::augment_subcommands(BatchArguments::augment_args(command))
            .subcommand_required(false)
            .arg_required_else_help(false)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for BatchCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        match matches.subcommand_name() {
            Some(_) => BatchAction::from_arg_matches(matches).map(Self::Act),
            None => BatchArguments::from_arg_matches(matches).map(|make| Self::Make(Box::new(make))),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl BatchArguments {
    /// Template of the output files' names.
    pub(super) fn name(&self) -> &str {
        if self.delta { DELTA_NAME } else { &self.name }
    }
}

const BATCH_HELP: &str = "\
`ibwrt hosts check --help` tells how the hosts file is written. Command line wins
over host, group, top of the hosts file and recipe file, in this order.

report.json depends on the inputs alone, but for the objects `run`: whether an
output was kept from an earlier run, and the seconds that it took.

Shards:
  Shard K of N takes every N-th host, beginning with the K-th. It checks all of
  the hosts file, and writes report.K-of-N.json and sha256sums.K-of-N. Shards may
  share a folder, or have folders of their own. `ibwrt batch merge` joins them.

  Without --shard a task of a Slurm array (SLURM_ARRAY_TASK_ID, _COUNT, _MIN, _STEP)
  makes its shard, and so does a pod of a Kubernetes Indexed Job
  (JOB_COMPLETION_INDEX; IBWRT_SHARD_COUNT must say of how many). It says so.

Exit codes:
  0  every host has its output
  1  a host failed; report.json tells which and why
  5  the system refused to write, such as for want of room: what was made stays,
     and the next run goes on from there
  2 to 5  nothing could be begun; `ibwrt --help` tells

With --format jsonl every host is told as it begins and ends, one JSON object per
line; `ibwrt schema events` describes them.

Examples:
  ibwrt batch image.img.gz --hosts hosts.toml --modules linux-6.6.106 -o images
  ibwrt batch image.img.gz --hosts hosts.csv --recipe site.toml -o images \\
      --name '{{ host.name }}.img'
  ibwrt batch image.img.gz --hosts hosts.toml -o images --shard 1/4
  ibwrt batch image.img.gz --hosts hosts.toml -o images --format jsonl |
      jq -r 'select(.event == \"host-failed\") | .host'
  (cd images && sha256sum -c sha256sums)";
