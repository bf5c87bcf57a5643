use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::error::ErrorKind;
use crate::progress::Silent;

const EPOCH: u64 = 1_706_933_106;
const BEFORE: u64 = 1_000_000_000;

/// A small tree in which every file is dated [`BEFORE`].
struct Sample(tempfile::TempDir);

impl Sample {
    fn new() -> Self {
        let sample = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(sample.at("root/etc/config")).unwrap();
        sample.file("etc/config/network", "lan\n", 0o644);
        sample.file("etc/shadow", "root:::\n", 0o600);
        sample.file("bin", "", 0o4755);
        symlink("/tmp/resolv.conf", sample.at("root/etc/resolv.conf")).unwrap();
        sample
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn file(&self, path: &str, content: &str, mode: u32) {
        let path = self.at("root").join(path);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        system::set_time(&path, UNIX_EPOCH + Duration::from_secs(BEFORE)).unwrap();
    }

    fn open(&self) -> Directory {
        Directory::open(&self.at("root")).unwrap()
    }

    fn store(&self, directory: &Directory, to: &str, extent: Extent) -> Stored {
        fs::create_dir(self.at(to)).unwrap();
        directory.store(&self.at(to), extent, EPOCH, &Silent).unwrap()
    }

    /// Every path below `folder`: type and permissions, time, content or target.
    fn listed(&self, folder: &str) -> BTreeMap<PathBuf, (u32, i64, Vec<u8>)> {
        let base = self.at(folder);
        let mut found = BTreeMap::new();
        let mut waiting = vec![base.clone()];
        while let Some(next) = waiting.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                let metadata = fs::symlink_metadata(&path).unwrap();
                let content = if metadata.is_file() {
                    fs::read(&path).unwrap()
                } else if metadata.is_symlink() {
                    fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
                } else {
                    if metadata.is_dir() {
                        waiting.push(path.clone());
                    }
                    Vec::new()
                };
                let key = path.strip_prefix(&base).unwrap().to_owned();
                found.insert(key, (metadata.mode(), metadata.mtime(), content));
            }
        }
        found
    }
}

#[test]
fn edits_show_at_once_and_never_in_the_folder() {
    let sample = Sample::new();
    let before = sample.listed("root");
    let mut tree = sample.open();
    tree.make_directory("/lib", Attributes::root(0o755)).unwrap();
    tree.write("/lib/x.ko", b"module", Attributes::root(0o644)).unwrap();
    tree.write("/etc/config/network", b"wan\n", Attributes::root(0o640)).unwrap();
    tree.symlink("/etc/resolv.conf", "../tmp/other").unwrap();
    tree.set_attributes("/etc/shadow", Attributes::root(0o640)).unwrap();
    tree.remove("/bin").unwrap();
    let names = |tree: &mut Directory, path: &str| {
        tree.list(path).unwrap().into_iter().map(|entry| entry.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&mut tree, "/"), ["etc", "lib"]);
    assert_eq!(names(&mut tree, "/etc"), ["config", "resolv.conf", "shadow"]);
    assert_eq!(tree.read("/etc/config/network").unwrap(), b"wan\n");
    assert_eq!(tree.read("/etc/shadow").unwrap(), b"root:::\n");
    assert_eq!(tree.metadata("/etc/shadow").unwrap().unwrap().attributes, Attributes::root(0o640));
    let link = tree.metadata("/etc/resolv.conf").unwrap().unwrap();
    assert_eq!((link.file_type, link.link_target.as_deref()), (FileType::Symlink, Some("../tmp/other")));
    assert_eq!(sample.listed("root"), before);
}

#[test]
fn what_cannot_be_is_refused_as_on_any_filesystem() {
    let mut tree = Sample::new().open();
    let root = Attributes::root(0o644);
    let said = |result: Result<()>| result.unwrap_err().to_string();
    assert_eq!(said(tree.write("/no/file", b"", root)), "/no/file: there is no directory /no");
    assert_eq!(said(tree.write("/etc/config", b"", root)), "/etc/config: a directory has that name");
    assert_eq!(
        said(tree.write("/etc/resolv.conf/x", b"", root)),
        "/etc/resolv.conf/x: there is no directory /etc/resolv.conf"
    );
    assert_eq!(said(tree.make_directory("/etc", root)), "/etc: something has that name already");
    assert_eq!(said(tree.remove("/etc/config")), "/etc/config: the directory is not empty: it has 1 entries");
    assert_eq!(said(tree.remove("/gone")), "/gone: nothing has that name");
    assert_eq!(said(tree.symlink("/l", "")), "/l: a symlink's target has 1 to 4095 bytes and no NUL, not 0");
    assert!(tree.write("/../x", b"", root).is_err() && tree.remove("/").is_err());
}

#[test]
fn the_whole_tree_is_written_with_new_files_dated_and_old_ones_as_they_were() {
    let sample = Sample::new();
    let mut tree = sample.open();
    tree.make_directory("/lib", Attributes::root(0o711)).unwrap();
    tree.write("/lib/x.ko", b"module", Attributes::root(0o604)).unwrap();
    tree.symlink("/lib/y.ko", "x.ko").unwrap();
    let stored = sample.store(&tree, "out", Extent::Whole);
    assert_eq!((stored.files, stored.directories, stored.bytes), (6, 3, 18));
    let mut expected = sample.listed("root");
    let epoch = i64::try_from(EPOCH).unwrap();
    expected.insert("lib".into(), (0o40711, epoch, Vec::new()));
    expected.insert("lib/x.ko".into(), (0o100604, epoch, b"module".to_vec()));
    expected.insert("lib/y.ko".into(), (0o120777, epoch, b"x.ko".to_vec()));
    assert_eq!(sample.listed("out"), expected);
    assert_ne!(fs::metadata(sample.at("out/bin")).unwrap().ino(), fs::metadata(sample.at("root/bin")).unwrap().ino());
    let empty = Stored { files: 6, directories: 3, bytes: 18, ..Stored::default() };
    assert!(!Directory::can_give_away() || stored == empty, "{stored:?}");
}

#[test]
fn the_changes_alone_are_what_edits_made_and_the_directories_above() {
    let sample = Sample::new();
    fs::set_permissions(sample.at("root/etc"), Permissions::from_mode(0o751)).unwrap();
    let mut tree = sample.open();
    tree.write("/etc/config/ipoib", b"ib0", Attributes::root(0o644)).unwrap();
    tree.set_attributes("/etc/shadow", Attributes::root(0o640)).unwrap();
    tree.remove("/bin").unwrap();
    sample.store(&tree, "out", Extent::Changes);
    let out = sample.listed("out");
    let paths: Vec<&str> = out.keys().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(paths, ["etc", "etc/config", "etc/config/ipoib", "etc/shadow"]);
    assert_eq!((out[Path::new("etc")].0, out[Path::new("etc/shadow")].0), (0o40751, 0o100640));
    assert_eq!(out[Path::new("etc/shadow")].2, b"root:::\n");
}

#[test]
fn no_symlink_is_a_way_out_of_the_folder() {
    let sample = Sample::new();
    fs::create_dir(sample.at("outside")).unwrap();
    fs::write(sample.at("outside/secret"), "x").unwrap();
    symlink(sample.at("outside"), sample.at("root/absolute")).unwrap();
    symlink("../outside", sample.at("root/relative")).unwrap();
    symlink("secret-link", sample.at("root/secret-link")).unwrap();
    let mut tree = sample.open();
    for link in ["absolute", "relative", "secret-link"] {
        assert_eq!(tree.metadata(&format!("/{link}/secret")).unwrap(), None);
        assert!(tree.read(&format!("/{link}/secret")).is_err() && tree.read(&format!("/{link}")).is_err());
        assert!(tree.list(&format!("/{link}")).is_err());
        assert!(tree.write(&format!("/{link}/new"), b"", Attributes::root(0o644)).is_err());
    }
    sample.store(&tree, "out", Extent::Whole);
    assert_eq!(fs::read_link(sample.at("out/relative")).unwrap(), Path::new("../outside"));
    assert_eq!(fs::read_dir(sample.at("outside")).unwrap().count(), 1);
}

#[test]
fn hard_links_stay_links_to_one_another_and_an_edited_name_leaves_them() {
    let sample = Sample::new();
    for name in ["a", "b"] {
        fs::hard_link(sample.at("root/bin"), sample.at("root").join(name)).unwrap();
    }
    let mut tree = sample.open();
    tree.write("/b", b"new", Attributes::root(0o644)).unwrap();
    tree.set_attributes("/a", Attributes::root(0o700)).unwrap();
    sample.store(&tree, "out", Extent::Whole);
    let inode = |path: &str| fs::metadata(sample.at(path)).unwrap();
    assert_eq!(inode("out/a").ino(), inode("out/bin").ino());
    assert_eq!((inode("out/bin").mode() & 0o7777, inode("out/bin").nlink()), (0o700, 2));
    assert_eq!((inode("out/b").nlink(), inode("root/bin").nlink()), (1, 3));
}

#[test]
fn names_that_are_no_text_are_kept_and_cannot_be_opened() {
    let sample = Sample::new();
    let name = OsStr::from_bytes(b"caf\xE9");
    fs::write(sample.at("root").join(name), "x").unwrap();
    fs::write(sample.at("root/two\nlines"), "y").unwrap();
    symlink(OsStr::from_bytes(b"to\xFF"), sample.at("root/link")).unwrap();
    let mut tree = sample.open();
    for entry in tree.list("/").unwrap() {
        let is_text = !entry.name.contains('\u{FFFD}');
        assert_eq!(tree.metadata(&format!("/{}", entry.name)).unwrap().is_some(), is_text, "{entry:?}");
    }
    sample.store(&tree, "out", Extent::Whole);
    assert_eq!(sample.listed("out"), sample.listed("root"));
}

#[test]
fn a_fifo_is_made_anew_and_a_device_only_by_root() {
    let sample = Sample::new();
    system::make_special(&sample.at("root/fifo"), node::Special::Fifo).unwrap();
    // 5:1, /dev/console; an ordinary user has none to copy.
    let console = node::Special::Character(rustix::fs::makedev(5, 1));
    let has_console = system::make_special(&sample.at("root/console"), console).is_ok();
    let tree = sample.open();
    let stored = sample.store(&tree, "out", Extent::Whole);
    assert_eq!(stored.specials, Vec::<String>::new());
    assert_eq!(fs::metadata(sample.at("out/fifo")).unwrap().mode() & 0o170_000, 0o010_000);
    if has_console {
        let [before, after] = ["root/console", "out/console"].map(|path| fs::metadata(sample.at(path)).unwrap());
        assert_eq!((after.rdev(), after.mode()), (before.rdev(), before.mode()));
    }
}

#[test]
fn who_owns_the_folder_stands_for_root() {
    let sample = Sample::new();
    if Directory::can_give_away() {
        for path in ["root", "root/bin", "root/etc", "root/etc/shadow"] {
            system::give(&sample.at(path), 1234, 1235).unwrap();
        }
        system::give(&sample.at("root/etc/config"), 453, 453).unwrap();
    }
    let mut tree = sample.open();
    let owner = |tree: &mut Directory, path: &str| {
        let attributes = tree.metadata(path).unwrap().unwrap().attributes;
        (attributes.uid, attributes.gid)
    };
    assert_eq!(owner(&mut tree, "/etc/shadow"), (0, 0));
    tree.write("/etc/config/ipoib", b"ib0", Attributes::root(0o644)).unwrap();
    tree.write("/etc/config/user", b"x", Attributes { mode: 0o644, uid: 453, gid: 0 }).unwrap();
    let stored = sample.store(&tree, "out", Extent::Whole);
    if !Directory::can_give_away() {
        assert_eq!(stored.owners, ["/etc/config/user (453:0)"]);
        return;
    }
    assert_eq!(owner(&mut tree, "/etc/config"), (453, 453));
    let given = |path: &str| {
        let metadata = fs::metadata(sample.at(path)).unwrap();
        (metadata.uid(), metadata.gid())
    };
    assert_eq!((given("out"), given("out/etc/shadow")), ((1234, 1235), (1234, 1235)));
    assert_eq!((given("out/etc/config"), given("out/etc/config/ipoib")), ((453, 453), (1234, 1235)));
    assert_eq!(given("out/etc/config/user"), (453, 1235));
    assert_eq!(stored.owners, Vec::<String>::new());
}

#[test]
fn extended_attributes_go_along() {
    let sample = Sample::new();
    let set =
        |path: &str| rustix::fs::lsetxattr(sample.at(path), "user.note", b"kept", rustix::fs::XattrFlags::empty());
    if set("root/etc/shadow").is_err() {
        // The filesystem of temporary files has none.
        return;
    }
    set("root/bin").unwrap();
    let mut tree = sample.open();
    tree.write("/bin", b"new", Attributes::root(0o755)).unwrap();
    let stored = sample.store(&tree, "out", Extent::Whole);
    assert_eq!(stored.extended, Vec::<String>::new());
    for path in ["out/etc/shadow", "out/bin"] {
        let mut value = [0; 16];
        let length = rustix::fs::lgetxattr(sample.at(path), "user.note", &mut value[..]).unwrap();
        assert_eq!(&value[..length], b"kept");
    }
}

#[test]
fn a_tree_that_changes_while_it_is_read_is_an_error() {
    let sample = Sample::new();
    let mut tree = sample.open();
    fs::remove_file(sample.at("root/etc/shadow")).unwrap();
    symlink("/etc/hostname", sample.at("root/etc/shadow")).unwrap();
    fs::create_dir(sample.at("out")).unwrap();
    for error in
        [tree.read("/etc/shadow").unwrap_err(), tree.store(&sample.at("out"), Extent::Whole, 0, &Silent).unwrap_err()]
    {
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.message().ends_with("/etc/shadow was replaced while the tree was read"), "{error}");
    }
}

#[test]
fn what_is_no_folder_is_told() {
    let sample = Sample::new();
    for (path, said) in
        [("gone", "there is no folder HERE/gone"), ("root/bin", "HERE/root/bin is a file, not a folder")]
    {
        let error = Directory::open(&sample.at(path)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        let message = error.message().replace(&sample.0.path().display().to_string(), "HERE");
        assert!(message.starts_with(said), "{message}");
    }
    let mut deep = sample.at("root");
    (0..70).for_each(|_| deep.push("d"));
    fs::create_dir_all(deep).unwrap();
    let error = Directory::open(&sample.at("root")).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unsupported, "directories are nested deeper than 64"));
}

#[test]
fn a_file_gets_further_names_and_tells_them() {
    let sample = Sample::new();
    let mut directory = sample.open();
    directory.link("/etc/old", "/etc/shadow").unwrap();
    directory.write("/new", b"shared", Attributes::root(0o644)).unwrap();
    directory.link("/etc/new", "/new").unwrap();
    directory.set_attributes("/etc/new", Attributes::root(0o600)).unwrap();
    assert_eq!(directory.other_names("/etc/old").unwrap(), ["/etc/shadow"]);
    assert_eq!(directory.other_names("/new").unwrap(), ["/etc/new"]);
    assert_eq!(directory.other_names("/bin").unwrap(), Vec::<String>::new());
    for (path, existing) in [("/new", "/bin"), ("/other", "/missing"), ("/other", "/etc"), ("/none/new", "/bin")] {
        assert_eq!(directory.link(path, existing).unwrap_err().kind(), ErrorKind::Usage, "{path}");
    }
    sample.store(&directory, "out", Extent::Whole);
    for (one, other) in [("out/etc/old", "out/etc/shadow"), ("out/new", "out/etc/new")] {
        let [one, other] = [one, other].map(|path| fs::metadata(sample.at(path)).unwrap());
        assert_eq!((one.ino(), one.nlink(), one.mode() & 0o7777), (other.ino(), 2, 0o600));
    }
}
