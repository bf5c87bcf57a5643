//! What uses a block device, as Linux tells it in /proc and /sys.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A block device by its numbers, `8:16`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place(String);

/// What keeps a device from being written.
pub(super) struct User {
    /// As in "the device is in use: …".
    pub(super) what: String,
    /// What to do.
    pub(super) remedy: String,
}

impl Place {
    /// That of the device at `path`.
    ///
    /// # Errors
    /// Usage when it is none; unsupported where devices are not told by numbers; I/O.
    #[cfg(target_os = "linux")]
    pub(super) fn of(path: &Path) -> Result<Self> {
        use std::os::unix::fs::{FileTypeExt, MetadataExt};
        let metadata = fs::metadata(path).map_err(|error| Error::io("look at", path, error))?;
        if !metadata.file_type().is_block_device() {
            return Err(Error::usage(format!("{} is not a block device", path.display())));
        }
        let number = metadata.rdev();
        Ok(Self(format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number))))
    }

    /// No other system tells what uses a device in these places.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn of(path: &Path) -> Result<Self> {
        Err(Error::unsupported(format!(
            "{} cannot be written on this system: devices are written on Linux",
            path.display()
        ))
        .remedy("write an .img and copy it to the device"))
    }

    /// Its folder in /sys.
    fn folder(&self) -> PathBuf {
        Path::new("/sys/dev/block").join(&self.0)
    }

    /// Whether it can only be read.
    pub(super) fn is_read_only(&self) -> bool {
        fs::read_to_string(self.folder().join("ro")).is_ok_and(|text| text.trim() != "0")
    }

    /// This device and the partitions on it.
    fn with_partitions(&self) -> Vec<Self> {
        let entries = fs::read_dir(self.folder()).into_iter().flatten().flatten().map(|entry| entry.path());
        let partitions = entries.filter(|entry| entry.join("partition").exists());
        let numbers = partitions.filter_map(|partition| fs::read_to_string(partition.join("dev")).ok());
        let mut all = vec![self.clone()];
        all.extend(numbers.map(|number| Self(number.trim().to_owned())));
        all
    }

    /// What uses the device or a partition of it.
    ///
    /// # Errors
    /// I/O: what is not known is not taken for nothing.
    pub(super) fn user(&self) -> Result<Option<User>> {
        let all = self.with_partitions();
        for place in &all {
            let holder = fs::read_dir(place.folder().join("holders")).into_iter().flatten().flatten().next();
            if let Some(holder) = holder {
                let name = holder.file_name().display().to_string();
                let remedy = format!("stop what was built on it (RAID, LVM, encryption): {name}");
                return Ok(Some(User { what: format!("{name} is built on it"), remedy }));
            }
        }
        let is_ours = |path: &Path| Self::of(path).is_ok_and(|place| all.contains(&place));
        let mounts = Path::new("/proc/self/mountinfo");
        let text = fs::read_to_string(mounts).map_err(|error| Error::io("read", mounts, error))?;
        let mounted = text.lines().find_map(|line| {
            let (number, source, target) = mount(line)?;
            // Some filesystems (btrfs) have numbers of their own: their source tells the device.
            (all.iter().any(|place| place.0 == number) || is_ours(Path::new(source))).then(|| target.to_owned())
        });
        if let Some(target) = mounted {
            let remedy = format!("unmount it first: umount {target}");
            return Ok(Some(User { what: format!("it is mounted on {target}"), remedy }));
        }
        let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
        let swap = swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next());
        Ok(swap.map(Path::new).find(|path| is_ours(path)).map(|path| User {
            what: format!("{} is swap space", path.display()),
            remedy: format!("stop that first: swapoff {}", path.display()),
        }))
    }
}

/// Device number, source and mount point of a line of mountinfo (proc_pid_mountinfo(5)).
fn mount(line: &str) -> Option<(&str, &str, &str)> {
    let (fields, rest) = line.split_once(" - ")?;
    let mut fields = fields.split(' ').skip(2);
    let number = fields.next()?;
    let target = fields.nth(1)?;
    Some((number, rest.split(' ').nth(1)?, target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_told_by_number_source_and_place() {
        let line = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        assert_eq!(mount(line), Some(("98:0", "/dev/root", "/mnt2")));
        assert_eq!(mount("36 35 98:0"), None);
    }
}
