//! The hosts file: what many hosts have in common, what their groups have, and what each has of its own; templates in it.
//!
//! What is said closer to a host wins: command line, host, group (the one named last first), the file's defaults, recipe
//! file. A host's layers are laid over each other by `recipe`, which knows what each key means.

mod csv;
mod entry;
mod file;
mod render;
mod schema;
mod survey;
#[cfg(test)]
mod tests;
mod unique;

pub(crate) use entry::Host;
pub(crate) use file::Hosts;
pub(crate) use render::{HostRecipe, Renderer};
pub(crate) use schema::schema;
pub(crate) use survey::{HostRow, survey};
