//! Identifiers of an image's own: sgdisk, partx and blkid read them, grub.cfg is in step, and nothing else changes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use memchr::memmem;
use serde_json::Value;

use super::support::{
    Job, Ran, SECTOR, e2fsck, fix_gpt_checksums, fixture, fixture_modules, fsck_fat, grub_configuration, ibwrt,
    listing, partitions, raw_disk, rdump, run, sgdisk, sha256, tool, write_partition,
};

/// The identifiers of all fixtures.
const GUID: &str = "e805ec03-db41-b0f4-2cfc-5a3bba4280";
const SIGNATURE: &str = "e805ec03";
const GRUB: &str = "/boot/grub/grub.cfg";

fn job(image: &str) -> Job {
    Job::connectx3(&fixture(image), &fixture_modules())
}

/// All that was said, on one line.
fn said(ran: &Ran) -> String {
    format!("{} {}", ran.text(), ran.stderr).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_gpt(disk: &[u8]) -> bool {
    disk[SECTOR..].starts_with(b"EFI PART")
}

/// What a program says of a disk, in lower case.
fn told(program: &str, arguments: &[&str], disk: &Path) -> String {
    run(tool(program).args(arguments).arg(disk)).text().to_lowercase()
}

/// The GUID or signature of a disk and the PARTUUIDs of its partitions, by blkid and partx.
fn identifiers(disk: &Path) -> (String, Vec<String>) {
    let id = told("blkid", &["-p", "-o", "value", "-s", "PTUUID"], disk);
    let partuuids = told("partx", &["--show", "--noheadings", "--output", "UUID"], disk);
    (id.trim().to_owned(), partuuids.split_whitespace().map(str::to_owned).collect())
}

/// The text of grub.cfg, from a boot partition that its fsck judges as it did `before`.
fn grub_of(disk: &[u8], before: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let [path, old] = ["boot", "old"].map(|name| folder.path().join(name));
    write_partition(disk, partitions(disk)[0], &path);
    write_partition(before, partitions(before)[0], &old);
    if is_gpt(disk) {
        assert_eq!(fsck_fat(&path), fsck_fat(&old));
    } else {
        let checked = |path: &Path| e2fsck(path).text().replace(path.to_str().unwrap(), "FILE");
        assert_eq!(checked(&path), checked(&old));
    }
    grub_configuration(&path)
}

/// The bytes of a disk that are identifiers, or checksums over them.
fn identifier_bytes(disk: &[u8]) -> BTreeSet<usize> {
    let mut bytes: BTreeSet<usize> = (440..444).collect();
    let mut name = format!("PARTUUID={SIGNATURE}-02");
    if is_gpt(disk) {
        name = format!("PARTUUID={GUID}02");
        bytes.extend([528..532, 568..584, 600..604].into_iter().flatten());
        bytes.extend(
            [1, 2, 128].into_iter().flat_map(|number| 1024 + (number - 1) * 128 + 16..1024 + (number - 1) * 128 + 32),
        );
    }
    let named: Vec<usize> = memmem::find_iter(disk, &name).collect();
    assert_eq!(named.len(), 2, "both entries of grub.cfg");
    bytes.extend(named.into_iter().flat_map(|at| at + 9..at + name.len()));
    bytes
}

fn assert_only_identifiers_differ(a: &[u8], b: &[u8], pristine: &[u8]) {
    assert_eq!(a.len(), b.len());
    let allowed = identifier_bytes(pristine);
    for (page, (a, b)) in a.chunks(4096).zip(b.chunks(4096)).enumerate().filter(|(_, (a, b))| a != b) {
        let differing = (0..a.len()).filter(|at| a[*at] != b[*at]).map(|at| page * 4096 + at);
        let others: Vec<usize> = differing.filter(|at| !allowed.contains(at)).collect();
        assert!(others.is_empty(), "bytes that are no identifiers: {others:?}");
    }
}

#[test]
fn every_layout_gets_identifiers_that_foreign_programs_read_and_nothing_else() {
    for image in [
        "openwrt-mini-ib-ext4-combined-efi.img.gz",
        "openwrt-mini-ib-ext4-combined.img.gz",
        "openwrt-mini-ib-squashfs-combined-efi.img.gz",
        "openwrt-mini-ib-squashfs-combined.img.gz",
    ] {
        let (folder, job) = (tempfile::tempdir().unwrap(), job(image));
        let path = |name: &str| folder.path().join(name);
        job.patch(folder.path(), &job.image, &["-o", "plain.img", "-q"]).expect_status(0);
        job.patch(folder.path(), &job.image, &["--rekey", "h1", "-o", "h1.img", "-q"]).expect_status(0);
        job.verify(folder.path(), &path("h1.img")).expect_status(0);
        let (pristine, plain, h1) = (raw_disk(&job.image), raw_disk(&path("plain.img")), raw_disk(&path("h1.img")));
        assert_only_identifiers_differ(&plain, &h1, &pristine);
        assert_eq!(sgdisk(&path("h1.img")), sgdisk(&path("plain.img")), "{image}");

        let (old_id, old_partuuids) = identifiers(&path("plain.img"));
        let (id, partuuids) = identifiers(&path("h1.img"));
        let expected = |id: &str, number: &str| match id.strip_suffix("00") {
            Some(front) if id.len() == 36 => format!("{front}{number}"),
            _ => format!("{id}-{number}"),
        };
        let numbers: &[&str] = if is_gpt(&h1) { &["01", "02", "80"] } else { &["01", "02"] };
        assert_eq!(partuuids, numbers.iter().map(|number| expected(&id, number)).collect::<Vec<_>>(), "{image}");
        assert_eq!(old_partuuids, numbers.iter().map(|number| expected(&old_id, number)).collect::<Vec<_>>());
        assert!(id != old_id && h1[440..444] != [0; 4]);
        assert!(id.starts_with(&format!("{:08x}", u32::from_le_bytes(h1[440..444].try_into().unwrap()))));

        let grub = grub_of(&plain, &pristine);
        assert_eq!(grub_of(&h1, &pristine), grub.replace(&old_partuuids[1], &partuuids[1]));
        assert_eq!(grub.matches(&format!("root=PARTUUID={}", old_partuuids[1])).count(), 2);
        let old_name = format!("PARTUUID={SIGNATURE}");
        assert_eq!(memmem::find(&h1, old_name.as_bytes()), None, "{image} names what it no longer has");
    }
}

#[test]
fn the_same_seed_again_changes_nothing_and_another_one_only_identifiers() {
    for image in ["openwrt-mini-ib-ext4-combined-efi.img.gz", "openwrt-mini-ib-squashfs-combined.img.gz"] {
        let (folder, job) = (tempfile::tempdir().unwrap(), job(image));
        let made = |input: &Path, seed: &[&str], name: &str| {
            job.patch(folder.path(), input, &[seed, &["-o", name, "-q"]].concat()).expect_status(0);
            folder.path().join(name)
        };
        let h1 = made(&job.image, &["--rekey", "h1"], "h1.img.gz");
        let same = |a: &Path, b: &Path| std::fs::read(a).unwrap() == std::fs::read(b).unwrap();
        assert!(same(&h1, &made(&h1, &["--rekey", "h1"], "again.img.gz")));
        assert!(same(&h1, &made(&h1, &[], "without.img.gz")), "without --rekey they stay");
        let h2 = made(&h1, &["--rekey", "h2"], "h2.img.gz");
        let pristine = raw_disk(&job.image);
        assert_only_identifiers_differ(&raw_disk(&h1), &raw_disk(&h2), &pristine);
        assert!(raw_disk(&h2) == raw_disk(&made(&job.image, &["--rekey", "h2"], "direct.img")));
        let told = job.patch(folder.path(), &h1, &["--rekey", "h1", "--dry-run"]).expect_status(0);
        assert!(said(&told).contains(", as before") && said(&told).contains("Nothing to change"), "{told}");
    }
}

#[test]
fn old_and_new_identifiers_are_told_before_anything_is_written() {
    let (folder, job) = (tempfile::tempdir().unwrap(), job("openwrt-mini-ib-ext4-combined-efi.img.gz"));
    let ran = job.patch(folder.path(), &job.image, &["--rekey", "h1", "--dry-run"]).expect_status(0);
    let json = job.patch(folder.path(), &job.image, &["--rekey", "h1", "-n", "--format", "json"]).expect_status(0);
    assert!(listing(folder.path()).is_empty());
    let report: Value = serde_json::from_slice(&json.stdout).unwrap();
    job.patch(folder.path(), &job.image, &["--rekey", "h1", "-o", "h1.img", "-q"]).expect_status(0);
    let (id, partuuids) = identifiers(&folder.path().join("h1.img"));
    let rows = report["identity"]["identifiers"].as_array().unwrap();
    let after: Vec<&str> = rows.iter().map(|row| row["after"].as_str().unwrap()).collect();
    assert_eq!(after, [vec![id], partuuids].concat());
    for row in rows {
        let change = format!("{} -> {}", row["before"].as_str().unwrap(), row["after"].as_str().unwrap());
        assert!(said(&ran).contains(&change), "{ran}");
    }
    assert!(said(&ran).contains("/boot/grub/grub.cfg (boot partition), 2 times: will be in step"), "{ran}");
    assert_eq!(report["identity"]["files"], serde_json::json!([{ "path": GRUB, "times": 2 }]));
}

#[test]
fn growth_a_backup_gpt_a_new_kernel_and_every_form_go_along() {
    let (folder, job) = (tempfile::tempdir().unwrap(), job("openwrt-mini-ib-ext4-combined-efi.img.gz"));
    let path = |name: &str| folder.path().join(name);
    let kernel = fixture("bzImage-with-ib");
    let wishes = ["--rekey", "h1", "--rootfs-size", "200M", "--backup-gpt", "--kernel", kernel.to_str().unwrap()];
    let patch = |name: &str| {
        job.patch(folder.path(), &job.image, &[&wishes[..], &["-o", name, "-q"]].concat()).expect_status(0);
        raw_disk(&path(name))
    };
    let disk = patch("h1.img");
    assert!(told("sgdisk", &["-v"], &path("h1.img")).contains("no problems found"));
    let (id, partuuids) = identifiers(&path("h1.img"));
    assert!(told("sgdisk", &["-p"], &path("h1.img")).contains(&format!("disk identifier (guid): {id}")));
    assert!(told("sgdisk", &["-i", "2"], &path("h1.img")).contains(&format!("guid: {}", partuuids[1])));
    assert_eq!(grub_of(&disk, &raw_disk(&job.image)).matches(&partuuids[1]).count(), 2);
    // A backup that is not the primary's would be put in its place by the first tool that trusts it.
    run(tool("sgdisk").arg("-e").arg(path("h1.img"))).expect_status(0);
    assert_eq!(identifiers(&path("h1.img")), (id, partuuids));

    assert!(patch("h1.img.gz") == disk);
    assert!(patch("h1.qcow2") == disk);
    patch("h1.ibdelta");
    let image = job.image.to_str().unwrap();
    ibwrt(folder.path(), ["expand", image, "h1.ibdelta", "-o", "expanded.img.gz"]).expect_status(0);
    assert!(std::fs::read(path("expanded.img.gz")).unwrap() == std::fs::read(path("h1.img.gz")).unwrap());
}

/// A fixture with another grub.cfg: the root's name in `from` is `to`, as long as that.
fn with_other_root(image: &str, from: &str, to: &str, folder: &Path) -> PathBuf {
    assert_eq!(from.len(), to.len());
    let mut disk = raw_disk(&fixture(image));
    let places: Vec<usize> = memmem::find_iter(&disk, from).collect();
    assert!(!places.is_empty());
    for at in places {
        disk[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    let path = folder.join("other.img");
    std::fs::write(&path, disk).unwrap();
    path
}

#[test]
fn what_cannot_be_kept_in_step_is_refused_with_what_was_found() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |image: &Path, status: i32, parts: &[&str]| {
        let job = Job::connectx3(image, &fixture_modules());
        let ran = job.patch(folder.path(), image, &["--rekey", "h1", "-o", "none.img"]).expect_status(status);
        assert!(!folder.path().join("none.img").exists());
        for part in parts.iter().chain(&["help:"]) {
            assert!(said(&ran).contains(part), "{part} is not in {ran}");
        }
    };
    const EFI: &str = "openwrt-mini-ib-ext4-combined-efi.img.gz";
    const BIOS: &str = "openwrt-mini-ib-ext4-combined.img.gz";
    let device = with_other_root(BIOS, "root=PARTUUID=e805ec03-02", "root=/dev/sda2           ", folder.path());
    refused(&device, 3, &["partition 1: /boot/grub/grub.cfg", "\"OpenWrt\" has root=/dev/sda2, which is no PARTUUID"]);

    let strange = with_other_root(EFI, "e805ec03-db41", "11111111-db41", folder.path());
    let named = "\"OpenWrt\" has root=PARTUUID=11111111-db41-b0f4-2cfc-5a3bba428002, but the partitions have";
    refused(&strange, 3, &[named, &format!("{GUID}01, {GUID}02, {GUID}80")]);
    // The same image boots nowhere, which verify says.
    let verify = ibwrt(folder.path(), ["verify", strange.to_str().unwrap()]).expect_status(1);
    assert!(said(&verify).contains("FAIL boot-entries"), "{verify}");
    assert!(said(&verify).contains("but no partition has that PARTUUID"), "{verify}");

    let disk = raw_disk(&fixture(EFI));
    let bare = folder.path().join("rootfs.img");
    write_partition(&disk, partitions(&disk)[1], &bare);
    refused(&bare, 2, &["a root filesystem alone has no partition table"]);

    let tree = folder.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    rdump(&bare, &tree);
    let modules = fixture_modules();
    let mut arguments = vec!["patch", "--rootdir", "tree", "--modules", modules.to_str().unwrap(), "--rekey", "h1"];
    arguments.extend(["--overlay", "connectx3", "-o", "none"]);
    let ran = ibwrt(folder.path(), arguments).expect_status(2);
    assert!(said(&ran).contains("a tree of files has no partition table"), "{ran}");

    let ran = job(EFI).patch(folder.path(), &fixture(EFI), &["--rekey", " ", "-o", "none.img"]).expect_status(2);
    assert!(said(&ran).contains("--rekey: identifiers cannot be made of an empty text"), "{ran}");
}

#[test]
fn verify_notices_a_table_that_went_its_own_way() {
    let folder = tempfile::tempdir().unwrap();
    let job = job("openwrt-mini-ib-ext4-combined-efi.img.gz");
    job.patch(folder.path(), &job.image, &["--rekey", "h1", "-o", "h1.img", "-q"]).expect_status(0);
    let path = folder.path().join("h1.img");
    let mut disk = raw_disk(&path);
    // Partition 2 gets the GUID that it had.
    let entry = 1024 + 128 + 16;
    disk[entry..entry + 16].copy_from_slice(&raw_disk(&job.image)[entry..entry + 16]);
    fix_gpt_checksums(&mut disk);
    std::fs::write(&path, disk).unwrap();
    let ran = job.verify(folder.path(), &path).expect_status(1);
    assert!(said(&ran).contains("FAIL boot-entries"), "{ran}");
}

#[test]
fn verify_holds_an_image_against_the_identifiers_of_its_recipe() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = |rekey: &str| {
        let text = format!(
            "overlays = ['connectx3']\nmodules = [{:?}]\nhostname = 'h1'\nrekey = {rekey}\n",
            fixture_modules()
        );
        std::fs::write(folder.path().join("site.toml"), text).unwrap();
    };
    let image = fixture("openwrt-mini-ib-squashfs-combined.img.gz");
    recipe("true");
    let arguments = ["patch", image.to_str().unwrap(), "--recipe", "site.toml", "-o", "h1.img.gz", "-q"];
    ibwrt(folder.path(), arguments).expect_status(0);
    let verify = || ibwrt(folder.path(), ["verify", "h1.img.gz", "--recipe", "site.toml"]);
    verify().expect_status(0);
    recipe("'h2'");
    let ran = verify().expect_status(1);
    assert!(said(&ran).contains("FAIL identity") && said(&ran).contains("the disk's identifier is "), "{ran}");
    recipe("false");
    verify().expect_status(0);
}

const HOSTS: &str = r#"
overlays = ["connectx3", "ipoib"]
ipoib.address = "10.10.0.{{ host.index + 1 }}/24"
[group.spare]
rekey = "{{ host.name }} of the spare ones"
[[host]]
name = "h1"
[[host]]
name = "h2"
group = "spare"
[[host]]
name = "h3"
rekey = false
"#;

fn batch(folder: &Path, more: &[&str]) -> Ran {
    let (image, modules) = (fixture("openwrt-mini-ib-ext4-combined-efi.img.gz"), fixture_modules());
    let mut arguments = vec!["batch", image.to_str().unwrap(), "--hosts", "hosts.toml", "-o", "out"];
    arguments.extend(["--modules", modules.to_str().unwrap()]);
    arguments.extend(more);
    ibwrt(folder, arguments)
}

#[test]
fn hosts_of_a_batch_get_the_identifiers_of_a_patch_by_their_names_or_by_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hosts.toml"), HOSTS.replace("[group.spare]", "rekey = true\n[group.spare]"))
        .unwrap();
    batch(folder.path(), &[]).expect_status(0);
    let image = fixture("openwrt-mini-ib-ext4-combined-efi.img.gz");
    let seeds: [&[&str]; 3] = [&["--rekey", "h1"], &["--rekey", "h2 of the spare ones"], &[]];
    let report: Value = serde_json::from_slice(&std::fs::read(folder.path().join("out/report.json")).unwrap()).unwrap();
    for (number, seed) in seeds.into_iter().enumerate() {
        let name = format!("h{}", number + 1);
        let mut job = Job::connectx3(&image, &fixture_modules());
        job.wishes.pop();
        job.wishes.push(format!("ipoib.address=10.10.0.{}/24", number + 1));
        let arguments = [seed, &["--hostname", &name, "-o", "patched.img.gz", "-f", "-q"]].concat();
        job.patch(folder.path(), &image, &arguments).expect_status(0);
        let [made, patched] = [format!("out/{name}.img.gz"), "patched.img.gz".to_owned()]
            .map(|path| std::fs::read(folder.path().join(path)).unwrap());
        assert!(made == patched, "{name} differs from a patch");
        std::fs::write(folder.path().join("raw"), raw_disk(&folder.path().join(format!("out/{name}.img.gz")))).unwrap();
        let guid = report["hosts"][number]["disk_guid"].as_str();
        assert_eq!(guid.unwrap_or(&format!("{GUID}00")), identifiers(&folder.path().join("raw")).0);
    }
    let first = sha256(&std::fs::read(folder.path().join("out/h1.img.gz")).unwrap());
    // On the command line it is wished for every host, whatever a host says, but not of which text.
    std::fs::write(folder.path().join("hosts.toml"), HOSTS).unwrap();
    batch(folder.path(), &["--rekey"]).expect_status(0);
    assert_eq!(sha256(&std::fs::read(folder.path().join("out/h1.img.gz")).unwrap()), first);
    let report: Value = serde_json::from_slice(&std::fs::read(folder.path().join("out/report.json")).unwrap()).unwrap();
    let kept: Vec<bool> =
        report["hosts"].as_array().unwrap().iter().map(|host| host["run"]["kept"].as_bool().unwrap()).collect();
    assert_eq!(kept, [true, true, false], "only h3 has others than before");
    assert!(report["hosts"][2]["disk_guid"].is_string());
}
