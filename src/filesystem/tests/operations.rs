//! Random edits, the same for the same seed, for every filesystem that can be edited.

use std::collections::BTreeMap;

use super::support::{Random, noise};
use crate::filesystem::{Attributes, Filesystem};

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::filesystem) enum Body {
    File(Vec<u8>),
    Directory,
    Symlink(String),
}

/// One edit.
#[derive(Debug, Clone)]
pub(in crate::filesystem) enum Operation {
    Put(String, Body, Attributes),
    SetAttributes(String, Attributes),
    Remove(String),
}

impl Operation {
    /// Carries it out.
    pub(in crate::filesystem) fn carry_out(&self, filesystem: &mut dyn Filesystem) {
        let done = match self {
            Self::Put(path, Body::File(bytes), attributes) => filesystem.write(path, bytes, *attributes),
            Self::Put(path, Body::Directory, attributes) => filesystem.make_directory(path, *attributes),
            Self::Put(path, Body::Symlink(target), _) => filesystem.symlink(path, target),
            Self::SetAttributes(path, attributes) => filesystem.set_attributes(path, *attributes),
            Self::Remove(path) => filesystem.remove(path),
        };
        done.unwrap_or_else(|error| panic!("{self:?}: {error}"));
    }
}

/// The tree as it is after the edits so far.
pub(in crate::filesystem) type Model = BTreeMap<String, (Body, Attributes)>;

/// The seed from the environment variable `IBWRT_SEED`, else `default`; printed.
pub(in crate::filesystem) fn seeded(default: u64) -> Random {
    let seed = std::env::var("IBWRT_SEED").map_or(default, |seed| seed.parse().unwrap());
    println!("IBWRT_SEED={seed}");
    Random(seed)
}

/// The next edit that is possible, after which `model` is the tree; contents are up to four blocks of `block` bytes.
pub(in crate::filesystem) fn next(model: &mut Model, random: &mut Random, block: usize) -> Operation {
    loop {
        let attributes = Attributes {
            mode: random.below(0o10000) as u16,
            uid: random.below(5) as u32,
            gid: random.next() as u32 % 3,
        };
        let parent = match random.below(3) {
            0 => String::new(),
            _ => pick(model, random, |body| *body == Body::Directory).unwrap_or_default(),
        };
        let path = format!("{parent}/{}", random.below(40));
        let is_directory = matches!(model.get(&path), Some((Body::Directory, _)));
        let operation = match random.below(12) {
            0..=4 if !is_directory => Operation::Put(path, Body::File(content(random, block)), attributes),
            5 | 6 if !model.contains_key(&path) => Operation::Put(path, Body::Directory, attributes),
            7 if !is_directory => {
                let target = "../elsewhere/".repeat(random.below(10)) + "x";
                Operation::Put(path, Body::Symlink(target), Attributes::root(0o777))
            }
            8 | 9 => match pick(model, random, |body| !matches!(body, Body::Symlink(_))) {
                Some(path) => Operation::SetAttributes(path, attributes),
                None => continue,
            },
            10 | 11 => match pick(model, random, |_| true) {
                Some(path) if !model.keys().any(|other| other.starts_with(&format!("{path}/"))) => {
                    Operation::Remove(path)
                }
                _ => continue,
            },
            _ => continue,
        };
        match &operation {
            Operation::Put(path, body, attributes) => {
                model.insert(path.clone(), (body.clone(), *attributes));
            }
            Operation::SetAttributes(path, attributes) => model.get_mut(path).unwrap().1 = *attributes,
            Operation::Remove(path) => {
                model.remove(path).unwrap();
            }
        }
        return operation;
    }
}

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

fn pick(model: &Model, random: &mut Random, is_wanted: impl Fn(&Body) -> bool) -> Option<String> {
    let all: Vec<_> = model.iter().filter(|(_, (body, _))| is_wanted(body)).collect();
    (!all.is_empty()).then(|| all[random.below(all.len())].0.clone())
}
