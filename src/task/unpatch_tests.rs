//! Random recipes one after another on a tree that stays in memory, and the way back.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::filesystem::{Attributes, Directory, FileType, Metadata};
use crate::openwrt::Tree;
use crate::plan::{Content, FileWish, LineWish};

use super::super::history::Earlier;
use super::super::medium::Medium;
use super::super::scene::Scene;
use super::super::shelf::Shelf;
use super::super::unpacked::UnpackedKernels;

/// Paths that recipes want: files that are there, of which two are one, a symlink, and new ones at several depths.
const PATHS: [&str; 9] = [
    "/etc/banner",
    "/etc/one",
    "/etc/two",
    "/etc/link",
    "/etc/new",
    "/srv/a/b/c",
    "/srv/a/d",
    "/usr/lib/opkg/status",
    "/etc/ibwrt/mine",
];

/// A small system in `folder`.
fn system(folder: &Path) -> Directory {
    let file = |path: &str, text: &str, mode: u32| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    };
    file("etc/openwrt_release", "DISTRIB_TARGET='x86/64'\nDISTRIB_ARCH='x86_64'\n", 0o644);
    file("etc/banner", "stock\n", 0o644);
    file("etc/shadow", "root:::0:99999:7:::\n", 0o600);
    file("etc/one", "shared\n", 0o640);
    std::fs::hard_link(folder.join("etc/one"), folder.join("etc/two")).unwrap();
    symlink("../tmp/resolv", folder.join("etc/link")).unwrap();
    std::fs::create_dir_all(folder.join("lib/modules/6.12.117")).unwrap();
    Directory::open(folder).unwrap()
}

fn opened(medium: Medium) -> Opened {
    let (scene, shelf) = (Scene::survey(medium, None), Shelf::default());
    let earlier = Earlier::find(&scene, Changes::Keep, &shelf).unwrap().map(Arc::new);
    let (path, unpacked, remarks) = ("root".into(), UnpackedKernels::default(), Vec::new());
    Opened { path, scene, unpacked, shelf, earlier, remarks }
}

type Dump = BTreeMap<String, (Metadata, Vec<u8>, Vec<String>)>;

/// Everything in the tree: metadata, contents, and which names are one file's.
fn dump(opened: &Opened) -> Dump {
    let root = opened.scene.root.as_ref().unwrap();
    let mut root = opened.scene.medium.filesystem(root).unwrap();
    let tree = Tree::walk(root.as_mut()).unwrap();
    let entry = |(path, node): (String, crate::openwrt::Node)| {
        let is_file = node.metadata.file_type == FileType::Regular;
        let content = if is_file { root.read(&path).unwrap() } else { Vec::new() };
        let others = if is_file { root.other_names(&path).unwrap() } else { Vec::new() };
        (path, (node.metadata, content, others))
    };
    tree.nodes.into_iter().map(entry).collect()
}

/// What `wished` makes of `opened`; `None` when it contradicts itself.
fn patched(before: &Opened, wished: &Wished) -> Option<Opened> {
    let planned = steps::planned(before, wished, false).ok()?;
    Some(opened(steps::carried_out(before, &planned, 0).unwrap()))
}

fn unpatched(before: &Opened) -> Opened {
    let earlier = before.earlier.clone().unwrap();
    assert_eq!(earlier.past.changed, [], "nobody changed anything");
    let planned = planned(before, &earlier.past, &nothing(&UnpatchRequest::default())).unwrap();
    opened(steps::carried_out(before, &planned, 0).unwrap())
}

fn wish() -> impl Strategy<Value = FileWish> {
    let content = prop_oneof![
        "[a-c]{0,2}".prop_map(|text| Content::File(text.into_bytes().into())),
        Just(Content::File(b"shared\n".to_vec().into())),
        Just(Content::Symlink("../tmp/resolv".to_owned())),
        "[ab]".prop_map(Content::Symlink),
    ];
    (prop::sample::select(&PATHS[..]), content, prop::sample::select(vec![0o644, 0o640, 0o4755])).prop_map(
        |(path, content, mode)| FileWish {
            path: path.to_owned(),
            content,
            attributes: Attributes::root(mode),
            reason: "recipe".to_owned(),
            is_certain: true,
            is_own: true,
        },
    )
}

prop_compose! {
    /// A recipe that wishes something.
    fn recipe()(files in prop::collection::vec(wish(), 1..6), line in any::<bool>(), password in any::<bool>()) -> Resolved {
        let mut resolved = Resolved { root_password_hash: password.then(|| "$6$a$b".to_owned()), ..Resolved::default() };
        let mut files = files;
        files.sort_by(|one, other| one.path.cmp(&other.path));
        files.dedup_by(|one, other| one.path == other.path);
        resolved.files = files;
        if line {
            let (path, line) = ("/etc/banner".to_owned(), "a line".to_owned());
            resolved.lines.push(LineWish { path, line, replaces: String::new(), reason: "recipe".to_owned() });
        }
        resolved
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_recipes_come_the_last_one_counts_and_the_way_back_leads_home(first in recipe(), second in recipe()) {
        let [first, second] = [first, second]
            .map(|resolved| Wished { resolved, is_recorded: true, ..nothing(&UnpatchRequest::default()) });
        let folder = tempfile::tempdir().unwrap();
        let original = opened(Medium::Tree(system(folder.path())));
        let home = dump(&original);
        let (Some(one), Some(other)) = (patched(&original, &first), patched(&original, &second)) else {
            return Ok(());
        };
        for patched in [&one, &other] {
            if patched.earlier.is_some() {
                prop_assert_eq!(&dump(&unpatched(patched)), &home);
            } else {
                prop_assert_eq!(&dump(patched), &home);
            }
        }
        let on_top = patched(&one, &second).unwrap();
        prop_assert_eq!(&dump(&on_top), &dump(&other));
        let again = patched(&on_top, &first).unwrap();
        prop_assert_eq!(&dump(&again), &dump(&one));
        let planned = steps::planned(&again, &first, false).unwrap();
        prop_assert_eq!(planned.plan.edits, vec![]);
    }
}
