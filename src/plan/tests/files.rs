//! Modules, files and root's login.

use super::*;
use crate::filesystem::Filesystem as _;

fn with_modules(modules: Vec<ModuleWish>) -> Wishes {
    Wishes { modules, ..Wishes::default() }
}

fn with_files(files: Vec<FileWish>) -> Wishes {
    Wishes { files, ..Wishes::default() }
}

#[test]
fn modules_go_flat_into_the_kernels_directory() {
    let (after, _) = patched(&MemoryFilesystem::openwrt(), &with_modules(vec![module("ib_core.ko", "ELF")]));
    let expected = MemoryNode::File(b"ELF".to_vec(), Attributes::root(0o644));
    assert_eq!(after.nodes["/lib/modules/6.12.117/ib_core.ko"], expected);
}

#[test]
fn a_module_that_is_there_already_costs_nothing() {
    let mut root = MemoryFilesystem::openwrt();
    root.add_file("/lib/modules/6.12.117/ib_core.ko", "ELF");
    let wishes = with_modules(vec![module("ib_core.ko", "ELF")]);
    assert_eq!(paths(&planned(&root, &wishes).unwrap()), []);

    root.set_attributes("/lib/modules/6.12.117/ib_core.ko", Attributes::root(0o600)).unwrap();
    let (after, plan) = patched(&root, &wishes);
    assert_eq!(paths(&plan), [("/lib/modules/6.12.117/ib_core.ko", Change::Attributes)]);
    let expected = MemoryNode::File(b"ELF".to_vec(), Attributes::root(0o644));
    assert_eq!(after.nodes["/lib/modules/6.12.117/ib_core.ko"], expected);

    let (_, plan) = patched(&root, &with_modules(vec![module("ib_core.ko", "elf")]));
    assert_eq!(paths(&plan), [("/lib/modules/6.12.117/ib_core.ko", Change::Replace)], "same length, other bytes");
    assert_eq!(plan.edits[0].size_before, Some(3));
}

#[test]
fn another_spelling_of_a_module_is_replaced_where_it_stands() {
    let mut root = MemoryFilesystem::openwrt();
    root.add_file("/lib/modules/6.12.117/nvme-rdma.ko", "old");
    let (after, plan) = patched(&root, &with_modules(vec![module("nvme_rdma.ko", "new")]));
    assert_eq!(paths(&plan), [("/lib/modules/6.12.117/nvme-rdma.ko", Change::Replace)]);
    assert!(!after.nodes.contains_key("/lib/modules/6.12.117/nvme_rdma.ko"));

    root.add_file("/lib/modules/6.12.117/nvme_rdma.ko", "twin");
    let (_, plan) = patched(&root, &with_modules(vec![module("nvme_rdma.ko", "new")]));
    assert_eq!(
        paths(&plan),
        [("/lib/modules/6.12.117/nvme-rdma.ko", Change::Replace)],
        "the first in byte order counts"
    );
    assert!(finding(&plan, "module-twins").message.contains("nvme-rdma.ko, nvme_rdma.ko"));
}

#[test]
fn two_builds_of_one_module_contradict_each_other() {
    let root = MemoryFilesystem::openwrt();
    let error = planned(&root, &with_modules(vec![module("ib_core.ko", "a"), module("ib_core.ko", "b")])).unwrap_err();
    assert_eq!(
        error.message(),
        "/lib/modules/6.12.117/ib_core.ko is wished twice, and not the same: by overlay connectx3 and by overlay connectx3"
    );
    let same = with_modules(vec![module("ib_core.ko", "a"), module("ib_core.ko", "a")]);
    assert_eq!(planned(&root, &same).unwrap().edits.len(), 1);
}

#[test]
fn a_file_below_a_linked_directory_lands_behind_the_link() {
    let mut root = MemoryFilesystem::openwrt();
    root.add_directory("/usr/lib");
    root.add_link("/usr/lib64", "lib");
    let (after, plan) = patched(&root, &with_files(vec![file("/usr/lib64/rdma/x.so", "x", 0o755)]));
    assert_eq!(paths(&plan), [("/usr/lib/rdma", Change::Add), ("/usr/lib/rdma/x.so", Change::Add)]);
    assert_eq!(after.text("/usr/lib/rdma/x.so").as_deref(), Some("x"));

    let plan = planned(&root, &with_files(vec![file("/var/run/x", "x", 0o644)])).unwrap();
    assert_eq!(plan.edits[1].path, "/tmp/run/x");
    assert!(finding(&plan, "volatile-path").message.starts_with("/tmp/run/x (overlay ipoib) will not be seen"));
}

#[test]
fn a_symlink_in_the_place_of_a_file_is_replaced_and_not_written_through() {
    let mut root = MemoryFilesystem::openwrt();
    root.add_link("/etc/resolv.conf", "/tmp/resolv.conf");
    let (after, plan) = patched(&root, &with_files(vec![file("/etc/resolv.conf", "nameserver 10.0.0.1\n", 0o644)]));
    assert_eq!(paths(&plan), [("/etc/resolv.conf", Change::Replace)]);
    assert_eq!(after.text("/etc/resolv.conf").as_deref(), Some("nameserver 10.0.0.1\n"));
    assert!(!after.nodes.contains_key("/tmp/resolv.conf"));
}

#[test]
fn symlinks_and_directories_are_made_and_kept() {
    let mut root = MemoryFilesystem::openwrt();
    root.add_link("/etc/rc.d/S19old", "../init.d/old");
    let wish = |path: &str, content: Content| FileWish { content, ..file(path, "", 0o700) };
    let wishes = with_files(vec![
        wish("/etc/rc.d/S19old", Content::Symlink("../init.d/ipoib".to_owned())),
        wish("/etc/ib/deep", Content::Directory),
        wish("/etc/modules.d", Content::Directory),
    ]);
    let (after, plan) = patched(&root, &wishes);
    assert_eq!(
        paths(&plan),
        [
            ("/etc/rc.d/S19old", Change::Replace),
            ("/etc/ib", Change::Add),
            ("/etc/ib/deep", Change::Add),
            ("/etc/modules.d", Change::Attributes)
        ]
    );
    assert_eq!(after.nodes["/etc/ib"], MemoryNode::Directory(Attributes::root(0o755)));
    assert_eq!(after.nodes["/etc/ib/deep"], MemoryNode::Directory(Attributes::root(0o700)));
    assert_eq!(after.nodes["/etc/rc.d/S19old"], MemoryNode::Symlink("../init.d/ipoib".to_owned()));
}

#[test]
fn what_cannot_be_is_refused_with_the_path() {
    let root = MemoryFilesystem::openwrt();
    let refused = |wishes: Vec<FileWish>| planned(&root, &with_files(wishes)).unwrap_err().message().to_owned();
    let directory = FileWish { content: Content::Directory, ..file("/etc/shadow", "", 0o755) };
    assert_eq!(
        refused(vec![file("/etc/modules.d", "x", 0o644)]),
        "/etc/modules.d is a directory, but overlay ipoib wants a file there"
    );
    assert_eq!(refused(vec![directory]), "/etc/shadow is a file, but overlay ipoib wants a directory there");
    assert_eq!(
        refused(vec![file("/etc/shadow/x", "x", 0o644)]),
        "/etc/shadow/x, wanted by overlay ipoib, cannot be: /etc/shadow is a file"
    );
    assert_eq!(
        refused(vec![file("/a/b", "x", 0o644), file("/a", "x", 0o644)]),
        "/a is a directory, but overlay ipoib wants a file there"
    );
    assert_eq!(
        refused(vec![file("/etc/b", "x", 0o644), file("/etc/b", "y", 0o644)]),
        "/etc/b is wished twice, and not the same: by overlay ipoib and by overlay ipoib"
    );
    assert_eq!(refused(vec![file("etc/b", "x", 0o644)]), "\"etc/b\" is no absolute path");
    assert_eq!(
        refused(vec![file("/etc/../b", "x", 0o644)]),
        "a part of the path \"/etc/../b\", \"..\", cannot be the name of a file"
    );
    assert!(refused(vec![file("/", "x", 0o644)]).contains("cannot be the name of a file"));
}

#[test]
fn the_password_changes_one_field_and_keeps_the_mode() {
    let wishes = Wishes { root_password_hash: Some("$5$salt$hash".to_owned()), ..Wishes::default() };
    let (after, plan) = patched(&MemoryFilesystem::openwrt(), &wishes);
    assert_eq!(paths(&plan), [("/etc/shadow", Change::Replace)]);
    let text = "root:$5$salt$hash::0:99999:7:::\ndaemon:*:0:0:99999:7:::\n";
    assert_eq!(after.nodes["/etc/shadow"], MemoryNode::File(text.as_bytes().to_vec(), Attributes::root(0o600)));

    let wishes = Wishes { root_password_hash: Some("a:b".to_owned()), ..Wishes::default() };
    let error = planned(&MemoryFilesystem::openwrt(), &wishes).unwrap_err();
    assert_eq!(error.message(), "root password: the hash holds ':', which no crypt(3) hash does");
}

#[test]
fn keys_are_merged_and_locked_away() {
    let mut root = MemoryFilesystem::openwrt();
    root.add_file("/etc/dropbear/authorized_keys", "ssh-rsa AAAAB3 old");
    let wishes = Wishes {
        ssh_keys: vec!["ssh-ed25519 AAAAC3 me\n".to_owned(), "ssh-rsa AAAAB3 other comment".to_owned()],
        ..Wishes::default()
    };
    let (after, plan) = patched(&root, &wishes);
    assert_eq!(
        paths(&plan),
        [("/etc/dropbear", Change::Attributes), ("/etc/dropbear/authorized_keys", Change::Replace)]
    );
    let text = "ssh-rsa AAAAB3 old\nssh-ed25519 AAAAC3 me\n";
    let expected = MemoryNode::File(text.as_bytes().to_vec(), Attributes::root(0o600));
    assert_eq!(after.nodes["/etc/dropbear/authorized_keys"], expected);
    assert_eq!(after.nodes["/etc/dropbear"], MemoryNode::Directory(Attributes::root(0o700)));

    let wishes = Wishes { ssh_keys: vec!["ssh-rsa A\nssh-rsa B".to_owned()], ..Wishes::default() };
    assert_eq!(planned(&root, &wishes).unwrap_err().message(), "an SSH key holds 2 lines; it must be one line");
}

#[test]
fn an_obsolete_module_directory_goes_first_and_with_everything_in_it() {
    let mut root = MemoryFilesystem::openwrt();
    root.nodes.retain(|path, _| !path.starts_with("/lib"));
    root.add_link("/lib", "usr/lib");
    for path in ["6.6.1/igb.ko", "6.6.1/kernel/old.ko", "5.15.1/igb.ko"] {
        root.add_file(&format!("/usr/lib/modules/{path}"), "not really ELF");
    }
    let wishes = Wishes {
        modules: vec![module("igb.ko", "igb")],
        obsolete: vec![KernelRelease::new("6.6.1")],
        ..Wishes::default()
    };
    let plan = planned(&root, &wishes).unwrap();
    use Change::{Add, Remove};
    assert_eq!(
        paths(&plan),
        [
            ("/usr/lib/modules/6.6.1/kernel/old.ko", Remove),
            ("/usr/lib/modules/6.6.1/kernel", Remove),
            ("/usr/lib/modules/6.6.1/igb.ko", Remove),
            ("/usr/lib/modules/6.6.1", Remove),
            ("/usr/lib/modules/6.12.117", Add),
            ("/usr/lib/modules/6.12.117/igb.ko", Add),
        ]
    );
    assert!(plan.findings.iter().all(|finding| finding.id != "kernel-release"), "{:?}", plan.findings);
    apply(&plan.edits, &mut root).unwrap();
    assert!(root.nodes.keys().all(|path| !path.contains("6.6.1")), "{:?}", root.nodes.keys());
    assert!(root.nodes.contains_key("/usr/lib/modules/5.15.1/igb.ko"));
}
