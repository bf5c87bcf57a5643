//! The clap types of what concerns many hosts.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::wish_args::{Additions, Kernel, Wishes, to_wishes};
use crate::task::HostsRequest;

/// How output files are called when nothing is said.
pub(super) const OUTPUT_NAME: &str = "{{ host.name }}.img.gz";

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
    pub(super) wishes: Wishes,
    #[command(flatten)]
    pub(super) additions: Additions,
    #[command(flatten)]
    pub(super) kernel: Kernel,
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
        HostsRequest {
            hosts: self.hosts.clone(),
            wishes: to_wishes(&self.wishes, &self.additions, &self.kernel),
            name: self.name.clone(),
        }
    }
}
