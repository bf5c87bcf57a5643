//! Formats that are told by name when they are given where a disk image is wanted, each with the way to an image.

/// A format that is not opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    /// What it is, as in "this is …".
    pub(super) name: &'static str,
    /// What to do.
    pub(super) remedy: &'static str,
}

struct Magic {
    offset: usize,
    bytes: &'static [u8],
    foreign: Foreign,
}

const fn magic(offset: usize, bytes: &'static [u8], name: &'static str, remedy: &'static str) -> Magic {
    Magic { offset, bytes, foreign: Foreign { name, remedy } }
}

/// Bytes from the start that are enough to tell all of them.
pub(super) const HEAD: usize = 0x8006;

const COMBINED: &str = "give the combined image (…-combined.img.gz or …-combined-efi.img.gz), or a root filesystem \
                        (…-rootfs.img.gz)";

/// Wrappings, looked for in the file before anything is read.
const WRAPPINGS: &[Magic] = &[
    magic(0, b"\xFD7zXZ\0", "an xz file", "unpack it first: xz -dk FILE"),
    magic(
        0,
        b"IBDELTA\n",
        "a delta against another image",
        "make an image of it first: ibwrt expand BASE FILE -o IMAGE",
    ),
    magic(0, b"\x04\x22\x4D\x18", "an lz4 file", "unpack it first: lz4 -dk FILE"),
    magic(0, b"BZh", "a bzip2 file", "unpack it first: bzip2 -dk FILE"),
    magic(0, b"PK\x03\x04", "a zip archive", "unpack it first: unzip FILE"),
    magic(0, b"7z\xBC\xAF\x27\x1C", "a 7z archive", "unpack it first: 7z x FILE"),
    magic(
        0,
        b"COWD",
        "a VMDK image of a server (vmfsSparse)",
        "convert it first: qemu-img convert -f vmdk -O raw FILE disk.img",
    ),
    magic(
        0,
        b"# Disk DescriptorFile",
        "a VMDK descriptor, whose disk lies in other files",
        "convert it first: qemu-img convert -f vmdk -O raw FILE disk.img",
    ),
    magic(0x40, b"\x7F\x10\xDA\xBE", "a VDI image", "convert it first: qemu-img convert -f vdi -O raw FILE disk.img"),
    magic(0, b"vhdxfile", "a VHDX image", "convert it first: qemu-img convert -f vhdx -O raw FILE disk.img"),
    magic(0, b"conectix", "a VHD image", "convert it first: qemu-img convert -f vpc -O raw FILE disk.img"),
    magic(0x8001, b"CD001", "an ISO 9660 image", COMBINED),
];

/// Filesystems that may be a root and fill a whole image: offset and magic of squashfs, ext, EROFS and F2FS.
const ROOTS: &[(usize, &[u8])] =
    &[(0, b"hsqs"), (0x438, b"\x53\xEF"), (0x400, b"\xE2\xE1\xF5\xE0"), (0x400, b"\x10\x20\xF5\xF2")];

/// Contents without a partition table, looked for when none was found.
const CONTENTS: &[Magic] = &[
    magic(0, b"\x28\xB5\x2F\xFD", "a zstd file within another file", "unpack it first, such as with gzip -dk FILE"),
    magic(0, b"QFI\xFB", "a qcow2 image within another file", "unpack it first, such as with gzip -dk FILE"),
    magic(0, b"KDMV", "a VMDK image within another file", "unpack it first, such as with gzip -dk FILE"),
    magic(0x202, b"HdrS", "a Linux kernel", COMBINED),
    magic(0x36, b"FAT1", "a bare FAT filesystem", COMBINED),
    magic(0x52, b"FAT32", "a bare FAT filesystem", COMBINED),
    magic(257, b"ustar", "a tar archive", "unpack a root filesystem into a folder, and give that with --rootdir"),
    magic(0, b"\x7FELF", "an ELF file", COMBINED),
    magic(0, b"LUKS\xBA\xBE", "an encrypted LUKS container", "decrypt it first: only plain images can be edited"),
    magic(
        0x1000,
        b"EFI PART",
        "a disk with sectors of 4096 bytes",
        "only images with sectors of 512 bytes are handled",
    ),
];

/// The wrapping that `head`, the first bytes of a file, shows.
pub(super) fn wrapping(head: &[u8]) -> Option<&'static Foreign> {
    first(WRAPPINGS, head)
}

/// What `head`, the first bytes of a disk without partitions, holds instead.
pub(super) fn content(head: &[u8]) -> Option<&'static Foreign> {
    first(WRAPPINGS, head).or_else(|| first(CONTENTS, head))
}

/// Whether `head`, the first bytes of a disk without partitions, begins a filesystem that may be a root.
pub(super) fn is_root(head: &[u8]) -> bool {
    ROOTS.iter().any(|(offset, bytes)| head.get(*offset..).is_some_and(|rest| rest.starts_with(bytes)))
}

fn first(magics: &'static [Magic], head: &[u8]) -> Option<&'static Foreign> {
    let matching = magics.iter().find(|magic| {
        let end = magic.offset + magic.bytes.len();
        head.get(magic.offset..end) == Some(magic.bytes)
    })?;
    Some(&matching.foreign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_told_by_its_bytes_alone_and_none_by_zeroes() {
        for magic in WRAPPINGS.iter().chain(CONTENTS) {
            let mut head = vec![0; HEAD];
            assert!(content(&head).is_none());
            head[magic.offset..magic.offset + magic.bytes.len()].copy_from_slice(magic.bytes);
            assert_eq!(content(&head), Some(&magic.foreign));
        }
    }
}
