//! The kernels of the boot menu, as files.

use super::{judge, no_kernel, number, skip};
use crate::kernel::{KernelExports, Proof};
use crate::plan::Severity;
use crate::verify::{Check, Evidence, Outcome};

pub(super) const KERNEL_FOUND: Check = Check {
    id: "kernel-found",
    severity: Severity::Error,
    claim: "The kernel of every boot menu entry (for a root alone: the given one) can be read and unpacked, and all entries \
            start the same one.",
    remedy: "Take a fresh image, or put in a bzImage of the build that the modules come from: `ibwrt patch IMAGE --kernel \
             BZIMAGE …`. What cannot be read cannot be proved.",
    run: kernel_found,
};

fn kernel_found(evidence: &Evidence<'_>) -> Outcome {
    let Some(first) = evidence.kernels.first() else {
        return skip(no_kernel(evidence));
    };
    let mut problems = Vec::new();
    for kernel in &evidence.kernels {
        match (&kernel.exports, &first.exports) {
            (Err(reason), _) => problems.push(reason.clone()),
            (Ok(other), Ok(main)) if other.version != main.version => problems.push(format!(
                "{} is \"{}\", but {} is \"{}\": modules fit one of the two only",
                kernel.path, other.version, first.path, main.version
            )),
            _ => {}
        }
    }
    judge(problems, || match evidence.kernel() {
        Some(kernel) => format!("{}: {}", first.path, described(kernel)),
        None => first.path.clone(),
    })
}

fn described(kernel: &KernelExports) -> String {
    let proof = match kernel.proof {
        Proof::Sections => "",
        Proof::Weaker => " (found by their looks: the proof is weaker)",
    };
    let exports = number(kernel.exports().len(), "export");
    format!("Linux {}, {} compression, {exports}{proof}", kernel.release, kernel.compression)
}

#[cfg(test)]
mod tests {
    use crate::verify::specimen::{Specimen, passed, problems, skipped};

    #[test]
    fn a_kernel_that_cannot_be_unpacked_fails_once_and_proves_nothing_elsewhere() {
        let mut specimen = Specimen::patched();
        specimen.kernel = Err("/boot/vmlinuz: the payload is compressed with LZO, which is not handled".into());
        assert_eq!(
            problems(&specimen, "kernel-found"),
            ["/boot/vmlinuz: the payload is compressed with LZO, which is not handled"]
        );
        for id in ["symbols-resolve", "gpl-only", "namespaces", "crc", "duplicate-exports", "load-order"] {
            assert_eq!(skipped(&specimen, id), "/boot/vmlinuz could not be read (see kernel-found)", "{id}");
        }
    }

    #[test]
    fn another_kernel_in_the_second_entry_is_told_with_both_versions() {
        let mut specimen = Specimen::patched();
        let mut other = specimen.kernel.clone().unwrap();
        other.version = "6.6.93 (other)".into();
        specimen.second_kernel = Some(other);
        assert_eq!(
            problems(&specimen, "kernel-found"),
            [
                "/boot/vmlinuz.old is \"6.6.93 (other)\", but /boot/vmlinuz is \"6.6.106 (test)\": modules fit one of the \
              two only"
            ]
        );
    }

    #[test]
    fn a_proof_from_tables_found_by_their_looks_says_so() {
        let mut specimen = Specimen::patched();
        specimen.kernel.as_mut().unwrap().proof = crate::kernel::Proof::Weaker;
        assert!(passed(&specimen, "kernel-found").ends_with("3 exports (found by their looks: the proof is weaker)"));
        assert!(passed(&specimen, "symbols-resolve").ends_with("so this proof is weaker"));
    }
}
