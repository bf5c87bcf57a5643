//! Packages of OpenWrt's two package managers: `.ipk` and `.apk` files, their dependencies, and the managers' databases.
//! Pure: bytes and text in, models and text out; nothing here knows a filesystem.

mod apk;
mod contents;
mod database;
mod dependency;
#[cfg(test)]
mod hostile_tests;
mod ipk;
mod model;
mod resolve;
mod stanza;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod version;

use crate::digest::sha256_hex;
use crate::error::{At as _, Error, Result};

pub(crate) use contents::{Entry, EntryKind, Owner};
pub(crate) use database::*;
pub(crate) use dependency::{AnyOf, Dependency, Provision};
pub(crate) use model::{Alternative, Details, Format, Package, Script};
pub(crate) use resolve::{Chosen, resolve};

/// The largest package file that is taken: 256 MiB.
pub(crate) const LARGEST_FILE: u64 = 256 << 20;

/// Reads a package, whichever kind it is; `name` is what errors call it.
///
/// # Errors
/// Unsupported when the file is no package, or one with something that cannot be put into an image; corrupt when it
/// contradicts its own format.
pub(crate) fn read(bytes: &[u8], name: &str) -> Result<Package> {
    let package = if apk::is_apk(bytes) {
        apk::read(bytes, name)
    } else if ipk::is_ipk(bytes) {
        ipk::read(bytes, name)
    } else {
        Err(Error::unsupported(format!(
            "this is no package: its {} bytes begin as neither .ipk nor .apk does",
            bytes.len()
        ))
        .remedy("give an .ipk (a gzip-compressed tar archive), or an .apk of apk-tools 3"))
    };
    let package = package.at(|| name.to_owned())?;
    Ok(Package { sha256: sha256_hex(bytes), ..package })
}
