use super::super::test_graph::{file, fixture_kernel, fixture_modules, graph, graph_over, module};
use super::*;

fn infiniband() -> Vec<InstalledModule> {
    vec![
        module("ib_cm", &["ib_core"], &["core", "printk"], &["cm"]),
        module("ib_core", &["helper"], &["help"], &["core"]),
        module("helper", &[], &["printk"], &["help"]),
        module("igb", &[], &["printk"], &[]),
        module("mlx4_ib", &["ib_core"], &["core"], &[]),
    ]
}

fn named<'a>(graph: &'a Graph, name: &str) -> &'a ModuleNode {
    graph.modules.iter().find(|node| node.name.as_str() == name).unwrap_or_else(|| panic!("no {name}"))
}

fn names(graph: &Graph) -> Vec<&str> {
    graph.modules.iter().map(|node| node.name.as_str()).collect()
}

#[test]
fn the_stack_and_what_it_needs_is_shown_and_the_rest_is_counted() {
    let graph = graph(&infiniband(), [&[], &[("38-ib", "ib_cm\n")]], Scope::Infiniband);
    assert_eq!(names(&graph), ["helper", "ib_cm", "ib_core", "mlx4_ib"]);
    assert_eq!(graph.left_out, 1);
    assert!(named(&graph, "ib_core").infiniband && !named(&graph, "helper").infiniband);
    let needs: Vec<_> = graph.needs.iter().map(|need| (need.from.as_str(), need.to.as_str())).collect();
    assert_eq!(needs, [("ib_cm", "ib_core"), ("ib_core", "helper"), ("mlx4_ib", "ib_core")]);
    assert_eq!(graph.needs[0].symbols, ["core"]);
    assert_eq!(named(&graph, "ib_cm").kernel_symbols, ["printk"]);
}

#[test]
fn every_module_tells_when_it_is_loaded_and_by_what() {
    let graph = graph(&infiniband(), [&[("30-igb", "igb debug=1\n")], &[("38-ib", "ib_cm\n")]], Scope::All);
    let stage = |name: &str| {
        let node = named(&graph, name);
        (node.stage, node.entry.as_deref(), node.pulled_in_by.as_ref().map(ModuleName::as_str), node.standing)
    };
    assert_eq!(stage("igb"), (LoadStage::Boot, Some("/etc/modules-boot.d/30-igb"), None, Standing::Loads));
    assert_eq!(named(&graph, "igb").parameters, "debug=1");
    assert_eq!(stage("ib_cm"), (LoadStage::Main, Some("/etc/modules.d/38-ib"), None, Standing::Loads));
    assert_eq!(stage("ib_core"), (LoadStage::Dependency, None, Some("ib_cm"), Standing::Loads));
    assert_eq!(stage("mlx4_ib"), (LoadStage::Never, None, None, Standing::NotAsked));
}

#[test]
fn a_refused_module_has_the_kernels_words_and_its_users_wait() {
    let modules =
        [module("ib_cm", &["ib_core"], &["core"], &[]), module("ib_core", &[], &["irq_poll_init"], &["core"])];
    let graph = graph(&modules, [&[], &[("38-ib", "ib_cm\n")]], Scope::Infiniband);
    let core = named(&graph, "ib_core");
    assert_eq!(core.standing, Standing::Refused);
    assert_eq!(core.messages, ["ib_core: Unknown symbol irq_poll_init (err -2)"]);
    assert_eq!(core.missing_symbols, ["irq_poll_init"]);
    assert!(core.advice[0].starts_with("this kernel was built without CONFIG_IRQ_POLL"), "{:?}", core.advice);
    let user = named(&graph, "ib_cm");
    assert_eq!((user.standing, user.cause.as_deref()), (Standing::Waits, Some("waits for ib_core")));
}

#[test]
fn a_module_that_depends_on_no_file_shows_what_is_missing() {
    let graph = graph(&[module("ib_cm", &["ib_core"], &[], &[])], [&[], &[("38-ib", "ib_cm\n")]], Scope::Infiniband);
    let missing = named(&graph, "ib_core");
    assert_eq!((missing.standing, missing.path.as_deref()), (Standing::Missing, None));
    assert_eq!(missing.messages, ["failed to find dependency ib_core"]);
    assert_eq!(graph.needs.len(), 1);
}

#[test]
fn a_need_that_depends_does_not_name_is_told_from_one_that_it_does() {
    let modules = [
        module("ib_cm", &[], &["core"], &[]),
        module("ib_core", &["helper"], &[], &["core"]),
        module("helper", &[], &[], &[]),
    ];
    let graph = graph(&modules, [&[], &[]], Scope::All);
    let found: Vec<_> = graph.needs.iter().map(|need| (need.from.as_str(), need.depends, need.symbols.len())).collect();
    assert_eq!(found, [("ib_cm", false, 1), ("ib_core", true, 0)]);
}

#[test]
fn an_unreadable_file_keeps_everything_from_loading_and_is_named() {
    let modules = [file("bad", Err("it is empty".to_owned())), module("ib_core", &[], &[], &[])];
    let graph = graph(&modules, [&[], &[("38-ib", "ib_core\n")]], Scope::All);
    assert_eq!(named(&graph, "bad").standing, Standing::Unreadable);
    assert_eq!(named(&graph, "ib_core").standing, Standing::NotAsked);
    assert_eq!(graph.remarks, ["kmodloader gives up at bad.ko, so that no module is loaded at all: it is empty"]);
}

#[test]
fn the_fixture_modules_need_each_other_as_modinfo_says() {
    let graph = graph_over(&fixture_kernel(), &fixture_modules(), [&[], &[]], Scope::All);
    assert_eq!(graph.modules.len(), 24);
    // ptp is in the images, not in the archive.
    assert_eq!(named(&graph, "ptp").standing, Standing::Missing);
    for need in graph.needs.iter().filter(|need| need.to.as_str() != "ptp") {
        assert!(need.depends && !need.symbols.is_empty(), "{need:?}");
    }
    let of = |from: &str| -> Vec<&str> {
        graph.needs.iter().filter(|need| need.from.as_str() == from).map(|need| need.to.as_str()).collect()
    };
    assert_eq!(of("ib_ipoib"), ["ib_cm", "ib_core"]);
    assert_eq!(of("mlx4_ib"), ["ib_core", "ib_uverbs", "mlx4_core"]);
}
