//! Plain images that share their blocks, on filesystems where files can be clones of each other.

use std::path::{Path, PathBuf};

use super::support::{Job, fixture, fixture_modules, ibwrt, is_root, listing, raw_disk, run, sha256, tool};

const IMAGE: &str = "openwrt-mini-ib-ext4-combined-efi.img.gz";
/// A small filesystem of each kind that can, empty.
const KINDS: [(&str, &[&str]); 2] = [("btrfs", &["--mixed"]), ("xfs", &["-m", "reflink=1"])];

/// A filesystem of 400 MiB in a file, mounted; unmounted when dropped.
struct Mounted {
    place: PathBuf,
}

impl Mounted {
    /// `None` where the machine does not mount such.
    fn new(folder: &Path, kind: &str, options: &[&str]) -> Option<Self> {
        let (file, place) = (folder.join(kind), folder.join(format!("on-{kind}")));
        std::fs::File::create(&file).unwrap().set_len(400 << 20).unwrap();
        std::fs::create_dir(&place).unwrap();
        run(tool(&format!("mkfs.{kind}")).arg("-q").args(options).arg(&file)).expect_status(0);
        let mounted = run(tool("mount").args(["-t", kind, "-o", "loop"]).arg(&file).arg(&place));
        if mounted.status == 0 {
            return Some(Self { place });
        }
        let is_known = std::fs::read_to_string("/proc/filesystems").unwrap().contains(kind);
        let may = std::env::var_os("CI").is_some() && is_root() && is_known;
        assert!(!may, "CI runs as root on a kernel that knows {kind}, but may not mount: {mounted}");
        println!("skipped: mounting {kind} is not possible here: {mounted}");
        None
    }

    /// KiB in use, once everything is on the disk.
    fn used(&self) -> u64 {
        run(tool("sync").arg("-f").arg(&self.place)).expect_status(0);
        let told = run(tool("df").args(["-k", "--output=used"]).arg(&self.place)).expect_status(0).text();
        told.lines().last().unwrap().trim().parse().unwrap()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = tool("umount").arg(&self.place).status();
    }
}

/// KiB of a file that lie in blocks which other files have too, by filefrag.
fn shared(file: &Path) -> u64 {
    let told = run(tool("filefrag").args(["-v", "-b1024"]).arg(file)).expect_status(0).text();
    let extents = told.lines().filter(|line| line.contains("shared"));
    extents
        .map(|line| line.split([':', ' ']).filter(|word| !word.is_empty()).nth(5).unwrap().parse::<u64>().unwrap())
        .sum()
}

/// KiB that a file takes where it shares nothing.
fn alone(file: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(file).unwrap().blocks() / 2
}

#[test]
fn plain_images_of_a_batch_take_the_room_of_one_and_what_tells_them_apart() {
    let folder = tempfile::tempdir().unwrap();
    let hosts: String = (1..=8).map(|number| format!("[[host]]\nname = 'h{number}'\n")).collect();
    std::fs::write(folder.path().join("hosts.toml"), format!("overlays = ['connectx3']\nrekey = true\n{hosts}"))
        .unwrap();
    let (modules, image) = (fixture_modules(), fixture(IMAGE));
    let batch = |image: &Path, output: &Path| {
        let mut arguments = vec!["batch", image.to_str().unwrap(), "--hosts", "hosts.toml", "-q"];
        arguments.extend(["--modules", modules.to_str().unwrap(), "--name", "{{ host.name }}.img"]);
        arguments.extend(["-o", output.to_str().unwrap()]);
        ibwrt(folder.path(), arguments).expect_status(0);
        std::fs::read_to_string(output.join("sha256sums")).unwrap()
    };
    let sums = batch(&image, &folder.path().join("plain"));
    let one = alone(&folder.path().join("plain/h1.img"));
    for (kind, options) in KINDS {
        let Some(there) = Mounted::new(folder.path(), kind, options) else { continue };
        let (empty, out) = (there.used(), there.place.join("out"));
        assert_eq!(batch(&image, &out), sums, "{kind}");
        for line in sums.lines() {
            let (sha256_told, name) = line.split_once(" *").unwrap();
            assert_eq!(sha256(&std::fs::read(out.join(name)).unwrap()), sha256_told, "{kind}: {name}");
        }
        let taken = there.used() - empty;
        assert!(taken < 4 * one, "{kind}: 8 images of {one} KiB take {taken} KiB");
        assert!(shared(&out.join("h3.img")) > one / 2, "{kind}: h3.img shares too little of {one} KiB");
        assert_eq!(listing(&out).len(), 10, "{kind}: {:?}", listing(&out));
        println!("{kind}: 8 images of {one} KiB take {taken} KiB");
    }
}

#[test]
fn a_plain_image_shares_the_blocks_of_the_one_that_was_patched() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), raw_disk(&fixture(IMAGE)));
    for (kind, options) in KINDS {
        let Some(there) = Mounted::new(folder.path(), kind, options) else { continue };
        let (input, output) = (there.place.join("base.img"), there.place.join("router.img"));
        std::fs::write(&input, [&disk[..], b"a tail that is no part of the disk"].concat()).unwrap();
        let sum = sha256(&std::fs::read(&input).unwrap());
        let job = Job::connectx3(&input, &fixture_modules());
        for more in [&["--rekey", "h1"][..], &["--rootfs-size", "+8M"]] {
            for output in [output.to_str().unwrap(), "elsewhere.img"] {
                job.patch(folder.path(), &input, &[more, &["-f", "-q", "-o", output]].concat()).expect_status(0);
            }
            let elsewhere = folder.path().join("elsewhere.img");
            assert!(std::fs::read(&output).unwrap() == std::fs::read(&elsewhere).unwrap(), "{kind}");
            let length = disk.len() as u64 / 1024;
            assert!(shared(&output) > length / 10 * 9, "{kind}: it shares {} KiB of {length}", shared(&output));
        }
        job.patch(folder.path(), &input, &["-o", "h.img.ibdelta", "-f", "-q"]).expect_status(0);
        let expanded = there.place.join("expanded.img");
        let expand = ["expand", input.to_str().unwrap(), "h.img.ibdelta", "-o", expanded.to_str().unwrap()];
        ibwrt(folder.path(), expand).expect_status(0);
        assert!(shared(&expanded) > disk.len() as u64 / 1024 / 10 * 9, "{kind}: {} KiB", shared(&expanded));
        assert_eq!(sha256(&std::fs::read(&input).unwrap()), sum, "{kind}: the input was written to");
    }
}
