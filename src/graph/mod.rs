//! The module graph of an image: which module needs which, when each is loaded, and what the kernel refuses. Facts in,
//! nodes and edges, places on a page, text out; nothing here reads or writes files.

mod build;
mod dot;
mod layout;
mod model;
mod svg;
#[cfg(test)]
mod test_graph;
mod words;

pub(crate) use build::{Facts, build};
pub(crate) use dot::dot;
pub(crate) use model::{Graph, Need, Scope, Standing};
pub(crate) use svg::svg;
