//! What the standard library does not offer of Linux: owners, device nodes, extended attributes, times of symlinks.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use super::node::{Described, Special};
use crate::error::Result;
use crate::filesystem::Attributes;

/// Whether trees can be handled on this system.
pub(super) fn check() -> Result<()> {
    Ok(())
}

/// Reads `metadata`.
pub(super) fn described(metadata: &Metadata) -> Described {
    let file_type = metadata.file_type();
    let special = if file_type.is_char_device() {
        Some(Special::Character(metadata.rdev()))
    } else if file_type.is_block_device() {
        Some(Special::Block(metadata.rdev()))
    } else if file_type.is_fifo() {
        Some(Special::Fifo)
    } else if file_type.is_socket() {
        Some(Special::Socket)
    } else {
        None
    };
    let mode = u16::try_from(metadata.mode() & 0o7777).unwrap_or_default();
    Described {
        attributes: Attributes { mode, uid: metadata.uid(), gid: metadata.gid() },
        inode: (metadata.dev(), metadata.ino()),
        links: metadata.nlink(),
        special,
    }
}

/// Whether this process may give files to any owner.
pub(super) fn can_give_away() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether this process may read the file at `path`.
pub(super) fn check_readable(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::accessat(CWD, path, Access::READ_OK, AtFlags::EACCESS)?)
}

/// Gives `path` (a symlink itself) to an owner and group.
pub(super) fn give(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    std::os::unix::fs::lchown(path, Some(uid), Some(gid))
}

/// Sets the permissions of `path`, which is no symlink. Returns those that it has then.
pub(super) fn set_mode(path: &Path, mode: u16) -> io::Result<u16> {
    fs::set_permissions(path, Permissions::from_mode(mode.into()))?;
    Ok(described(&fs::symlink_metadata(path)?).attributes.mode)
}

/// Sets the time of the last change of `path`, a symlink itself.
pub(super) fn set_time(path: &Path, time: SystemTime) -> io::Result<()> {
    let time = timespec(time);
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn timespec(time: SystemTime) -> Timespec {
    let whole = |duration: std::time::Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Timespec { tv_sec: whole(after), tv_nsec: after.subsec_nanos().into() },
        Err(error) => match error.duration() {
            before if before.subsec_nanos() == 0 => Timespec { tv_sec: -whole(before), tv_nsec: 0 },
            before => {
                let nanoseconds = 1_000_000_000 - i64::from(before.subsec_nanos());
                Timespec { tv_sec: -whole(before) - 1, tv_nsec: nanoseconds }
            }
        },
    }
}

/// Makes the symlink `path`.
pub(super) fn symlink(target: &OsStr, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

/// Makes a device node, FIFO or socket.
pub(super) fn make_special(path: &Path, special: Special) -> io::Result<()> {
    let (file_type, device) = match special {
        Special::Character(device) => (FileType::CharacterDevice, device),
        Special::Block(device) => (FileType::BlockDevice, device),
        Special::Fifo => (FileType::Fifo, 0),
        Special::Socket => (FileType::Socket, 0),
    };
    Ok(rustix::fs::mknodat(CWD, path, file_type, Mode::RUSR | Mode::WUSR, device)?)
}

/// Copies the extended attributes of `from` (a symlink itself) to `to`. Returns the names of those that could not be set.
pub(super) fn copy_extended(from: &Path, to: &Path) -> io::Result<Vec<String>> {
    let mut lost = Vec::new();
    for name in extended_names(from)?.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = OsStr::from_bytes(name);
        let mut value = vec![0; rustix::fs::lgetxattr_query(from, name)?];
        rustix::fs::lgetxattr(from, name, &mut value[..])?;
        match rustix::fs::lsetxattr(to, name, &value, XattrFlags::empty()) {
            Ok(()) => {}
            Err(Errno::PERM | Errno::ACCESS | Errno::NOTSUP) => lost.push(name.to_string_lossy().into_owned()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(lost)
}

/// The names of the extended attributes of `path`, each with a NUL behind it. Nearly no file has any.
fn extended_names(path: &Path) -> io::Result<Vec<u8>> {
    let length = match rustix::fs::llistxattr_query(path) {
        Err(Errno::NOTSUP) => 0,
        length => length?,
    };
    let mut names = vec![0; length];
    if length > 0 {
        rustix::fs::llistxattr(path, &mut names[..])?;
    }
    Ok(names)
}

/// Waits until everything on the filesystem of the folder is on the disk. Where that cannot be had, the names are right
/// all the same.
pub(super) fn settle(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = rustix::fs::syncfs(folder);
    }
}
