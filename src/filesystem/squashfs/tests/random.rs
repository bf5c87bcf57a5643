//! Random edits against a model.

use super::support::{mksquashfs_of, seen};
use crate::filesystem::tests::operations::{Body, Model, next, seeded};
use crate::filesystem::tests::support::{EPOCH, Scratch, bytes_of, volume};
use crate::filesystem::{Filesystem, open, problems};
use sha2::{Digest, Sha256};

fn compare(filesystem: &mut dyn Filesystem, model: &Model) {
    for (path, (body, attributes)) in model {
        let found = filesystem.metadata(path).unwrap().unwrap();
        assert_eq!(found.attributes, *attributes, "{path}");
        match body {
            Body::File(content) => assert!(filesystem.read(path).unwrap() == *content, "{path}"),
            Body::Symlink(target) => assert_eq!(found.link_target.as_ref(), Some(target), "{path}"),
            Body::Directory => {}
        }
    }
}

#[test]
fn random_edits_end_in_the_tree_of_the_model() {
    let mut random = seeded(20_260_101);
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
                next(&mut model, &mut random, block).carry_out(&mut *filesystem);
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
        for (path, (body, attributes)) in &model {
            let owner = format!(" {}/{} ", attributes.uid, attributes.gid);
            assert!(theirs[path].listed.contains(&owner), "{compressor}: {path}");
            match body {
                Body::File(content) => {
                    let digest = Some(Sha256::digest(content).into());
                    assert_eq!(theirs[path].content, digest, "{compressor}: {path}");
                }
                Body::Symlink(target) => assert!(theirs[path].listed.ends_with(&format!(" {target}")), "{path}"),
                Body::Directory => {}
            }
        }
    }
}
