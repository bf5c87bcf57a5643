//! A partition's bytes: a range of a disk that nothing can read or write past.

use std::collections::BTreeSet;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use super::disk::{Disk, PAGE, Way};
use crate::error::{Error, Result};

/// A byte range of a disk, owned while a filesystem in it is open. Offsets count from the start of the range.
#[derive(Debug, Clone)]
pub(crate) struct Volume {
    disk: Disk,
    start: u64,
    length: u64,
    position: u64,
}

impl Volume {
    /// The `length` bytes of `disk` from byte `start` on.
    ///
    /// # Errors
    /// Corrupt when the range reaches behind the end of the disk.
    pub(crate) fn new(disk: Disk, start: u64, length: u64) -> Result<Self> {
        if start.checked_add(length).is_none_or(|end| end > disk.length()) {
            return Err(Error::corrupt(format!(
                "a partition of {length} bytes at byte {start} reaches behind the end of the disk ({} bytes)",
                disk.length()
            )));
        }
        Ok(Self { disk, start, length, position: 0 })
    }

    /// The whole of `disk`.
    pub(crate) fn whole(disk: Disk) -> Self {
        let length = disk.length();
        Self { disk, start: 0, length, position: 0 }
    }

    /// Length in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The disk, with the edits made through this volume.
    pub(crate) fn into_disk(self) -> Disk {
        self.disk
    }

    /// Whether a page of the `length` bytes from byte `offset` of the volume on was changed since the disk was read.
    pub(crate) fn is_changed(&self, offset: u64, length: u64) -> bool {
        self.disk.is_changed(self.start.saturating_add(offset), length)
    }

    /// Numbers of the units of `unit` bytes, a divisor of a page's length, that are not the same in both, ascending; `None`
    /// unless they are the same range of clones of one disk. A rest behind the last whole unit is not looked at.
    ///
    /// # Errors
    /// None in practice: what is compared lies in the volume.
    pub(crate) fn differing_units(&self, other: &Self, unit: usize) -> Result<Option<Vec<u64>>> {
        let (page, length) = (PAGE as u64, unit as u64);
        let pages = self.start / page..self.start.saturating_add(self.length).div_ceil(page);
        let is_same_range = (self.start, self.length) == (other.start, other.length);
        let differing = self.disk.differing_pages(&other.disk, pages).filter(|_| is_same_range && length > 0);
        let Some(differing) = differing else { return Ok(None) };
        let mut units = BTreeSet::new();
        for start in differing.into_iter().map(|number| number * page) {
            let first = start.saturating_sub(self.start) / length;
            units.extend(first..(start + page).saturating_sub(self.start).div_ceil(length).min(self.length / length));
        }
        let (mut one, mut two) = (vec![0; unit], vec![0; unit]);
        let mut found = Vec::new();
        for number in units {
            self.read_at(number * length, &mut one)?;
            other.read_at(number * length, &mut two)?;
            if one != two {
                found.push(number);
            }
        }
        Ok(Some(found))
    }

    /// Whether the disks of both are the same outside the range, up to its whole pages; `None` unless they are clones of one
    /// disk, and the ranges the same.
    pub(crate) fn differs_alone(&self, other: &Self) -> Option<bool> {
        let page = PAGE as u64;
        let all = 0..self.disk.length().max(other.disk.length()).div_ceil(page);
        let own = self.start.div_ceil(page)..self.start.saturating_add(self.length) / page;
        let differing = self.disk.differing_pages(&other.disk, all)?;
        ((self.start, self.length) == (other.start, other.length))
            .then(|| differing.iter().all(|page| own.contains(page)))
    }

    /// The same volume of a disk that is [founded](Disk::founded) on what it is now.
    pub(crate) fn founded(self) -> Self {
        Self { disk: self.disk.founded(), ..self }
    }

    /// Fills `buffer` from byte `offset` of the volume on.
    ///
    /// # Errors
    /// Corrupt when the range reaches behind the end of the volume.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.check_range(offset, buffer.len())?;
        self.disk.read_at(self.start + offset, buffer)
    }

    /// What is made of the `length` bytes from byte `offset` of the volume on, as [`Disk::made`].
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) fn made(
        &self,
        (offset, length): (u64, u64),
        way: Way,
        make: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<Arc<[u8]>> {
        self.disk.made((self.start.saturating_add(offset), length), way, make)
    }

    /// Replaces the bytes from byte `offset` of the volume on.
    ///
    /// # Errors
    /// Corrupt when the range reaches behind the end of the volume.
    pub(crate) fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_range(offset, bytes.len())?;
        self.disk.write_at(self.start + offset, bytes)
    }

    /// Zeroes the `length` bytes from byte `offset` of the volume on.
    ///
    /// # Errors
    /// Corrupt when the range reaches behind the end of the volume.
    pub(crate) fn clear(&mut self, offset: u64, length: u64) -> Result<()> {
        if offset.checked_add(length).is_none_or(|end| end > self.length) {
            return Err(Error::corrupt(format!(
                "{length} bytes at byte {offset} reach behind the end of the partition ({} bytes)",
                self.length
            )));
        }
        self.disk.clear(self.start + offset, length)
    }

    fn check_range(&self, offset: u64, length: usize) -> Result<()> {
        match offset.checked_add(length as u64) {
            Some(end) if end <= self.length => Ok(()),
            _ => Err(Error::corrupt(format!(
                "{length} bytes at byte {offset} reach behind the end of the partition ({} bytes)",
                self.length
            ))),
        }
    }

    /// How many of `wanted` bytes lie between the position and the end.
    fn available(&self, wanted: usize) -> usize {
        let left = self.length.saturating_sub(self.position);
        usize::try_from(left).map_or(wanted, |left| left.min(wanted))
    }
}

impl Read for Volume {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.available(buffer.len());
        let Some(now) = buffer.get_mut(..count) else {
            return Ok(0);
        };
        self.read_at(self.position, now).map_err(io::Error::other)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Write for Volume {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.available(bytes.len());
        let Some(now) = bytes.get(..count) else {
            return Ok(0);
        };
        self.write_at(self.position, now).map_err(io::Error::other)?;
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Volume {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(delta) => self.length.checked_add_signed(delta),
            SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
        };
        self.position = target
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "seek before the start of the partition"))?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_differ_in_the_units_whose_bytes_differ() {
        let disk = Disk::from_bytes(&vec![1; 64 * 1024]);
        let one = Volume::new(disk.clone(), 512, 40 * 1024).unwrap();
        let mut two = one.clone();
        let differing = |two: &Volume, unit| one.differing_units(two, unit).unwrap();
        two.write_at(5000, &[1; 10]).unwrap();
        assert_eq!(differing(&two, 1024), Some(Vec::new()), "the same bytes again");
        for place in [0, 4 * 1024 - 1, 40 * 1024 - 1] {
            two.write_at(place, &[2]).unwrap();
        }
        assert_eq!(differing(&two, 1024), Some(vec![0, 3, 39]));
        assert_eq!(differing(&two, 4096), Some(vec![0, 9]));
        assert_eq!(differing(&Volume::new(disk.clone(), 0, 40 * 1024).unwrap(), 1024), None, "another range");
        assert_eq!(differing(&two.founded(), 1024), None, "another base");
        let mut outside = Volume::whole(disk);
        outside.write_at(0, &[7; 512]).unwrap();
        let outside = Volume::new(outside.into_disk(), 512, 40 * 1024).unwrap();
        assert_eq!(differing(&outside, 1024), Some(Vec::new()), "before the range");
    }

    #[test]
    fn a_volume_ends_where_its_partition_ends() {
        let disk = Disk::from_bytes(&(0..=255).collect::<Vec<u8>>());
        let mut volume = Volume::new(disk, 16, 32).unwrap();
        let mut all = Vec::new();
        volume.read_to_end(&mut all).unwrap();
        assert_eq!(all, (16..48).collect::<Vec<u8>>());
        assert_eq!(volume.write(&[1]).unwrap(), 0);
        assert!(volume.write_at(31, &[1, 2]).is_err());
        assert!(volume.clear(31, 2).is_err());
        volume.clear(30, 2).unwrap();
        volume.write_at(31, &[0xEE]).unwrap();
        let mut byte = [0];
        volume.into_disk().read_at(47, &mut byte).unwrap();
        assert_eq!(byte, [0xEE]);
    }
}
