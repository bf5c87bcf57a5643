//! The files that the overlays put into the image: scripts that configure the network, and all others.

use super::{judge, number, skip, with_system};
use crate::filesystem::{FileType, Metadata};
use crate::openwrt::{Node, System};
use crate::plan::{Content, FileWish, LineWish, Severity};
use crate::verify::{Check, Evidence, Outcome};

const UCI_DEFAULTS: &str = "/etc/uci-defaults/";
const INIT_SCRIPTS: &str = "/etc/init.d/";
const NO_OVERLAY: &str = "no overlay was named to hold the image against (--overlay NAME, with the settings it was patched \
                          with)";

pub(super) const NETWORK_SCRIPT: Check = Check {
    id: "network-script",
    severity: Severity::Error,
    claim: "The script that configures the network at first boot is in the image, as the overlays and settings make it.",
    remedy: "Name the settings that the image was patched with (--set, --recipe), or patch it again with these.",
    run: network_script,
};

fn network_script(evidence: &Evidence<'_>) -> Outcome {
    let scripts = wished(evidence, |path| path.starts_with(UCI_DEFAULTS));
    compare(evidence, &scripts, "no overlay asks for a first-boot script")
}

pub(super) const INIT_SCRIPT: Check = Check {
    id: "init-script",
    severity: Severity::Error,
    claim: "Init scripts of the overlays are executable and enabled, after module loading and before the network.",
    remedy: "Set mode 0755 and link /etc/rc.d/S<START><name> -> ../init.d/<name> with START from 12 to 19, or run \
             `ibwrt patch` with the overlay.",
    run: init_script,
};

fn init_script(evidence: &Evidence<'_>) -> Outcome {
    let scripts = wished(evidence, |path| path.starts_with(INIT_SCRIPTS));
    if scripts.is_empty() {
        return compare(evidence, &scripts, "no overlay asks for an init script");
    }
    with_system(evidence, |system| {
        let problems: Vec<String> = scripts.iter().flat_map(|wish| init_problems(system, wish)).collect();
        judge(problems, || {
            let names: Vec<&str> = scripts.iter().map(|wish| wish.path.as_str()).collect();
            format!("{} enabled", super::listing(&names))
        })
    })
}

fn init_problems(system: &System, wish: &FileWish) -> Vec<String> {
    let path = &wish.path;
    let mut problems: Vec<String> = difference(system, wish).err().into_iter().collect();
    let Some(node) = at(system, path) else {
        return problems;
    };
    if node.metadata.attributes.mode & 0o111 == 0 {
        problems.push(format!("{path} is not executable (mode {:04o})", node.metadata.attributes.mode));
    }
    let text = node.content.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    let start = text.lines().find_map(|line| line.strip_prefix("START="));
    let Some(start) = start.map(|value| value.trim_matches(['"', '\''])) else {
        problems.push(format!("{path} has no START= line, so it cannot be enabled"));
        return problems;
    };
    let name = path.strip_prefix(INIT_SCRIPTS).unwrap_or(path);
    let link = format!("/etc/rc.d/S{start}{name}");
    let target = at(system, &link).and_then(|node| node.metadata.link_target.as_deref());
    match target {
        Some(target) if target == format!("../init.d/{name}") || target == path.as_str() => {}
        Some(target) => problems.push(format!("{link} points to {target}, not to ../init.d/{name}")),
        None => problems.push(format!("{path} is not enabled: there is no link {link}")),
    }
    problems
}

pub(super) const FILES_PRESENT: Check = Check {
    id: "files-present",
    severity: Severity::Error,
    claim: "All other files of the overlays are in the image, with their content, mode and owner.",
    remedy: "Name the settings that the image was patched with (--set, --recipe), or patch it again with these.",
    run: files_present,
};

fn files_present(evidence: &Evidence<'_>) -> Outcome {
    let other = |path: &str| !path.starts_with(UCI_DEFAULTS) && !path.starts_with(INIT_SCRIPTS);
    let lines = evidence.expectations.lines.iter();
    let files = compare(evidence, &wished(evidence, other), "no overlay asks for further files");
    let missing = with_system(evidence, |system| {
        let is_there = |wish: &LineWish| system.tree.text(&wish.path).is_some_and(|text| wish.is_in(&text));
        let missing = lines.filter(|wish| !is_there(wish));
        let problems = missing.map(|wish| format!("{} lacks the line `{}` ({})", wish.path, wish.line, wish.reason));
        judge(problems.collect(), || number(evidence.expectations.lines.len(), "line"))
    });
    match (files, missing) {
        (files, _) if evidence.expectations.lines.is_empty() => files,
        (Outcome::Fail { problems }, missing) => judge([&problems, missing.problems()].concat(), String::new),
        (Outcome::Pass { detail }, Outcome::Pass { detail: lines }) => {
            Outcome::Pass { detail: format!("{detail}; {lines} in shared files") }
        }
        (_, missing) => missing,
    }
}

fn wished<'a>(evidence: &'a Evidence<'_>, belongs: impl Fn(&str) -> bool) -> Vec<&'a FileWish> {
    evidence.expectations.files.iter().filter(|wish| belongs(&wish.path)).collect()
}

/// Compares the files of `wishes` with the image; `none` is the reason for skipping where an overlay wishes none.
fn compare(evidence: &Evidence<'_>, wishes: &[&FileWish], none: &str) -> Outcome {
    if wishes.is_empty() {
        return skip(if evidence.expectations.overlays.is_empty() { NO_OVERLAY } else { none });
    }
    with_system(evidence, |system| {
        let problems = wishes.iter().filter_map(|wish| difference(system, wish).err()).collect();
        judge(problems, || seen(wishes))
    })
}

/// What was seen when nothing is wrong.
fn seen(wishes: &[&FileWish]) -> String {
    let (what, is) = match wishes {
        [only] => (only.path.clone(), "is"),
        several => (number(several.len(), "file"), "are"),
    };
    match wishes.iter().all(|wish| wish.is_certain) {
        true => format!("{what} {is} as expected"),
        false => format!("{what} {is} there (name the settings, by --set or --recipe, to have the content compared)"),
    }
}

/// What stands at `path`, where symlinks among the directories above it lead.
fn at<'a>(system: &'a System, path: &str) -> Option<&'a Node> {
    system.tree.node(&system.tree.place(path)?)
}

/// How what is in the image differs from `wish`.
fn difference(system: &System, wish: &FileWish) -> Result<(), String> {
    let path = &wish.path;
    let Some(node) = at(system, path) else {
        return Err(format!("{path} is missing ({})", wish.reason));
    };
    let metadata = &node.metadata;
    match &wish.content {
        Content::Symlink(target) => {
            return match metadata.link_target.as_deref() {
                Some(found) if found == target => Ok(()),
                Some(found) => Err(format!("{path} points to {found}, not to {target}")),
                None => Err(format!("{path} is {}, not a link to {target}", article(metadata.file_type))),
            };
        }
        Content::Directory if metadata.file_type != FileType::Directory => {
            return Err(format!("{path} is {}, not a directory", article(metadata.file_type)));
        }
        Content::Directory => {}
        Content::File(_) | Content::Link(_) if metadata.file_type != FileType::Regular => {
            return Err(format!("{path} is {}, not a file", article(metadata.file_type)));
        }
        Content::Link(_) => {}
        Content::File(bytes) => {
            let same = match node.content.as_deref() {
                _ if !wish.is_certain => true,
                Some(found) => found == bytes.as_ref(),
                None => metadata.size == bytes.len() as u64,
            };
            if !same {
                return Err(format!(
                    "{path} has other content than the overlays and settings give ({} bytes, expected {})",
                    metadata.size,
                    bytes.len()
                ));
            }
        }
    }
    attributes(path, metadata, wish)
}

fn attributes(path: &str, metadata: &Metadata, wish: &FileWish) -> Result<(), String> {
    let (found, expected) = (metadata.attributes, wish.attributes);
    if found.mode != expected.mode {
        return Err(format!("{path} has mode {:04o}, expected {:04o}", found.mode, expected.mode));
    }
    if (found.uid, found.gid) != (expected.uid, expected.gid) {
        return Err(format!(
            "{path} belongs to {}:{}, expected {}:{}",
            found.uid, found.gid, expected.uid, expected.gid
        ));
    }
    Ok(())
}

fn article(file_type: FileType) -> &'static str {
    match file_type {
        FileType::Regular => "a file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Special => "a device node",
    }
}

#[cfg(test)]
mod tests {
    use crate::verify::specimen::{Specimen, passed, problems, skipped};

    #[test]
    fn a_file_below_a_linked_directory_is_looked_for_where_the_link_leads() {
        use crate::openwrt::Node;

        let mut specimen = Specimen::patched();
        let banner = specimen.system.tree.nodes.remove("/etc/banner").unwrap();
        specimen.system.tree.nodes.insert("/usr/etc/banner".into(), banner);
        assert_eq!(problems(&specimen, "files-present"), ["/etc/banner is missing (overlay ipoib)"]);
        let init = specimen.system.tree.nodes["/etc/rc.d/S19ipoib"].metadata.clone();
        let link = crate::filesystem::Metadata { link_target: Some("usr/etc".into()), ..init };
        specimen.system.tree.nodes.insert("/etc".into(), Node { metadata: link, content: None });
        passed(&specimen, "files-present");
    }

    #[test]
    fn a_script_whose_settings_were_not_named_may_have_any_content() {
        let mut specimen = Specimen::patched();
        let script = specimen.expectations.files.iter_mut().find(|wish| wish.path.starts_with("/etc/uci-defaults/"));
        let script = script.unwrap();
        script.is_certain = false;
        let path = script.path.clone();
        specimen.put(&path, "other settings\n", 0o644);
        assert_eq!(
            passed(&specimen, "network-script"),
            format!("{path} is there (name the settings, by --set or --recipe, to have the content compared)")
        );
    }

    #[test]
    fn a_first_boot_script_with_other_settings_is_told() {
        let mut specimen = Specimen::patched();
        specimen.put("/etc/uci-defaults/60-ipoib", "other", 0o644);
        assert_eq!(
            problems(&specimen, "network-script"),
            ["/etc/uci-defaults/60-ipoib has other content than the overlays and settings give (5 bytes, expected 16)"]
        );
    }

    #[test]
    fn a_missing_file_is_told_with_who_wants_it() {
        let mut specimen = Specimen::patched();
        specimen.system.tree.nodes.remove("/etc/banner");
        assert_eq!(problems(&specimen, "files-present"), ["/etc/banner is missing (overlay ipoib)"]);
    }

    #[test]
    fn a_file_with_another_mode_is_told() {
        let mut specimen = Specimen::patched();
        let node = specimen.system.tree.nodes.get_mut("/etc/banner").unwrap();
        node.metadata.attributes.mode = 0o600;
        assert_eq!(problems(&specimen, "files-present"), ["/etc/banner has mode 0600, expected 0644"]);
    }

    #[test]
    fn an_init_script_without_its_link_is_not_enabled() {
        let mut specimen = Specimen::patched();
        specimen.system.tree.nodes.remove("/etc/rc.d/S19ipoib");
        assert_eq!(
            problems(&specimen, "init-script"),
            ["/etc/init.d/ipoib is not enabled: there is no link /etc/rc.d/S19ipoib"]
        );
    }

    #[test]
    fn an_init_script_that_is_not_executable_is_told() {
        let mut specimen = Specimen::patched();
        specimen.expectations.files[1].attributes.mode = 0o644;
        specimen.system.tree.nodes.get_mut("/etc/init.d/ipoib").unwrap().metadata.attributes.mode = 0o644;
        assert_eq!(problems(&specimen, "init-script"), ["/etc/init.d/ipoib is not executable (mode 0644)"]);
    }

    #[test]
    fn without_overlays_nothing_is_compared() {
        let specimen = Specimen::stock();
        assert!(skipped(&specimen, "network-script").starts_with("no overlay was named"));
        assert!(skipped(&specimen, "files-present").starts_with("no overlay was named"));
    }

    #[test]
    fn what_is_as_wished_passes() {
        let specimen = Specimen::patched();
        assert_eq!(passed(&specimen, "network-script"), "/etc/uci-defaults/60-ipoib is as expected");
        assert_eq!(passed(&specimen, "init-script"), "/etc/init.d/ipoib enabled");
        assert_eq!(passed(&specimen, "files-present"), "/etc/banner is as expected");
    }
}
