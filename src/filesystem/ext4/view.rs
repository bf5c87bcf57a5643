//! Reading through `ext4-view`, which shares no code with the editor: the witness of what an edit wrote.

use ext4_view::{Ext4, Ext4Error};

use super::device::{SharedVolume, Source};
use crate::error::Error;
use crate::filesystem::path::join;
use crate::filesystem::{Attributes, DirectoryEntry, FileType, Metadata};

/// A file longer than this is not read into memory: 1 GiB.
pub(super) const LONGEST_READ: u64 = 1 << 30;

/// Why a read failed.
#[derive(Debug)]
pub(super) enum ReadError {
    /// An inode has a timestamp from 2038 on, which `ext4-view` refuses; another reader can go on.
    Timestamp,
    /// Anything else.
    Other(Error),
}

impl From<Ext4Error> for ReadError {
    fn from(error: Ext4Error) -> Self {
        let text = error.to_string();
        match error {
            Ext4Error::Corrupt(_) if text.ends_with("invalid timestamp") => Self::Timestamp,
            Ext4Error::Incompatible(_) => Self::Other(Error::unsupported(format!("ext4: {text}"))),
            _ => Self::Other(Error::corrupt(format!("ext4: {text}"))),
        }
    }
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

type Outcome<T> = Result<T, ReadError>;

/// A read-only view of a volume that nobody writes to as long as it is open.
pub(super) struct View(Ext4);

impl View {
    /// Opens `volume`.
    pub(super) fn open(volume: SharedVolume) -> Outcome<Self> {
        Ok(Self(Ext4::load(Box::new(Source(volume)))?))
    }

    /// Metadata of the path with the names `names`; symlinks are not followed.
    pub(super) fn metadata(&self, names: &[&str]) -> Outcome<Option<Metadata>> {
        for depth in 0..names.len() {
            let above = join(names.get(..depth).unwrap_or_default());
            match self.0.symlink_metadata(above.as_str()) {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) | Err(Ext4Error::NotFound) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        let path = join(names);
        let metadata = match self.0.symlink_metadata(path.as_str()) {
            Ok(metadata) => metadata,
            Err(Ext4Error::NotFound) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let file_type = file_type(metadata.file_type());
        let link_target = if file_type == FileType::Symlink {
            if metadata.len() > 4096 {
                return Err(Error::corrupt(format!("{path} is a symlink of {} bytes", metadata.len())).into());
            }
            let target = self.0.read_link(path.as_str())?;
            Some(String::from_utf8_lossy(target.as_ref()).into_owned())
        } else {
            None
        };
        let attributes = Attributes { mode: metadata.mode() & 0o7777, uid: metadata.uid(), gid: metadata.gid() };
        Ok(Some(Metadata { file_type, attributes, size: metadata.len(), link_target }))
    }

    /// Entries of the directory `names`, in the order found.
    pub(super) fn list(&self, names: &[&str]) -> Outcome<Vec<DirectoryEntry>> {
        let mut entries = Vec::new();
        for entry in self.0.read_dir(join(names).as_str())? {
            let entry = entry?;
            let name = entry.file_name();
            let bytes: &[u8] = name.as_ref();
            if matches!(bytes, b"." | b"..") {
                continue;
            }
            entries.push(DirectoryEntry {
                name: String::from_utf8_lossy(bytes).into_owned(),
                file_type: file_type(entry.file_type()?),
            });
        }
        Ok(entries)
    }

    /// Content of the regular file `names`, whose length was checked.
    pub(super) fn read(&self, names: &[&str]) -> Outcome<Vec<u8>> {
        Ok(self.0.read(join(names).as_str())?)
    }
}

fn file_type(file_type: ext4_view::FileType) -> FileType {
    match file_type {
        ext4_view::FileType::Regular => FileType::Regular,
        ext4_view::FileType::Directory => FileType::Directory,
        ext4_view::FileType::Symlink => FileType::Symlink,
        _ => FileType::Special,
    }
}
