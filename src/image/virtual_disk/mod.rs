//! Disks of virtual machines: files that say with tables where each piece of the disk lies in them.
//!
//! Own readers: `qcow2-core` 0.3 refuses clusters of 2 MiB and Zstandard, overlooks the marks of a damaged file, and takes
//! a cut one for a shorter disk; `vmdk-core` 0.8 takes the difference to a parent for a whole disk; both walk through every
//! byte of a sparse disk, and bring nine crates, a second inflate among them. `imago` 0.2 brings 21, and reads no sparse
//! VMDK.

mod place;
mod qcow2;
mod vmdk;

#[cfg(test)]
mod tests;

use super::container::Form;
use super::disk::Disk;
use crate::error::Result;

/// First bytes of the files and what they are.
const MAGICS: [([u8; 4], Form); 2] = [(qcow2::MAGIC, Form::Qcow2), (vmdk::MAGIC, Form::Vmdk)];

/// What the first bytes of a file, `head`, show it to be.
pub(super) fn form(head: &[u8]) -> Option<Form> {
    MAGICS.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, form)| *form)
}

/// The disk in `file`, the content of a file in the form `form`.
///
/// # Errors
/// Corrupt when the file contradicts itself; unsupported when it is not whole without another file, is encrypted, needs
/// features that are not known, or is bigger than the limits.
pub(crate) fn unpack(form: Form, file: &Disk) -> Result<Disk> {
    match form {
        Form::Vmdk => vmdk::unpack(file),
        _ => qcow2::unpack(file),
    }
}
