//! Many hosts from one image.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::support::{
    Ran, e2fsck, fixture, fixture_modules, ibwrt, ibwrt_command, listing, partitions, raw_disk, run, sha256, tool,
    write_partition,
};

const HOSTS: &str = r#"
overlays = ["connectx3", "ipoib"]
vars.subnet = "10.10.0.0/16"
ipoib.address = "{{ cidr_address(vars.subnet, host.index + 1) }}"
[group.storage]
overlays = ["rdma-tools"]
[[file]]
path = "/etc/wpa.psk"
content = "{{ secret('psk') }} of {{ host.name }}"
"#;

/// A folder with a hosts file of `count` hosts, every third in a group, and the secret that it reads.
pub(super) fn site(count: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let host = |number: usize| {
        let group = if number.is_multiple_of(3) { "group = 'storage'\n" } else { "" };
        format!("[[host]]\nname = 'h{number:03}'\n{group}")
    };
    let hosts: String = (0..count).map(host).collect();
    std::fs::write(folder.path().join("hosts.toml"), format!("{HOSTS}{hosts}")).unwrap();
    std::fs::write(folder.path().join("psk"), "open sesame\n").unwrap();
    folder
}

pub(super) fn batch(folder: &Path, image: &str, more: &[&str]) -> Ran {
    let (image, modules) = (fixture(image), fixture_modules());
    let mut arguments = vec!["batch", image.to_str().unwrap(), "--hosts", "hosts.toml"];
    arguments.extend(["--modules", modules.to_str().unwrap()]);
    if !more.contains(&"-o") {
        arguments.extend(["-o", "out"]);
    }
    arguments.extend(more);
    ibwrt(folder, arguments)
}

pub(super) fn report(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("report.json")).unwrap()).unwrap()
}

/// The contents of all files in a folder, without what the report tells of the run.
pub(super) fn contents(folder: &Path) -> Vec<(String, String)> {
    let content = |name: &str| match name {
        "report.json" => {
            let mut report = report(folder);
            report["hosts"].as_array_mut().unwrap().iter_mut().for_each(|host| host["run"] = Value::Null);
            report.to_string()
        }
        _ => sha256(&std::fs::read(folder.join(name)).unwrap()),
    };
    listing(folder).into_iter().map(|name| (name.clone(), content(&name))).collect()
}

fn kept(folder: &Path) -> Vec<bool> {
    report(folder)["hosts"].as_array().unwrap().iter().map(|host| host["run"]["kept"].as_bool().unwrap()).collect()
}

#[test]
fn every_host_gets_the_very_bytes_of_a_patch_with_its_recipe() {
    for image in ["openwrt-mini-ib-ext4-combined-efi.img.gz", "openwrt-mini-ib-squashfs-combined.img.gz"] {
        let site = site(4);
        batch(site.path(), image, &[]).expect_status(0);
        let sums = std::fs::read_to_string(site.path().join("out/sha256sums")).unwrap();
        for number in 0..4 {
            let name = format!("h{number:03}");
            std::fs::write(site.path().join("own.psk"), format!("open sesame of {name}")).unwrap();
            let (input, modules) = (fixture(image), fixture_modules());
            let address = format!("ipoib.address=10.10.0.{}/16", number + 1);
            let mut arguments = vec!["patch", input.to_str().unwrap(), "--modules", modules.to_str().unwrap()];
            arguments.extend(["--overlay", "connectx3", "--overlay", "ipoib", "--hostname", &name, "--set", &address]);
            arguments.extend(["--file", "/etc/wpa.psk=own.psk", "-o", "patched.img.gz", "--force"]);
            if number % 3 == 0 {
                arguments.extend(["--overlay", "rdma-tools"]);
            }
            ibwrt(site.path(), arguments).expect_status(0);
            let [patched, made] = ["patched.img.gz".to_owned(), format!("out/{name}.img.gz")]
                .map(|path| std::fs::read(site.path().join(path)).unwrap());
            assert!(patched == made, "{image}: {name} differs from a patch");
            assert!(sums.contains(&format!("{} *{name}.img.gz\n", sha256(&made))), "{sums}");
        }
    }
}

#[test]
fn a_second_run_makes_only_what_changed_and_what_is_no_longer_there() {
    const IMAGE: &str = "openwrt-mini-ib-ext4-combined.img.gz";
    let site = site(5);
    batch(site.path(), IMAGE, &[]).expect_status(0);
    let out = site.path().join("out");
    let first = contents(&out);
    assert_eq!(listing(&out).len(), 7, "five images, sums and report: {:?}", listing(&out));
    std::fs::write(out.join("h001.img.gz"), "damaged").unwrap();
    std::fs::remove_file(out.join("h002.img.gz")).unwrap();
    std::fs::write(out.join(".ibwrt-left.part"), "of a killed run").unwrap();
    batch(site.path(), IMAGE, &[]).expect_status(0);
    assert_eq!(kept(&out), [true, false, false, true, true]);
    assert_eq!(contents(&out), first);

    let text = std::fs::read_to_string(site.path().join("hosts.toml")).unwrap();
    std::fs::write(site.path().join("hosts.toml"), text.replace("name = 'h004'", "name = 'h004'\nhostname = 'other'"))
        .unwrap();
    batch(site.path(), IMAGE, &["--threads", "1"]).expect_status(0);
    assert_eq!(kept(&out), [true, true, true, true, false]);
    std::fs::write(site.path().join("psk"), "another").unwrap();
    batch(site.path(), IMAGE, &[]).expect_status(0);
    assert_eq!(kept(&out), [false; 5], "what a secret holds is an input");
}

#[test]
fn a_host_that_fails_does_not_stop_the_others_and_no_word_of_a_secret_is_said() {
    let site = site(3);
    let text = std::fs::read_to_string(site.path().join("hosts.toml")).unwrap();
    let broken = "[[host.file]]\npath = '/etc'\ncontent = 'x'\n";
    std::fs::write(
        site.path().join("hosts.toml"),
        text.replace("name = 'h001'\n", &format!("name = 'h001'\n{broken}")),
    )
    .unwrap();
    let ran = batch(site.path(), "openwrt-mini-ib-ext4-combined.img.gz", &[]).expect_status(1);
    assert!(ran.text().contains("h001:") && ran.text().contains("/etc"), "{ran}");
    let out = site.path().join("out");
    let statuses: Vec<String> = report(&out)["hosts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|host| host["status"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(statuses, ["done", "failed", "done"]);
    assert_eq!(listing(&out), ["h000.img.gz", "h002.img.gz", "report.json", "sha256sums"]);
    let said = format!("{}{}{}", ran.text(), ran.stderr, std::fs::read_to_string(out.join("report.json")).unwrap());
    assert!(!said.contains("sesame"), "{said}");
}

#[test]
fn a_folder_with_other_files_is_refused_and_left_as_it_is() {
    let site = site(1);
    std::fs::create_dir(site.path().join("out")).unwrap();
    std::fs::write(site.path().join("out/mine"), "x").unwrap();
    let ran = batch(site.path(), "openwrt-mini-ib-ext4-combined.img.gz", &[]).expect_status(2);
    assert!(ran.stderr.contains("not from a batch"), "{ran}");
    assert_eq!(listing(&site.path().join("out")), ["mine"]);
}

#[test]
fn outputs_are_the_same_with_any_number_of_threads() {
    const IMAGE: &str = "openwrt-mini-ib-ext4-combined-efi.img.gz";
    let site = site(12);
    for threads in ["1", "2", "8"] {
        batch(site.path(), IMAGE, &["--threads", threads, "-o", threads]).expect_status(0);
    }
    let first = contents(&site.path().join("1"));
    assert!(first == contents(&site.path().join("2")) && first == contents(&site.path().join("8")));
}

/// `verify` of a host's output with all that was wished for it.
fn verify(folder: &Path, number: usize) -> Ran {
    let (image, address) = (format!("out/h{number:03}.img.gz"), format!("ipoib.address=10.10.0.{}/16", number + 1));
    let mut arguments = vec!["verify", &image, "--overlay", "connectx3", "--overlay", "ipoib", "--set", &address];
    if number.is_multiple_of(3) {
        arguments.extend(["--overlay", "rdma-tools"]);
    }
    ibwrt(folder, arguments)
}

#[test]
fn every_output_of_two_hundred_passes_verify_and_foreign_programs_take_them() {
    const HOSTS: usize = 200;
    let site = site(HOSTS);
    batch(site.path(), "openwrt-mini-ib-ext4-combined-efi.img.gz", &[]).expect_status(0);
    let sums = std::fs::read_to_string(site.path().join("out/sha256sums")).unwrap();
    let digests: BTreeSet<&str> = sums.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(digests.len(), HOSTS, "no two hosts have the same image");
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let number @ 0..HOSTS = next.fetch_add(1, Ordering::Relaxed) {
                    verify(site.path(), number).expect_status(0);
                }
            });
        }
    });
    verify_of_another_host_fails(site.path());
    for number in [0, 77, 199] {
        let image = site.path().join(format!("out/h{number:03}.img.gz"));
        let disk = raw_disk(&image);
        let [_, root] = partitions(&disk);
        let path = site.path().join("root");
        write_partition(&disk, root, &path);
        e2fsck(&path).expect_status(0);
        assert!(
            run(tool("debugfs").args(["-R", "cat /etc/uci-defaults/60-ibwrt-ipoib"]).arg(&path))
                .text()
                .contains(&format!("10.10.0.{}/16", number + 1))
        );
        assert!(
            run(tool("debugfs").args(["-R", "cat /etc/wpa.psk"]).arg(&path))
                .text()
                .ends_with(&format!(" of h{number:03}"))
        );
    }
}

/// What a host was not given is missed.
fn verify_of_another_host_fails(folder: &Path) {
    std::fs::copy(folder.join("out/h001.img.gz"), folder.join("out/h004.img.gz")).unwrap();
    verify(folder, 4).expect_status(1);
}

#[test]
fn deltas_of_a_batch_expand_to_what_a_batch_writes_whole() {
    let site = site(2);
    batch(site.path(), "openwrt-mini-ib-ext4-combined-efi.img.gz", &[]).expect_status(0);
    batch(site.path(), "openwrt-mini-ib-ext4-combined-efi.img.gz", &["-o", "deltas", "--delta"]).expect_status(0);
    let base = fixture("openwrt-mini-ib-ext4-combined-efi.img.gz");
    for host in ["h000", "h001"] {
        let (delta, image) = (format!("deltas/{host}.ibdelta"), format!("{host}.img.gz"));
        ibwrt(site.path(), ["expand", base.to_str().unwrap(), &delta, "-o", &image]).expect_status(0);
        let whole = std::fs::read(site.path().join("out").join(&image)).unwrap();
        assert!(std::fs::read(site.path().join(&image)).unwrap() == whole, "{host} expands to another image");
    }
}

#[test]
fn a_run_that_is_killed_leaves_no_half_file_and_the_next_one_ends_where_an_undisturbed_one_does() {
    const IMAGE: &str = "openwrt-mini-ib-ext4-combined.img.gz";
    const KILLS: u64 = 30;
    let site = site(10);
    let begun = std::time::Instant::now();
    batch(site.path(), IMAGE, &["-o", "reference"]).expect_status(0);
    let whole = u64::try_from(begun.elapsed().as_millis()).unwrap();
    let reference = contents(&site.path().join("reference"));
    let mut seed = u64::from(std::process::id());
    println!("seed {seed}");
    let out = site.path().join("out");
    for _ in 0..KILLS {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut command = ibwrt_command(site.path());
        command.args(["batch", fixture(IMAGE).to_str().unwrap(), "--hosts", "hosts.toml", "-o", "out", "--modules"]);
        let mut child = command.arg(fixture_modules()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis((seed >> 33) % whole));
        child.kill().unwrap();
        child.wait().unwrap();
        let names = if out.is_dir() { listing(&out) } else { Vec::new() };
        for name in names.iter().filter(|name| !name.starts_with('.') && *name != "report.json") {
            let found = sha256(&std::fs::read(out.join(name)).unwrap());
            assert!(reference.contains(&(name.clone(), found)), "{name} is not what an undisturbed run makes of it");
        }
    }
    batch(site.path(), IMAGE, &[]).expect_status(0);
    assert_eq!(contents(&out), reference);
}
