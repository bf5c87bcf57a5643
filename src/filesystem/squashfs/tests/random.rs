//! Random edits against a model.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::support::{mksquashfs_of, seen};
use crate::filesystem::tests::support::{EPOCH, Random, Scratch, bytes_of, noise, volume};
use crate::filesystem::{Attributes, Filesystem, open, problems};
use sha2::{Digest, Sha256};

/// Content of a file (`Some`) or a directory (`None`), with mode and owner.
type Model = BTreeMap<String, (Option<Vec<u8>>, Attributes)>;

fn content(random: &mut Random, block: usize) -> Vec<u8> {
    let length = match random.below(6) {
        0 => 0,
        1 => block,
        2 => block * 3,
        3 => random.below(block * 4),
        _ => random.below(200),
    };
    match random.below(3) {
        0 => noise(random.next(), length),
        1 => vec![0; length],
        _ => b"a line of text\n".iter().copied().cycle().take(length).collect(),
    }
}

fn pick(model: &Model, random: &mut Random, directory: bool) -> Option<String> {
    let all: Vec<_> = model.iter().filter(|(_, (content, _))| content.is_none() == directory).collect();
    (!all.is_empty()).then(|| all[random.below(all.len())].0.clone())
}

fn step(filesystem: &mut dyn Filesystem, model: &mut Model, random: &mut Random, block: usize) {
    let attributes =
        Attributes { mode: random.below(0o10000) as u16, uid: random.below(5) as u32, gid: random.next() as u32 % 3 };
    let parent = match random.below(3) {
        0 => String::new(),
        _ => pick(model, random, true).unwrap_or_default(),
    };
    let path = format!("{parent}/{}", random.below(40));
    match random.below(10) {
        0..=4 => {
            if model.get(&path).is_some_and(|(content, _)| content.is_none()) {
                return;
            }
            let bytes = content(random, block);
            filesystem.write(&path, &bytes, attributes).unwrap();
            model.insert(path, (Some(bytes), attributes));
        }
        5 | 6 => {
            if let Entry::Vacant(vacant) = model.entry(path) {
                filesystem.make_directory(vacant.key(), attributes).unwrap();
                vacant.insert((None, attributes));
            }
        }
        7 => {
            if let Some((_, old)) = model.get_mut(&path) {
                filesystem.set_attributes(&path, attributes).unwrap();
                *old = attributes;
            }
        }
        _ => {
            let Some(path) = pick(model, random, false) else { return };
            filesystem.remove(&path).unwrap();
            model.remove(&path);
        }
    }
}

fn compare(filesystem: &mut dyn Filesystem, model: &Model) {
    for (path, (content, attributes)) in model {
        let found = filesystem.metadata(path).unwrap().unwrap();
        assert_eq!(found.attributes, *attributes, "{path}");
        if let Some(content) = content {
            assert!(filesystem.read(path).unwrap() == *content, "{path}");
        }
    }
}

#[test]
fn random_edits_end_in_the_tree_of_the_model() {
    let seed = std::env::var("IBWRT_SEED").map_or(20_260_101, |seed| seed.parse().unwrap());
    println!("IBWRT_SEED={seed}");
    let mut random = Random(seed);
    let compressors = [("gzip", 4096), ("xz", 16_384), ("lz4", 8192), ("zstd", 4096)];
    for (compressor, block) in compressors {
        let scratch = Scratch::new();
        let folder = scratch.path("root");
        std::fs::create_dir(&folder).unwrap();
        let mut image = mksquashfs_of(&folder, &["-comp", compressor], block, 16);
        let mut model = Model::new();
        for _ in 0..5 {
            let mut filesystem = open(volume(&image), EPOCH).unwrap();
            for _ in 0..60 {
                step(&mut *filesystem, &mut model, &mut random, block);
            }
            compare(&mut *filesystem, &model);
            let after = filesystem.finish().unwrap();
            assert_eq!(problems(&after).unwrap(), Vec::<String>::new());
            image = bytes_of(&after);
            compare(&mut *open(after, EPOCH).unwrap(), &model);
        }
        let mut theirs = seen(&image);
        theirs.remove("/").unwrap();
        assert!(theirs.keys().eq(model.keys()), "{compressor}: {:?} {:?}", theirs.keys(), model.keys());
        for (path, (content, attributes)) in &model {
            let digest = content.as_ref().map(|bytes| <[u8; 32]>::from(Sha256::digest(bytes)));
            assert_eq!(theirs[path].content, digest, "{compressor}: {path}");
            let owner = format!(" {}/{} ", attributes.uid, attributes.gid);
            assert!(theirs[path].listed.contains(&owner), "{compressor}: {path}");
        }
    }
}
