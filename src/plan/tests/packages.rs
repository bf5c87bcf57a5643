//! Packages against a filesystem in memory: what their manager would have left is what is there afterwards.

use super::*;
use crate::package::testing::{Item, fixture, ipk};
use crate::package::{self, Package};

const STATUS: &str = "/usr/lib/opkg/status";
const IMAGE: &str = "Package: libc\nVersion: 1.2.5-r4\nStatus: install user installed\nInstalled-Time: 1735689600\n\n\
    Package: app\nVersion: 1.0-r1\nDepends: libc\nStatus: install user installed\nArchitecture: x86_64\nConffiles:\n \
    /etc/config/app a2b5e0fb3e0ab14f0bcba8f4a6a2c5b1bb0d8c3a3c4b0a7a3cf35ad4d5e55f4f\nInstalled-Time: 1735689600\n\n";

/// An image with opkg and a package `app`.
fn opkg() -> MemoryFilesystem {
    let mut root = MemoryFilesystem::openwrt();
    root.add_file(STATUS, IMAGE);
    root.add_file("/usr/lib/opkg/info/libc.list", "/lib/libc.so\n");
    root.add_file("/usr/lib/opkg/info/app.list", "/usr/bin/app\n/usr/bin/app-old\n/etc/config/app\n");
    root.add_file("/usr/lib/opkg/info/app.control", "Package: app\nVersion: 1.0-r1\n");
    root.add_file("/usr/lib/opkg/info/app.prerm", "#!/bin/sh\n");
    for path in ["/lib/libc.so", "/usr/bin/app", "/usr/bin/app-old"] {
        root.add_file(path, path);
    }
    root.add_file("/etc/config/app", "changed by hand\n");
    root.add_file("/etc/passwd", "root:x:0:0:root:/root:/bin/ash\n");
    root.add_file("/etc/group", "root:x:0:\n");
    root
}

/// An image with apk, as apk-tools made its database.
fn apk() -> MemoryFilesystem {
    let mut root = MemoryFilesystem::openwrt();
    for file in ["installed", "triggers", "scripts.tar"] {
        root.add_file(&format!("/lib/apk/db/{file}"), apk_database("before", file));
    }
    root.add_file("/etc/apk/world", apk_database("before", "world"));
    root.add_file("/etc/passwd", "root:x:0:0:root:/root:/bin/ash\n");
    root.add_file("/etc/group", "root:x:0:\n");
    root
}

fn apk_database(when: &str, file: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/apk-database").join(when).join(file);
    std::fs::read(path).unwrap()
}

fn control(name: &str, version: &str, more: &str) -> String {
    format!("Package: {name}\nVersion: {version}\nArchitecture: x86_64\n{more}")
}

fn read(bytes: &[u8]) -> Package {
    package::read(bytes, "given.ipk").unwrap()
}

/// Resolves and plans.
fn wished(root: &MemoryFilesystem, given: &[Package]) -> Result<(Plan, Wishes)> {
    let mut filesystem = root.clone();
    let mut system = System::read(&mut filesystem, &[])?;
    let selection = package::resolve(system.database().as_ref(), given.to_vec(), Vec::new())?;
    let packages = PackageWishes {
        chosen: selection.packages,
        present: selection.present,
        unknown: selection.unknown,
        time: system.build_time(),
    };
    system.load(&mut filesystem, packages.paths())?;
    let wishes = Wishes { packages, ..Wishes::default() };
    Ok((plan(&system, &release(), &wishes)?, wishes))
}

/// The root with the packages in it; asked for again, they are there.
fn installed(root: &MemoryFilesystem, given: &[Package]) -> (MemoryFilesystem, Plan) {
    let (plan, _) = wished(root, given).unwrap();
    let mut after = root.clone();
    apply(&plan.edits, &mut after).unwrap();
    let (again, _) = wished(&after, given).unwrap();
    assert_eq!(again.edits, [], "a second plan finds nothing to do");
    if !given.is_empty() {
        assert!(finding(&again, "package-present").message.contains(&given[0].title()));
    }
    (after, plan)
}

fn refused(root: &MemoryFilesystem, given: &[Package]) -> String {
    wished(root, given).unwrap_err().to_string()
}

#[test]
fn apks_database_is_what_apk_itself_leaves() {
    let files = [
        "everything-1.0~abcdef-r1.apk",
        "libmnl0-1.0.5-r2.apk",
        "rdma-6.11.0-r1.apk",
        "kmod-mlx4-core-6.12.117-r1.apk",
    ];
    let packages: Vec<Package> = files.iter().map(|file| package::read(&fixture(file), file).unwrap()).collect();
    let (after, _) = installed(&apk(), &packages);
    // fixtures/README.md says how apk-tools was asked.
    for file in ["installed", "triggers", "scripts.tar"] {
        let MemoryNode::File(found, _) = &after.nodes[&format!("/lib/apk/db/{file}")] else { panic!("{file}") };
        assert!(*found == apk_database("after", file), "{file}:\n{}", String::from_utf8_lossy(found));
    }
    assert_eq!(after.text("/etc/apk/world").unwrap().into_bytes(), apk_database("after", "world"));
}

#[test]
fn an_apks_files_users_services_and_alternatives_are_there() {
    let package = package::read(&fixture("everything-1.0~abcdef-r1.apk"), "everything.apk").unwrap();
    let (after, plan) = installed(&apk(), &[package]);
    let MemoryNode::File(_, attributes) = &after.nodes["/usr/bin/everything"] else { panic!() };
    assert_eq!(attributes.mode, 0o4755);
    assert_eq!(after.nodes["/usr/bin/everything-hard"], after.nodes["/usr/bin/everything"]);
    assert_eq!(after.links, [("/usr/bin/everything-hard".to_owned(), "/usr/bin/everything".to_owned())]);
    assert_eq!(after.nodes["/bin/thing"], MemoryNode::Symlink("/usr/bin/everything".into()));
    assert_eq!(after.nodes["/etc/rc.d/S50everything"], MemoryNode::Symlink("../init.d/everything".into()));
    assert_eq!(after.nodes["/etc/rc.d/K10everything"], MemoryNode::Symlink("../init.d/everything".into()));
    assert!(after.text("/etc/passwd").unwrap().ends_with("thing:x:453:453:thing:/var/run/thing:/bin/false\n"));
    assert!(after.text("/etc/shadow").unwrap().ends_with("thing:x:0:0:99999:7:::\n"));
    assert_eq!(after.text("/etc/group").unwrap(), "root:x:0:\nthing:x:453:thing\nnetwork:x:32768:thing\n");
    assert_eq!(after.text("/etc/uci-defaults/80-everything").unwrap(), "uci set x.y.z=1\n");
    assert_eq!(finding(&plan, "package-script").message.split(" of ").next(), Some("trigger"), "stubs are no news");
    assert!(finding(&plan, "package-unsigned").message.contains("everything"));
}

#[test]
fn opkgs_database_names_what_was_asked_for_and_what_came_with_it() {
    let libmnl = read(&fixture("libmnl0_1.0.5-r2_x86_64.ipk"));
    let rdma = read(&fixture("rdma_6.11.0-r1_x86_64.ipk"));
    let mut filesystem = opkg();
    let system = System::read(&mut filesystem, &[]).unwrap();
    let selection = package::resolve(system.database().as_ref(), vec![rdma.clone()], vec![libmnl]).unwrap();
    let packages = PackageWishes { chosen: selection.packages, time: system.build_time(), ..Default::default() };
    let plan = plan(&system, &release(), &Wishes { packages, ..Wishes::default() }).unwrap();
    apply(&plan.edits, &mut filesystem).unwrap();
    let status = filesystem.text(STATUS).unwrap();
    assert_eq!(
        status.strip_prefix(IMAGE),
        Some(
            "Package: libmnl0\nVersion: 1.0.5-r2\nDepends: libc\nStatus: install ok installed\nArchitecture: x86_64\n\
             Installed-Time: 1738624177\nAuto-Installed: yes\n\n\
             Package: rdma\nVersion: 6.11.0-r1\nDepends: libc, libmnl0\nStatus: install user installed\n\
             Architecture: x86_64\nInstalled-Time: 1738624177\n\n"
        )
    );
    assert_eq!(filesystem.text("/usr/lib/opkg/info/rdma.list").unwrap(), "/usr/sbin/rdma\n");
    let libmnl = filesystem.text("/usr/lib/opkg/info/libmnl0.list").unwrap();
    assert_eq!(libmnl, "/usr/lib/libmnl.so.0\n/usr/lib/libmnl.so.0.2.0\n");
    assert!(filesystem.text("/usr/lib/opkg/info/rdma.control").unwrap().starts_with("Package: rdma\n"));
    let database = System::read(&mut filesystem, &[]).unwrap().database().unwrap();
    assert_eq!(database.owner("/usr/sbin/rdma").unwrap().name, "rdma");
    assert_eq!(database.packages.len(), 4);
}

#[test]
fn a_newer_version_takes_the_place_of_the_old_one() {
    let data = [Item::File("./usr/bin/app", "new", 0o755), Item::File("./etc/config/app", "shipped\n", 0o600)];
    let scripts = [("conffiles", "/etc/config/app\n"), ("postinst-pkg", "do_something\n")];
    let (after, plan) =
        installed(&opkg(), &[read(&ipk(&control("app", "1.1-r1", "Depends: libc\n"), &scripts, &data))]);
    assert_eq!(after.text("/usr/bin/app").unwrap(), "new");
    assert!(!after.nodes.contains_key("/usr/bin/app-old"), "what the new version does not bring goes");
    assert!(!after.nodes.contains_key("/usr/lib/opkg/info/app.prerm"));
    assert_eq!(after.text("/etc/config/app").unwrap(), "changed by hand\n");
    assert_eq!(after.text("/etc/config/app-opkg").unwrap(), "shipped\n");
    assert_eq!(
        finding(&plan, "conffile-kept").message,
        "/etc/config/app was changed and stays as it is; what app 1.1-r1 brings is put beside it as /etc/config/app-opkg"
    );
    let status = after.text(STATUS).unwrap();
    assert_eq!(status.matches("Package: app\n").count(), 1);
    assert!(status.contains("Version: 1.1-r1\n") && !status.contains("Version: 1.0-r1\n"), "{status}");
    assert!(status.contains(&format!("Conffiles:\n /etc/config/app {}\n", crate::digest::sha256_hex(b"shipped\n"))));
    assert!(finding(&plan, "package-script").message.starts_with("postinst-pkg of app 1.1-r1 was not run"));
}

#[test]
fn a_conffile_that_nobody_changed_is_replaced() {
    let mut root = opkg();
    let digest = crate::digest::sha256_hex(b"as it came\n");
    root.add_file("/etc/config/app", "as it came\n");
    root.add_file(STATUS, IMAGE.replace("a2b5e0fb3e0ab14f0bcba8f4a6a2c5b1bb0d8c3a3c4b0a7a3cf35ad4d5e55f4f", &digest));
    let data = [Item::File("./etc/config/app", "shipped\n", 0o600)];
    let package = ipk(&control("app", "1.1-r1", ""), &[("conffiles", "/etc/config/app\n")], &data);
    let (after, _) = installed(&root, &[read(&package)]);
    assert_eq!(after.text("/etc/config/app").unwrap(), "shipped\n");
    assert!(!after.nodes.contains_key("/etc/config/app-opkg"));
}

#[test]
fn a_file_of_another_package_or_of_nobody_is_not_overwritten() {
    let brings = |path: &str, text: &str, more: &str| {
        read(&ipk(&control("new", "1", more), &[], &[Item::File(path, text, 0o644)]))
    };
    assert_eq!(
        refused(&opkg(), &[brings("./usr/bin/app", "x", "")]),
        "given.ipk: new 1 brings /usr/bin/app, which is a file of app already"
    );
    let mut root = opkg();
    root.add_file("/usr/bin/mine", "mine");
    assert_eq!(
        refused(&root, &[brings("./usr/bin/mine", "x", "")]),
        "given.ipk: new 1 brings /usr/bin/mine, which is in the image already and belongs to no package"
    );
    let (after, _) = installed(&root, &[brings("./usr/bin/mine", "mine", "")]);
    assert_eq!(after.text("/usr/lib/opkg/info/new.list").unwrap(), "/usr/bin/mine\n", "the same file is adopted");
    let (after, _) = installed(&opkg(), &[brings("./usr/bin/app", "x", "Replaces: app\n")]);
    let list = after.text("/usr/lib/opkg/info/app.list").unwrap();
    assert_eq!(list, "/usr/bin/app-old\n/etc/config/app\n", "a replaced file changes hands");
    let two = ["a", "b"].map(|name| read(&ipk(&control(name, "1", ""), &[], &[Item::File("./x", name, 0o644)])));
    assert_eq!(refused(&opkg(), &two), "given.ipk: b 1 brings /x, which is a file of a already");
}

#[test]
fn the_alternative_of_the_highest_priority_wins() {
    let mut root = opkg();
    root.add_file(STATUS, format!("{IMAGE}Package: ip-tiny\nVersion: 1\nStatus: install ok installed\nAlternatives: 200:/sbin/ip:/usr/libexec/ip-tiny\n\n"));
    root.add_link("/sbin/ip", "/usr/libexec/ip-tiny");
    let offer = |name: &str, priority: u32| {
        read(&ipk(&control(name, "1", &format!("Alternatives: {priority}:/sbin/ip:/usr/libexec/{name}\n")), &[], &[]))
    };
    let (after, _) = installed(&root, &[offer("ip-full", 300)]);
    assert_eq!(after.nodes["/sbin/ip"], MemoryNode::Symlink("/usr/libexec/ip-full".into()));
    let (after, _) = installed(&after, &[offer("ip-less", 100)]);
    assert_eq!(after.nodes["/sbin/ip"], MemoryNode::Symlink("/usr/libexec/ip-full".into()));
    root.nodes.remove("/sbin/ip");
    root.add_file("/sbin/ip", "a program");
    let (after, plan) = installed(&root, &[offer("ip-full", 300)]);
    assert_eq!(after.text("/sbin/ip").unwrap(), "a program");
    assert!(finding(&plan, "alternative").message.starts_with("/sbin/ip is no symlink"));
}

#[test]
fn a_package_with_modules_brings_what_an_overlay_builds_on() {
    let package = read(&fixture("kmod-mlx4-core_6.12.117-r1_x86_64.ipk"));
    let mut root = opkg();
    let kernel = "Package: kernel\nVersion: 6.12.117~0123456789abcdef0123456789abcdef-r1\nStatus: install hold installed\n\n\
                  Package: kmod-ptp\nVersion: 6.12.117-r1\nStatus: install ok installed\n\n";
    root.add_file(STATUS, format!("{IMAGE}{kernel}"));
    let (_, mut wishes) = wished(&root, &[package]).unwrap();
    wishes.autoload = vec![load("mlx4_core", "port_type_array=1,1", "30-hw-network", true)];
    let system = System::read(&mut root.clone(), &[]).unwrap();
    let plan = plan(&system, &release(), &wishes).unwrap();
    apply(&plan.edits, &mut root).unwrap();
    assert_eq!(root.text("/etc/modules.d/36-mlx4-core").unwrap(), "mlx4_core port_type_array=1,1\nmlx4_en\n");
    assert_eq!(root.nodes["/etc/modules-boot.d/36-mlx4-core"], MemoryNode::Symlink("../modules.d/36-mlx4-core".into()));
    assert_eq!(wishes.packages.modules(&release()).len(), 2);
}

#[test]
fn without_a_database_packages_go_in_unregistered() {
    let mut root = opkg();
    root.nodes.retain(|path, _| !path.starts_with("/usr/lib/opkg"));
    let package = read(&fixture("rdma_6.11.0-r1_x86_64.ipk"));
    let (plan, _) = wished(&root, std::slice::from_ref(&package)).unwrap();
    assert_eq!(paths(&plan).last(), Some(&("/usr/sbin/rdma", Change::Add)));
    assert!(finding(&plan, "no-package-database").message.contains("CLEAN_IPKG"));
    assert_eq!(
        finding(&plan, "dependency-unknown").message,
        "not known to be in the image: libc (rdma needs it), libmnl0 (rdma needs it)"
    );
    apply(&plan.edits, &mut root).unwrap();
    assert_eq!(wished(&root, &[package]).unwrap().0.edits, []);
}

#[test]
fn a_protected_file_of_apk_stays_when_it_was_changed() {
    let mut root = apk();
    root.add_file("/etc/config/everything", "mine\n");
    let package = package::read(&fixture("everything-1.0~abcdef-r1.apk"), "everything.apk").unwrap();
    let (after, plan) = installed(&root, &[package]);
    assert_eq!(after.text("/etc/config/everything").unwrap(), "mine\n");
    assert_eq!(after.text("/etc/config/everything.apk-new").unwrap(), "option a '1'\n");
    assert!(finding(&plan, "conffile-kept").message.contains(".apk-new"));
}
