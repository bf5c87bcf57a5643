//! Identifiers of a disk, which other programs draw at random. Here they are made of the disk's content, so that the
//! same disk has the same ones, and another disk others.

use sha2::{Digest, Sha256};

use crate::image::Disk;

/// Bytes hashed in one piece.
const PIECE: u64 = 64 * 1024;

/// Where identifiers come from.
pub(super) struct Identity([u8; 32]);

impl Identity {
    /// Of the content of `disk`: its length, and every piece of 64 KiB that is not all zeroes with its place.
    ///
    /// # Errors
    /// None in practice: all pieces lie within the disk.
    pub(super) fn of(disk: &Disk) -> std::io::Result<Self> {
        let mut digest = Sha256::new();
        digest.update(disk.length().to_le_bytes());
        for start in (0..disk.length()).step_by(64 * 1024) {
            let length = PIECE.min(disk.length() - start);
            if !disk.is_zero(start, length) {
                let length = usize::try_from(length).map_err(std::io::Error::other)?;
                digest.update(start.to_le_bytes());
                digest.update(disk.read_vec(start, length).map_err(std::io::Error::other)?);
            }
        }
        Ok(Self(digest.finalize().into()))
    }

    /// The UUID for `purpose`, of version 8 (RFC 9562, 5.8), as VHDX and VDI files store it: with its first three
    /// groups little-endian.
    pub(super) fn uuid(&self, purpose: &str) -> [u8; 16] {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = self.digest(purpose);
        [a, b, c, d, e, f, g, h & 0x0F | 0x80, i & 0x3F | 0x80, j, k, l, m, n, o, p]
    }

    /// The number for `purpose`.
    pub(super) fn number(&self, purpose: &str) -> u32 {
        let [a, b, c, d, ..] = self.digest(purpose);
        u32::from_le_bytes([a, b, c, d])
    }

    fn digest(&self, purpose: &str) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.0);
        digest.update(purpose.as_bytes());
        digest.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Identity {
        Identity::of(&Disk::from_bytes(bytes)).unwrap()
    }

    #[test]
    fn one_content_has_one_identity_and_every_purpose_its_own() {
        let mut bytes = vec![0; 300_000];
        bytes[70_000] = 1;
        let first = of(&bytes);
        assert_eq!(first.uuid("image"), of(&bytes).uuid("image"));
        assert_ne!(first.uuid("image"), first.uuid("snapshot"));
        let mut moved = bytes.clone();
        moved.swap(70_000, 5);
        let mut changed = bytes.clone();
        changed[299_999] = 1;
        for other in [moved, changed, [&bytes[..], &[0]].concat()] {
            assert_ne!(first.uuid("image"), of(&other).uuid("image"));
        }
    }

    #[test]
    fn how_a_disk_came_to_its_content_does_not_matter() {
        let mut bytes = vec![0; 200_000];
        let plain = of(&bytes);
        bytes[100_000] = 7;
        let mut disk = Disk::from_bytes(&bytes);
        disk.write_at(100_000, &[0]).unwrap();
        assert_eq!(Identity::of(&disk).unwrap().uuid("image"), plain.uuid("image"));
    }

    #[test]
    fn a_uuid_has_its_version_and_variant_where_readers_look_for_them() {
        let uuid = of(b"x").uuid("image");
        assert_eq!((uuid[7] >> 4, uuid[8] >> 6), (8, 0b10));
    }
}
