//! Roots made by mksquashfs, and what unsquashfs sees in an image.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::filesystem::tests::support::{EPOCH, Scratch, bytes_of, noise, printed, volume};
use crate::filesystem::{Filesystem, open};

/// What unsquashfs says of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::filesystem) struct Seen {
    /// Type, permissions, owner and size or device number, as `unsquashfs -lln` lists them, and a symlink's target.
    pub(in crate::filesystem) listed: String,
    /// Seconds since 1970, as extracted. Directories, files and symlinks only.
    pub(in crate::filesystem) time: i64,
    /// Names of the same file.
    pub(in crate::filesystem) names: u64,
    /// Digest of a regular file.
    pub(in crate::filesystem) content: Option<[u8; 32]>,
}

impl Seen {
    /// The permissions, of a listing such as `-rwsr-xr-x`.
    pub(in crate::filesystem) fn mode(&self) -> u16 {
        let letters: Vec<char> = self.listed.chars().take(10).collect();
        let bits = |triple: usize| {
            let [read, write, run] = [1, 2, 3].map(|place| letters[triple * 3 + place]);
            let special = u16::from("sStT".contains(run)) << (11 - triple);
            let plain = u16::from(read == 'r') << 2 | u16::from(write == 'w') << 1 | u16::from("xst".contains(run));
            special | plain << (6 - triple * 3)
        };
        bits(0) | bits(1) | bits(2)
    }
}

/// The tree that unsquashfs sees in `image`.
pub(in crate::filesystem) fn seen(image: &[u8]) -> BTreeMap<String, Seen> {
    let scratch = Scratch::new();
    let (file, tree) = (scratch.path("image"), scratch.path("tree"));
    std::fs::write(&file, used(image)).unwrap();
    let (file, tree) = (file.to_str().unwrap(), tree.to_str().unwrap());
    printed("unsquashfs", &["-no-progress", "-no-exit-code", "-d", tree, file]);
    let listing = printed("unsquashfs", &["-no-progress", "-lln", "-d", "", file]);
    let mut found = BTreeMap::new();
    for line in listing.lines().filter(|line| line.len() > 10 && line.as_bytes()[10] == b' ') {
        let (listed, path) = cut(line);
        let on_disk = std::fs::symlink_metadata(format!("{tree}{path}"));
        let regular = listed.starts_with('-');
        let content = regular.then(|| Sha256::digest(std::fs::read(format!("{tree}{path}")).unwrap()).into());
        let (time, names) = match on_disk {
            Ok(data) if data.file_type().is_char_device() || data.file_type().is_block_device() => (0, data.nlink()),
            Ok(data) => (data.mtime(), if data.is_dir() { 1 } else { data.nlink() }),
            Err(_) => (0, 1),
        };
        found.insert(path, Seen { listed, time, names, content });
    }
    found
}

/// A line of `unsquashfs -lln` without its date, and the path.
fn cut(line: &str) -> (String, String) {
    let is_date = |at: &usize| {
        let date = line.as_bytes().get(*at..*at + 18).unwrap_or_default();
        let fits = |(byte, form): (&u8, &u8)| byte == form || form == &b'0' && byte.is_ascii_digit();
        date.len() == 18 && date.iter().zip(b" 0000-00-00 00:00 ").all(fits)
    };
    let at = (0..line.len()).find(is_date).unwrap_or_else(|| panic!("no date in {line:?}"));
    let (head, path) = (line.split_at(at).0, line.split_at(at + 18).1);
    let (path, target) = path.split_once(" -> ").unwrap_or((path, ""));
    let path = if path.is_empty() { "/" } else { path };
    let mut words: Vec<_> = head.split_whitespace().collect();
    if line.starts_with('d') {
        // The length of its listing, which depends on how inodes lie.
        words.pop();
    }
    (format!("{} {target}", words.join(" ")), path.to_owned())
}

/// `image` up to the end of the filesystem, which unsquashfs must not need more than.
pub(super) fn used(image: &[u8]) -> &[u8] {
    &image[..u64::from_le_bytes(image[40..48].try_into().unwrap()) as usize]
}

/// Fails unless what unsquashfs sees in `after`, which is given back, is what it sees in `before` but for `edit`.
pub(super) fn assert_seen(
    before: &[u8],
    after: &[u8],
    edit: impl FnOnce(&mut BTreeMap<String, Seen>),
    what: &str,
) -> BTreeMap<String, Seen> {
    let mut expected = seen(before);
    edit(&mut expected);
    let found = seen(after);
    let paths = |tree: &BTreeMap<String, Seen>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(paths(&found), paths(&expected), "{what}");
    for (path, expected) in expected {
        assert_eq!(found[&path], expected, "{what}: {path}");
    }
    found
}

/// A new file as unsquashfs sees it.
pub(super) fn file(content: &[u8], mode: &str, owner: &str) -> Seen {
    let listed = format!("{mode} {owner} {} ", content.len());
    Seen { listed, time: EPOCH as i64, names: 1, content: Some(Sha256::digest(content).into()) }
}

/// The image after `edit`.
pub(super) fn edited(image: &[u8], edit: impl FnOnce(&mut dyn Filesystem)) -> Vec<u8> {
    let mut filesystem = open(volume(image), EPOCH).unwrap();
    edit(&mut *filesystem);
    let after = filesystem.finish().unwrap();
    assert_eq!(super::super::problems(&after).unwrap(), Vec::<String>::new());
    bytes_of(&after)
}

/// A tree with what a root filesystem may hold: files of all lengths, hard links, a sparse file, long symlinks and a
/// directory of a thousand files.
pub(super) fn source(folder: &Path, block: usize) {
    let make = |path: &str, content: &[u8]| std::fs::write(folder.join(path), content).unwrap();
    for directory in ["etc/config", "lib/modules", "many", "empty", "deep/er/and/deeper"] {
        std::fs::create_dir_all(folder.join(directory)).unwrap();
    }
    make("etc/config/network", b"config interface 'lan'\n");
    make("etc/banner", &b"OpenWrt ".repeat(700));
    make("etc/nothing", b"");
    make("lib/modules/noise.ko", &noise(1, block * 2 + 77));
    make("lib/modules/even.ko", &b"0123456789abcdef".repeat(block / 8));
    make("lib/modules/one-more.ko", &[7; 4097].repeat(block / 4096 + 1));
    let mut sparse = vec![0; block * 3 + 5];
    sparse[block * 2] = 1;
    make("deep/er/sparse", &sparse);
    make("deep/er/zeroes", &vec![0; block * 2]);
    for number in 0..1000 {
        make(&format!("many/a file with the number {number}"), format!("content {number}\n").as_bytes());
    }
    std::fs::hard_link(folder.join("etc/banner"), folder.join("deep/er/banner")).unwrap();
    std::fs::hard_link(folder.join("lib/modules/even.ko"), folder.join("lib/modules/odd.ko")).unwrap();
    symlink("config/network", folder.join("etc/network")).unwrap();
    symlink("long/".repeat(700), folder.join("deep/long")).unwrap();
}

/// Pseudo files for mksquashfs: devices, a FIFO, a socket, owners, modes.
pub(super) const SPECIAL: [&str; 14] = [
    "-p",
    "/dev d 755 0 0",
    "-p",
    "/dev/console c 600 0 5 5 1",
    "-p",
    "/dev/disk b 640 0 6 259 300",
    "-p",
    "/etc/config/network m 4750 1000 70000",
    "-p",
    "/empty m 1777 12 13",
    "-p",
    "/empty/pipe i 640 3 4 f",
    "-p",
    "/empty/socket i 600 0 0 s",
];

/// What `mksquashfs` makes of [`source`], in a partition of `mebibytes` MiB.
pub(super) fn mksquashfs(options: &[&str], block: usize, mebibytes: usize) -> Vec<u8> {
    let scratch = Scratch::new();
    let folder = scratch.path("root");
    std::fs::create_dir(&folder).unwrap();
    source(&folder, block);
    mksquashfs_of(&folder, &[&SPECIAL, options].concat(), block, mebibytes)
}

/// What `mksquashfs` makes of `folder`.
pub(in crate::filesystem) fn mksquashfs_of(folder: &Path, options: &[&str], block: usize, mebibytes: usize) -> Vec<u8> {
    let scratch = Scratch::new();
    let image = scratch.path("image");
    let block = block.to_string();
    let mut all = vec![folder.to_str().unwrap(), image.to_str().unwrap(), "-quiet", "-no-progress", "-nopad"];
    all.extend(["-b", &block]);
    all.extend(options);
    let output =
        crate::filesystem::tests::support::run("env", &[&["-u", "SOURCE_DATE_EPOCH", "mksquashfs"], &all[..]].concat());
    assert!(output.status.success(), "{all:?}: {}", String::from_utf8_lossy(&output.stderr));
    let mut bytes = std::fs::read(image).unwrap();
    assert!(bytes.len() <= mebibytes << 20, "{} bytes", bytes.len());
    bytes.resize(mebibytes << 20, 0);
    bytes
}

/// What `unsquashfs -s` says, without lengths and counts.
pub(super) fn summary(image: &[u8]) -> Vec<String> {
    let scratch = Scratch::new();
    let path = scratch.path("image");
    std::fs::write(&path, used(image)).unwrap();
    let said = printed("unsquashfs", &["-s", path.to_str().unwrap()]);
    let counts = ["Filesystem size", "Number of", "Found a valid"];
    let stays = |line: &&str| !counts.iter().any(|start| line.starts_with(start));
    said.lines().filter(stays).map(str::to_owned).collect()
}
