//! A disk that is full before all is written: a small tmpfs, which only root may mount.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::support::{Ran, fixture, fixture_modules, ibwrt, is_root, listing, run, tool};

const IMAGE: &str = "openwrt-mini-ib-ext4-combined.img.gz";

/// A filesystem in memory, unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounted at `place`; `None` where that is not allowed.
    fn mounted(place: &Path, kibibytes: u32) -> Option<Self> {
        std::fs::create_dir(place).unwrap();
        let size = format!("size={kibibytes}k,nr_inodes=100");
        let ran = run(tool("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(place));
        if ran.status != 0 {
            assert!(std::env::var_os("CI").is_none() || !is_root(), "CI runs as root but may not mount: {ran}");
            println!("skipped: mounting is not allowed here: {ran}");
            return None;
        }
        Some(Self(place.to_owned()))
    }

    fn grow(&self, kibibytes: u32) {
        let size = format!("remount,size={kibibytes}k");
        run(tool("mount").args(["-o", &size]).arg(&self.0)).expect_status(0);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = tool("umount").arg(&self.0).status();
    }
}

fn batch(folder: &Path, output: &str) -> Ran {
    let (image, modules) = (fixture(IMAGE), fixture_modules());
    let arguments = ["--hosts", "hosts.toml", "-o", output, "--threads", "2", "--modules", modules.to_str().unwrap()];
    ibwrt(folder, ["batch", image.to_str().unwrap()].into_iter().chain(arguments))
}

/// Whether the error names the reason and the remedy.
#[track_caller]
fn tells_that_it_is_full(ran: &Ran) {
    let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("No space left on device") && said.contains("help: make room on that filesystem"), "{ran}");
    assert!(!said.contains(".part"), "a name is told that nobody gave: {ran}");
}

/// The files of a folder with their contents; the report without what it tells of the run.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let content = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let plain = |name: String| match name.as_str() {
        "report.json" => {
            let mut report: Value = serde_json::from_slice(&content(&name)).unwrap();
            report["hosts"].as_array_mut().unwrap().iter_mut().for_each(|host| host["run"] = Value::Null);
            (name, report.to_string().into_bytes())
        }
        _ => (name.clone(), content(&name)),
    };
    listing(folder).into_iter().map(plain).collect()
}

#[test]
fn a_batch_on_a_full_disk_says_so_leaves_nothing_half_written_and_goes_on_once_there_is_room() {
    let site = tempfile::tempdir().unwrap();
    let hosts: String = (0..12).map(|number| format!("[[host]]\nname = 'h{number:02}'\n")).collect();
    std::fs::write(site.path().join("hosts.toml"), format!("overlays = ['connectx3']\n{hosts}")).unwrap();
    // Room for about four of twelve images; for none, not even a journal.
    for (number, kibibytes) in [1800, 4].into_iter().enumerate() {
        let out = site.path().join(format!("out{number}"));
        let Some(disk) = SmallDisk::mounted(&out, kibibytes) else { return };
        let ran = batch(site.path(), out.to_str().unwrap()).expect_status(5);
        tells_that_it_is_full(&ran);
        if number == 0 {
            batch(site.path(), "reference").expect_status(0);
        }
        let reference = contents(&site.path().join("reference"));
        let left = contents(&out);
        let images: Vec<_> = left.iter().filter(|(name, _)| name.ends_with(".img.gz")).collect();
        assert_eq!(images.is_empty(), number == 1, "{:?}", listing(&out));
        assert!(images.iter().all(|image| reference.contains(image)), "{:?}", listing(&out));
        assert!(!left.iter().any(|(name, _)| name.ends_with(".part")), "{:?}", listing(&out));
        if let Some((_, report)) = left.iter().find(|(name, _)| name == "report.json") {
            let report: Value = serde_json::from_slice(report).unwrap();
            let with =
                |status| report["hosts"].as_array().unwrap().iter().filter(|host| host["status"] == status).count();
            assert_eq!(with("done"), images.len());
            assert!((1..=2).contains(&with("failed")), "two threads fail at most twice: {report}");
        }
        disk.grow(65_536);
        let ran = batch(site.path(), out.to_str().unwrap()).expect_status(0);
        assert!(ran.text().contains(&format!("{} kept from an earlier run", images.len())), "{ran}");
        assert!(contents(&out) == reference, "{:?}", listing(&out));
    }
}

#[test]
fn a_patch_or_a_picture_on_a_full_disk_leaves_nothing_behind() {
    let site = tempfile::tempdir().unwrap();
    let Some(_disk) = SmallDisk::mounted(&site.path().join("full"), 200) else { return };
    let (image, modules) = (fixture(IMAGE), fixture_modules());
    for name in ["a.img.gz", "a.img", "a.img.zst", "a.qcow2", "a.vmdk"] {
        let output = format!("full/{name}");
        let words = ["patch", image.to_str().unwrap(), "--modules", modules.to_str().unwrap()];
        let ran = ibwrt(site.path(), words.into_iter().chain(["--overlay", "connectx3", "-o", &output]));
        let ran = ran.expect_status(5);
        tells_that_it_is_full(&ran);
        assert_eq!(listing(&site.path().join("full")), [""; 0], "{name}");
    }
    std::fs::write(site.path().join("full/filler"), vec![1; 196 * 1024]).unwrap();
    let words = ["graph", image.to_str().unwrap(), "--all", "-o", "full/a.svg"];
    tells_that_it_is_full(&ibwrt(site.path(), words).expect_status(5));
    assert_eq!(listing(&site.path().join("full")), ["filler"]);
}
