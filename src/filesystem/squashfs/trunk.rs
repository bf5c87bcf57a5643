//! Edits that many have in common, stored once: all but what further edits would still be packed with.

use super::Squashfs;
use super::content::Cache;
use super::data::Last;
use super::packer::Packed;
use super::tree::Body;
use super::writer::check_room;
use crate::error::{Error, Result};
use crate::filesystem::{Trunk, VolumeFilesystem};

/// A squashfs with edits whose blocks are stored. The last fragment blocks, which more files may share, are not; neither are
/// the tables.
pub(super) struct Settled(Squashfs);

impl Settled {
    /// Stores the blocks of the pending files of `edited`, and reads them back.
    ///
    /// # Errors
    /// No room, with the numbers; a block that does not read back.
    pub(super) fn new(mut edited: Squashfs) -> Result<Self> {
        let data = edited.pack(Last::Open)?;
        let end = edited.data_end + data.bytes.len() as u64;
        check_room(&edited.volume, end, end - edited.superblock.inode_table)?;
        edited.volume.write_at(edited.data_end, &data.bytes)?;
        edited.data_end = end;
        edited.tables.fragments.extend(data.fragments);
        for (id, content) in data.contents {
            let stored = edited.contents().read(&content)?;
            let node = edited.tree.node_mut(id)?;
            if !matches!(&node.body, Body::Pending(bytes) if *bytes == stored) {
                return Err(Error::corrupt("squashfs: a new file does not read back"));
            }
            node.body = Body::Stored(content);
        }
        edited.cache = Cache::default();
        edited.packed = Packed::remembering();
        edited.volume = edited.volume.founded();
        Ok(Self(edited))
    }
}

impl Trunk for Settled {
    fn branch(&self) -> Result<Box<dyn VolumeFilesystem>> {
        let Squashfs { volume, superblock, compressor, packed, tables, tree, epoch, edited, data_end, .. } = &self.0;
        Ok(Box::new(Squashfs {
            volume: volume.clone(),
            superblock: superblock.clone(),
            compressor: compressor.clone(),
            packed: packed.clone(),
            tables: tables.clone(),
            tree: tree.clone(),
            cache: Cache::default(),
            epoch: *epoch,
            edited: *edited,
            data_end: *data_end,
        }))
    }
}
