//! The overlays that concern more than modules, on a whole image.

use super::support::{Job, fixture, fixture_modules, ibwrt, partitions, raw_disk, rdump, write_partition};

const IMAGE: &str = "openwrt-mini-ib-ext4-combined.img.gz";

/// The tree of the root partition of `image`, copied out by debugfs.
fn root_of(image: &std::path::Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let disk = raw_disk(image);
    let partition = tempfile::NamedTempFile::new().unwrap();
    write_partition(&disk, partitions(&disk)[1], partition.path());
    rdump(partition.path(), folder.path());
    folder
}

fn job(wishes: &[&str]) -> Job {
    let mut job = Job::connectx3(&fixture(IMAGE), &fixture_modules());
    job.wishes.extend(wishes.iter().map(|&wish| wish.to_string()));
    job
}

#[test]
fn a_feed_and_its_key_lie_where_opkg_looks_and_verify_finds_them() {
    let folder = tempfile::tempdir().unwrap();
    let key = format!("package-feed.key={}", fixture("test-key.pub").display());
    let feed = "package-feed.url=https://packages.example.org/24.10";
    let job = job(&["--overlay", "package-feed", "--set", feed, "--set", &key]);
    job.patch(folder.path(), &job.image, &["-o", "a.img.gz"]).expect_status(0);
    let image = folder.path().join("a.img.gz");
    let root = root_of(&image);
    let read = |path: &str| std::fs::read_to_string(root.path().join(path)).unwrap();
    let stock = "# add your custom package feeds here\n";
    assert_eq!(read("etc/opkg/customfeeds.conf"), format!("{stock}src/gz site https://packages.example.org/24.10\n"));
    let key = std::fs::read_to_string(fixture("test-key.pub")).unwrap();
    assert_eq!(read("etc/opkg/keys/74dc9401f1926250"), key);
    let ran = job.verify(folder.path(), &image).expect_status(0);
    assert!(ran.text().contains("pass  feed-key"), "{ran}");

    // A feed that is wished, and whose key is not there.
    let other = self::job(&["--overlay", "package-feed", "--set", "package-feed.url=https://elsewhere.example.org"]);
    let ran = other.verify(folder.path(), &image).expect_status(1);
    assert!(ran.text().contains("lacks the line"), "{ran}");
}

#[test]
fn a_subnet_manager_is_asked_for_until_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let without = job(&[]);
    let ran = without.patch(folder.path(), &without.image, &["-o", "a.img.gz"]).expect_status(0);
    assert!(ran.text().contains("warn  subnet-manager"), "{ran}");
    let external = job(&["--overlay", "subnet-manager", "--set", "subnet-manager.sm=external"]);
    let ran = external.patch(folder.path(), &external.image, &["-o", "b.img.gz"]).expect_status(0);
    assert!(!ran.text().contains("warn  subnet-manager"), "{ran}");
    // What was said once is known from the image.
    let ran = without.verify(folder.path(), &folder.path().join("b.img.gz")).expect_status(0);
    assert!(ran.text().contains("pass  subnet-manager"), "{ran}");

    std::fs::write(folder.path().join("opensm"), "#!/bin/sh\n").unwrap();
    let here = job(&["--overlay", "subnet-manager", "--set", "subnet-manager.opensm=opensm"]);
    here.patch(folder.path(), &here.image, &["-o", "c.img.gz"]).expect_status(0);
    let root = root_of(&folder.path().join("c.img.gz"));
    assert_eq!(std::fs::read(root.path().join("usr/sbin/opensm")).unwrap(), b"#!/bin/sh\n");
    let link = std::fs::read_link(root.path().join("etc/rc.d/S18ibwrt-opensm")).unwrap();
    assert_eq!(link.to_str(), Some("../init.d/ibwrt-opensm"));
    let ran = here.verify(folder.path(), &folder.path().join("c.img.gz")).expect_status(0);
    assert!(ran.text().contains("opensm, started by"), "{ran}");
}

#[test]
fn a_host_sets_what_an_overlay_of_ones_own_leaves_open_though_the_command_line_puts_it_in_force() {
    const OVERLAY: &str = "name = 'mine'\nsummary = 's'\n[[setting]]\nname = 'key'\ntype = 'file'\nsummary = 's'\n\
                           [[file]]\npath = '/etc/key'\nfrom = 'key'\n";
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    std::fs::create_dir_all(at("site/mine")).unwrap();
    std::fs::write(at("site/mine/overlay.toml"), OVERLAY).unwrap();
    let hosts: Vec<String> = ["h1", "h2"]
        .iter()
        .map(|name| {
            std::fs::write(at("site").join(name), format!("key of {name}")).unwrap();
            format!("[[host]]\nname = '{name}'\nmine.key = '{name}'\n")
        })
        .collect();
    std::fs::write(at("site/hosts.toml"), hosts.concat()).unwrap();
    let check = "hosts check site/hosts.toml --overlay site/mine";
    ibwrt(folder.path(), check.split_whitespace()).expect_status(0);
    let ran = ibwrt(folder.path(), "hosts check site/hosts.toml".split_whitespace()).expect_status(2);
    assert!(ran.says("`mine` is neither an overlay in force nor a key of a recipe"), "{ran}");
    assert!(ran.says("put in force by its folder, such as overlays = [\"./mine\"]"), "{ran}");
    let image = fixture(IMAGE);
    let batch =
        format!("batch {} --hosts site/hosts.toml --overlay site/mine -o out --skip modules-present", image.display());
    ibwrt(folder.path(), batch.split_whitespace()).expect_status(0);
    for host in ["h1", "h2"] {
        let root = root_of(&at("out").join(format!("{host}.img.gz")));
        assert_eq!(std::fs::read_to_string(root.path().join("etc/key")).unwrap(), format!("key of {host}"));
    }
}
