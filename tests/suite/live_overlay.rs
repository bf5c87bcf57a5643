//! Squashfs images that have run: what was written behind the filesystem is not lost without a word.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::support::{Job, fixture, fixture_modules, listing, partitions, raw_disk};

const FIXTURE: &str = "openwrt-mini-ib-squashfs-combined.img.gz";
/// What fstools takes for an overlay: where it looks, what it finds, and what ibwrt calls it.
const KINDS: [(usize, &[u8], &str); 4] = [
    (0x438, &[0x53, 0xEF], "an ext4 overlay"),
    (0x400, &[0x10, 0x20, 0xF5, 0xF2], "an F2FS overlay"),
    (0, &[0xDE, 0xAD, 0xC0, 0xDE], "DEADC0DE"),
    (0, &[0x1F, 0x8B, 8, 0], "tar.gz"),
];

/// The root partition, and the byte in it where the overlay begins.
fn overlay_of(disk: &[u8]) -> (Range<usize>, usize) {
    let [_, root] = partitions(disk);
    let root = root.range();
    let used = u64::from_le_bytes(disk[root.start + 40..root.start + 48].try_into().unwrap());
    (root, usize::try_from(used).unwrap().next_multiple_of(1 << 16))
}

/// The fixture after it has run: an overlay with something at its start and at its very end.
fn has_run(folder: &Path, (offset, magic, _): (usize, &[u8], &str)) -> PathBuf {
    let mut disk = raw_disk(&fixture(FIXTURE));
    let (root, overlay) = overlay_of(&disk);
    disk[root.start + overlay..][..1 << 20].fill(0x5A);
    disk[root.end - 1] = 0x5A;
    disk[root.start + overlay + offset..][..magic.len()].copy_from_slice(magic);
    let image = folder.join("run.img");
    std::fs::write(&image, disk).unwrap();
    image
}

#[test]
fn without_leave_to_lose_it_an_overlay_of_any_kind_is_a_reason_to_refuse() {
    for (kind, how) in KINDS.into_iter().zip([&["-o", "router.img"][..], &["--dry-run"]].into_iter().cycle()) {
        let folder = tempfile::tempdir().unwrap();
        let job = Job::connectx3(&has_run(folder.path(), kind), &fixture_modules());
        let ran = job.patch(folder.path(), &job.image, how).expect_status(3);
        for word in [kind.2, "partition 2", "fresh image", "--discard-overlay"] {
            assert!(ran.stderr.contains(word), "no word of {word}: {ran}");
        }
        assert_eq!(listing(folder.path()), ["run.img"]);
    }
}

#[test]
fn with_leave_to_lose_it_the_image_becomes_what_a_fresh_one_becomes() {
    // The record names the image that was patched, which is another one.
    let fresh = tempfile::tempdir().unwrap();
    let job = Job::connectx3(&fixture(FIXTURE), &fixture_modules());
    job.patch(fresh.path(), &job.image, &["-o", "router.img", "--discard-overlay", "--no-manifest"]).expect_status(0);
    let expected = std::fs::read(fresh.path().join("router.img")).unwrap();
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let job = Job::connectx3(&has_run(folder.path(), kind), &fixture_modules());
        let ran = job
            .patch(folder.path(), &job.image, &["-o", "router.img", "--discard-overlay", "--no-manifest"])
            .expect_status(0);
        assert!(ran.text().contains(kind.2) && ran.text().contains("left out"), "{ran}");
        assert!(std::fs::read(folder.path().join("router.img")).unwrap() == expected, "{}", kind.2);
    }
}

#[test]
fn a_recipe_may_give_the_overlay_up_and_a_plan_without_edits_does_not_ask() {
    let folder = tempfile::tempdir().unwrap();
    let image = has_run(folder.path(), KINDS[0]);
    let mut job = Job::connectx3(&image, &fixture_modules());
    (job.wishes, job.extra) = (Vec::new(), vec!["--skip".to_string(), "modules-present".to_string()]);
    job.patch(folder.path(), &image, &["-o", "same.img"]).expect_status(0);
    assert!(std::fs::read(folder.path().join("same.img")).unwrap() == std::fs::read(&image).unwrap());

    std::fs::write(folder.path().join("r.toml"), "discard_overlay = true\n").unwrap();
    let ran = job.patch(folder.path(), &image, &["--recipe", "r.toml", "-o", "fresh.img"]).expect_status(0);
    assert!(ran.text().contains("an ext4 overlay") && !ran.text().contains("Nothing to change"), "{ran}");
    assert!(std::fs::read(folder.path().join("fresh.img")).unwrap() == raw_disk(&fixture(FIXTURE)));
}
