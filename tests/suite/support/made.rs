//! Images in OpenWrt's layout that the tests make themselves: partition tables by a few lines of our own, filesystems by
//! mke2fs, mkfs.fat and mtools.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::oracle::{copy_kernel, rdump, tool};
use super::program::run;
use super::{SECTOR, partitions, raw_disk, write_partition};

/// Table and boot filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BootKind {
    /// GPT without a backup, FAT16.
    Efi,
    /// MBR, ext4 without a journal.
    Bios,
}

/// How an ext4 root filesystem is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RootKind {
    /// Bytes per block.
    pub(crate) block_size: u32,
    /// `mke2fs -O`.
    pub(crate) features: &'static str,
    /// Size in MiB.
    pub(crate) mebibytes: usize,
}

const BOOT_START: usize = 512;
const BOOT_SECTORS: usize = 32 * 1024;
const DISK_GUID: [u8; 15] = [0x03, 0xEC, 0x05, 0xE8, 0x41, 0xDB, 0xF4, 0xB0, 0x2C, 0xFC, 0x5A, 0x3B, 0xBA, 0x42, 0x80];
const DISK_GUID_TEXT: &str = "e805ec03-db41-b0f4-2cfc-5a3bba4280";
const MBR_SIGNATURE: u32 = 0xE805_EC03;
const MAKING_TIME: &str = "1735689600";

/// The root of a fixture as a folder, and its kernel.
pub(crate) fn system_of_fixture(name: &str, folder: &Path) -> (PathBuf, PathBuf) {
    let disk = raw_disk(&super::fixture(name));
    let [boot, root] = partitions(&disk);
    let scratch = tempfile::tempdir().unwrap();
    let part = scratch.path().join("part");
    let (tree, kernel) = (folder.join("tree"), folder.join("vmlinuz"));
    write_partition(&disk, root, &part);
    std::fs::create_dir(&tree).unwrap();
    rdump(&part, &tree);
    // mke2fs makes its own; a squashfs has none.
    let _ = std::fs::remove_dir(tree.join("lost+found"));
    write_partition(&disk, boot, &part);
    copy_kernel(&part, &kernel);
    (tree, kernel)
}

/// Makes an uncompressed image with an ext4 root at `to`.
pub(crate) fn image(to: &Path, boot: BootKind, root: RootKind, tree: &Path, kernel: &Path) {
    let scratch = tempfile::tempdir().unwrap();
    let root_part = scratch.path().join("root");
    mke2fs(&root_part, "rootfs", root.block_size, root.features, root.mebibytes, tree);
    assemble(to, boot, &root_part, root.mebibytes, kernel);
}

/// Makes an uncompressed image with a squashfs root at `to`, as OpenWrt's build calls mksquashfs, but for `options`.
pub(crate) fn squashfs_image(
    to: &Path,
    boot: BootKind,
    options: &[&str],
    mebibytes: usize,
    tree: &Path,
    kernel: &Path,
) {
    let scratch = tempfile::tempdir().unwrap();
    let root_part = scratch.path().join("root");
    mksquashfs(tree, &root_part, options);
    assemble(to, boot, &root_part, mebibytes, kernel);
}

/// What OpenWrt's build tells mksquashfs of the compressor, as far as Debian's knows it.
pub(crate) const OPENWRT: [&str; 6] = ["-comp", "xz", "-Xbcj", "x86", "-b", "256k"];

/// Makes a squashfs of `tree` at `to` (OpenWrt: include/image.mk, `Image/mkfs/squashfs-common`).
pub(crate) fn mksquashfs(tree: &Path, to: &Path, options: &[&str]) {
    let mut command = tool("mksquashfs");
    command.env("SOURCE_DATE_EPOCH", MAKING_TIME).arg(tree).arg(to);
    command.args(["-nopad", "-noappend", "-root-owned", "-no-xattrs", "-quiet", "-no-progress"]).args(options);
    command.args(["-p", "/dev d 755 0 0", "-p", "/dev/console c 600 0 0 5 1"]);
    run(&mut command).expect_status(0);
}

/// Puts a root of `mebibytes` MiB that begins with the file `root`, and a boot partition, into one disk.
fn assemble(to: &Path, boot: BootKind, root: &Path, mebibytes: usize, kernel: &Path) {
    let scratch = tempfile::tempdir().unwrap();
    let boot_part = scratch.path().join("boot");
    match boot {
        BootKind::Efi => make_fat(&boot_part, kernel, scratch.path()),
        BootKind::Bios => {
            let folder = scratch.path().join("files");
            std::fs::create_dir_all(folder.join("boot/grub")).unwrap();
            std::fs::copy(kernel, folder.join("boot/vmlinuz")).unwrap();
            std::fs::write(folder.join("boot/grub/grub.cfg"), grub_configuration(boot)).unwrap();
            mke2fs(&boot_part, "kernel", 4096, "^has_journal,^metadata_csum,^64bit,uninit_bg", 16, &folder);
        }
    }
    let root_start = BOOT_START + BOOT_SECTORS;
    let root_sectors = mebibytes * 2048;
    let sectors = root_start + root_sectors + 63;
    let root_length = std::fs::metadata(root).unwrap().len();
    assert!(root_length <= (root_sectors * SECTOR) as u64, "{root_length} bytes of root");
    let mut head = vec![0; BOOT_START * SECTOR];
    match boot {
        BootKind::Efi => write_gpt(&mut head, sectors, root_start, root_sectors),
        BootKind::Bios => write_mbr(&mut head, root_start, root_sectors),
    }
    let mut disk = File::create(to).unwrap();
    disk.write_all(&head).unwrap();
    for (part, start) in [(boot_part.as_path(), BOOT_START), (root, root_start)] {
        copy_with_holes(part, &mut disk, start * SECTOR);
    }
    disk.set_len((sectors * SECTOR) as u64).unwrap();
}

/// Copies a partition to its place, leaving out zeroes: a large one need not take room.
fn copy_with_holes(part: &Path, disk: &mut File, start: usize) {
    const BLOCK: usize = 1 << 20;
    let mut part = File::open(part).unwrap();
    let mut block = Vec::with_capacity(BLOCK);
    let mut at = start as u64;
    while (&mut part).take(BLOCK as u64).read_to_end(&mut block).unwrap() > 0 {
        if block.iter().any(|byte| *byte != 0) {
            disk.seek(SeekFrom::Start(at)).unwrap();
            disk.write_all(&block).unwrap();
        }
        at += block.len() as u64;
        block.clear();
    }
}

fn grub_configuration(boot: BootKind) -> String {
    let (place, uuid) = match boot {
        BootKind::Efi => ("search -l kernel -s root", format!("{DISK_GUID_TEXT}02")),
        BootKind::Bios => ("set root='(hd0,msdos1)'", format!("{MBR_SIGNATURE:08x}-02")),
    };
    let entry = |title: &str, extra: &str| {
        format!(
            "menuentry \"{title}\" {{\n\tlinux /boot/vmlinuz {extra}root=PARTUUID={uuid} rootwait  \
             console=tty1 console=ttyS0,115200n8 noinitrd\n}}\n"
        )
    };
    let entries = entry("OpenWrt", "") + &entry("OpenWrt (failsafe)", "failsafe=true ");
    format!("set default=\"0\"\nset timeout=\"5\"\n{place}\n\n{entries}")
}

fn make_fat(to: &Path, kernel: &Path, scratch: &Path) {
    let configuration = scratch.join("grub.cfg");
    std::fs::write(&configuration, grub_configuration(BootKind::Efi)).unwrap();
    run(tool("mkfs.fat").args(["--invariant", "-n", "kernel", "-C"]).arg(to).arg("16384")).expect_status(0);
    run(tool("mmd").arg("-i").arg(to).args(["::/boot", "::/boot/grub", "::/efi", "::/efi/boot"])).expect_status(0);
    for (file, name) in [(kernel, "::/boot/vmlinuz"), (&configuration, "::/boot/grub/grub.cfg")] {
        run(tool("mcopy").arg("-i").arg(to).arg(file).arg(name)).expect_status(0);
    }
}

fn mke2fs(to: &Path, label: &str, block_size: u32, features: &str, mebibytes: usize, tree: &Path) {
    let mut command = tool("mke2fs");
    command.env("E2FSPROGS_FAKE_TIME", MAKING_TIME).args(["-q", "-F", "-t", "ext4", "-m", "0", "-I", "256"]);
    command.args(["-U", "ff313567-e9f1-5a5d-9895-3ba130b4a864", "-L", label, "-b", &block_size.to_string()]);
    command.args(["-E", "hash_seed=ff313567-e9f1-5a5d-9895-3ba130b4a864,root_owner=0:0", "-O", features, "-d"]);
    run(command.arg(tree).arg(to).arg(format!("{mebibytes}M"))).expect_status(0);
}

fn write_mbr(disk: &mut [u8], root_start: usize, root_sectors: usize) {
    disk[0x1B8..0x1BC].copy_from_slice(&MBR_SIGNATURE.to_le_bytes());
    for (number, start, sectors) in [(0, BOOT_START, BOOT_SECTORS), (1, root_start, root_sectors)] {
        write_mbr_entry(disk, number, 0x83, start, sectors);
    }
    disk[0x1BE] = 0x80;
    disk[0x1FE..0x200].copy_from_slice(&[0x55, 0xAA]);
}

fn write_mbr_entry(disk: &mut [u8], number: usize, kind: u8, start: usize, sectors: usize) {
    let at = 0x1BE + number * 16;
    disk[at + 4] = kind;
    disk[at + 8..at + 12].copy_from_slice(&(start as u32).to_le_bytes());
    disk[at + 12..at + 16].copy_from_slice(&(sectors as u32).to_le_bytes());
}

/// `disk` is the beginning of a disk of so many sectors.
fn write_gpt(disk: &mut [u8], disk_sectors: usize, root_start: usize, root_sectors: usize) {
    let last = disk_sectors - 1;
    write_mbr_entry(disk, 0, 0xEE, 1, last);
    disk[0x1FE..0x200].copy_from_slice(&[0x55, 0xAA]);
    // Linux filesystem data, 0FC63DAF-8483-4772-8E79-3D69D8477DE4, in its mixed-endian form.
    let linux = [0xAF, 0x3D, 0xC6, 0x0F, 0x83, 0x84, 0x72, 0x47, 0x8E, 0x79, 0x3D, 0x69, 0xD8, 0x47, 0x7D, 0xE4];
    let end = root_start + root_sectors;
    for (number, start, sectors) in [(0, BOOT_START, BOOT_SECTORS), (1, root_start, root_sectors)] {
        let at = 2 * SECTOR + number * 128;
        disk[at..at + 16].copy_from_slice(&linux);
        disk[at + 16..at + 31].copy_from_slice(&DISK_GUID);
        disk[at + 31] = number as u8 + 1;
        disk[at + 32..at + 40].copy_from_slice(&(start as u64).to_le_bytes());
        disk[at + 40..at + 48].copy_from_slice(&((start + sectors - 1) as u64).to_le_bytes());
    }
    let header = SECTOR;
    disk[header..header + 8].copy_from_slice(b"EFI PART");
    // Revision 1.0 and a header of 92 bytes.
    disk[header + 8..header + 16].copy_from_slice(&[0, 0, 1, 0, 92, 0, 0, 0]);
    for (at, lba) in [(24, 1), (32, last), (40, 34), (48, end - 1), (72, 2)] {
        disk[header + at..header + at + 8].copy_from_slice(&(lba as u64).to_le_bytes());
    }
    disk[header + 56..header + 71].copy_from_slice(&DISK_GUID);
    for (at, value) in [(80, 128_u32), (84, 128)] {
        disk[header + at..header + at + 4].copy_from_slice(&value.to_le_bytes());
    }
    fix_gpt_checksums(disk);
}

/// Makes the checksums of a GPT fit its content.
pub(crate) fn fix_gpt_checksums(disk: &mut [u8]) {
    let header = SECTOR;
    let entries = crc32fast::hash(&disk[2 * SECTOR..2 * SECTOR + 128 * 128]);
    disk[header + 88..header + 92].copy_from_slice(&entries.to_le_bytes());
    disk[header + 16..header + 20].fill(0);
    let checksum = crc32fast::hash(&disk[header..header + 92]);
    disk[header + 16..header + 20].copy_from_slice(&checksum.to_le_bytes());
}
