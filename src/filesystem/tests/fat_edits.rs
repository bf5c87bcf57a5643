//! Edits of OpenWrt's FAT boot partition and of other FAT volumes, judged by fsck.fat and mtools.

use std::fs;

use super::support::{EPOCH, Random, Scratch, bytes_of, noise, partition, printed, run, tree, tree_of, volume};
use crate::error::ErrorKind;
use crate::filesystem::{Attributes, FileType, Kind, detect, open, problems};

const EFI: &[&str] = &[
    "openwrt-mini-ib-ext4-combined-efi.img.gz",
    "openwrt-mini-stock-ext4-combined-efi.img.gz",
    "openwrt-mini-ib-squashfs-combined-efi.img.gz",
];
const FILE: Attributes = Attributes::root(0o644);

/// What `fsck.fat -n` says, without the counts of files and clusters.
fn fsck(bytes: &[u8]) -> (Option<i32>, String) {
    let scratch = Scratch::new();
    let image = scratch.path("image");
    fs::write(&image, bytes).unwrap();
    let output = run("fsck.fat", &["-n", image.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stdout);
    (output.status.code(), text.lines().filter(|line| !line.contains(" files, ")).collect::<Vec<_>>().join("\n"))
}

fn mtools(bytes: &[u8], program: &str, arguments: &[&str]) -> Vec<u8> {
    let scratch = Scratch::new();
    let image = scratch.path("image");
    fs::write(&image, bytes).unwrap();
    let mut all = vec!["-i", image.to_str().unwrap()];
    all.extend(arguments);
    let output = run(program, &all);
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn mkfs(arguments: &[&str], sectors: &str) -> Vec<u8> {
    let scratch = Scratch::new();
    let image = scratch.path("image");
    let mut all = vec!["--invariant", "-n", "kernel", "-C"];
    all.extend(arguments);
    all.extend([image.to_str().unwrap(), sectors]);
    printed("mkfs.fat", &all);
    fs::read(image).unwrap()
}

fn edit(bytes: &[u8]) -> Vec<u8> {
    let mut filesystem = open(volume(bytes), EPOCH).unwrap();
    filesystem.make_directory("/extra", Attributes::root(0o755)).unwrap();
    filesystem.make_directory("/extra/A long directory name", Attributes::root(0o755)).unwrap();
    filesystem.write("/extra/A long directory name/vmlinuz.new", &noise(1, 100_000), FILE).unwrap();
    filesystem.write("/extra/empty", b"", FILE).unwrap();
    filesystem.write("/extra/again.cfg", &noise(2, 50_000), FILE).unwrap();
    filesystem.write("/extra/AGAIN.CFG", b"set timeout=1\n", FILE).unwrap();
    filesystem.write("/extra/gone", &noise(3, 5000), FILE).unwrap();
    filesystem.remove("/extra/gone").unwrap();
    bytes_of(&filesystem.finish().unwrap())
}

#[test]
fn the_boot_partition_takes_edits_and_fsck_says_no_more_than_before() {
    for fixture in EFI {
        let before = partition(fixture, 1);
        assert_eq!(detect(&volume(&before)).unwrap(), Kind::Fat);
        assert_eq!(problems(&volume(&before)).unwrap(), Vec::<String>::new());
        let after = edit(&before);
        assert!(edit(&before) == after, "two runs differ");
        assert_eq!(fsck(&after), fsck(&before));
        assert_eq!(problems(&volume(&after)).unwrap(), Vec::<String>::new());
        let (old, mut new) = (tree_of(&before), tree_of(&after));
        assert!(old.contains_key("/boot/vmlinuz") && old.contains_key("/efi/boot/bootx64.efi"));
        new.retain(|path, _| !path.starts_with("/extra"));
        assert!(old == new, "an untouched file changed");
        let read = mtools(&after, "mtype", &["::/extra/A long directory name/vmlinuz.new"]);
        assert!(read == noise(1, 100_000));
        assert_eq!(mtools(&after, "mtype", &["::/extra/again.cfg"]), b"set timeout=1\n");
        assert_eq!(&after[0x2B..0x36], b"kernel     ", "the label in the boot sector");
        assert_eq!(before[..512], after[..512]);
        let listed = String::from_utf8(mtools(&after, "mdir", &["::/extra"])).unwrap();
        assert!(listed.contains("2024-02-03   4:05"), "{listed}");
        assert!(String::from_utf8(mtools(&after, "mlabel", &["-s", "::"])).unwrap().contains("kernel"));
    }
}

#[test]
fn every_width_of_table_takes_random_edits() {
    let kinds: [(&[&str], &str); 5] = [
        (&["-S", "512"], "16384"),
        (&["-F", "12"], "2880"),
        (&["-F", "16", "-s", "1"], "16384"),
        (&["-F", "32", "-s", "1"], "40000"),
        (&["-F", "16", "-S", "2048"], "65536"),
    ];
    for (number, (arguments, sectors)) in kinds.into_iter().enumerate() {
        let seed = 0xFA7_0000 + number as u64;
        println!("seed {seed:#x}, mkfs.fat {arguments:?} {sectors}");
        let before = mkfs(arguments, sectors);
        let mut filesystem = open(volume(&before), EPOCH).unwrap();
        let mut random = Random(seed);
        let mut expected = std::collections::BTreeMap::new();
        for step in 0..120 {
            let file = random.below(25);
            let path = format!("/File number {file} {}", "x".repeat(1 + file % 9));
            if random.below(4) == 0 && expected.remove(&path).is_some() {
                filesystem.remove(&path).unwrap();
            } else {
                let content = noise(step, random.below(30_000));
                filesystem.write(&path, &content, FILE).unwrap();
                expected.insert(path, content);
            }
        }
        let after = bytes_of(&filesystem.finish().unwrap());
        assert_eq!(fsck(&after), fsck(&before), "seed {seed:#x}");
        assert_eq!(problems(&volume(&after)).unwrap(), Vec::<String>::new());
        let mut filesystem = open(volume(&after), EPOCH).unwrap();
        let names: Vec<String> = filesystem.list("/").unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, expected.keys().map(|path| path.replace('/', "")).collect::<Vec<_>>());
        for (path, content) in expected {
            assert!(filesystem.read(&path).unwrap() == content, "{path}");
        }
    }
}

#[test]
fn reading_changes_no_byte() {
    for bytes in [partition(EFI[0], 1), mkfs(&["-F", "32"], "80000")] {
        let mut filesystem = open(volume(&bytes), EPOCH).unwrap();
        tree(&mut *filesystem);
        filesystem.space().unwrap();
        assert!(filesystem.finish().unwrap().into_disk().is_unchanged());
    }
}

#[test]
fn what_fat_cannot_hold_is_refused() {
    let mut filesystem = open(volume(&mkfs(&[], "2880")), EPOCH).unwrap();
    let error = filesystem.symlink("/l", "t").unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Unsupported, "/l: FAT has no symlinks"));
    assert_eq!(filesystem.set_attributes("/", FILE).unwrap_err().kind(), ErrorKind::Unsupported);
    let full = (0..600).find_map(|number| filesystem.write(&format!("/{number}"), b"", FILE).err()).unwrap();
    assert_eq!((full.kind(), full.message()), (ErrorKind::Usage, "the root directory has no room for another name"));
    let mut filesystem = open(volume(&mkfs(&[], "2880")), EPOCH).unwrap();
    let error = filesystem.write("/big", &noise(1, 3_000_000), FILE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.message().starts_with("no room for /big (3000000 bytes): it needs up to "), "{error}");
    assert_eq!(filesystem.write("/no/file", b"", FILE).unwrap_err().to_string(), "/no/file: there is no directory /no");
    let error = filesystem.write("/a:b", b"", FILE).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Usage, "/a:b: \"a:b\" cannot be a name on FAT"));
    filesystem.make_directory("/d", FILE).unwrap();
    filesystem.write("/d/f", b"f", FILE).unwrap();
    assert_eq!(filesystem.remove("/d").unwrap_err().to_string(), "/d: the directory is not empty");
    assert_eq!(filesystem.write("/d", b"", FILE).unwrap_err().to_string(), "/d: a directory has that name");
    assert_eq!(filesystem.metadata("/D/F").unwrap().unwrap().file_type, FileType::Regular);
}

#[test]
fn damage_is_named_or_survived() {
    let sound = mkfs(&["-F", "16"], "16384");
    let mut filesystem = open(volume(&sound), EPOCH).unwrap();
    filesystem.write("/file", &noise(1, 20_000), FILE).unwrap();
    let sound = bytes_of(&filesystem.finish().unwrap());
    let table = 512 * usize::from(u16::from_le_bytes([sound[0x0E], sound[0x0F]]));
    let with = |at: usize, bytes: &[u8]| {
        let mut damaged = sound.clone();
        damaged[at..at + bytes.len()].copy_from_slice(bytes);
        volume(&damaged)
    };
    let looping = with(table + 2 * 4, &[2, 0]);
    let error = open(looping.clone(), EPOCH).err().unwrap();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::Corrupt, "the FAT chain through cluster 2 comes back to itself")
    );
    let found = problems(&looping).unwrap();
    assert_eq!(found[0], "FAT 1 differs from FAT 0 from byte 8 on");
    assert_eq!(found.len(), 2);
    let huge = with(0x13, &[0xFF, 0xFF]);
    let error = open(huge, EPOCH).err().unwrap();
    assert_eq!(error.message(), "65535 sectors of 512 bytes do not fit in a partition of 16777216 bytes");
    let base = volume(&sound);
    for seed in 0..300 {
        let mut random = Random(seed);
        let mut damaged = base.clone();
        for _ in 0..1 + random.below(20) {
            damaged.write_at(random.below(table + 40_000) as u64, &[random.next() as u8]).unwrap();
        }
        let _ = problems(&damaged);
        let Ok(mut filesystem) = open(damaged, EPOCH) else { continue };
        let _ = filesystem.read("/file");
        let _ = filesystem.write("/file", &noise(seed, 10_000), FILE);
        let _ = filesystem.finish();
    }
}
