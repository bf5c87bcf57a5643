//! Images, foreign programs and a whole-tree comparison.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sha2::{Digest, Sha256};

use crate::filesystem::{Attributes, FileType, Filesystem, open};
use crate::image::{DiskBuilder, Volume};

/// 2024-02-03T04:05:06Z.
pub(in crate::filesystem) const EPOCH: u64 = 1_706_933_106;

/// A folder that lives as long as the test.
pub(in crate::filesystem) struct Scratch(tempfile::TempDir);

impl Scratch {
    pub(in crate::filesystem) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(in crate::filesystem) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// The whole of `bytes` as a volume.
pub(in crate::filesystem) fn volume(bytes: &[u8]) -> Volume {
    let mut builder = DiskBuilder::default();
    builder.push(bytes);
    Volume::new(builder.build(), 0, bytes.len() as u64).unwrap()
}

/// The bytes of `volume`.
pub(in crate::filesystem) fn bytes_of(volume: &Volume) -> Vec<u8> {
    let mut bytes = vec![0; volume.length() as usize];
    volume.read_at(0, &mut bytes).unwrap();
    bytes
}

/// The bytes of partition `number` of a fixture: offsets as OpenWrt's ptgen lays them out.
pub(in crate::filesystem) fn partition(fixture: &str, number: usize) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(fixture);
    let mut image = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut image).unwrap();
    let word = |at: usize| u64::from(u32::from_le_bytes(image[at..at + 4].try_into().unwrap()));
    let (first, last) = if &image[512..520] == b"EFI PART" {
        let entry = 1024 + 128 * (number - 1);
        (word(entry + 32), word(entry + 40))
    } else {
        let entry = 446 + 16 * (number - 1);
        (word(entry + 8), word(entry + 8) + word(entry + 12) - 1)
    };
    image[(first * 512) as usize..((last + 1) * 512) as usize].to_vec()
}

/// Runs `program`; it must exist.
pub(in crate::filesystem) fn run(program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap()));
    command.env("MTOOLS_SKIP_CHECK", "1").env("TZ", "UTC").env("SOURCE_DATE_EPOCH", EPOCH.to_string());
    command.output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// What `program` printed; it must succeed.
pub(in crate::filesystem) fn printed(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// A filesystem made by `mke2fs -q -F`; the last argument is its size.
pub(in crate::filesystem) fn mke2fs(arguments: &[&str]) -> Vec<u8> {
    let scratch = Scratch::new();
    let image = scratch.path("image");
    let mut all = vec!["-q", "-F"];
    all.extend(&arguments[..arguments.len() - 1]);
    all.extend([image.to_str().unwrap(), arguments[arguments.len() - 1]]);
    printed("mke2fs", &all);
    std::fs::read(image).unwrap()
}

/// `bytes` after these commands of `debugfs -w`.
pub(in crate::filesystem) fn debugfs(bytes: &[u8], commands: &[&str]) -> Vec<u8> {
    let scratch = Scratch::new();
    let image = scratch.path("image");
    write_sparse(&image, bytes);
    for command in commands {
        printed("debugfs", &["-w", "-R", command, image.to_str().unwrap()]);
    }
    std::fs::read(image).unwrap()
}

/// Writes `bytes` with holes for zeroes: the images are mostly empty.
fn write_sparse(path: &Path, bytes: &[u8]) {
    let mut file = std::fs::File::create(path).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    for (index, chunk) in bytes.chunks(1 << 16).enumerate() {
        if chunk.iter().any(|byte| *byte != 0) {
            file.seek(SeekFrom::Start((index as u64) << 16)).unwrap();
            file.write_all(chunk).unwrap();
        }
    }
}

/// Writes what `volume` holds, with holes where it is zero.
pub(in crate::filesystem) fn write_volume(path: &Path, volume: &Volume) {
    let (length, disk) = (volume.length(), volume.clone().into_disk());
    assert_eq!(length, disk.length(), "the volume is a whole disk");
    let mut file = std::fs::File::create(path).unwrap();
    for page in (0..length.div_ceil(4096)).filter(|page| !disk.is_zero(page * 4096, 4096)) {
        file.seek(SeekFrom::Start(page * 4096)).unwrap();
        file.write_all(disk.page(page).unwrap()).unwrap();
    }
    file.set_len(length).unwrap();
}

/// Exit code and text of `e2fsck -fn`.
pub(in crate::filesystem) fn e2fsck(bytes: &[u8]) -> (i32, String) {
    let scratch = Scratch::new();
    let path = scratch.path("partition");
    write_sparse(&path, bytes);
    let output = run("e2fsck", &["-fn", path.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

/// Fails unless `e2fsck -fn` finds nothing.
pub(in crate::filesystem) fn assert_sound(bytes: &[u8], what: &str) {
    let (code, text) = e2fsck(bytes);
    assert_eq!(code, 0, "{what}: {text}");
}

/// One line of a tree: type, attributes, size and link target or content hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::filesystem) struct Leaf {
    pub(in crate::filesystem) file_type: FileType,
    pub(in crate::filesystem) attributes: Attributes,
    pub(in crate::filesystem) link_target: Option<String>,
    pub(in crate::filesystem) content: Option<Vec<u8>>,
}

/// Every path of `filesystem`.
pub(in crate::filesystem) fn tree(filesystem: &mut dyn Filesystem) -> BTreeMap<String, Leaf> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![String::new()];
    while let Some(directory) = waiting.pop() {
        let listed = if directory.is_empty() { "/" } else { &directory };
        for entry in filesystem.list(listed).unwrap() {
            let path = format!("{directory}/{}", entry.name);
            let metadata = filesystem.metadata(&path).unwrap().unwrap();
            assert_eq!(metadata.file_type, entry.file_type, "{path}");
            let content = (entry.file_type == FileType::Regular)
                .then(|| Sha256::digest(filesystem.read(&path).unwrap()).to_vec());
            if entry.file_type == FileType::Directory {
                waiting.push(path.clone());
            }
            let leaf = Leaf {
                file_type: metadata.file_type,
                attributes: metadata.attributes,
                link_target: metadata.link_target,
                content,
            };
            found.insert(path, leaf);
        }
    }
    found
}

/// The tree in `bytes`.
pub(in crate::filesystem) fn tree_of(bytes: &[u8]) -> BTreeMap<String, Leaf> {
    tree(&mut *open(volume(bytes), EPOCH).unwrap())
}

/// Bytes that look random, the same for the same seed.
pub(in crate::filesystem) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random(seed);
    (0..length).map(|_| random.next() as u8).collect()
}

/// SplitMix64.
pub(in crate::filesystem) struct Random(pub(in crate::filesystem) u64);

impl Random {
    pub(in crate::filesystem) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(in crate::filesystem) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}
