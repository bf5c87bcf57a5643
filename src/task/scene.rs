//! From a medium to its boot and root partitions: found by content and by grub.cfg's `root=`, never by a fixed place. A
//! root filesystem alone has neither table nor boot partition; the kernel that will boot it is given, or not known.

use std::sync::Arc;

use crate::error::{At, Error, Result};
use crate::filesystem::{self, Attributes, Filesystem, Kind};
use crate::image::Partition;
use crate::kernel::{KernelImage, KernelRelease};
use crate::openwrt::{BootConfiguration, RootReference};

use super::given_kernel::GivenKernel;
use super::medium::Medium;

/// Where GRUB's configuration lies on the boot partition.
pub(super) const GRUB_CONFIGURATION: &str = "/boot/grub/grub.cfg";

/// A partition, or the whole of an image without partitions or of a tree, with the kind of its content.
#[derive(Debug, Clone)]
pub(super) struct Located {
    /// The table entry; `None` for the whole.
    pub(super) partition: Option<Partition>,
    /// What is in it.
    pub(super) kind: Kind,
}

impl Located {
    /// Number of the partition, where it is one.
    pub(super) fn number(&self) -> Option<u32> {
        self.partition.as_ref().map(|partition| partition.number)
    }

    /// How messages name it.
    pub(super) fn place(&self) -> String {
        self.number().map_or_else(|| "root filesystem".to_owned(), |number| format!("partition {number}"))
    }
}

/// A kernel that the boot menu offers, or that was given for a root without one.
#[derive(Debug, Clone)]
pub(super) struct KernelFile {
    /// Its path: on the boot partition, such as `/boot/vmlinuz`, or that of the given file.
    pub(super) path: String,
    /// Its content, or why it cannot be read.
    pub(super) content: Result<Arc<[u8]>, String>,
}

/// The partition that GRUB reads.
#[derive(Debug, Clone)]
pub(super) struct Boot {
    /// Its partition.
    pub(super) located: Located,
    /// grub.cfg.
    pub(super) configuration: BootConfiguration,
    /// Paths of its regular files.
    pub(super) files: Vec<String>,
    /// The kernels of all menu entries, each file once, in the menu's order.
    pub(super) kernels: Vec<KernelFile>,
    /// What stood where an earlier patch put a kernel, which is what `kernels` show.
    pub(super) before: Option<KernelBefore>,
}

/// What stood where an earlier patch put a kernel.
#[derive(Debug, Clone)]
pub(super) struct KernelBefore {
    /// The path on the boot partition.
    pub(super) path: String,
    /// Permissions and content; `None` when nothing stood there.
    pub(super) file: Option<(Attributes, Arc<[u8]>)>,
}

/// An opened medium, and which partition is what.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    /// The medium.
    pub(super) medium: Medium,
    /// Its partitions, in table order; the one filesystem of a medium without partitions.
    pub(super) partitions: Vec<Located>,
    /// The partition that GRUB reads, or why none was found.
    pub(super) boot: Result<Boot, String>,
    /// The partition with the root filesystem, or why none was found.
    pub(super) root: Result<Located, String>,
    /// The kernels that may boot it, the one that does first.
    pub(super) kernels: Vec<KernelFile>,
    /// Release of the first of them, by the kernel's own header.
    pub(super) kernel_release: Result<KernelRelease, String>,
}

impl Scene {
    /// Looks at every partition of `medium`; `given` is the kernel that boots it where it has none itself.
    pub(super) fn survey(medium: Medium, given: Option<&GivenKernel>) -> Self {
        let partitions: Vec<_> = match medium.table() {
            Some(table) => table.partitions.iter().map(|partition| locate(&medium, Some(partition))).collect(),
            None => vec![locate(&medium, None)],
        };
        let boot = find_boot(&medium, &partitions);
        let root = find_root(&partitions, boot.as_ref().ok());
        let kernels = match &boot {
            Ok(boot) => boot.kernels.clone(),
            Err(_) if medium.table().is_none() => given.map(GivenKernel::as_booted).into_iter().collect(),
            Err(_) => Vec::new(),
        };
        let kernel_release = match &boot {
            Err(reason) if kernels.is_empty() => Err(reason.clone()),
            _ => read_release(&kernels),
        };
        Self { medium, partitions, boot, root, kernels, kernel_release }
    }

    /// The same scene with the kernel that stood there before.
    pub(super) fn with_kernel(mut self, before: KernelBefore) -> Self {
        let Ok(boot) = &mut self.boot else { return self };
        let content = before.file.as_ref().map(|(_, bytes)| Arc::clone(bytes));
        let content = content.ok_or_else(|| format!("{} was not there before the earlier patch", before.path));
        for kernel in boot.kernels.iter_mut().chain(&mut self.kernels).filter(|kernel| kernel.path == before.path) {
            kernel.content.clone_from(&content);
        }
        boot.before = Some(before);
        self.kernel_release = read_release(&self.kernels);
        self
    }

    /// Whether it is a root filesystem alone, with no boot partition beside it.
    pub(super) fn is_bare(&self) -> bool {
        self.medium.table().is_none()
    }

    /// Refuses a kernel that was given for an image which boots one of its own.
    ///
    /// # Errors
    /// Usage.
    pub(super) fn check_given(&self, given: Option<&GivenKernel>) -> Result<()> {
        if given.is_none() || self.is_bare() {
            return Ok(());
        }
        Err(Error::usage("this image boots a kernel of its own; --kernel names the one of a root without").remedy(
            "leave --kernel out; whether the modules would load with that kernel: ibwrt patch IMAGE --kernel BZIMAGE --dry-run",
        ))
    }

    /// The root partition, if its filesystem can be edited.
    ///
    /// # Errors
    /// As [`Scene::found_root`]; unsupported when it can only be read. What else is wrong with it is said when it is opened.
    pub(super) fn editable_root(&self) -> Result<&Located> {
        let root = self.found_root()?;
        self.medium.check_editable(root)?;
        Ok(root)
    }

    /// The root partition.
    ///
    /// # Errors
    /// Corrupt when there is none.
    pub(super) fn found_root(&self) -> Result<&Located> {
        self.root.as_ref().map_err(|reason| {
            Error::corrupt(format!("no root filesystem found: {reason}"))
                .remedy("ibwrt inspect IMAGE shows what is in the partitions")
        })
    }

    /// Release of the image's kernel.
    ///
    /// # Errors
    /// Corrupt when there is no boot partition or no readable kernel on it.
    pub(super) fn kernel_release(&self) -> Result<KernelRelease> {
        self.kernel_release
            .clone()
            .map_err(|reason| Error::corrupt(format!("the image's kernel cannot be told: {reason}")))
    }
}

fn locate(medium: &Medium, partition: Option<&Partition>) -> Located {
    let mut located = Located { partition: partition.cloned(), kind: Kind::Unknown };
    match medium {
        Medium::Tree(_) => located.kind = Kind::Directory,
        Medium::Image(_) => {
            if let Ok(kind) = medium.volume(&located).and_then(|volume| filesystem::detect(&volume)) {
                located.kind = kind;
            }
        }
    }
    located
}

/// The first partition that holds grub.cfg.
fn find_boot(medium: &Medium, partitions: &[Located]) -> Result<Boot, String> {
    if medium.table().is_none() {
        return Err("it is a root filesystem alone".to_owned());
    }
    let mut reasons = Vec::new();
    for located in partitions.iter().filter(|located| matches!(located.kind, Kind::Fat | Kind::Ext4)) {
        match read_boot(medium, located) {
            Ok(Some(boot)) => return Ok(boot),
            Ok(None) => {}
            Err(error) => reasons.push(error.to_string()),
        }
    }
    if reasons.is_empty() {
        return Err(format!("no partition holds {GRUB_CONFIGURATION}"));
    }
    Err(reasons.join("; "))
}

fn read_boot(medium: &Medium, located: &Located) -> Result<Option<Boot>> {
    let mut filesystem = medium.filesystem(located)?;
    if filesystem.metadata(GRUB_CONFIGURATION)?.is_none() {
        return Ok(None);
    }
    let text = filesystem.read(GRUB_CONFIGURATION)?;
    let configuration =
        BootConfiguration::parse(&String::from_utf8_lossy(&text)).at(|| GRUB_CONFIGURATION.to_owned())?;
    let files = regular_files(filesystem.as_mut())?;
    let kernels = read_kernels(filesystem.as_mut(), &configuration);
    Ok(Some(Boot { located: located.clone(), configuration, files, kernels, before: None }))
}

fn read_kernels(filesystem: &mut dyn Filesystem, configuration: &BootConfiguration) -> Vec<KernelFile> {
    let mut kernels: Vec<KernelFile> = Vec::new();
    for entry in &configuration.entries {
        if kernels.iter().all(|kernel| kernel.path != entry.kernel) {
            let content = filesystem.read(&entry.kernel).at(|| entry.kernel.clone());
            let content = content.map(Arc::from).map_err(|error| error.to_string());
            kernels.push(KernelFile { path: entry.kernel.clone(), content });
        }
    }
    kernels
}

fn read_release(kernels: &[KernelFile]) -> Result<KernelRelease, String> {
    let first = kernels.first().ok_or_else(|| format!("{GRUB_CONFIGURATION} names no kernel"))?;
    let bytes = first.content.as_ref().map_err(Clone::clone)?;
    let kernel = KernelImage::parse(bytes).at(|| first.path.clone());
    kernel.map(|kernel| kernel.release()).map_err(|error| error.to_string())
}

/// Paths of all regular files, in byte order; a boot partition holds a dozen.
fn regular_files(filesystem: &mut dyn Filesystem) -> Result<Vec<String>> {
    use crate::filesystem::FileType;

    /// More folders than any boot partition has; a damaged one may have loops.
    const MOST_FOLDERS: usize = 1000;

    let mut files = Vec::new();
    let mut folders = vec![String::new()];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        seen += 1;
        if seen > MOST_FOLDERS {
            return Err(Error::corrupt(format!("more than {MOST_FOLDERS} folders on a boot partition")));
        }
        for entry in filesystem.list(if folder.is_empty() { "/" } else { &folder })? {
            let path = format!("{folder}/{}", entry.name);
            match entry.file_type {
                FileType::Directory => folders.push(path),
                FileType::Regular => files.push(path),
                FileType::Symlink | FileType::Special => {}
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The partition that grub.cfg names as root; where it names none of this disk's, the only one that could be one.
fn find_root(partitions: &[Located], boot: Option<&Boot>) -> Result<Located, String> {
    let entries = boot.map_or(&[][..], |boot| &boot.configuration.entries);
    let references: Vec<_> = entries.iter().filter_map(|entry| entry.root().ok()).collect();
    if let Some(named) = references.iter().find_map(|reference| named_by(partitions, reference)) {
        return Ok(named.clone());
    }
    let is_boot = |located: &Located| boot.is_some_and(|boot| boot.located.number() == located.number());
    let mut candidates = partitions.iter().filter(|located| {
        !is_boot(located)
            && matches!(located.kind, Kind::Ext4 | Kind::Squashfs | Kind::Erofs | Kind::F2fs | Kind::Directory)
    });
    match (candidates.next(), candidates.next()) {
        (Some(only), None) => Ok(only.clone()),
        (None, _) => Err("no partition holds a filesystem that could be a root".to_owned()),
        (Some(first), Some(second)) => Err(format!(
            "{} and {} could both be it, and {GRUB_CONFIGURATION} names neither",
            first.place(),
            second.place()
        )),
    }
}

fn named_by<'a>(partitions: &'a [Located], reference: &RootReference) -> Option<&'a Located> {
    let entry = |located: &'a Located| Some((located, located.partition.as_ref()?));
    let mut entries = partitions.iter().filter_map(entry);
    let named = match reference {
        RootReference::Partuuid(partuuid) => entries.find(|(_, partition)| partition.partuuid == *partuuid),
        RootReference::Device(device) => {
            let digits = device.trim_start_matches(|c: char| !c.is_ascii_digit());
            // /dev/nvme0n1p2 counts behind its `p`; /dev/sda2 has no other digits.
            let number = digits.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok()?;
            entries.find(|(_, partition)| partition.number == number)
        }
    };
    named.map(|(located, _)| located)
}
