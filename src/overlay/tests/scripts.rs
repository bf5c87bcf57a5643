//! Rendered scripts run by busybox ash, as on the router, against a stand-in for uci and a folder in place of sysfs.

use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;

use crate::overlay::Resolved;
use crate::template;

use super::{file, install, recipe_with, resolved, text};

const UCI: &str = include_str!("uci.awk");

/// What config_generate and the firewall package leave at the first boot.
const STOCK: &str = "S\tsystem.cfg1\tsystem\nO\tsystem.cfg1.hostname\tOpenWrt\n\
    S\tnetwork.lan\tinterface\nO\tnetwork.lan.device\tbr-lan\nO\tnetwork.lan.proto\tstatic\n\
    S\tfirewall.cfg2\tdefaults\nO\tfirewall.cfg2.input\tREJECT\n\
    S\tfirewall.cfg3\tzone\nO\tfirewall.cfg3.name\tlan\nL\tfirewall.cfg3.network\tlan\nO\tfirewall.cfg3.input\tACCEPT\n\
    S\tfirewall.cfg4\tzone\nO\tfirewall.cfg4.name\twan\nL\tfirewall.cfg4.network\twan\nL\tfirewall.cfg4.network\twan6\n";

/// A router's root folder with its UCI state and sysfs.
struct Router(tempfile::TempDir);

impl Router {
    fn new(resolved: &Resolved) -> Self {
        let folder = tempfile::tempdir().unwrap();
        install(resolved, folder.path());
        std::fs::write(folder.path().join("uci.awk"), UCI).unwrap();
        std::fs::write(folder.path().join("state"), STOCK).unwrap();
        std::fs::write(folder.path().join("log"), "").unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn device(&self, name: &str, attributes: &[(&str, &str)]) {
        let device = self.path("sys/class/net").join(name);
        std::fs::create_dir_all(&device).unwrap();
        for (attribute, value) in attributes {
            std::fs::write(device.join(attribute), format!("{value}\n")).unwrap();
        }
    }

    fn attribute(&self, device: &str, name: &str) -> String {
        self.read(&format!("sys/class/net/{device}/{name}")).trim_end().to_owned()
    }

    /// Runs `script` in `directory` as the router does; answers its standard error.
    fn run(&self, directory: &str, script: &str, variables: &[(&str, &str)]) -> String {
        let prelude = "uci() { busybox awk -f \"$IBWRT_ROOT/uci.awk\" -- \"$@\"; }\n\
            logger() { echo \"$*\" >> \"$IBWRT_ROOT/log\"; }\n\
            sleep() { echo \"sleep $1\" >> \"$IBWRT_ROOT/log\"; }\n";
        let output = Command::new("busybox")
            .args(["ash", "-c", &format!("{prelude}{script}")])
            .current_dir(self.path(directory))
            .env("IBWRT_ROOT", self.0.path())
            .env("IBWRT_SYSFS", self.path("sys"))
            .env("UCI_STATE", self.path("state"))
            .envs(variables.iter().copied())
            .output()
            .expect("busybox is needed to run the scripts");
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{script}: {:?}: {errors}", output.status);
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "", "{script}");
        errors
    }

    /// Sources a uci-defaults script as /etc/init.d/boot does.
    fn uci_defaults(&self, name: &str) -> String {
        let errors = self.run("etc/uci-defaults", &format!("( . ./{name} )"), &[]);
        assert_eq!(errors, "");
        self.read("state")
    }
}

fn router(recipe: &str) -> Router {
    Router::new(&resolved(recipe).unwrap())
}

/// The lines of the state that the stock one does not have, tabs as blanks.
fn added(state: &str) -> Vec<String> {
    state.lines().filter(|line| !STOCK.contains(&format!("{line}\n"))).map(|line| line.replace('\t', " ")).collect()
}

#[test]
fn the_short_form_becomes_an_interface_and_a_zone() {
    let router = router("overlays = ['ipoib']\n[ipoib]\naddress = '10.10.0.5/24'\n");
    let first = router.uci_defaults("60-ibwrt-ipoib");
    assert_eq!(
        added(&first),
        [
            "S network.ib0 interface",
            "O network.ib0.device ib0",
            "O network.ib0.proto static",
            "L network.ib0.ipaddr 10.10.0.5/24",
            "S firewall.ibwrt_zone_ib zone",
            "O firewall.ibwrt_zone_ib.name ib",
            "O firewall.ibwrt_zone_ib.input ACCEPT",
            "O firewall.ibwrt_zone_ib.output ACCEPT",
            "O firewall.ibwrt_zone_ib.forward REJECT",
            "L firewall.ibwrt_zone_ib.network ib0",
        ]
    );
    assert!(first.starts_with(STOCK), "sections of others are untouched");
    assert_eq!(router.uci_defaults("60-ibwrt-ipoib"), first);
}

const FULL: &str = r#"
overlays = ["ipoib"]
[ipoib]
wait = 2
[[ipoib.interface]]
device = "ib0"
address = ["10.10.0.5/24", "fd00::5/64"]
gateway = "10.10.0.1"
gateway6 = "fe80::1"
dns = ["10.10.0.1", "fd00::1"]
metric = 10
mode = "connected"
mtu = 65520
umcast = true
routes = [{ target = "10.20.0.0/16", gateway = "10.10.0.9", metric = 5 }, { target = "fd01::/48" }]
zone = { name = "fabric", input = "ACCEPT", forward = "ACCEPT", masquerade = true, forward_to = ["wan"], forward_from = "lan" }
pkeys = [0x8001, { pkey = "0x8002", name = "storage", address = "10.12.0.5/24", mode = "datagram", mtu = 2044, zone = "lan" }]
[[ipoib.interface]]
device = "ib1.8003"
address = "10.13.0.5/24"
zone = "fabric"
"#;

#[test]
fn the_long_form_becomes_sections_with_fixed_names() {
    let router = router(FULL);
    let first = router.uci_defaults("60-ibwrt-ipoib");
    let expected = "\
S network.ib0 interface|O network.ib0.device ib0|O network.ib0.proto static|L network.ib0.ipaddr 10.10.0.5/24|\
L network.ib0.ip6addr fd00::5/64|O network.ib0.gateway 10.10.0.1|O network.ib0.ip6gw fe80::1|\
L network.ib0.dns 10.10.0.1|L network.ib0.dns fd00::1|O network.ib0.metric 10|\
S network.ibwrt_ib0 device|O network.ibwrt_ib0.name ib0|O network.ibwrt_ib0.mtu 65520|\
S network.ibwrt_route_ib0_1 route|O network.ibwrt_route_ib0_1.interface ib0|O network.ibwrt_route_ib0_1.target 10.20.0.0/16|\
O network.ibwrt_route_ib0_1.gateway 10.10.0.9|O network.ibwrt_route_ib0_1.metric 5|\
S network.ibwrt_route_ib0_2 route6|O network.ibwrt_route_ib0_2.interface ib0|O network.ibwrt_route_ib0_2.target fd01::/48|\
S network.ib0_8001 interface|O network.ib0_8001.device ib0.8001|O network.ib0_8001.proto none|\
S network.ibwrt_ib0_8001 device|O network.ibwrt_ib0_8001.name ib0.8001|O network.ibwrt_ib0_8001.mtu 65520|\
S network.storage interface|O network.storage.device ib0.8002|O network.storage.proto static|\
L network.storage.ipaddr 10.12.0.5/24|\
S network.ibwrt_storage device|O network.ibwrt_storage.name ib0.8002|O network.ibwrt_storage.mtu 2044|\
S network.ib1_8003 interface|O network.ib1_8003.device ib1.8003|O network.ib1_8003.proto static|\
L network.ib1_8003.ipaddr 10.13.0.5/24|\
S firewall.ibwrt_zone_fabric zone|O firewall.ibwrt_zone_fabric.name fabric|O firewall.ibwrt_zone_fabric.input ACCEPT|\
O firewall.ibwrt_zone_fabric.output ACCEPT|O firewall.ibwrt_zone_fabric.forward ACCEPT|O firewall.ibwrt_zone_fabric.masq 1|\
L firewall.ibwrt_zone_fabric.network ib0|L firewall.ibwrt_zone_fabric.network ib0_8001|\
L firewall.ibwrt_zone_fabric.network ib1_8003|\
S firewall.ibwrt_forward_fabric_wan forwarding|O firewall.ibwrt_forward_fabric_wan.src fabric|\
O firewall.ibwrt_forward_fabric_wan.dest wan|\
S firewall.ibwrt_forward_lan_fabric forwarding|O firewall.ibwrt_forward_lan_fabric.src lan|\
O firewall.ibwrt_forward_lan_fabric.dest fabric|L firewall.cfg3.network storage";
    assert_eq!(added(&first), expected.split('|').collect::<Vec<_>>());
    assert_eq!(router.uci_defaults("60-ibwrt-ipoib"), first);
    assert!(first.starts_with(STOCK.split("L\tfirewall.cfg3").next().unwrap()), "br-lan is untouched");
}

#[test]
fn what_a_newer_recipe_no_longer_says_goes_and_the_users_own_stays() {
    let old = router(FULL);
    old.uci_defaults("60-ibwrt-ipoib");
    let mut state = old.read("state");
    state.push_str("O\tnetwork.ib0.ip6assign\t64\nO\tfirewall.ibwrt_zone_fabric.log\t1\n");
    state.push_str("S\tfirewall.mine\tzone\nO\tfirewall.mine.name\tib\n");
    let new = router("overlays = ['ipoib']\n[ipoib]\naddress = '10.99.0.5/24'\n");
    std::fs::write(new.path("state"), state).unwrap();
    let state = new.uci_defaults("60-ibwrt-ipoib");
    for gone in ["gateway", "ibwrt_route", "ibwrt_forward", "ibwrt_ib0\t", "10.10.0.5"] {
        assert!(!state.contains(gone), "{gone} is still in {state}");
    }
    for stays in ["L\tnetwork.ib0.ipaddr\t10.99.0.5/24\n", "network.ib0.ip6assign\t64", "zone_fabric.log\t1"] {
        assert!(state.contains(stays), "{stays} is not in {state}");
    }
    assert!(state.contains("L\tfirewall.mine.network\tib0\n") && !state.contains("ibwrt_zone_ib"), "{state}");
}

#[test]
fn an_image_without_firewall_gets_the_network_alone() {
    let router = router("overlays = ['ipoib']\n[ipoib]\naddress = '10.10.0.5/24'\n");
    let stock = STOCK.lines().filter(|line| !line.contains("firewall")).map(|line| format!("{line}\n"));
    std::fs::write(router.path("state"), stock.collect::<String>()).unwrap();
    let state = router.uci_defaults("60-ibwrt-ipoib");
    assert!(state.contains("network.ib0.ipaddr") && !state.contains("firewall"), "{state}");
}

#[test]
fn the_host_name_is_set_once_and_again() {
    let router = router("hostname = 'fabric-gw'");
    let first = router.uci_defaults("61-ibwrt-hostname");
    assert!(first.contains("O\tsystem.cfg1.hostname\tfabric-gw\n") && !first.contains("OpenWrt"));
    assert_eq!(router.uci_defaults("61-ibwrt-hostname"), first);
}

#[test]
fn the_init_script_sets_mode_mtu_umcast_and_makes_children() {
    let router = router(FULL);
    let stock = [("mode", "datagram"), ("umcast", "0"), ("mtu", "2044"), ("create_child", "")];
    router.device("ib0", &stock);
    router.device("ib0.8001", &stock);
    router.device("ib1", &stock);
    let start = ". etc/init.d/ibwrt-ipoib; [ $START = 19 ] && start";
    assert_eq!(router.run(".", start, &[]), "");
    assert_eq!(router.attribute("ib0", "mode"), "connected");
    assert_eq!(router.attribute("ib0", "mtu"), "65520");
    assert_eq!(router.attribute("ib0", "umcast"), "1");
    // ib0.8001 is there already, so only ib0.8002 is made; the children take their parent's settings.
    assert_eq!(router.attribute("ib0", "create_child"), "0x8002");
    assert_eq!(router.attribute("ib0.8001", "mode"), "connected");
    assert_eq!(router.attribute("ib0.8001", "mtu"), "65520");
    assert_eq!(router.attribute("ib1", "create_child"), "0x8003");
    assert_eq!(router.attribute("ib1", "mode"), "datagram");
    assert_eq!(router.read("log"), "");
}

#[test]
fn the_library_reads_as_if_written_by_hand() {
    let script = text(&resolved(FULL).unwrap(), "/lib/ibwrt/ipoib.sh");
    let (_, tail) = script.split_once("ibwrt_ipoib_apply() {\n").unwrap();
    let expected = "\
\t[ -n \"$1\" ] && [ -e \"$ibwrt_net/$1\" ] || return 0
\tcase \"$1\" in
\t'ib0')
\t\tibwrt_ipoib_write 'ib0' mode 'connected'
\t\tibwrt_ipoib_write 'ib0' umcast 1
\t\tibwrt_ipoib_write 'ib0' mtu 65520
\t\tibwrt_ipoib_child 'ib0' 0x8001 'ib0.8001'
\t\tibwrt_ipoib_child 'ib0' 0x8002 'ib0.8002'
\t\t;;
\t'ib0.8001')
\t\tibwrt_ipoib_write 'ib0.8001' mode 'connected'
\t\tibwrt_ipoib_write 'ib0.8001' umcast 1
\t\tibwrt_ipoib_write 'ib0.8001' mtu 65520
\t\t;;
\t'ib0.8002')
\t\tibwrt_ipoib_write 'ib0.8002' mode 'datagram'
\t\tibwrt_ipoib_write 'ib0.8002' umcast 1
\t\tibwrt_ipoib_write 'ib0.8002' mtu 2044
\t\t;;
\t'ib1.8003')
\t\t;;
\t'ib1')
\t\tibwrt_ipoib_child 'ib1' 0x8003 'ib1.8003'
\t\t;;
\tesac
\treturn 0
}
";
    assert!(tail.starts_with(expected), "{tail}");
    assert!(tail.contains("\tlocal device left=2\n\tfor device in 'ib0' 'ib1'; do\n"), "{tail}");
    assert!(tail.contains("\tdone\n\tfor device in 'ib0.8001' 'ib0.8002' 'ib1.8003'; do\n"), "{tail}");
}

#[test]
fn the_init_script_waits_no_longer_than_told_and_says_what_failed() {
    let router = router(FULL);
    router.device("ib1", &[]);
    assert_eq!(router.run(".", ". etc/init.d/ibwrt-ipoib; start", &[]), "");
    let log = router.read("log");
    assert_eq!(
        log.lines().collect::<Vec<_>>(),
        ["sleep 1", "sleep 1", "-t ibwrt -p daemon.warn ib0 is not there; it is set up when it appears",]
    );
    router.device("ib0", &[("umcast", "1"), ("mtu", "65520"), ("create_child", "")]);
    std::fs::write(router.path("log"), "").unwrap();
    router.run(".", ". etc/init.d/ibwrt-ipoib; start", &[]);
    assert_eq!(
        router.read("log"),
        "-t ibwrt -p daemon.warn ib0: cannot set mode connected: this ib_ipoib is built without connected mode\n"
    );
}

#[test]
fn the_hotplug_script_sets_up_the_device_that_appears_and_no_other() {
    let router = router(FULL);
    router.device("ib0", &[("mode", "datagram"), ("umcast", "0"), ("mtu", "2044"), ("create_child", "")]);
    router.device("eth0", &[("mtu", "1500")]);
    let script = "( . ./30-ibwrt-ipoib )";
    for (action, device) in [("remove", "ib0"), ("add", "eth0"), ("add", "ib7"), ("add", "")] {
        router.run("etc/hotplug.d/net", script, &[("ACTION", action), ("DEVICENAME", device), ("INTERFACE", device)]);
        assert_eq!(router.attribute("ib0", "mode"), "datagram", "{action} {device}");
    }
    router.run("etc/hotplug.d/net", script, &[("ACTION", "add"), ("INTERFACE", "ib0")]);
    assert_eq!(router.attribute("ib0", "mode"), "connected");
    assert_eq!(router.attribute("eth0", "mtu"), "1500");
    assert_eq!(router.read("log"), "");
}

#[test]
fn port_types_are_written_where_they_differ() {
    let text = "overlays = ['connectx3']\n[connectx3]\nport_type = ['ib', 'eth']\nport_type_by = 'sysfs'";
    let router = router(text);
    let device = router.path("sys/bus/pci/devices/0000:03:00.0");
    std::fs::create_dir_all(&device).unwrap();
    std::fs::write(device.join("mlx4_port1"), "auto (ib)\n").unwrap();
    std::fs::write(device.join("mlx4_port2"), "ib\n").unwrap();
    assert_eq!(router.run(".", ". etc/init.d/ibwrt-port-type; start", &[]), "");
    assert_eq!(std::fs::read_to_string(device.join("mlx4_port1")).unwrap(), "auto (ib)\n");
    assert_eq!(std::fs::read_to_string(device.join("mlx4_port2")).unwrap(), "eth\n");
}

#[test]
fn a_missing_rdma_tool_is_logged_and_the_boot_goes_on() {
    let router = router("overlays = ['soft-roce']\n[soft-roce]\ndevice = 'eth1'");
    std::fs::create_dir_all(router.path("sys")).unwrap();
    router.run(".", "PATH=/nonexistent; . etc/init.d/ibwrt-rxe; start", &[]);
    let log = router.read("log");
    assert_eq!(log, "-t ibwrt -p daemon.warn cannot link rxe0 to eth1: the tool rdma is not installed\n");
}

/// Every script among the wished files passes `busybox ash -n`.
fn check_syntax(resolved: &Resolved, root: &Path, recipe: &str) {
    for wish in &resolved.files {
        if !matches!(wish.content, crate::plan::Content::File(_)) {
            continue;
        }
        let path = root.join("script");
        std::fs::write(&path, text(resolved, &wish.path)).unwrap();
        let output = Command::new("busybox").args(["ash", "-n"]).arg(&path).output().expect("busybox is needed");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && errors.is_empty(), "{}: {errors}\n{recipe}", wish.path);
        assert!(!text(resolved, &wish.path).contains(" none"), "{recipe}");
    }
}

#[test]
fn every_combination_of_settings_renders_sound_shell() {
    let root = tempfile::tempdir().unwrap();
    let choices: [&[&str]; 6] = [
        &["", "address = '10.1.0.1/24'", "address = ['10.1.0.1/24', 'fd00::1/64']\ndns = '10.1.0.2'", "proto = 'dhcp'"],
        &["", "mode = 'connected'\nmtu = 65520", "mode = 'datagram'\nmtu = 2044\numcast = false"],
        &[
            "",
            "pkeys = [0x8001]",
            "pkeys = [{ pkey = 0x8001, address = '10.2.0.1/24', gateway = '10.2.0.9' }, '0x8002']",
        ],
        &["", "zone = 'lan'", "zone = { name = 'z', forward_to = ['wan'], forward_from = ['lan'], masquerade = true }"],
        &["", "routes = [{ target = '10.3.0.0/16' }, { target = 'fd02::/64', gateway = 'fd00::9', metric = 1 }]"],
        &["", "device = 'ib1'\nname = 'fabric'\nmetric = 3\nwait = 0"],
    ];
    let mut count = choices.iter().map(|list| list.len()).product::<usize>();
    let total = count;
    while count > 0 {
        count -= 1;
        let mut rest = count;
        let mut recipe = "overlays = ['ipoib']\nhostname = 'h'\n[ipoib]\n".to_owned();
        for list in choices {
            recipe.push_str(list[rest % list.len()]);
            recipe.push('\n');
            rest /= list.len();
        }
        let resolved = resolved(&recipe).unwrap_or_else(|error| panic!("{error}\n{recipe}"));
        // Each choice meets each other one; the shell itself sees a third of them, and the ends.
        if count % 3 == 0 || count + 1 == total {
            check_syntax(&resolved, root.path(), &recipe);
        }
    }
}

#[test]
fn other_overlays_render_sound_shell() {
    let root = tempfile::tempdir().unwrap();
    for types in ["['ib']", "['ib', 'eth']", "['default', 'eth']", "['default']"] {
        let recipe = format!("overlays = ['connectx3']\n[connectx3]\nport_type_by = 'sysfs'\nport_type = {types}");
        check_syntax(&resolved(&recipe).unwrap(), root.path(), &recipe);
    }
    let recipe = "overlays = ['soft-roce']\n[soft-roce]\ndevice = \"it's$(id)\"";
    check_syntax(&resolved(recipe).unwrap(), root.path(), recipe);
}

#[test]
fn scripts_have_the_permissions_that_their_callers_ask_for() {
    let resolved = resolved("overlays = ['ipoib']").unwrap();
    assert_eq!(file(&resolved, "/etc/init.d/ibwrt-ipoib").attributes.mode, 0o755);
    assert!(text(&resolved, "/etc/init.d/ibwrt-ipoib").starts_with("#!/bin/sh /etc/rc.common\n"));
    for path in ["/etc/uci-defaults/60-ibwrt-ipoib", "/lib/ibwrt/ipoib.sh", "/etc/hotplug.d/net/30-ibwrt-ipoib"] {
        assert_eq!(file(&resolved, path).attributes.mode, 0o644);
    }
    let link = &file(&resolved, "/etc/rc.d/S19ibwrt-ipoib").content;
    assert_eq!(*link, crate::plan::Content::Symlink("../init.d/ibwrt-ipoib".to_owned()));
    let set = recipe_with("overlays = ['ipoib']", &["ipoib.address=10.10.0.5/24"]).unwrap();
    let script = text(&crate::overlay::resolve(&set).unwrap(), "/etc/uci-defaults/60-ibwrt-ipoib");
    assert!(script.contains("\nibwrt_list network.ib0.ipaddr '10.10.0.5/24'\n"), "{script}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_quoted_word_is_the_value_and_nothing_else(value in "[^\\p{Cc}]{0,40}") {
        let environment = template::environment();
        let context = minijinja::context! { value => value.clone() };
        let script = template::render(&environment, "t", "printf %s {{ value | shell_quote }}", &context).unwrap();
        let output = Command::new("busybox").args(["ash", "-c", &script]).output().expect("busybox is needed");
        prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), value);
    }
}
