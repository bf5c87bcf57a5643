use crate::infiniband::{IpoibInput, IpoibSettings, Mode};
use crate::kernel::{KernelRelease, ModuleName};
use crate::verify::specimen::{Specimen, autoload_file, installed, passed, problems, skipped};

/// The patched specimen with mlx5_core and mlx5_ib, whose constants hold these marks.
fn with_mlx5(marks: Option<Vec<&'static str>>) -> Specimen {
    let mut specimen = Specimen::patched();
    for (name, depends) in [("mlx5_core", &[][..]), ("mlx5_ib", &["mlx5_core", "ib_core"])] {
        specimen.system.module_directories[0].modules.push(installed(name, depends));
    }
    specimen.parsed("mlx5_core").marks = marks;
    specimen
}

#[test]
fn an_ethernet_only_mlx5_core_under_mlx5_ib_is_told_though_it_links() {
    let specimen = with_mlx5(Some(Vec::new()));
    let problem = &problems(&specimen, "mixed-builds")[0];
    assert!(problem.starts_with("mlx5_core was built without CONFIG_MLX5_INFINIBAND"), "{problem}");
    passed(&specimen, "symbols-resolve");
    passed(&with_mlx5(Some(vec!["enable_rdma"])), "mixed-builds");
}

#[test]
fn without_constants_or_before_linux_5_15_mixed_builds_cannot_be_told() {
    assert!(skipped(&with_mlx5(None), "mixed-builds").starts_with("it cannot be told"));
    assert!(skipped(&Specimen::patched(), "mixed-builds").starts_with("mlx5_core and mlx5_ib are not both"));
    let mut old = with_mlx5(Some(Vec::new()));
    old.system.module_directories[0].release = KernelRelease::new("5.10.176");
    assert!(skipped(&old, "mixed-builds").starts_with("before Linux 5.15"));
}

/// The patched specimen with an interface ib0 in this mode.
fn with_mode(mode: Mode) -> Specimen {
    let mut specimen = Specimen::patched();
    let (mut settings, _) = IpoibSettings::check(&IpoibInput::default()).unwrap();
    settings.interfaces[0].mode = Some(mode);
    specimen.expectations.interfaces = settings.interfaces;
    specimen
}

#[test]
fn connected_mode_needs_an_ib_ipoib_that_was_built_with_it() {
    assert_eq!(passed(&with_mode(Mode::Connected), "connected-mode"), "ib0 may: ib_ipoib uses the connection manager");
    let mut specimen = with_mode(Mode::Connected);
    specimen.parsed("ib_ipoib").imports.retain(|symbol| symbol != "ib_create_cm_id");
    assert!(
        problems(&specimen, "connected-mode")[0].starts_with("ib0 is to be in connected mode, but ib_ipoib was built")
    );
    specimen.expectations.interfaces[0].mode = Some(Mode::Datagram);
    assert_eq!(skipped(&specimen, "connected-mode"), "no interface asks for connected mode");
}

/// The patched specimen whose first autoload line is this.
fn with_line(text: &str) -> Specimen {
    let mut specimen = Specimen::patched();
    specimen.system.autoload = vec![autoload_file("30-hw-network", &format!("{text}\nmlx4_ib\nib_ipoib"))];
    specimen
}

#[test]
fn port_types_that_mlx4_core_does_not_know_are_told() {
    assert_eq!(
        passed(&with_line("mlx4_core port_type_array=1,2"), "port-type"),
        "port_type_array=1,2: InfiniBand, Ethernet"
    );
    assert_eq!(
        problems(&with_line("mlx4_core port_type_array=1,ib"), "port-type"),
        [
            "port_type_array=1,ib: mlx4_core knows 1 (InfiniBand), 2 (Ethernet) and 0 (as the card's firmware says), not `ib`"
        ]
    );
    assert_eq!(
        problems(&with_line("mlx4_core port_type_array=1,1,1"), "port-type"),
        ["port_type_array=1,1,1 names 3 ports; a card has 2 at most"]
    );
}

#[test]
fn two_ethernet_ports_leave_none_for_ipoib() {
    passed(&with_line("mlx4_core port_type_array=2,2"), "port-type");
    let mut specimen = with_line("mlx4_core port_type_array=2,2");
    specimen.expectations.interfaces = with_mode(Mode::Datagram).expectations.interfaces;
    assert_eq!(
        problems(&specimen, "port-type"),
        ["port_type_array=2,2 makes both ports Ethernet: none is left for ib0"]
    );
    specimen.expectations.modules.push(ModuleName::new("mlx5_ib"));
    passed(&specimen, "port-type");
}

#[test]
fn port_types_on_a_line_that_comes_too_late_are_told() {
    let mut specimen = with_line("mlx4_core port_type_array=1,1");
    specimen.expectations = Default::default();
    specimen.system.boot_autoload.push(autoload_file("10-early", "mlx4_core"));
    assert_eq!(
        problems(&specimen, "port-type"),
        ["/etc/modules.d/30-hw-network line 1 gives port types, but mlx4_core is loaded before without them"]
    );
    let mut silent = with_line("mlx4_core");
    silent.expectations = Default::default();
    assert_eq!(passed(&silent, "port-type"), "none given: the card's firmware decides");
}
