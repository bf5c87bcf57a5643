//! The one volume that both ext4 libraries look at: as a sector device for the editor, as a byte source for the
//! reader.

use std::cell::RefCell;
use std::rc::Rc;

use rsext4::{BlockIo, Clock, DeviceCapabilities, DeviceGeometry, Ext4Error, Ext4Result, Ext4Timestamp, SectorId};

use crate::image::Volume;

/// Logical sector size shown to the editor.
const SECTOR: u32 = 512;

/// A volume with several holders in one thread.
pub(super) type SharedVolume = Rc<RefCell<Volume>>;

/// A shared volume as a device of 512-byte sectors.
pub(super) struct Device(pub(super) SharedVolume);

impl Device {
    fn range(buffer: usize, sector: SectorId, count: u32) -> Ext4Result<(u64, usize)> {
        let offset = sector.raw().checked_mul(SECTOR.into()).ok_or_else(Ext4Error::overflow)?;
        let length = usize::try_from(u64::from(count) * u64::from(SECTOR)).map_err(|_| Ext4Error::overflow())?;
        if buffer < length {
            return Err(Ext4Error::buffer_too_small(buffer, length));
        }
        Ok((offset, length))
    }
}

impl BlockIo for Device {
    fn write(&mut self, buffer: &[u8], sector: SectorId, count: u32) -> Ext4Result<()> {
        let (offset, length) = Self::range(buffer.len(), sector, count)?;
        let bytes = buffer.get(..length).unwrap_or_default();
        self.0.borrow_mut().write_at(offset, bytes).map_err(|_| Ext4Error::io())
    }

    fn read(&mut self, buffer: &mut [u8], sector: SectorId, count: u32) -> Ext4Result<()> {
        let (offset, length) = Self::range(buffer.len(), sector, count)?;
        let bytes = buffer.get_mut(..length).unwrap_or_default();
        self.0.borrow().read_at(offset, bytes).map_err(|_| Ext4Error::io())
    }

    fn geometry(&self) -> DeviceGeometry {
        DeviceGeometry::new(SECTOR, self.0.borrow().length() / u64::from(SECTOR))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        DeviceCapabilities { flush: true, ..DeviceCapabilities::default() }
    }

    fn flush(&mut self) -> Ext4Result<()> {
        Ok(())
    }
}

/// A shared volume as the byte source of the reader.
pub(super) struct Source(pub(super) SharedVolume);

impl ext4_view::Ext4Read for Source {
    fn read(
        &mut self,
        start_byte: u64,
        target: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        self.0.borrow().read_at(start_byte, target).map_err(Into::into)
    }
}

/// The time of every edit: seconds since 1970.
pub(super) struct FixedClock(pub(super) u64);

impl Clock for FixedClock {
    fn now(&self) -> Ext4Result<Ext4Timestamp> {
        Ok(Ext4Timestamp::new(i64::try_from(self.0).unwrap_or(i64::MAX), 0))
    }
}
