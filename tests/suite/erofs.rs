//! EROFS roots: read by every command that reads, refused by name where they would be edited, with the way around; that
//! way, gone.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::support::{Job, fixture, fixture_modules, ibwrt, partitions, raw_disk, rdump, run, tool, write_partition};

/// `image` with an EROFS of its root's tree in the place of its root, beside that EROFS: `NAME.img`, `NAME-root.img`. The
/// tree stays in `NAME`.
fn as_erofs(image: &Path, place: &Path, name: &str, options: &[&str]) -> [PathBuf; 2] {
    let at = |ending: &str| place.join(format!("{name}{ending}"));
    let mut disk = raw_disk(image);
    let root = partitions(&disk)[1];
    write_partition(&disk, root, &at("-squashfs"));
    std::fs::create_dir(at("")).unwrap();
    rdump(&at("-squashfs"), &at(""));
    let mut mkfs = tool("mkfs.erofs");
    mkfs.args(options).args(["--all-root", "-T1735689600", "-x-1"]);
    run(mkfs.arg(at("-root.img")).arg(at(""))).expect_status(0);
    let erofs = std::fs::read(at("-root.img")).unwrap();
    disk[root.range()].fill(0);
    disk[root.range()][..erofs.len()].copy_from_slice(&erofs);
    std::fs::write(at(".img"), &disk).unwrap();
    [at(".img"), at("-root.img")]
}

const PACKED: [&str; 3] = ["-zlz4hc,12", "-C65536", "-Eztailpacking"];

/// The rows of the check table that do not speak of the file or the root's kind.
fn rows(verified: &Value) -> Vec<Value> {
    let rows = verified["checks"]["rows"].as_array().unwrap();
    let of_the_kind = ["container", "root-filesystem", "squashfs-decompressor"];
    rows.iter().filter(|row| !of_the_kind.contains(&row["id"].as_str().unwrap())).cloned().collect()
}

#[test]
fn a_patched_tree_on_erofs_is_proved_as_it_is_on_squashfs() {
    let place = tempfile::tempdir().unwrap();
    let job = Job::connectx3(&fixture("openwrt-mini-ib-squashfs-combined.img.gz"), &fixture_modules());
    job.patch(place.path(), &job.image, &["-o", "patched.img"]).expect_status(0);
    let verify = |image: &Path| {
        let json = Job { extra: vec!["--format".into(), "json".into()], ..Job::connectx3(image, &fixture_modules()) };
        let ran = json.verify(place.path(), image).expect_status(0);
        serde_json::from_str::<Value>(&ran.text()).unwrap()
    };
    let patched = place.path().join("patched.img");
    let expected = rows(&verify(&patched));
    assert!(expected.len() > 10);
    let inspected = |image: &Path| {
        let ran = ibwrt(place.path(), ["inspect", image.to_str().unwrap(), "--format", "json"]).expect_status(0);
        serde_json::from_str::<Value>(&ran.text()).unwrap()
    };
    let squashfs = inspected(&patched);
    for (name, options) in [("plain", &[][..]), ("packed", &PACKED)] {
        let [combined, _] = as_erofs(&patched, place.path(), name, options);
        assert_eq!(rows(&verify(&combined)), expected, "{name}");
        let erofs = inspected(&combined);
        for fact in ["release", "packages", "modules", "infiniband_modules", "kernel"] {
            assert_eq!(erofs[fact], squashfs[fact], "{name}: {fact}");
        }
        assert_eq!(erofs["filesystems"][1]["kind"], "erofs");
        ibwrt(place.path(), ["graph", combined.to_str().unwrap(), "-o", &format!("{name}.svg")]).expect_status(0);
    }
    // The title names the image.
    let graph = |name: &str| {
        let svg = std::fs::read_to_string(place.path().join(format!("{name}.svg"))).unwrap();
        svg.replace(&format!("{name}.img"), "IMAGE")
    };
    assert!(graph("plain") == graph("packed"));
}

#[test]
fn a_damaged_erofs_root_fails_a_check() {
    let place = tempfile::tempdir().unwrap();
    let [combined, _] =
        as_erofs(&fixture("openwrt-mini-ib-squashfs-combined.img.gz"), place.path(), "root", &["-zlz4hc,12"]);
    let sound = std::fs::read(&combined).unwrap();
    let root = partitions(&sound)[1];
    let erofs = std::fs::metadata(place.path().join("root-root.img")).unwrap().len() as usize;
    for (from, to) in [(erofs / 2, erofs), (4096, 8192), (1024 + 16, 1024 + 24)] {
        let mut damaged = sound.clone();
        damaged[root.range()][from..to].fill(0xA5);
        std::fs::write(&combined, &damaged).unwrap();
        let ran = ibwrt(place.path(), ["verify", "root.img"]);
        let said = format!("{}{}", ran.text(), ran.stderr);
        assert!(said.contains("EROFS") && !said.contains("a defect of ibwrt"), "{from} to {to}: {said}");
        assert!([1, 4].contains(&ran.status), "{from} to {to}: {ran}");
    }
}

#[test]
fn an_erofs_root_is_not_patched_but_its_unpacked_tree_is() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let images = as_erofs(&fixture("openwrt-mini-ib-squashfs-combined.img.gz"), place.path(), "mini", &PACKED);
    for image in images {
        let job = Job::connectx3(&image, &fixture_modules());
        let ran = job.patch(place.path(), &image, &["-o", "out.img"]).expect_status(3);
        let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        for words in
            ["EROFS (LZ4", "packed tails) is read, but not edited", "fsck.erofs --extract=DIR", "--rootdir DIR"]
        {
            assert!(said.contains(words), "no word of {words}: {ran}");
        }
        let shown = ibwrt(place.path(), ["inspect", image.to_str().unwrap()]).expect_status(0).text();
        assert!(shown.contains("EROFS (read-only)"), "{shown}");
    }
    assert!(!at("out.img").exists());

    let extract = format!("--extract={}", at("unpacked").display());
    run(tool("fsck.erofs").arg(extract).arg(at("mini-root.img"))).expect_status(0);
    let job = Job::connectx3(&at("unpacked"), &fixture_modules());
    let modules = job.modules.to_str().unwrap();
    let fixed = ["patch", "--rootdir", "unpacked", "-o", "out", "--modules", modules];
    ibwrt(place.path(), fixed.map(str::to_string).into_iter().chain(job.wishes)).expect_status(0);
    assert!(at("out/lib/modules/6.12.117/mlx4_ib.ko").is_file());
}
