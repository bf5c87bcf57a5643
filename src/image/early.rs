//! A first look at a disk while the rest of it is still being read: the boot partition comes first, and what takes long to
//! work out from it need not wait for the end.

use super::container::{Container, Form, Image};
use super::disk::DiskBuilder;
use super::partition::PartitionTable;

/// Bytes of a disk that hold its partition table.
const TABLE: u64 = 64 * 1024;

/// Shows a disk once, as soon as its first partition was read.
pub(super) struct FirstPartition<'a> {
    /// Takes the image as far as it is read: zeroes are behind that, and of its container nothing is known but the form.
    show: &'a mut dyn FnMut(Image),
    awaited: Awaited,
}

enum Awaited {
    Table,
    Partition(PartitionTable, u64),
    Nothing,
}

impl<'a> FirstPartition<'a> {
    pub(super) fn new(show: &'a mut dyn FnMut(Image)) -> Self {
        Self { show, awaited: Awaited::Table }
    }

    /// `builder` grew; it holds a disk wrapped in `form`.
    pub(super) fn grown(&mut self, builder: &DiskBuilder, form: Form) {
        if matches!(self.awaited, Awaited::Table) && builder.length() >= TABLE {
            self.awaited = first_partition(builder);
        }
        let Awaited::Partition(_, end) = &self.awaited else { return };
        if builder.length() < *end {
            return;
        }
        let Awaited::Partition(table, _) = std::mem::replace(&mut self.awaited, Awaited::Nothing) else { return };
        let container =
            Container { form, file_length: 0, sha256: String::new(), trailers: Vec::new(), unknown_tail: 0 };
        (self.show)(Image { disk: builder.beginning(table.end()), container, table: Some(table) });
    }
}

/// The table, and where its partition with the lowest number ends. A table that cannot be read is told of later, when all
/// of the disk is there.
fn first_partition(builder: &DiskBuilder) -> Awaited {
    let Ok(table) = PartitionTable::read(&builder.beginning(super::limits::LONGEST_DISK)) else {
        return Awaited::Nothing;
    };
    let first = table.partitions.iter().min_by_key(|partition| partition.number);
    match first.map(|first| first.byte_range().end) {
        Some(end) => Awaited::Partition(table, end),
        None => Awaited::Nothing,
    }
}
