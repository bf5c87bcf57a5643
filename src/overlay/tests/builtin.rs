//! What the overlays in the binary ask for.

use crate::overlay::{Overlay, resolve};
use crate::plan::{Content, Severity};

use super::{file, recipe_with, resolved, text};

fn modules(resolved: &super::Resolved) -> Vec<String> {
    resolved.required.iter().map(|(name, _, _)| name.to_string()).collect()
}

fn autoload(resolved: &super::Resolved) -> Vec<String> {
    let line = |wish: &crate::plan::AutoloadWish| format!("{}: {} {}", wish.file, wish.module, wish.parameters);
    resolved.autoload.iter().map(|wish| line(wish).trim_end().to_owned()).collect()
}

fn finding_ids(resolved: &super::Resolved) -> Vec<&str> {
    resolved.findings.iter().map(|finding| finding.id.as_str()).collect()
}

#[test]
fn the_first_set_is_there_and_resolves_alone() {
    let names = Overlay::builtin_names();
    let without_modules = ["package-feed", "subnet-manager"];
    assert_eq!(names[..4], ["connectx3", "connectx4", "infinihost", "ipoib"]);
    assert_eq!(names[4..], ["package-feed", "rdma-tools", "soft-roce", "storage", "subnet-manager"]);
    for name in names.into_iter().filter(|name| !without_modules.contains(name)) {
        let resolved = resolved(&format!("overlays = ['{name}']")).unwrap();
        assert_eq!(resolved.overlays, [name]);
        assert!(!resolved.required.is_empty() && !resolved.autoload.is_empty(), "{name}");
        assert!(resolved.findings.iter().all(|finding| finding.severity < Severity::Error));
    }
}

#[test]
fn connectx3_loads_mlx4_at_boot_and_leaves_the_firmware_its_port_types() {
    let resolved = resolved("overlays = ['connectx3']").unwrap();
    assert_eq!(modules(&resolved), ["mlx4_core", "mlx4_ib", "ib_core", "ib_umad", "ib_uverbs"]);
    assert_eq!(
        autoload(&resolved),
        ["30-hw-network: mlx4_core", "30-hw-network: mlx4_ib", "30-hw-network: ib_umad", "30-hw-network: ib_uverbs"]
    );
    assert!(resolved.autoload.iter().all(|wish| wish.boot && wish.reason == "overlay connectx3"));
    assert!(resolved.files.is_empty());
}

#[test]
fn port_types_become_parameters_in_the_module_line() {
    for (port_type, line) in [
        ("'ib'", "mlx4_core port_type_array=1,1"),
        ("['ib']", "mlx4_core port_type_array=1,1"),
        ("['ib', 'eth']", "mlx4_core port_type_array=1,2"),
        ("['eth', 'eth']", "mlx4_core port_type_array=2,2"),
        ("['default', 'ib']", "mlx4_core port_type_array=0,1"),
        ("[]", "mlx4_core"),
    ] {
        let resolved = resolved(&format!("overlays = ['connectx3']\n[connectx3]\nport_type = {port_type}")).unwrap();
        assert_eq!(autoload(&resolved)[0], format!("30-hw-network: {line}"), "{port_type}");
        assert_eq!(modules(&resolved).contains(&"mlx4_en".to_owned()), port_type.contains("eth"), "{port_type}");
        assert_eq!(
            finding_ids(&resolved),
            match port_type {
                "['ib', 'eth']" => vec!["mlx4-mixed-ports"],
                "['default', 'ib']" => vec!["mlx4-default-then-ib"],
                _ => vec![],
            }
        );
    }
}

#[test]
fn port_types_by_sysfs_are_set_by_a_script_before_ipoib() {
    let text_of = "overlays = ['connectx3']\n[connectx3]\nport_type = ['ib', 'eth']\nport_type_by = 'sysfs'";
    let resolved = resolved(text_of).unwrap();
    assert_eq!(autoload(&resolved)[0], "30-hw-network: mlx4_core");
    assert_eq!(file(&resolved, "/etc/init.d/ibwrt-port-type").attributes.mode, 0o755);
    let link = &file(&resolved, "/etc/rc.d/S12ibwrt-port-type").content;
    assert_eq!(*link, Content::Symlink("../init.d/ibwrt-port-type".to_owned()));
    assert!(text(&resolved, "/etc/init.d/ibwrt-port-type").contains("START=12\n"));
}

#[test]
fn connectx4_wants_core_and_ib_from_one_build() {
    let resolved = resolved("overlays = ['connectx4']").unwrap();
    let names = resolved.same_build[0].iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names, ["mlx5_core", "mlx5_ib"]);
}

#[test]
fn storage_takes_the_modules_of_the_protocols_asked_for() {
    let stock = resolved("overlays = ['storage', 'connectx3']").unwrap();
    assert!(modules(&stock).starts_with(&["ib_core", "ib_cm", "rdma_cm", "ib_srp", "ib_iser"].map(str::to_owned)));
    assert!(finding_ids(&stock).is_empty());
    let some = resolved("overlays = ['storage']\n[storage]\nprotocols = ['nfs', 'nvme']").unwrap();
    assert_eq!(modules(&some), ["ib_core", "ib_cm", "rdma_cm", "rpcrdma", "nvme_rdma"]);
    assert_eq!(autoload(&some), ["39-ibwrt-storage: rpcrdma", "39-ibwrt-storage: nvme_rdma"]);
    assert_eq!(finding_ids(&some), ["no-rdma-device"]);
}

#[test]
fn overlays_share_modules_and_autoload_lines() {
    let resolved = resolved("overlays = ['connectx3', 'infinihost', 'rdma-tools', 'ipoib']").unwrap();
    let names = modules(&resolved);
    assert_eq!(names.iter().filter(|name| *name == "ib_umad").count(), 1);
    assert_eq!(resolved.autoload.iter().filter(|wish| wish.module.as_str() == "ib_umad").count(), 1);
    assert!(!finding_ids(&resolved).contains(&"no-infiniband-card"));
}

#[test]
fn two_runs_resolve_to_the_same() {
    let text = "overlays = ['connectx3', 'ipoib']\nhostname = 'gw'\n[ipoib]\naddress = '10.0.0.1/24'\npkeys = [0x8001]";
    let shown = || format!("{:?}", resolve(&recipe_with(text, &["ipoib.mtu=2000"]).unwrap()).unwrap());
    assert_eq!(shown(), shown());
}

#[test]
fn listing_data_names_settings_modules_and_files() {
    let connectx3 = Overlay::load("connectx3").unwrap();
    assert_eq!(connectx3.settings().iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["port_type", "port_type_by"]);
    assert!(connectx3.modules().contains(&("mlx4_en", true)) && connectx3.modules().contains(&("mlx4_core", false)));
    let ipoib = Overlay::load("ipoib").unwrap();
    let settings = ipoib.settings();
    let mode = settings.iter().find(|setting| setting.name == "mode").unwrap();
    assert_eq!(mode.choices, ["datagram", "connected"]);
    assert!(settings.iter().all(|setting| !setting.summary.is_empty()), "{settings:?}");
    assert!(ipoib.targets().contains(&"/etc/uci-defaults/60-ibwrt-ipoib".to_owned()));
}

#[test]
fn an_export_is_an_overlay_again_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("mine");
    let ipoib = Overlay::load("ipoib").unwrap();
    let written = ipoib.export(&root).unwrap();
    assert!(written.contains(&root.join("overlay.toml")) && written.contains(&root.join("files/ipoib.sh.j2")));
    let again = Overlay::load(root.to_str().unwrap()).unwrap();
    assert_eq!(again.folder, ipoib.folder);
    let error = ipoib.export(&root).unwrap_err();
    assert!(error.to_string().ends_with("it exists already, and an export overwrites nothing"), "{error}");
}
