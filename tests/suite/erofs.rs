//! EROFS roots: told by name and compression in every command, with the way around; that way, gone.

use super::support::{Job, fixture, fixture_modules, ibwrt, partitions, raw_disk, rdump, run, tool, write_partition};

#[test]
fn an_erofs_root_is_refused_by_name_and_patched_once_it_is_unpacked() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let mut disk = raw_disk(&fixture("openwrt-mini-ib-squashfs-combined.img.gz"));
    let root = partitions(&disk)[1];
    write_partition(&disk, root, &at("squashfs"));
    std::fs::create_dir(at("tree")).unwrap();
    rdump(&at("squashfs"), &at("tree"));
    let mut mkfs = tool("mkfs.erofs");
    mkfs.args(["-zlz4hc,12", "-C65536", "-Eztailpacking", "--all-root", "-T1735689600", "-x-1"]);
    run(mkfs.arg(at("rootfs.img")).arg(at("tree"))).expect_status(0);

    let erofs = std::fs::read(at("rootfs.img")).unwrap();
    disk[root.range()].fill(0);
    disk[root.range()][..erofs.len()].copy_from_slice(&erofs);
    std::fs::write(at("combined.img"), &disk).unwrap();
    for image in ["rootfs.img", "combined.img"] {
        let job = Job::connectx3(&at(image), &fixture_modules());
        let kernel = fixture("bzImage-with-ib");
        let mut graph = vec!["graph", image];
        if image == "rootfs.img" {
            graph.extend(["--kernel", kernel.to_str().unwrap()]);
        }
        for ran in [
            job.patch(place.path(), &at(image), &["-o", "out.img"]),
            ibwrt(place.path(), ["verify", image]),
            ibwrt(place.path(), graph),
        ] {
            let ran = ran.expect_status(3);
            let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
            for words in ["EROFS (LZ4", "packed tails", "fsck.erofs --extract=DIR", "--rootdir DIR"] {
                assert!(said.contains(words), "no word of {words}: {ran}");
            }
        }
        let shown = ibwrt(place.path(), ["inspect", image]).expect_status(0).text();
        assert!(shown.contains("EROFS"), "{shown}");
    }
    assert!(!at("out.img").exists());

    let extract = format!("--extract={}", at("unpacked").display());
    run(tool("fsck.erofs").arg(extract).arg(at("rootfs.img"))).expect_status(0);
    let job = Job::connectx3(&at("unpacked"), &fixture_modules());
    let modules = job.modules.to_str().unwrap();
    let fixed = ["patch", "--rootdir", "unpacked", "-o", "out", "--modules", modules];
    ibwrt(place.path(), fixed.map(str::to_string).into_iter().chain(job.wishes)).expect_status(0);
    assert!(at("out/lib/modules/6.12.117/mlx4_ib.ko").is_file());
}
