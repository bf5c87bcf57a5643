//! The jobs of the program, each one road from an opened image to a report: patch, verify, inspect, demo. They join
//! the rooms; they know nothing of clap or terminals.

mod demo;
mod evidence;
mod given_kernel;
mod graph;
mod inspect;
mod kernel_swap;
mod module_set;
mod patch;
mod report;
mod request;
mod scene;
mod steps;
mod verify;
mod wishes;

pub(crate) use demo::demo;
pub(crate) use graph::{GraphReport, graph};
pub(crate) use inspect::inspect;
pub(crate) use kernel_swap::SwapFacts;
pub(crate) use patch::patch;
pub(crate) use report::{
    DemoReport, EditRow, FilesystemRow, InspectReport, KernelFacts, ModuleRow, OptionRow, OutputFacts, PatchOutcome,
    PatchReport, VerifyReport,
};
pub(crate) use request::{PatchRequest, VerifyRequest};
pub(crate) use verify::verify;
