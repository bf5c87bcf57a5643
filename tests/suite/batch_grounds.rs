//! What hosts of a batch have in common is carried out once, wherever their plans part: no output shows it.

use std::fmt::Write as _;
use std::path::Path;

use super::batch::batch;
use super::support::{fixture, fixture_modules, ibwrt, sha256};

/// What a host has beside what all have.
struct Own {
    name: &'static str,
    overlays: &'static [&'static str],
    /// Keys of a recipe, line by line.
    keys: &'static [&'static str],
    /// Path in the image, and the local file that goes there.
    files: &'static [(&'static str, &'static str)],
}

/// What all have.
const ALL: Own = Own {
    name: "",
    overlays: &["connectx3", "ipoib"],
    keys: &["packages = ['rdma_6.11.0-r1_x86_64.ipk', 'libmnl0_1.0.5-r2_x86_64.ipk']"],
    files: &[("/usr/share/large", "large"), ("/etc/small", "small")],
};

/// Two groups and odd ones, mixed: what they have for themselves is larger and smaller than what all have, takes its place, or
/// changes the disk before anything else is done to it.
const HOSTS: [Own; 9] = [
    Own { name: "a0", overlays: &[], keys: &[], files: &[("/etc/own", "0")] },
    Own { name: "b0", overlays: &["rdma-tools"], keys: &[], files: &[("/usr/share/own", "larger")] },
    Own { name: "a1", overlays: &[], keys: &[], files: &[("/etc/own", "1")] },
    Own { name: "odd", overlays: &["soft-roce"], keys: &["rootfs_size = '+2M'"], files: &[("/usr/share/large", "0")] },
    Own { name: "a2", overlays: &[], keys: &[], files: &[("/etc/own", "2"), ("/usr/share/own", "larger")] },
    Own {
        name: "b1",
        overlays: &["rdma-tools"],
        keys: &["ssh_keys = ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f b1']"],
        files: &[],
    },
    Own { name: "gpt", overlays: &[], keys: &["backup_gpt = true", "register = false"], files: &[] },
    Own { name: "a3", overlays: &[], keys: &["rekey = 'a3'"], files: &[("/etc/banner", "1")] },
    Own { name: "bare", overlays: &[], keys: &["manifest = false"], files: &[("/etc/ibwrt/mine", "1")] },
];

/// The keys of `own` and the tables of `files`, which are called `table`.
fn toml(own: &Own, files: &[(&str, &str)], table: &str) -> String {
    let mut text = own.keys.join("\n");
    files
        .iter()
        .for_each(|(path, source)| write!(text, "\n[[{table}]]\npath = '{path}'\nsource = '{source}'").unwrap());
    text + "\n"
}

/// The recipe that a host comes to.
fn recipe(own: &Own) -> String {
    let overlays = [ALL.overlays, own.overlays].concat();
    let others = ALL.files.iter().filter(|(path, _)| own.files.iter().all(|(other, _)| other != path));
    let files: Vec<(&str, &str)> = others.chain(own.files).copied().collect();
    format!(
        "overlays = {overlays:?}\nhostname = '{}'\n{}\n{}",
        own.name,
        ALL.keys.join("\n"),
        toml(own, &files, "file")
    )
}

fn write_site(folder: &Path) {
    let mut text = format!("overlays = {:?}\n{}", ALL.overlays, toml(&ALL, ALL.files, "file"));
    for own in &HOSTS {
        let files = toml(own, own.files, "host.file");
        write!(text, "[[host]]\nname = '{}'\noverlays = {:?}\n{files}", own.name, own.overlays).unwrap();
    }
    std::fs::write(folder.join("hosts.toml"), text).unwrap();
    let content =
        |length: usize, step: usize| -> Vec<u8> { (0..length).map(|at| (at / 7 * step % 251) as u8).collect() };
    for (name, content) in [
        ("large", content(150_000, 3)),
        ("larger", content(300_000, 5)),
        ("small", b"few\n".to_vec()),
        ("0", b"nought\n".to_vec()),
        ("1", b"one\n".to_vec()),
        ("2", content(9000, 11)),
    ] {
        std::fs::write(folder.join(name), content).unwrap();
    }
    for package in ["rdma_6.11.0-r1_x86_64.ipk", "libmnl0_1.0.5-r2_x86_64.ipk"] {
        std::fs::copy(fixture("packages").join(package), folder.join(package)).unwrap();
    }
}

#[test]
fn hosts_of_groups_and_odd_ones_get_the_bytes_of_a_patch_with_any_number_of_threads() {
    let image = "openwrt-mini-ib-ext4-combined-efi.img.gz";
    check(image, &["1", "3"]);
}

#[test]
fn on_squashfs_as_well() {
    check("openwrt-mini-ib-squashfs-combined-efi.img.gz", &["2"]);
}

fn check(image: &str, threads: &[&str]) {
    let site = tempfile::tempdir().unwrap();
    write_site(site.path());
    for threads in threads {
        batch(site.path(), image, &["--threads", threads, "-o", &format!("out-{threads}")]).expect_status(0);
    }
    let (input, modules) = (fixture(image), fixture_modules());
    for own in &HOSTS {
        std::fs::write(site.path().join("recipe.toml"), recipe(own)).unwrap();
        let arguments = ["patch", input.to_str().unwrap(), "--modules", modules.to_str().unwrap()];
        let more = ["--recipe", "recipe.toml", "-o", "patched.img.gz", "--force"];
        ibwrt(site.path(), arguments.into_iter().chain(more)).expect_status(0);
        let patched = sha256(&std::fs::read(site.path().join("patched.img.gz")).unwrap());
        for threads in threads {
            let made = std::fs::read(site.path().join(format!("out-{threads}/{}.img.gz", own.name))).unwrap();
            assert!(sha256(&made) == patched, "{image}: {} by {threads} threads differs from a patch", own.name);
            let sums = std::fs::read_to_string(site.path().join(format!("out-{threads}/sha256sums"))).unwrap();
            assert!(sums.contains(&format!("{patched} *{}.img.gz\n", own.name)), "{sums}");
        }
    }
}
