//! The jobs of the program, each one road from an opened image or tree to a report: patch, verify, inspect, demo. They join
//! the rooms; they know nothing of clap or terminals.

mod authenticity;
mod batch;
mod demo;
mod digests;
mod earlier_modules;
mod event;
mod evidence;
mod expand;
mod given_kernel;
mod graph;
mod growth;
mod history;
mod hosts;
mod identity;
mod inspect;
mod inventory;
mod kernel_swap;
mod keygen;
mod medium;
mod memo;
mod module_set;
mod packages;
mod patch;
mod programs;
mod recipe_digest;
mod report;
mod request;
mod scene;
mod settlement;
mod shelf;
mod signer;
mod steps;
mod target;
mod tree;
mod trust;
mod unpacked;
mod unpatch;
mod verify;
mod wishes;

pub(crate) use batch::{BatchReport, BatchRequest, HostStatus, MergeRequest, Shard, batch, merge};
pub(crate) use demo::{DemoRoot, demo};
pub(crate) use event::{ErrorFacts, Event, Observer, event_schema};
pub(crate) use expand::{ExpandReport, ExpandRequest, expand};
pub(crate) use graph::{GraphReport, graph};
#[cfg(test)]
pub(crate) use growth::NeededRoom;
pub(crate) use growth::RootGrowth;
pub(crate) use history::{EarlierFacts, HistoryFacts};
pub(crate) use hosts::{HostsReport, HostsRequest, check_hosts};
pub(crate) use identity::{IdentityChange, NamingFile, Renamed};
pub(crate) use inspect::inspect;
pub(crate) use kernel_swap::SwapFacts;
pub(crate) use keygen::keygen;
pub(crate) use patch::patch;
pub(crate) use report::{
    DemoReport, EditRow, FilesystemRow, InspectReport, KernelFacts, KeygenReport, ModuleRow, OptionRow, OutputFacts,
    PackageRow, PatchOutcome, PatchReport, TreeFacts, VerifyReport,
};
pub(crate) use request::{Input, PatchRequest, SigningRequest, TrustRequest, UnpatchRequest, VerifyRequest};
pub(crate) use unpatch::unpatch;
pub(crate) use verify::verify;
