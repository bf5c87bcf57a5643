//! FAT behind the `Filesystem` trait, through `fatfs`.

mod check;
mod table;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

pub(super) use check::problems;
use fatfs::{DateTime, Dir, FileSystem, FsOptions, TimeProvider};
use table::Layout;
pub(super) use table::recognise;

use super::extents::same_content;
use super::foreign::fenced;
use super::path::{components, join, parent_and_name};
use super::trunk::Finished;
use super::{Attributes, DirectoryEntry, FileType, Filesystem, Kind, Metadata, Space, Trunk, VolumeFilesystem};
use crate::civil::Moment;
use crate::error::{At, Error, Result};
use crate::image::Volume;

/// A file longer than this is not read into memory: 1 GiB.
const LONGEST_READ: u64 = 1 << 30;

/// A volume that `fatfs` and this module hold together, with a position of its own.
struct SharedDisk(Rc<RefCell<Volume>>);

impl Read for SharedDisk {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(buffer)
    }
}

impl Write for SharedDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for SharedDisk {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.borrow_mut().seek(to)
    }
}

type Fatfs = FileSystem<SharedDisk>;
type Directory<'a> = Dir<'a, SharedDisk>;

/// The time of every edit.
#[derive(Debug)]
struct FixedClock {
    now: DateTime,
}

impl FixedClock {
    /// The clock that stands at `epoch`. `fatfs` wants it to live for ever, so there is one per epoch.
    fn at(epoch: u64) -> &'static Self {
        static CLOCKS: Mutex<BTreeMap<u64, &'static FixedClock>> = Mutex::new(BTreeMap::new());
        let mut clocks = CLOCKS.lock().unwrap_or_else(PoisonError::into_inner);
        clocks.entry(epoch).or_insert_with(|| Box::leak(Box::new(Self { now: date_time(epoch) })))
    }
}

impl TimeProvider for FixedClock {
    fn get_current_date(&self) -> fatfs::Date {
        self.now.date
    }

    fn get_current_date_time(&self) -> DateTime {
        self.now
    }
}

/// `epoch` in UTC, clamped to what FAT can hold: 1980-01-01 to 2107-12-31.
fn date_time(epoch: u64) -> DateTime {
    const FROM: u64 = 315_532_800;
    const TO: u64 = 4_354_819_199;
    let Moment { year, month, day, second } = Moment::of(epoch.clamp(FROM, TO));
    let narrow = |value: u64| u16::try_from(value).unwrap_or(0);
    DateTime {
        date: fatfs::Date { year: narrow(year), month: narrow(month), day: narrow(day) },
        time: fatfs::Time {
            hour: narrow(second / 3600),
            min: narrow(second / 60 % 60),
            sec: narrow(second % 60),
            millis: 0,
        },
    }
}

/// What is found under a name.
struct Found {
    file_type: FileType,
    size: u64,
}

/// An open FAT filesystem.
pub(super) struct Fat {
    /// The volume as it was given, for a handle that edits nothing.
    original: Volume,
    volume: Rc<RefCell<Volume>>,
    layout: Layout,
    fatfs: Fatfs,
    epoch: u64,
    edited: bool,
}

fn failed(action: &str) -> impl Fn(io::Error) -> Error {
    move |error| Error::corrupt(format!("FAT: cannot {action}: {error}"))
}

/// As [`failed`], for an action that needs a place in a directory: the root directory of FAT12 and FAT16 cannot grow.
fn not_created(action: &str) -> impl Fn(io::Error) -> Error {
    move |error| match error.kind() {
        io::ErrorKind::WriteZero => Error::usage("the root directory has no room for another name")
            .remedy("use fewer and shorter names in the root directory, or put the files in a directory"),
        _ => failed(action)(error),
    }
}

impl Fat {
    /// Opens `volume`; changes nothing in it before the first edit.
    ///
    /// # Errors
    /// Corrupt boot sector or tables.
    pub(super) fn open(volume: Volume, epoch: u64) -> Result<Self> {
        let layout = Layout::read(&volume)?;
        layout.check_loops(&layout.table(&volume, 0)?)?;
        let original = volume.clone();
        let shared = Rc::new(RefCell::new(volume));
        shared.borrow_mut().seek(SeekFrom::Start(0)).map_err(failed("seek"))?;
        let options = FsOptions::new().time_provider(FixedClock::at(epoch));
        let fatfs = fenced(|| FileSystem::new(SharedDisk(Rc::clone(&shared)), options).map_err(failed("open it")))?;
        Ok(Self { original, volume: shared, layout, fatfs, epoch, edited: false })
    }

    /// What `names` leads to.
    fn find(&self, names: &[&str]) -> Result<Option<Found>> {
        let Some((name, above)) = names.split_last() else {
            return Ok(Some(Found { file_type: FileType::Directory, size: 0 }));
        };
        let Some(directory) = self.directory(above)? else {
            return Ok(None);
        };
        for entry in directory.iter() {
            let entry = entry.map_err(failed("read a directory"))?;
            if same_name(&entry.file_name(), name) || same_name(&entry.short_file_name(), name) {
                let file_type = if entry.is_dir() { FileType::Directory } else { FileType::Regular };
                return Ok(Some(Found { file_type, size: if entry.is_dir() { 0 } else { entry.len() } }));
            }
        }
        Ok(None)
    }

    fn directory(&self, names: &[&str]) -> Result<Option<Directory<'_>>> {
        let mut directory = self.fatfs.root_dir();
        for depth in 0..names.len() {
            let above = names.get(..=depth).unwrap_or_default();
            // The whole way is looked at name by name: fatfs itself would take `.` and `..`.
            directory = match directory.open_dir(above.last().copied().unwrap_or_default()) {
                Ok(directory) => directory,
                Err(_) => return Ok(None),
            };
        }
        Ok(Some(directory))
    }

    fn parent(&self, above: &[&str]) -> Result<Directory<'_>> {
        self.directory(above)?.ok_or_else(|| Error::usage(format!("there is no directory {}", join(above))))
    }

    fn free_clusters(&self) -> Result<u32> {
        Ok(self.layout.free_clusters(&self.layout.table(&self.volume.borrow(), 0)?))
    }

    /// Refuses what does not fit: the content and a cluster by which the directory may grow.
    fn check_room(&self, path: &str, bytes: u64, given_back: u64) -> Result<()> {
        let cluster = u64::from(self.layout.cluster);
        let needed = bytes.div_ceil(cluster) + 1;
        let free = u64::from(self.free_clusters()?) + given_back.div_ceil(cluster);
        if bytes > u64::from(u32::MAX) || needed > free {
            return Err(Error::usage(format!(
                "no room for {path} ({bytes} bytes): it needs up to {needed} clusters of {cluster} bytes, free are {free}"
            ))
            .remedy("grow the boot partition (CONFIG_TARGET_KERNEL_PARTSIZE)"));
        }
        Ok(())
    }

    /// Takes the long names from `.` and `..` in the directory that was just made: `fatfs` 0.3 writes some, which
    /// fsck.fat does not accept. `before` is the table of before that.
    fn straighten(&self, before: &[u8]) -> Result<()> {
        let volume = &mut *self.volume.borrow_mut();
        for offset in self.layout.newly_used(before, &self.layout.table(volume, 0)?) {
            let mut head = [0; DOTS];
            volume.read_at(offset, &mut head)?;
            if let ([_, dot, _, dots], []) = head.as_chunks::<32>()
                && dot.starts_with(b".          ")
                && dots.starts_with(b"..         ")
            {
                volume.write_at(offset, &[*dot, *dots, [0; 32], [0; 32]].concat())?;
            }
        }
        Ok(())
    }

    fn put(&self, path: &str, content: &[u8]) -> Result<()> {
        let (above, name) = parent_and_name(path)?;
        check_name(name)?;
        let found = self.find(&[&above[..], &[name]].concat())?;
        let given_back = match found {
            Some(found) if found.file_type == FileType::Directory => {
                return Err(Error::usage("a directory has that name"));
            }
            Some(found) => found.size,
            None => 0,
        };
        self.check_room(path, content.len() as u64, given_back)?;
        let parent = self.parent(&above)?;
        let mut file = parent.create_file(name).map_err(not_created("create a file"))?;
        file.truncate().map_err(failed("empty a file"))?;
        file.write_all(content).map_err(failed("write a file"))?;
        file.flush().map_err(failed("write a file"))
    }
}

/// Refuses a name that no FAT directory can hold.
fn check_name(name: &str) -> Result<()> {
    let bad = |c: char| c.is_control() || "\"*:<>?\\|".contains(c);
    if name.contains(bad) || name.ends_with(['.', ' ']) || name.starts_with(' ') {
        return Err(Error::usage(format!("{name:?} cannot be a name on FAT")));
    }
    Ok(())
}

/// The dot entries of a directory with the long names that `fatfs` 0.3 gives them: four entries of 32 bytes.
const DOTS: usize = 4 * 32;

fn same_name(a: &str, b: &str) -> bool {
    a.chars().flat_map(char::to_uppercase).eq(b.chars().flat_map(char::to_uppercase))
}

fn no_unix(what: &str) -> Error {
    Error::unsupported(format!("FAT has no {what}"))
}

impl Filesystem for Fat {
    fn kind(&self) -> Kind {
        Kind::Fat
    }

    fn space(&mut self) -> Result<Space> {
        Ok(Space {
            block_size: self.layout.cluster,
            blocks: self.layout.clusters.into(),
            free_blocks: self.free_clusters()?.into(),
            inodes: u64::MAX,
            free_inodes: u64::MAX,
        })
    }

    fn metadata(&mut self, path: &str) -> Result<Option<Metadata>> {
        let names = components(path)?;
        let found = fenced(|| self.find(&names)).at(|| path.to_owned())?;
        Ok(found.map(|Found { file_type, size }| Metadata {
            file_type,
            attributes: Attributes::root(if file_type == FileType::Directory { 0o755 } else { 0o644 }),
            size,
            link_target: None,
        }))
    }

    fn list(&mut self, path: &str) -> Result<Vec<DirectoryEntry>> {
        let names = components(path)?;
        fenced(|| {
            let directory = self.directory(&names)?.ok_or_else(|| Error::usage("there is no such directory"))?;
            let mut entries = Vec::new();
            for entry in directory.iter() {
                let entry = entry.map_err(failed("read a directory"))?;
                let name = entry.file_name();
                if name != "." && name != ".." {
                    let file_type = if entry.is_dir() { FileType::Directory } else { FileType::Regular };
                    entries.push(DirectoryEntry { name, file_type });
                }
            }
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(entries)
        })
        .at(|| path.to_owned())
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>> {
        let (above, name) = parent_and_name(path)?;
        fenced(|| {
            let size = match self.find(&[&above[..], &[name]].concat())? {
                Some(Found { file_type: FileType::Regular, size }) => size,
                _ => return Err(Error::usage("there is no such file")),
            };
            if size > LONGEST_READ || size > self.original.length() {
                return Err(Error::corrupt(format!("a file of {size} bytes in {} bytes", self.original.length())));
            }
            let mut file = self.parent(&above)?.open_file(name).map_err(failed("open a file"))?;
            let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
            file.read_to_end(&mut content).map_err(failed("read a file"))?;
            if content.len() as u64 != size {
                return Err(Error::corrupt(format!("a file of {size} bytes ends at byte {}", content.len())));
            }
            Ok(content)
        })
        .at(|| path.to_owned())
    }

    fn write(&mut self, path: &str, content: &[u8], _attributes: Attributes) -> Result<()> {
        self.edited = true;
        fenced(|| self.put(path, content)).at(|| path.to_owned())?;
        if self.read(path)? != content {
            return Err(Error::corrupt(format!("{path} does not read back")));
        }
        Ok(())
    }

    fn make_directory(&mut self, path: &str, _attributes: Attributes) -> Result<()> {
        self.edited = true;
        let (above, name) = parent_and_name(path)?;
        check_name(name).at(|| path.to_owned())?;
        fenced(|| {
            if self.find(&[&above[..], &[name]].concat())?.is_some() {
                return Err(Error::usage("something has that name already"));
            }
            self.check_room(path, 1, 0)?;
            let before = self.layout.table(&self.volume.borrow(), 0)?;
            self.parent(&above)?.create_dir(name).map(drop).map_err(not_created("create a directory"))?;
            self.straighten(&before)
        })
        .at(|| path.to_owned())
    }

    fn symlink(&mut self, path: &str, _target: &str) -> Result<()> {
        Err(no_unix("symlinks").at(path))
    }

    fn set_attributes(&mut self, path: &str, _attributes: Attributes) -> Result<()> {
        Err(no_unix("permissions and owners").at(path))
    }

    fn remove(&mut self, path: &str) -> Result<()> {
        self.edited = true;
        let (above, name) = parent_and_name(path)?;
        fenced(|| {
            let names = [&above[..], &[name]].concat();
            let found = self.find(&names)?.ok_or_else(|| Error::usage("nothing has that name"))?;
            if found.file_type == FileType::Directory {
                let directory = self.directory(&names)?.ok_or_else(|| Error::usage("nothing has that name"))?;
                let names: Vec<String> = directory.iter().filter_map(|entry| Some(entry.ok()?.file_name())).collect();
                if names.iter().any(|name| name != "." && name != "..") {
                    return Err(Error::usage("the directory is not empty"));
                }
            }
            self.parent(&above)?.remove(name).map_err(failed("remove a name"))
        })
        .at(|| path.to_owned())
    }
}

impl VolumeFilesystem for Fat {
    fn finish(self: Box<Self>) -> Result<Volume> {
        let Self { original, volume, fatfs, edited, .. } = *self;
        if !edited {
            return Ok(original);
        }
        fenced(|| fatfs.unmount().map_err(failed("write the tables back")))?;
        let volume = Rc::try_unwrap(volume).map_err(|_| Error::corrupt("FAT: the volume is still in use"))?;
        Ok(volume.into_inner())
    }

    fn extents(&mut self, path: &str) -> Result<Vec<Range<u64>>> {
        let content = self.read(path)?;
        let (above, name) = parent_and_name(path)?;
        let cluster = u64::from(self.layout.cluster);
        let extents: Vec<Range<u64>> = fenced(|| {
            let mut file = self.parent(&above)?.open_file(name).map_err(failed("open a file"))?;
            let starts = (0..content.len() as u64).step_by(usize::try_from(cluster).unwrap_or(usize::MAX));
            let extents = starts.map(|start| {
                file.seek(SeekFrom::Start(start)).map_err(failed("seek"))?;
                file.read_exact(&mut [0]).map_err(failed("read a file"))?;
                // Reading a byte leaves the volume right behind it.
                let place = self.volume.borrow_mut().stream_position().map_err(failed("seek"))?.saturating_sub(1);
                Ok(place..place.saturating_add(cluster.min(content.len() as u64 - start)))
            });
            extents.collect::<Result<_>>()
        })
        .at(|| path.to_owned())?;
        same_content(&self.volume.borrow(), &extents, &content).at(|| path.to_owned())?;
        Ok(extents)
    }

    fn into_trunk(self: Box<Self>) -> Result<Box<dyn Trunk>> {
        let epoch = self.epoch;
        Ok(Box::new(Finished::new(self.finish()?, epoch)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_utc_and_clamped_to_what_fat_can_hold() {
        let told = |epoch| {
            let DateTime { date, time } = date_time(epoch);
            (date.year, date.month, date.day, time.hour, time.min, time.sec)
        };
        assert_eq!(told(1_709_210_096), (2024, 2, 29, 12, 34, 56));
        assert_eq!(told(951_868_799), (2000, 2, 29, 23, 59, 59));
        assert_eq!(told(0), (1980, 1, 1, 0, 0, 0));
        assert_eq!(told(u64::MAX), (2107, 12, 31, 23, 59, 59));
    }
}
