//! Whether the kernel can mount a squashfs root.

use super::{judge, listing, no_kernel, skip};
use crate::filesystem::Packing;
use crate::kernel::SquashfsReader;
use crate::plan::Severity;
use crate::verify::{BootedKernel, Check, Evidence, Outcome};

pub(super) const SQUASHFS_DECOMPRESSOR: Check = Check {
    id: "squashfs-decompressor",
    severity: Severity::Warning,
    claim: "The kernel has squashfs built in, with the decompressor that the root filesystem needs.",
    remedy: "Take an image whose root is compressed with what its kernel unpacks (OpenWrt: xz), or build the kernel with \
             CONFIG_SQUASHFS=y and CONFIG_SQUASHFS_XZ (_ZLIB, _LZ4, _ZSTD) as the root needs.",
    run: squashfs_decompressor,
};

/// What one kernel can do with the root.
enum Answer {
    Mounts(String),
    Cannot(String),
    Untold(String),
}

fn squashfs_decompressor(evidence: &Evidence<'_>) -> Outcome {
    let Some(packing) = &evidence.root_packing else { return skip("the root filesystem is not a squashfs") };
    let mut untold = Vec::new();
    let mut problems = Vec::new();
    let mut mounts = Vec::new();
    for kernel in &evidence.kernels {
        match answer(kernel, packing) {
            Answer::Mounts(detail) => mounts.push(detail),
            Answer::Cannot(problem) => problems.push(problem),
            Answer::Untold(reason) => untold.push(reason),
        }
    }
    match (problems.is_empty(), untold.into_iter().next()) {
        (true, Some(reason)) => skip(reason),
        (true, None) if mounts.is_empty() => skip(no_kernel(evidence)),
        _ => judge(problems, || listing(&mounts)),
    }
}

fn answer(kernel: &BootedKernel, packing: &Packing) -> Answer {
    let BootedKernel { path, exports } = kernel;
    let Packing { number, compressor, x86_filter, .. } = packing;
    let Ok(exports) = exports else { return Answer::Untold(format!("{path} could not be read (see kernel-found)")) };
    match &exports.squashfs {
        SquashfsReader::Unknown(reason) => Answer::Untold(format!("what {path} unpacks cannot be told: {reason}")),
        SquashfsReader::Absent => Answer::Cannot(format!(
            "the root is a squashfs, but {path} has no squashfs built in (CONFIG_SQUASHFS=y): without an initial RAM disk \
             that brings the module it cannot mount its root"
        )),
        SquashfsReader::BuiltIn { compressors, .. } if !compressors.contains(number) => Answer::Cannot(format!(
            "the root is compressed with {compressor}, but the squashfs of {path} was built for {} only: the kernel will say \
             that this is not supported, and stop",
            listing(&compressors.iter().map(|number| Packing::name_of(*number)).collect::<Vec<_>>())
        )),
        SquashfsReader::BuiltIn { x86_filter: false, .. } if *x86_filter => Answer::Untold(format!(
            "{path} unpacks {compressor}, but whether with the x86 filter that the root asks for cannot be told"
        )),
        SquashfsReader::BuiltIn { .. } => Answer::Mounts(format!("{packing}, which {path} has built in")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::specimen::{Specimen, passed, problems, skipped};

    const ID: &str = "squashfs-decompressor";

    /// The patched specimen on a squashfs of this compressor, with a kernel that has these built in.
    fn specimen(number: u16, x86_filter: bool, built: &[u16]) -> Specimen {
        let mut specimen = Specimen::patched();
        let compressor = Packing::name_of(number);
        specimen.root_packing = Some(Packing { number, compressor, x86_filter, block_size: 1 << 18 });
        let reader = SquashfsReader::BuiltIn { compressors: built.to_vec(), x86_filter: true };
        specimen.kernel.as_mut().unwrap().squashfs = reader;
        specimen
    }

    #[test]
    fn a_root_that_the_kernel_unpacks_passes() {
        assert_eq!(passed(&specimen(4, true, &[4]), ID), "xz with the x86 filter, which /boot/vmlinuz has built in");
        assert_eq!(passed(&specimen(6, false, &[1, 4, 6]), ID), "zstd, which /boot/vmlinuz has built in");
    }

    #[test]
    fn a_root_that_the_kernel_was_not_built_for_is_told_with_what_it_was_built_for() {
        assert_eq!(
            problems(&specimen(6, false, &[1, 4]), ID),
            [
                "the root is compressed with zstd, but the squashfs of /boot/vmlinuz was built for gzip and xz only: the \
              kernel will say that this is not supported, and stop"
            ]
        );
        let report = specimen(1, false, &[4]).report();
        assert!(!report.failed());
        assert_eq!(report.count().warnings, 1);
    }

    #[test]
    fn a_kernel_that_has_squashfs_as_a_module_cannot_mount_its_root() {
        let mut specimen = specimen(4, false, &[4]);
        specimen.kernel.as_mut().unwrap().squashfs = SquashfsReader::Absent;
        assert!(problems(&specimen, ID)[0].contains("has no squashfs built in (CONFIG_SQUASHFS=y)"));
    }

    #[test]
    fn what_cannot_be_told_is_skipped_with_the_reason() {
        assert_eq!(skipped(&Specimen::patched(), ID), "the root filesystem is not a squashfs");
        let mut specimen = specimen(4, true, &[4]);
        specimen.kernel.as_mut().unwrap().squashfs =
            SquashfsReader::BuiltIn { compressors: vec![4], x86_filter: false };
        assert_eq!(
            skipped(&specimen, ID),
            "/boot/vmlinuz unpacks xz, but whether with the x86 filter that the root asks for cannot be told"
        );
        specimen.kernel.as_mut().unwrap().squashfs = SquashfsReader::Unknown("its constants are not in it");
        assert_eq!(skipped(&specimen, ID), "what /boot/vmlinuz unpacks cannot be told: its constants are not in it");
        specimen.kernel = Err("cut".into());
        assert_eq!(skipped(&specimen, ID), "/boot/vmlinuz could not be read (see kernel-found)");
    }

    #[test]
    fn a_second_kernel_of_the_menu_counts_as_well() {
        let mut specimen = specimen(4, false, &[4]);
        let mut other = specimen.kernel.clone().unwrap();
        other.squashfs = SquashfsReader::BuiltIn { compressors: vec![1], x86_filter: false };
        specimen.second_kernel = Some(other);
        assert!(problems(&specimen, ID)[0].contains("the squashfs of /boot/vmlinuz.old was built for gzip only"));
    }
}
