//! What holds the system: an image, or a tree of files in a folder. Both are copy-on-write: an edit gives another medium, and
//! the input stays as it is.

use crate::apply::apply;
use crate::error::{At, Error, Result};
use crate::filesystem::{self, Directory, Filesystem, Kind, LiveOverlay, Packing, VolumeFilesystem};
use crate::image::{Container, Image, Keep, PartitionTable, Volume};
use crate::plan::Edit;
use crate::progress::Progress;

use super::Input;
use super::scene::Located;
use super::tree::listed;
use super::unpacked::UnpackedKernels;

/// An opened input.
#[derive(Debug, Clone)]
pub(super) enum Medium {
    /// An image file.
    Image(Image),
    /// A tree of files in a folder.
    Tree(Directory),
}

impl Medium {
    /// Opens what `input` names.
    ///
    /// # Errors
    /// Those of [`Image::open`] and [`Directory::open`].
    pub(super) fn open(input: &Input, progress: &dyn Progress) -> Result<Self> {
        match input {
            Input::Image(path) => Image::open(path, progress).map(Self::Image),
            Input::Tree(path) => Directory::open(path).map(Self::Tree),
        }
    }

    /// Opens what `input` names, and begins to unpack its kernels as soon as they are read.
    ///
    /// # Errors
    /// As [`Medium::open`].
    pub(super) fn opening(keep: Keep, input: &Input, progress: &dyn Progress) -> Result<(Self, UnpackedKernels)> {
        match input {
            Input::Image(path) => {
                let (image, unpacked) = UnpackedKernels::opening(keep, path, progress)?;
                Ok((Self::Image(image), unpacked))
            }
            Input::Tree(_) => Ok((Self::open(input, progress)?, UnpackedKernels::default())),
        }
    }

    /// The image, where it is one.
    pub(super) fn image(&self) -> Option<&Image> {
        match self {
            Self::Image(image) => Some(image),
            Self::Tree(_) => None,
        }
    }

    /// The image's wrapping.
    pub(super) fn container(&self) -> Option<&Container> {
        self.image().map(|image| &image.container)
    }

    /// The partition table, where there is one; without it there is a root filesystem and nothing else.
    pub(super) fn table(&self) -> Option<&PartitionTable> {
        self.image()?.table.as_ref()
    }

    /// What is to be said of folders that other filesystems are mounted on.
    pub(super) fn mounts(&self) -> Option<String> {
        let Self::Tree(directory) = self else { return None };
        let mounts = directory.mounts();
        (!mounts.is_empty())
            .then(|| format!("another filesystem is mounted on {}: it is taken as empty", listed(mounts)))
    }

    /// The bytes of a filesystem.
    ///
    /// # Errors
    /// Corrupt when it reaches behind the end of the disk; usage for a tree, which has none.
    pub(super) fn volume(&self, located: &Located) -> Result<Volume> {
        let image = self.image().ok_or_else(|| Error::usage("a tree of files has no bytes of its own"))?;
        match &located.partition {
            Some(partition) => partition.volume(image.disk.clone()).at(|| located.place()),
            None => Ok(Volume::whole(image.disk.clone())),
        }
    }

    /// Length of a filesystem's volume in bytes; 0 in a tree.
    ///
    /// # Errors
    /// As [`Medium::volume`].
    pub(super) fn length(&self, located: &Located) -> Result<u64> {
        match self {
            Self::Image(_) => Ok(self.volume(located)?.length()),
            Self::Tree(_) => Ok(0),
        }
    }

    /// How a filesystem is compressed, where it is a squashfs.
    ///
    /// # Errors
    /// Those of reading its superblock.
    pub(super) fn packing(&self, located: &Located) -> Result<Option<Packing>> {
        if located.kind != Kind::Squashfs {
            return Ok(None);
        }
        Packing::read(&self.volume(located)?).map(Some).at(|| located.place())
    }

    /// The overlay behind a filesystem, where it is a squashfs and one was made.
    ///
    /// # Errors
    /// Those of reading it.
    pub(super) fn live_overlay(&self, located: &Located) -> Result<Option<LiveOverlay>> {
        if located.kind != Kind::Squashfs {
            return Ok(None);
        }
        LiveOverlay::find(&self.volume(located)?).at(|| located.place())
    }

    /// The medium without the overlay behind a filesystem.
    ///
    /// # Errors
    /// Those of reading it.
    pub(super) fn without_overlay(&self, located: &Located) -> Result<Self> {
        let Self::Image(image) = self else { return Ok(self.clone()) };
        let mut volume = self.volume(located)?;
        LiveOverlay::discard(&mut volume).at(|| located.place())?;
        Ok(Self::Image(Image { disk: volume.into_disk(), ..image.clone() }))
    }

    /// Opens a filesystem to be read.
    ///
    /// # Errors
    /// Those of the filesystem.
    pub(super) fn filesystem(&self, located: &Located) -> Result<Box<dyn Filesystem>> {
        match self {
            Self::Image(_) => Ok(self.volume_filesystem(located, 0)?),
            Self::Tree(directory) => Ok(Box::new(directory.clone())),
        }
    }

    /// Refuses a filesystem that can be read but not edited.
    ///
    /// # Errors
    /// Unsupported, by name.
    pub(super) fn check_editable(&self, located: &Located) -> Result<()> {
        match self {
            Self::Image(_) => filesystem::check_editable(&self.volume(located)?).at(|| located.place()),
            Self::Tree(_) => Ok(()),
        }
    }

    /// The medium with `edits` carried out on one of its filesystems; what they make is dated `epoch`, in seconds since 1970
    /// (in a tree when it is written).
    ///
    /// # Errors
    /// Those of the filesystem.
    pub(super) fn edited(&self, located: &Located, edits: &[Edit], epoch: u64) -> Result<Self> {
        if edits.is_empty() {
            return Ok(self.clone());
        }
        match self {
            Self::Image(image) => {
                let mut filesystem = self.volume_filesystem(located, epoch)?;
                apply(edits, filesystem.as_mut()).at(|| located.place())?;
                let disk = filesystem.finish().at(|| located.place())?.into_disk();
                Ok(Self::Image(Image { disk, ..image.clone() }))
            }
            Self::Tree(directory) => {
                let mut directory = directory.clone();
                apply(edits, &mut directory)?;
                Ok(Self::Tree(directory))
            }
        }
    }

    /// Opens a filesystem that lies in a volume; what edits make is dated `epoch`, in seconds since 1970.
    ///
    /// # Errors
    /// Those of the filesystem; usage for a tree.
    pub(super) fn volume_filesystem(&self, located: &Located, epoch: u64) -> Result<Box<dyn VolumeFilesystem>> {
        filesystem::open(self.volume(located)?, epoch).at(|| located.place())
    }
}
