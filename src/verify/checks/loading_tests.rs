use crate::kernel::ModuleName;
use crate::verify::specimen::{Specimen, installed, passed, problems, skipped};

#[test]
fn the_order_in_which_modules_are_loaded_is_shown() {
    let specimen = Specimen::patched();
    assert_eq!(
        passed(&specimen, "load-order"),
        "loaded in this order: mlx4_core, ib_core, ib_uverbs, mlx4_ib, ib_cm, ib_ipoib"
    );
}

#[test]
fn a_provider_that_comes_too_late_is_named() {
    let mut specimen = Specimen::patched();
    // Nothing pulls mlx4_core in, and nothing else lists it.
    specimen.parsed("mlx4_ib").modinfo.depends.as_mut().unwrap().retain(|name| name.as_str() != "mlx4_core");
    specimen.system.autoload[0].lines.retain(|line| line.text != "mlx4_core port_type_array=1,1");
    assert_eq!(
        problems(&specimen, "load-order"),
        [
            "mlx4_core is not loaded: no autoload entry that kmodloader acts upon and no dependency asks for it",
            "mlx4_ib is not loaded: the kernel is asked for it before mlx4_core, which has its \
          mlx4_register_auxiliary_driver, and depends= does not name mlx4_core"
        ]
    );
    passed(&specimen, "symbols-resolve");
}

#[test]
fn a_module_that_waits_for_an_absent_one_is_not_loaded() {
    let mut specimen = Specimen::patched();
    specimen.remove_module("ib_cm");
    assert_eq!(
        problems(&specimen, "load-order"),
        ["ib_ipoib is not loaded: waiting for ib_cm, which has no file in /lib/modules/6.6.106"]
    );
}

#[test]
fn a_module_without_depends_ends_the_run() {
    let mut specimen = Specimen::patched();
    specimen.parsed("mlx4_core").modinfo.depends = None;
    assert_eq!(
        problems(&specimen, "load-order"),
        [
            "ib_cm, ib_core, ib_ipoib, ib_uverbs, mlx4_core and mlx4_ib are not loaded: kmodloader crashes at mlx4_core before \
          (see kmodloader-traps)"
        ]
    );
    assert_eq!(problems(&specimen, "kmodloader-traps"), ["/lib/modules/6.6.106/mlx4_core.ko has no depends="]);
}

#[test]
fn an_infiniband_module_that_nothing_asks_for_is_a_warning() {
    let mut specimen = Specimen::patched();
    passed(&specimen, "modules-unused");
    specimen.system.module_directories[0].modules.push(installed("ib_umad", &["ib_core"]));
    assert_eq!(problems(&specimen, "modules-unused"), ["nothing asks for ib_umad"]);
    assert!(!specimen.report().failed());
}

#[test]
fn without_overlays_drivers_and_ipoib_are_to_be_loaded() {
    let mut specimen = Specimen::patched();
    specimen.expectations = Default::default();
    assert_eq!(passed(&specimen, "load-order"), "loaded in this order: mlx4_ib, ib_ipoib");
    assert_eq!(skipped(&Specimen::stock(), "load-order"), "there is no InfiniBand module to be loaded");
}

#[test]
fn an_image_in_order_says_what_was_looked_at() {
    let mut specimen = Specimen::patched();
    assert_eq!(passed(&specimen, "kmodloader-traps"), "7 modules, 1 autoload file are in order");
    specimen.system.modules_conf = Some("options mlx4_core debug_level=1\n".into());
    assert_eq!(
        passed(&specimen, "kmodloader-traps"),
        "7 modules, 1 autoload file and 1 line in /etc/modules.conf are in order"
    );
    specimen.expectations.modules.push(ModuleName::new("nowhere"));
    passed(&specimen, "load-order");
}
