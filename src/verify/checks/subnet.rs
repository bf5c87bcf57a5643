//! Who manages the subnet.

use super::{fail, listing, skip, with_system};
use crate::infiniband::SUBNET_MANAGER_RECORD;
use crate::openwrt::System;
use crate::plan::Severity;
use crate::verify::{Check, Evidence, Outcome};

const RC_DIRECTORY: &str = "/etc/rc.d";

pub(super) const SUBNET_MANAGER: Check = Check {
    id: "subnet-manager",
    severity: Severity::Warning,
    claim: "Where IPoIB is wished for, it is said who manages the subnet: opensm in the image, or somebody else.",
    remedy: "Without a subnet manager no port becomes active. Say that one runs elsewhere (--overlay subnet-manager --set \
             subnet-manager.sm=external), or have opensm run here (--set subnet-manager.opensm=FILE).",
    run: subnet_manager,
};

fn subnet_manager(evidence: &Evidence<'_>) -> Outcome {
    if evidence.expectations.interfaces.is_empty() {
        return skip("no overlay asks for IPoIB");
    }
    with_system(evidence, |system| {
        let started = started(system);
        let missing = started.iter().find(|(_, program)| system.tree.metadata(program).is_none());
        match (missing, started.as_slice()) {
            (Some((link, program)), _) => fail(format!("{link} starts {program}, which is not in the image")),
            (None, []) if is_external(system) => Outcome::Pass { detail: "it runs elsewhere, as was said".to_owned() },
            (None, []) => fail("nothing says who manages the subnet, and no opensm is started here"),
            (None, started) => {
                let links: Vec<&str> = started.iter().map(|(link, _)| link.as_str()).collect();
                Outcome::Pass { detail: format!("opensm, started by {}", listing(&links)) }
            }
        }
    })
}

fn is_external(system: &System) -> bool {
    system.tree.text(SUBNET_MANAGER_RECORD).is_some_and(|text| text.lines().any(|line| line.trim() == "external"))
}

/// The enabled init scripts that name an opensm, and the program.
fn started(system: &System) -> Vec<(String, String)> {
    let scripts = system.tree.children(RC_DIRECTORY).into_iter().filter(|(name, _)| name.starts_with('S'));
    let started = scripts.filter_map(|(name, _)| {
        let link = format!("{RC_DIRECTORY}/{name}");
        let text = system.tree.text(&link)?;
        let code = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let mut words = code.flat_map(|line| line.split(|c: char| c.is_whitespace() || "\"'=;".contains(c)));
        let program = words.find(|word| word.starts_with('/') && word.ends_with("/opensm"))?;
        Some((link, program.to_owned()))
    });
    started.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystem::{Attributes, FileType, Metadata};
    use crate::infiniband::{IpoibInput, IpoibSettings};
    use crate::openwrt::Node;
    use crate::verify::specimen::{Specimen, passed, problems, skipped};

    fn specimen() -> Specimen {
        let mut specimen = Specimen::patched();
        let (settings, _) = IpoibSettings::check(&IpoibInput::default()).unwrap();
        specimen.expectations.interfaces = settings.interfaces;
        specimen
    }

    /// Enables the init script `text`.
    fn enable(specimen: &mut Specimen, text: &str) {
        specimen.put("/etc/init.d/sm", text, 0o755);
        let metadata = Metadata {
            file_type: FileType::Symlink,
            attributes: Attributes::root(0o777),
            size: 12,
            link_target: Some("../init.d/sm".into()),
        };
        specimen.put("/etc/rc.d/K82sm", "", 0o755);
        specimen.system.tree.nodes.insert("/etc/rc.d/S18sm".into(), Node { metadata, content: None });
    }

    #[test]
    fn nothing_is_asked_where_no_ipoib_is_wished() {
        assert_eq!(skipped(&Specimen::patched(), "subnet-manager"), "no overlay asks for IPoIB");
    }

    #[test]
    fn somebody_must_manage_the_subnet() {
        let mut specimen = specimen();
        let problem = "nothing says who manages the subnet, and no opensm is started here";
        assert_eq!(problems(&specimen, "subnet-manager"), [problem]);
        assert!(!specimen.report().failed(), "it is a warning");
        specimen.put(SUBNET_MANAGER_RECORD, "# who\nexternal\n", 0o644);
        assert_eq!(passed(&specimen, "subnet-manager"), "it runs elsewhere, as was said");
    }

    #[test]
    fn an_opensm_that_is_started_must_be_there() {
        let mut specimen = specimen();
        enable(&mut specimen, "#!/bin/sh /etc/rc.common\n# /bin/opensm\nPROGRAM='/usr/sbin/opensm'\n");
        let problem = "/etc/rc.d/S18sm starts /usr/sbin/opensm, which is not in the image";
        assert_eq!(problems(&specimen, "subnet-manager"), [problem]);
        specimen.put("/usr/sbin/opensm", "ELF", 0o755);
        assert_eq!(passed(&specimen, "subnet-manager"), "opensm, started by /etc/rc.d/S18sm");
    }
}
