//! Autoload entries: files of `/etc/modules.d`, boot links, parameters.

use super::*;
use crate::plan::autoload::autoload;
use crate::plan::draft::Draft;
use crate::plan::loading::Dependencies;

const HW: &str = "/etc/modules.d/30-hw-network";

fn wishes(autoload: Vec<AutoloadWish>) -> Wishes {
    Wishes { autoload, ..Wishes::default() }
}

fn stock(path: &str, content: &str) -> MemoryFilesystem {
    let mut root = MemoryFilesystem::openwrt();
    root.add_file(path, content);
    root
}

/// What `path` holds after modules with these dependencies were wished to be loaded.
fn with_dependencies(
    root: &MemoryFilesystem,
    wishes: &[AutoloadWish],
    pairs: &[(&str, &[&str])],
    path: &str,
) -> String {
    let run = |root: &MemoryFilesystem| {
        let system = System::read(&mut root.clone(), &[]).unwrap();
        let mut draft = Draft::new(&system);
        autoload(&mut draft, &Dependencies::of(pairs), wishes, &mut Vec::new()).unwrap();
        draft.into_edits()
    };
    let mut after = root.clone();
    let mut plan = planned(root, &Wishes::default()).unwrap();
    plan.edits = run(root);
    apply(&plan.edits, &mut after).unwrap();
    assert_eq!(run(&after), [], "a second plan finds nothing to do");
    after.text(path).unwrap()
}

#[test]
fn an_existing_file_is_extended_and_keeps_its_bytes() {
    for before in ["# network drivers\n", "# network drivers", "igb\n\n# x\r\n\r\ntg3"] {
        let wishes =
            wishes(vec![load("mlx4_ib", "", "30-hw-network", false), load("ib_ipoib", "", "30-hw-network", false)]);
        let (after, plan) = patched(&stock(HW, before), &wishes);
        let newline = if before.ends_with('\n') { "" } else { "\n" };
        assert_eq!(after.text(HW).unwrap(), format!("{before}{newline}mlx4_ib\nib_ipoib\n"));
        assert_eq!(paths(&plan), [(HW, Change::Replace)]);
    }
}

#[test]
fn a_missing_file_is_made() {
    let wishes = wishes(vec![load("mlx4_ib", "", "38-ib", false), load("mlx4_core", "a=1", "38-ib", false)]);
    let (after, _) = patched(&MemoryFilesystem::openwrt(), &wishes);
    let expected = MemoryNode::File(b"mlx4_ib\nmlx4_core a=1\n".to_vec(), Attributes::root(0o644));
    assert_eq!(after.nodes["/etc/modules.d/38-ib"], expected);

    let mut bare = MemoryFilesystem::openwrt();
    bare.nodes.retain(|path, _| !path.starts_with("/etc/modules"));
    let (_, plan) = patched(&bare, &wishes);
    assert_eq!(paths(&plan), [("/etc/modules.d", Change::Add), ("/etc/modules.d/38-ib", Change::Add)]);
}

#[test]
fn a_module_that_some_file_names_is_left_there() {
    let root = stock("/etc/modules.d/99-mine", "mlx4-ib.ko\n");
    assert_eq!(paths(&planned(&root, &wishes(vec![load("mlx4_ib", "", "30-hw-network", false)])).unwrap()), []);
}

#[test]
fn lines_that_kmodloader_ignores_do_not_count_and_are_reported() {
    for line in ["\tmlx4_ib", "mlx4_ib\tx=1", " mlx4_ib", "mlx4_ib\r"] {
        let root = stock(HW, &format!("{line}\n"));
        let (after, plan) = patched(&root, &wishes(vec![load("mlx4_ib", "", "30-hw-network", false)]));
        assert_eq!(after.text(HW).unwrap(), format!("{line}\nmlx4_ib\n"));
        assert!(finding(&plan, "autoload-line").message.starts_with("/etc/modules.d/30-hw-network line 1"), "{line:?}");
    }
    let root = stock(HW, "#mlx4_ib\n");
    let (after, plan) = patched(&root, &wishes(vec![load("mlx4_ib", "", "30-hw-network", false)]));
    assert_eq!(after.text(HW).unwrap(), "#mlx4_ib\nmlx4_ib\n");
    assert_eq!(plan.findings, [], "a comment is meant to be ignored");
}

#[test]
fn parameters_go_to_the_line_that_loads_the_module_first() {
    let mut root = stock("/etc/modules.d/36-mlx4-core", "mlx4_core num_vfs=4 port_type_array=2,2\nmlx4_en\n");
    let wish = wishes(vec![load("mlx4_core", "port_type_array=1,1", "30-hw-network", false)]);
    let (after, plan) = patched(&root, &wish);
    assert_eq!(paths(&plan), [("/etc/modules.d/36-mlx4-core", Change::Replace)]);
    let expected = "mlx4_core num_vfs=4 port_type_array=1,1\nmlx4_en\n";
    assert_eq!(after.text("/etc/modules.d/36-mlx4-core").unwrap(), expected);

    root.add_link("/etc/modules-boot.d/36-mlx4-core", "../modules.d/36-mlx4-core");
    root.add_file("/etc/modules.d/20-mine", "mlx4_core\n");
    let (after, plan) = patched(&root, &wish);
    assert_eq!(paths(&plan), [("/etc/modules.d/36-mlx4-core", Change::Replace)], "the boot run comes first");
    assert_eq!(after.text("/etc/modules.d/36-mlx4-core").unwrap(), expected);
}

#[test]
fn parameters_come_before_a_line_that_would_load_the_module_as_a_dependency() {
    let needs: &[(&str, &[&str])] = &[("mlx4_ib", &["mlx4_core"]), ("mlx4_core", &[])];
    let wish = [load("mlx4_core", "a=1", "30-hw-network", false), load("mlx4_ib", "", "30-hw-network", false)];
    let root = stock(HW, "# x\nmlx4_ib\nigb\n");
    assert_eq!(with_dependencies(&root, &wish, needs, HW), "# x\nmlx4_core a=1\nmlx4_ib\nigb\n");

    let mut root = stock(HW, "mlx4_ib");
    root.add_file("/etc/modules.d/36-mlx4-core", "mlx4_core b=2\n");
    assert_eq!(with_dependencies(&root, &wish, needs, HW), "mlx4_core b=2 a=1\nmlx4_ib");

    let wish = [load("mlx4_ib", "", "20-ib", false), load("mlx4_core", "a=1", "30-hw-network", false)];
    let root = MemoryFilesystem::openwrt();
    assert_eq!(with_dependencies(&root, &wish, needs, "/etc/modules.d/20-ib"), "mlx4_core a=1\nmlx4_ib\n");
}

#[test]
fn the_boot_run_needs_no_line_before_a_user_in_the_later_run() {
    let needs: &[(&str, &[&str])] = &[("mlx4_ib", &["mlx4_core"])];
    let wish = [load("mlx4_ib", "", "20-ib", false), load("mlx4_core", "a=1", "36-mlx4-core", true)];
    let root = MemoryFilesystem::openwrt();
    assert_eq!(with_dependencies(&root, &wish, needs, "/etc/modules.d/20-ib"), "mlx4_ib\n");
    assert_eq!(with_dependencies(&root, &wish, needs, "/etc/modules.d/36-mlx4-core"), "mlx4_core a=1\n");
}

#[test]
fn a_boot_entry_is_linked() {
    let wish = wishes(vec![load("mlx4_core", "", "36-mlx4-core", true)]);
    let (after, _) = patched(&MemoryFilesystem::openwrt(), &wish);
    let link = MemoryNode::Symlink("../modules.d/36-mlx4-core".to_owned());
    assert_eq!(after.nodes["/etc/modules-boot.d/36-mlx4-core"], link);

    // Dangling before, sound once its file is there.
    let mut root = MemoryFilesystem::openwrt();
    root.add_link("/etc/modules-boot.d/36-mlx4-core", "../modules.d/36-mlx4-core");
    let (_, plan) = patched(&root, &wish);
    assert_eq!(paths(&plan), [("/etc/modules.d/36-mlx4-core", Change::Add)]);
    assert_eq!(plan.findings, []);
}

#[test]
fn the_file_that_names_the_module_already_is_the_one_that_is_linked() {
    let root = stock("/etc/modules.d/36-mine", "mlx4_core\n");
    let (_, plan) = patched(&root, &wishes(vec![load("mlx4_core", "", "30-hw-network", true)]));
    assert_eq!(paths(&plan), [("/etc/modules-boot.d/36-mine", Change::Add)]);
}

#[test]
fn a_boot_entry_in_the_way_is_left_and_reported() {
    let wish = wishes(vec![load("mlx4_core", "", "36-mlx4-core", true)]);
    let (_, plan) = patched(&stock("/etc/modules-boot.d/36-mlx4-core", "igb\n"), &wish);
    assert_eq!(paths(&plan), [("/etc/modules.d/36-mlx4-core", Change::Add)]);
    assert_eq!(
        finding(&plan, "boot-link").message,
        "/etc/modules-boot.d/36-mlx4-core is no symlink, so mlx4_core is not loaded before the overlay is mounted"
    );
    let mut root = MemoryFilesystem::openwrt();
    root.add_link("/etc/modules-boot.d/36-mlx4-core", "../modules.d/35-igb");
    let (_, plan) = patched(&root, &wish);
    assert!(finding(&plan, "boot-link").message.contains("is a symlink to ../modules.d/35-igb"));

    // A regular file that names the module does load it.
    let (_, plan) = patched(&stock("/etc/modules-boot.d/36-mlx4-core", "mlx4_core\n"), &wish);
    assert_eq!((paths(&plan), plan.findings.as_slice()), (vec![], &[][..]));
}

#[test]
fn modules_conf_is_read_for_what_stands_against_the_wishes() {
    let conf = "blacklist mlx4_ib\noptions ib-ipoib x=1\noptions foo\n";
    let autoload = vec![load("mlx4_ib", "", "38-ib", false), load("ib_ipoib", "", "38-ib", false)];
    let (_, plan) = patched(&stock("/etc/modules.conf", conf), &wishes(autoload));
    let blacklisted = finding(&plan, "blacklisted-module");
    assert_eq!(blacklisted.message, "/etc/modules.conf line 1 blacklists mlx4_ib: kmodloader will not load it");
    assert_eq!(blacklisted.severity, Severity::Error);
    let messages: Vec<&str> = plan
        .findings
        .iter()
        .filter(|finding| finding.id == "modules-conf")
        .map(|finding| finding.message.as_str())
        .collect();
    assert!(messages[0].starts_with("/etc/modules.conf line 3: `options foo` has no parameters"), "{messages:?}");
    assert_eq!(
        messages[1],
        "/etc/modules.conf line 2 names ib-ipoib, but the file is ib_ipoib.ko: the line has no effect"
    );
}

#[test]
fn what_the_syntax_cannot_hold_is_refused() {
    let root = MemoryFilesystem::openwrt();
    let refused = |wish: AutoloadWish| planned(&root, &wishes(vec![wish])).unwrap_err().to_string();
    assert_eq!(
        refused(load("ib_core", "a=1\nb", "30-x", false)),
        "autoload entry for ib_core: the parameters \"a=1\\nb\" hold the control character '\\n'"
    );
    assert!(refused(load("ib_core", "", ".hidden", false)).contains("its name starts with a dot"));
    assert!(refused(load("ib_core", "", "a/b", false)).contains("cannot be the name of a file"));
    assert!(refused(load("ib core", "", "30-x", false)).contains("\"ib core\" is no module name"));
    assert!(refused(load("# x", "", "30-x", false)).contains("is no module name"));
}
