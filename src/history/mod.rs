//! What a patch did to an image, as the image itself keeps it: who put which file there, what stood there before, and how to
//! make it as it was. Pure but for the filesystem that is read.
//!
//! `/etc/ibwrt/manifest.json` tells it; the contents of files that were replaced or removed lie beside it, each compressed in
//! a file of its own that is named after its digest. Both may tell what is secret, so only root may read them.

mod json;
mod manifest;
mod original;
mod past;
mod state;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use json::{parse, to_json};
pub(crate) use manifest::{InputFile, InputKind, Manifest, Record, SECRET, Tool};
pub(crate) use original::{pack, packed_path, unpack};
pub(crate) use past::{Changes, Past, Side};
pub(crate) use state::State;
pub(crate) use view::View;

/// Where the manifest and what belongs to it lie.
pub(crate) const FOLDER: &str = "/etc/ibwrt";
/// The manifest.
pub(crate) const MANIFEST: &str = "/etc/ibwrt/manifest.json";
/// Contents of files that were replaced or removed.
pub(crate) const ORIGINALS: &str = "/etc/ibwrt/originals";
