//! What the network configuration must not do: an IPoIB device carries no Ethernet, so the kernel refuses it as a port
//! of a bridge, as the parent of a VLAN or a macvlan, and in any bond but active-backup.

use super::{judge, number, with_system};
use crate::openwrt::{System, Tree, UciFile, UciSection};
use crate::plan::Severity;
use crate::verify::{Check, Evidence, Outcome};

/// The network configuration; absent in a fresh image, which generates it at first boot.
const NETWORK: &str = "/etc/config/network";
/// Folders of scripts that write network configuration at first boot.
const SCRIPT_FOLDERS: [&str; 2] = ["/etc/uci-defaults/", "/etc/board.d/"];

pub(super) const NO_IPOIB_IN_BRIDGE: Check = Check {
    id: "no-ipoib-in-bridge",
    severity: Severity::Error,
    claim: "No IPoIB device is a port of a bridge or the parent of a VLAN or macvlan; the kernel refuses that.",
    remedy: "Give the IPoIB device an interface and a firewall zone of its own (overlay ipoib does), and route between \
             them.",
    run: no_ipoib_in_bridge,
};

fn no_ipoib_in_bridge(evidence: &Evidence<'_>) -> Outcome {
    with_system(evidence, |system| {
        let devices = Devices { named: evidence.expectations.interfaces.iter().map(|i| i.device.as_str()).collect() };
        let mut problems = Vec::new();
        if let Some(text) = text(&system.tree, NETWORK) {
            let file = UciFile::parse(&text);
            problems.extend(file.sections.iter().filter_map(|section| section_problem(section, &devices)));
        }
        let scripts = scripts(system);
        for (path, text) in &scripts {
            problems.extend(script_problems(path, text, &devices));
        }
        judge(problems, || match text(&system.tree, NETWORK) {
            Some(_) => format!("{NETWORK} and {} looked through", number(scripts.len(), "first-boot script")),
            None => format!("{} looked through", number(scripts.len(), "first-boot script")),
        })
    })
}

fn text(tree: &Tree, path: &str) -> Option<String> {
    let content = tree.nodes.get(path)?.content.as_deref()?;
    Some(String::from_utf8_lossy(content).into_owned())
}

fn scripts(system: &System) -> Vec<(String, String)> {
    let folders = SCRIPT_FOLDERS.iter();
    let paths = folders.flat_map(|folder| system.tree.nodes.keys().filter(move |path| path.starts_with(folder)));
    paths.filter_map(|path| Some((path.clone(), text(&system.tree, path)?))).collect()
}

/// Which words name an IPoIB device.
struct Devices<'a> {
    /// Those that the overlays configure.
    named: Vec<&'a str>,
}

impl Devices<'_> {
    /// The device, when `word` names one: `ib0`, its child `ib0.8001`, or one that the overlays configure.
    fn is_ipoib(&self, word: &str) -> bool {
        let by_pattern = word.strip_prefix("ib").is_some_and(|rest| {
            let (number, pkey) = rest.split_once('.').unwrap_or((rest, "0"));
            !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit())
                && pkey.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        by_pattern || self.named.contains(&word)
    }

    /// The first IPoIB device among the words of `text`.
    fn first_in<'t>(&self, text: &'t str) -> Option<&'t str> {
        let apart = |c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '_' || c == '-');
        text.split(apart).find(|word| self.is_ipoib(word))
    }
}

fn section_problem(section: &UciSection, devices: &Devices<'_>) -> Option<String> {
    let own_name = section.name.as_deref().unwrap_or_default();
    let label = section.value("name").filter(|_| section.kind == "device").unwrap_or(own_name);
    let member = |keys: &[&str]| {
        let mut words = keys.iter().flat_map(|key| section.words(key));
        words.find(|word| devices.is_ipoib(word))
    };
    match (section.kind.as_str(), section.value("type")) {
        ("device" | "interface", Some("bridge")) => {
            let port = member(&["ports", "ifname", "device"])?;
            Some(format!("{NETWORK}: {port} is a port of the bridge {label}"))
        }
        ("device", Some(kind @ ("8021q" | "8021ad" | "macvlan"))) => {
            let parent = member(&["ifname"])?;
            Some(format!("{NETWORK}: {parent} is the parent of the {kind} device {label}"))
        }
        ("device", Some("bonding")) if section.value("policy").is_none_or(|policy| policy != "active-backup") => {
            let port = member(&["ports", "slaves"])?;
            Some(format!("{NETWORK}: {port} is in the bond {label}, whose policy is not active-backup"))
        }
        ("bridge-vlan", _) => {
            let ports = section.words("ports");
            // `ib0:t`: the port with its tagging.
            let mut names = ports.iter().map(|port| port.split(':').next().unwrap_or(port));
            let port = names.find(|port| devices.is_ipoib(port))?;
            Some(format!("{NETWORK}: {port} is a port of a bridge VLAN"))
        }
        _ => None,
    }
}

/// Lines of a shell script that put an IPoIB device into a bridge.
fn script_problems(path: &str, text: &str, devices: &Devices<'_>) -> Vec<String> {
    let suspicious = |line: &str| {
        line.contains(".ports=")
            || line.contains("brctl addif")
            || (line.contains(" master ") && line.contains("ip link"))
            || (line.contains("ucidef_set_interface") && line.contains("lan"))
    };
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.starts_with('#') && suspicious(line))
        // Taking a device out of a bridge is right.
        .filter(|(_, line)| !line.contains("del_list") && !line.contains("delete"))
        .filter_map(|(number, line)| {
            let device = devices.first_in(line)?;
            Some(format!("{path} line {number} puts {device} into a bridge: `{line}`"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::verify::specimen::{Specimen, passed, problems};

    fn with_network(text: &str) -> Specimen {
        let mut specimen = Specimen::patched();
        specimen.put("/etc/config/network", text, 0o600);
        specimen
    }

    #[test]
    fn an_ipoib_device_in_a_bridge_is_told() {
        let specimen = with_network(
            "config device\n\toption name 'br-lan'\n\toption type 'bridge'\n\tlist ports 'eth0'\n\tlist ports 'ib0'\n",
        );
        assert_eq!(
            problems(&specimen, "no-ipoib-in-bridge"),
            ["/etc/config/network: ib0 is a port of the bridge br-lan"]
        );
    }

    #[test]
    fn the_old_spelling_of_a_bridge_is_known_too() {
        let specimen = with_network("config interface lan\n\toption type bridge\n\toption ifname \"eth0 ib1.8001\"\n");
        assert_eq!(
            problems(&specimen, "no-ipoib-in-bridge"),
            ["/etc/config/network: ib1.8001 is a port of the bridge lan"]
        );
    }

    #[test]
    fn a_vlan_on_ipoib_is_told() {
        let specimen = with_network(
            "config device\n option type '8021q'\n option ifname 'ib0'\n option vid '5'\n option name 'ib0.5'\n",
        );
        assert_eq!(
            problems(&specimen, "no-ipoib-in-bridge"),
            ["/etc/config/network: ib0 is the parent of the 8021q device ib0.5"]
        );
    }

    #[test]
    fn only_an_active_backup_bond_takes_ipoib() {
        let bond = "config device\n option type bonding\n option name bond0\n list ports ib0\n option policy ";
        assert_eq!(
            problems(&with_network(&format!("{bond}802.3ad\n")), "no-ipoib-in-bridge"),
            ["/etc/config/network: ib0 is in the bond bond0, whose policy is not active-backup"]
        );
        passed(&with_network(&format!("{bond}active-backup\n")), "no-ipoib-in-bridge");
    }

    #[test]
    fn a_bridge_vlan_with_its_tagging_is_told() {
        let specimen = with_network("config bridge-vlan\n option device br0\n list ports 'ib0:t'\n");
        assert_eq!(problems(&specimen, "no-ipoib-in-bridge"), ["/etc/config/network: ib0 is a port of a bridge VLAN"]);
    }

    #[test]
    fn an_interface_of_its_own_is_right() {
        let specimen = with_network("config interface 'ib'\n option device 'ib0'\n option proto 'static'\n");
        assert_eq!(
            passed(&specimen, "no-ipoib-in-bridge"),
            "/etc/config/network and 1 first-boot script looked through"
        );
    }

    #[test]
    fn a_first_boot_script_that_bridges_is_told_with_its_line() {
        let mut specimen = Specimen::patched();
        let script =
            "#!/bin/sh\n# uci add_list network.@device[0].ports='ib0'\nuci add_list network.@device[0].ports='ib0'\n";
        specimen.put("/etc/uci-defaults/99-bad", script, 0o644);
        assert_eq!(
            problems(&specimen, "no-ipoib-in-bridge"),
            ["/etc/uci-defaults/99-bad line 3 puts ib0 into a bridge: `uci add_list network.@device[0].ports='ib0'`"]
        );
    }

    #[test]
    fn taking_a_device_out_of_a_bridge_is_right() {
        let mut specimen = Specimen::patched();
        specimen.put("/etc/uci-defaults/99-good", "uci -q del_list network.@device[0].ports='ib0'\n", 0o644);
        passed(&specimen, "no-ipoib-in-bridge");
    }

    #[test]
    fn a_renamed_ipoib_device_is_known_from_the_overlays() {
        let text = "config device\n option type bridge\n option name br0\n list ports fabric\n";
        let section = &super::UciFile::parse(text).sections[0];
        assert_eq!(super::section_problem(section, &super::Devices { named: vec![] }), None);
        assert_eq!(
            super::section_problem(section, &super::Devices { named: vec!["fabric"] }).unwrap(),
            "/etc/config/network: fabric is a port of the bridge br0"
        );
    }
}
