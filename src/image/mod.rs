//! Container formats, the copy-on-write disk and the partition tables. Nothing here knows OpenWrt.

mod container;
mod disk;
mod early;
mod foreign;
mod gzip;
mod input;
mod limits;
mod open;
mod partition;
mod trailer;
mod virtual_disk;
mod volume;
mod zstd;

pub(crate) use container::{Container, Form, Image};
#[cfg(test)]
pub(crate) use disk::DiskBuilder;
pub(crate) use disk::{Disk, PAGE, Way};
pub(crate) use gzip::DeflateStream;
pub(crate) use limits::{LONGEST_DISK, MOST_CONTENT};
pub(crate) use open::Keep;
#[cfg(test)]
pub(crate) use partition::Lba;
pub(crate) use partition::{Partition, PartitionTable, SECTOR, Scheme};
pub(crate) use trailer::{LONGEST_SIGNATURE, Trailer, TrailerKind, chunk_end};
#[cfg(test)]
pub(crate) use virtual_disk::unpack as unpack_virtual_disk;
pub(crate) use volume::Volume;
