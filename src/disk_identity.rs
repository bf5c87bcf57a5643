//! What tells a disk and its partitions from all others, made of a text.
//!
//! OpenWrt makes all of it of one number (include/image.mk, firmware-utils' ptgen.c): the disk GUID of a GPT ends in `00`, and
//! a partition's GUID is the disk's with the partition's number as that last byte; the disk signature in LBA 0, of which the
//! PARTUUIDs of an MBR are made, is the first group of the GUID. sysupgrade finds the disk that it runs on by `…02` and `…00`.

use sha2::{Digest, Sha256};

/// The identifiers of a disk and its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DiskIdentity {
    /// The disk GUID's bytes in the order in which it is spelled; the last one is 0.
    guid: [u8; 16],
}

impl DiskIdentity {
    /// The identity that `seed` stands for, the same everywhere and always: SHA-256 of it as a GUID of version 8 (RFC 9562,
    /// 5.8). Two seeds have the same one by chance alone.
    pub(crate) fn derived(seed: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(format!("ibwrt disk identity\0{seed}")).into();
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, ..] = digest;
        // A signature of 0 counts as none (block/partitions/msdos.c).
        let d = if [a, b, c, d] == [0; 4] { 1 } else { d };
        Self { guid: [a, b, c, d, e, f, g & 0x0F | 0x80, h, i & 0x3F | 0x80, j, k, l, m, n, o, 0] }
    }

    /// The disk signature in LBA 0, never 0.
    pub(crate) fn signature(&self) -> u32 {
        self.guid.first_chunk().copied().map_or(0, u32::from_be_bytes)
    }

    /// GUID of the disk (number 0) or of the partition `number`, in the order in which it is spelled.
    pub(crate) fn guid(&self, number: u8) -> [u8; 16] {
        let mut guid = self.guid;
        if let Some(last) = guid.last_mut() {
            *last = number;
        }
        guid
    }

    /// GUID of the disk (number 0) or of the partition `number`, as the kernel spells it: lower case.
    pub(crate) fn guid_text(&self, number: u8) -> String {
        let mut text = String::with_capacity(36);
        for (index, byte) in self.guid(number).iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.push_str(&format!("{byte:02x}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_stands_for_the_same_identifiers_for_ever() {
        // By Python's hashlib: the first 15 bytes of sha256(b"ibwrt disk identity\0h1"), with version and variant.
        let h1 = DiskIdentity::derived("h1");
        assert_eq!(h1.guid_text(0), "e3d638c5-1745-814d-b689-25ced1141300");
        assert_eq!(h1.guid_text(2), "e3d638c5-1745-814d-b689-25ced1141302");
        assert_eq!(h1.guid_text(128), "e3d638c5-1745-814d-b689-25ced1141380");
        assert_eq!(h1.signature(), 0xe3d6_38c5);
        assert_ne!(DiskIdentity::derived("H1"), h1);
    }
}
