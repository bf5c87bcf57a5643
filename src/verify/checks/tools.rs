//! Programs that were put into the image, and those that overlays are for.

use super::{judge, listing, skip, with_system};
use crate::plan::Severity;
use crate::verify::{Check, Evidence, Outcome};

pub(super) const TOOLS_LINK: Check = Check {
    id: "tools-link",
    severity: Severity::Error,
    claim: "Programs that were put in are for this machine and this C library, and find their libraries and symbols.",
    remedy: "Take programs from the image's own release (its package feeds, or a build of your own with its toolchain), and \
             give the libraries that they need along with them, as packages with --package and --package-dir.",
    run: tools_link,
};

fn tools_link(evidence: &Evidence<'_>) -> Outcome {
    with_system(evidence, |_| {
        let unread = &evidence.expectations.unread;
        if evidence.programs.is_empty() && unread.is_empty() {
            return skip("no program was put in, and none that an overlay is for is in the image");
        }
        let problems: Vec<String> = evidence.programs.iter().flat_map(|program| program.problems.clone()).collect();
        let names: Vec<&str> = evidence.programs.iter().map(|program| program.path.as_str()).collect();
        let verb = if names.len() == 1 { "links" } else { "link" };
        let found = format!("{} {verb}", listing(&names));
        if problems.is_empty() && !unread.is_empty() {
            let found = if names.is_empty() { String::new() } else { format!("{found}; ") };
            return skip(format!(
                "{found}the programs of packages that cannot be read are not known: {}",
                unread.join("; ")
            ));
        }
        judge(problems, || found)
    })
}

#[cfg(test)]
mod tests {
    use crate::verify::Program;
    use crate::verify::specimen::{Specimen, passed, problems, skipped};

    #[test]
    fn each_program_that_does_not_link_is_told() {
        let mut specimen = Specimen::patched();
        assert!(skipped(&specimen, "tools-link").starts_with("no program was put in"));
        specimen.programs = vec![Program { path: "/usr/sbin/rdma".into(), problems: Vec::new() }];
        assert_eq!(passed(&specimen, "tools-link"), "/usr/sbin/rdma links");
        let problem = "/usr/bin/ibstat needs libibmad.so.5".to_owned();
        specimen.programs.push(Program { path: "/usr/bin/ibstat".into(), problems: vec![problem.clone()] });
        assert_eq!(problems(&specimen, "tools-link"), [problem]);
    }

    #[test]
    fn a_package_that_cannot_be_read_is_told_and_no_reason_to_pass() {
        let mut specimen = Specimen::patched();
        specimen.expectations.unread = vec!["rdma.ipk: it is cut".into(), "no file x".into()];
        let unread = "the programs of packages that cannot be read are not known: rdma.ipk: it is cut; no file x";
        assert_eq!(skipped(&specimen, "tools-link"), unread);
        specimen.programs = vec![Program { path: "/usr/sbin/rdma".into(), problems: Vec::new() }];
        assert_eq!(skipped(&specimen, "tools-link"), format!("/usr/sbin/rdma links; {unread}"));
        let problem = "/usr/bin/ibstat needs libibmad.so.5".to_owned();
        specimen.programs.push(Program { path: "/usr/bin/ibstat".into(), problems: vec![problem.clone()] });
        assert_eq!(problems(&specimen, "tools-link"), [problem]);
    }
}
