//! Sealing the result: gzip, an output that appears whole or not at all, `sha256sums` and `profiles.json` beside it.

mod delta;
mod device;
mod device_use;
mod document;
mod folder;
mod form;
mod gzip;
mod keys;
mod list;
mod listed;
mod model;
mod output;
mod place;
mod profiles;
mod raw;
mod sign;
mod stream;
mod sums;
mod temporary;
#[cfg(test)]
mod testing;
mod virtual_disk;
mod zstd;

pub(crate) use delta::Delta;
pub(crate) use device::{Device, is_block_device};
pub(crate) use document::Document;
pub(crate) use folder::Folder;
pub(crate) use form::check_ending;
pub(crate) use gzip::Rehearsal;
pub(crate) use keys::KeyFiles;
pub(crate) use listed::ListedDigests;
pub(crate) use model::Model;
pub(crate) use output::{Filled, Output, digest_as, exists, replace_file_as};
pub(crate) use place::place_file;
pub(crate) use sign::{FileMessage, Signer, read_range, read_small, sha256_of, signature_of};
pub(crate) use sums::{check_sums, stale_signatures, update_sums};
pub(crate) use temporary::is_temporary;
