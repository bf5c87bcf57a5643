//! Disks of virtual machines, as QEMU, VMware, VirtualBox and Hyper-V take them. All are sparse and written from front
//! to back: headers and tables first, then the blocks of the disk that are not all zeroes, in order.
//!
//! Own writers, because no other way keeps the promise of the same bytes from the same inputs in one static binary:
//! `qemu-img` is a second program, and draws the content identifier of a VMDK file and the UUIDs of VDI and VHDX files at
//! random; of the crates, `imago` 0.2 writes qcow2 alone and brings 21 crates, `qcow2-rs` 0.1 wants tokio, `vhdx` 0.1
//! makes no new files, and `vmdk-core` 0.8, `qcow2-core` 0.3 and `vhdx-core` 0.4 only read.

mod blocks;
mod identity;
mod qcow2;
mod vdi;
mod vhdx;
mod vmdk;

pub(super) use qcow2::write_qcow2;
pub(super) use vdi::write_vdi;
pub(super) use vhdx::write_vhdx;
pub(super) use vmdk::write_vmdk;

use crate::image::{Disk, SECTOR};

/// Length of the disk that a machine sees, in bytes: whole sectors, with zeroes behind the disk's own end.
fn virtual_length(disk: &Disk) -> u64 {
    disk.length().next_multiple_of(SECTOR)
}

#[cfg(test)]
mod tests;
