//! From the boot loader to the module directory: both filesystems, grub.cfg, and the kernel's release.

use super::{NO_PARTITIONS, fail, judge, listing, no_kernel, number, skip, with_system};
use crate::image::PartitionTable;
use crate::openwrt::MenuEntry;
use crate::plan::Severity;
use crate::verify::{Check, Evidence, Outcome};

pub(super) const BOOT_FILESYSTEM: Check = Check {
    id: "boot-filesystem",
    severity: Severity::Error,
    claim: "The boot partition's filesystem is sound.",
    remedy: "Take a fresh image; on a running system, repair the filesystem of partition 1 (fsck.fat or e2fsck).",
    run: boot_filesystem,
};

fn boot_filesystem(evidence: &Evidence<'_>) -> Outcome {
    if evidence.is_bare() {
        return skip(NO_PARTITIONS);
    }
    if evidence.boot_partition.is_none() {
        return skip("no boot partition was found");
    }
    judge(evidence.boot_problems.clone(), || format!("sound, {} in it", number(evidence.boot_files.len(), "file")))
}

pub(super) const ROOT_FILESYSTEM: Check = Check {
    id: "root-filesystem",
    severity: Severity::Error,
    claim: "The root filesystem is sound and holds an OpenWrt system.",
    remedy: "Take a fresh image; an ext4 root can be repaired on a copy with e2fsck, a squashfs cannot.",
    run: root_filesystem,
};

fn root_filesystem(evidence: &Evidence<'_>) -> Outcome {
    let mut problems = evidence.root_problems.clone();
    match &evidence.system {
        Ok(system) => judge(problems, || {
            let space = system.space;
            let version = match system.release.description.as_str() {
                "" => "OpenWrt",
                description => description,
            };
            match space.is_bounded() {
                true => format!(
                    "{version}, {} of {} blocks of {} bytes free",
                    space.free_blocks, space.blocks, space.block_size
                ),
                false => format!("{version}, {} in a folder", number(system.tree.nodes.len(), "path")),
            }
        }),
        Err(reason) => {
            problems.push(reason.clone());
            judge(problems, String::new)
        }
    }
}

pub(super) const BOOT_ENTRIES: Check = Check {
    id: "boot-entries",
    severity: Severity::Error,
    claim: "Every boot menu entry starts a kernel that exists, with a root= that names the root partition.",
    remedy: "Correct boot/grub/grub.cfg on partition 1: `linux /boot/vmlinuz root=PARTUUID=<of the root partition> …`.",
    run: boot_entries,
};

fn boot_entries(evidence: &Evidence<'_>) -> Outcome {
    let Some(table) = evidence.table() else { return skip(NO_PARTITIONS) };
    let configuration = match &evidence.boot {
        Ok(configuration) => configuration,
        Err(reason) => return fail(reason.clone()),
    };
    if configuration.entries.is_empty() {
        return fail("grub.cfg has no menu entry that starts a kernel");
    }
    let mut problems = Vec::new();
    for entry in &configuration.entries {
        if !evidence.boot_files.contains(&entry.kernel) {
            problems.push(format!("\"{}\" starts {}, which is not on the boot partition", entry.title, entry.kernel));
        }
        problems.extend(root_problem(evidence, table, entry));
    }
    judge(problems, || {
        let titles: Vec<String> = configuration.entries.iter().map(|entry| format!("\"{}\"", entry.title)).collect();
        format!("{} lead to the root partition", listing(&titles))
    })
}

fn root_problem(evidence: &Evidence<'_>, table: &PartitionTable, entry: &MenuEntry) -> Option<String> {
    let title = &entry.title;
    let Some(root) = entry.arguments.iter().rev().find_map(|argument| argument.strip_prefix("root=")) else {
        return Some(format!("\"{title}\" has no root="));
    };
    let Some(partuuid) = root.strip_prefix("PARTUUID=") else {
        // A device path (CONFIG_TARGET_ROOTFS_PARTNAME) depends on the machine's disks: nothing to be proved here.
        return (!root.starts_with("/dev/")).then(|| format!("\"{title}\" has root={root}, which names no partition"));
    };
    let named = table.partitions.iter().find(|partition| partition.partuuid.eq_ignore_ascii_case(partuuid));
    match (named, evidence.root_partition) {
        (None, _) => Some(format!("\"{title}\" has root={root}, but no partition has that PARTUUID")),
        (Some(named), Some(root)) if named.number != root => {
            Some(format!("\"{title}\" takes partition {} as root, but the system is on partition {root}", named.number))
        }
        _ => None,
    }
}

pub(super) const KERNEL_RELEASE: Check = Check {
    id: "kernel-release",
    severity: Severity::Error,
    claim: "The kernel's release is the name of a module directory, where kmodloader looks.",
    remedy: "Kernel and root filesystem come from different builds: take an image from one build, with the modules of \
             that same build.",
    run: kernel_release,
};

fn kernel_release(evidence: &Evidence<'_>) -> Outcome {
    if evidence.is_bare() && evidence.kernels.is_empty() {
        return skip(no_kernel(evidence));
    }
    let release = match &evidence.kernel_release {
        Ok(release) => release,
        Err(reason) => return fail(format!("the kernel's release cannot be told: {reason}")),
    };
    with_system(evidence, |system| {
        if system.module_directories.iter().any(|directory| directory.release == *release) {
            return Outcome::Pass { detail: format!("{release}, as /lib/modules/{release}") };
        }
        let found: Vec<&str> = system.module_directories.iter().map(|directory| directory.release.as_str()).collect();
        fail(format!("the kernel is {release}, but /lib/modules holds {}", listing(&found)))
    })
}

pub(super) const SINGLE_MODULE_DIRECTORY: Check = Check {
    id: "single-module-directory",
    severity: Severity::Error,
    claim: "/lib/modules holds exactly one directory.",
    remedy: "Remove the directories of other kernels; a sane OpenWrt image has one.",
    run: single_module_directory,
};

fn single_module_directory(evidence: &Evidence<'_>) -> Outcome {
    with_system(evidence, |system| match system.module_directories.as_slice() {
        [only] => {
            Outcome::Pass { detail: format!("/lib/modules/{}, {}", only.release, number(only.modules.len(), "module")) }
        }
        [] => fail("/lib/modules holds no directory: this system has no kernel modules"),
        several => {
            let names: Vec<&str> = several.iter().map(|directory| directory.release.as_str()).collect();
            fail(format!("/lib/modules holds {} directories: {}", several.len(), listing(&names)))
        }
    })
}

#[cfg(test)]
mod tests {
    use crate::kernel::KernelRelease;
    use crate::verify::specimen::{Specimen, passed, problems, skipped};

    #[test]
    fn a_problem_of_a_filesystem_is_a_problem_of_the_image() {
        let mut specimen = Specimen::patched();
        specimen.root_problems = vec!["group 0: 3 blocks in use are marked free".into()];
        assert_eq!(problems(&specimen, "root-filesystem"), ["group 0: 3 blocks in use are marked free"]);
    }

    #[test]
    fn an_unreadable_root_fails_once_and_is_skipped_elsewhere() {
        let mut specimen = Specimen::patched();
        specimen.unreadable = Some("inode 12 is cut".into());
        assert_eq!(problems(&specimen, "root-filesystem"), ["inode 12 is cut"]);
        assert_eq!(skipped(&specimen, "modules-present"), "the root filesystem could not be read");
    }

    #[test]
    fn an_entry_without_its_kernel_is_told_by_its_title() {
        let mut specimen = Specimen::patched();
        specimen.boot_files.clear();
        assert_eq!(
            problems(&specimen, "boot-entries")[0],
            "\"OpenWrt\" starts /boot/vmlinuz, which is not on the boot partition"
        );
    }

    #[test]
    fn an_entry_that_names_another_partition_is_told() {
        let mut specimen = Specimen::patched();
        specimen.boot.entries[1].arguments = vec!["root=PARTUUID=ab12cd34-0000-0000-0000-000000000001".into()];
        assert_eq!(
            problems(&specimen, "boot-entries"),
            ["\"OpenWrt (failsafe)\" takes partition 1 as root, but the system is on partition 2"]
        );
    }

    #[test]
    fn an_entry_without_a_root_is_told() {
        let mut specimen = Specimen::patched();
        specimen.boot.entries[0].arguments.clear();
        assert_eq!(problems(&specimen, "boot-entries"), ["\"OpenWrt\" has no root="]);
    }

    #[test]
    fn a_partuuid_in_upper_case_is_the_same() {
        let mut specimen = Specimen::patched();
        specimen.boot.entries[0].arguments = vec!["root=PARTUUID=AB12CD34-0000-0000-0000-000000000002".into()];
        passed(&specimen, "boot-entries");
    }

    #[test]
    fn a_kernel_of_another_release_is_told_with_both() {
        let mut specimen = Specimen::patched();
        specimen.kernel_release = Ok(KernelRelease::new("6.6.93"));
        assert_eq!(problems(&specimen, "kernel-release"), ["the kernel is 6.6.93, but /lib/modules holds 6.6.106"]);
    }

    #[test]
    fn two_module_directories_are_one_too_many() {
        let mut specimen = Specimen::patched();
        let mut other = specimen.system.module_directories[0].clone();
        other.release = KernelRelease::new("6.6.93");
        specimen.system.module_directories.push(other);
        assert_eq!(
            problems(&specimen, "single-module-directory"),
            ["/lib/modules holds 2 directories: 6.6.106 and 6.6.93"]
        );
    }
}
