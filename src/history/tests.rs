//! The manifest's form, and the root as it was seen through it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::ErrorKind;
use crate::digest::sha256_hex;
use crate::filesystem::{Attributes, Filesystem};
use crate::openwrt::testing::MemoryFilesystem;

fn file(text: &str, mode: u16) -> State {
    State::File { sha256: sha256_hex(text.as_bytes()), size: text.len() as u64, attributes: Attributes::root(mode) }
}

fn link(target: &str) -> State {
    State::Symlink { target: target.to_owned(), attributes: Attributes::root(0o777) }
}

fn record(path: &str, put: State, was: State) -> Record {
    Record { path: path.to_owned(), by: "overlay ipoib".to_owned(), put, was, links: Vec::new() }
}

fn manifest(root: Vec<Record>) -> Manifest {
    let image = InputFile { kind: InputKind::Image, name: "a \"b\".img".to_owned(), sha256: sha256_hex(b"image") };
    Manifest { tool: Tool::own(), recipe: sha256_hex(b"recipe"), inputs: vec![image], boot: Vec::new(), root }
}

/// One record of every kind.
fn every_kind() -> Manifest {
    let owned = State::Directory(Attributes { mode: 0o1777, uid: 7, gid: 70_000 });
    let mut linked = record("/etc/linked", file("new", 0o644), file("old", 0o4755));
    linked.links = vec!["/bin/other".to_owned()];
    let mut manifest = manifest(vec![
        record("/etc/added", file("a", 0o600), State::Absent),
        record("/etc/folder", owned, State::Absent),
        record("/etc/gone", State::Absent, link("../elsewhere")),
        linked,
        record("/etc/mode", file("same", 0o600), file("same", 0o644)),
    ]);
    manifest.boot.push(record("/boot/vmlinuz", file("new kernel", 0o644), file("kernel", 0o644)));
    manifest
}

#[test]
fn a_manifest_is_read_as_it_was_written_and_written_as_it_was_read() {
    let manifest = every_kind();
    let bytes = to_json(&manifest).unwrap();
    assert_eq!(parse(&bytes).unwrap(), manifest);
    assert_eq!(to_json(&parse(&bytes).unwrap()).unwrap(), bytes);
    let changes: Vec<&str> = manifest.root.iter().map(Record::change).collect();
    assert_eq!(changes, ["add", "add", "remove", "replace", "attributes"]);
    let mut kept = vec![sha256_hex(b"old"), sha256_hex(b"kernel")];
    kept.sort();
    assert_eq!(manifest.kept(), kept, "of a symlink and of what only changed its mode nothing is kept");
}

#[test]
fn a_damaged_manifest_is_told_with_its_place() {
    let text = String::from_utf8(to_json(&every_kind()).unwrap()).unwrap();
    let digest = sha256_hex(b"recipe");
    for (from, to, message) in [
        ("\"path\":\"/etc/added\"", "\"path\":\"../etc/added\"", "root: [0]: \"../etc/added\" is no absolute path"),
        ("\"path\":\"/etc/added\"", "\"path\":\"/etc/../../a\"", "is no absolute path without `.` and `..`"),
        ("\"path\":\"/etc/added\"", "\"path\":\"/etc/zzz\"", "root: /etc/folder does not come behind /etc/zzz"),
        ("\"/bin/other\"", "\"bin/other\"", "root: [3]: \"bin/other\" is no absolute path"),
        (digest.as_str(), "short", "recipe: \"short\" is no SHA-256 of 64 lower-case hex digits"),
        ("\"mode\":\"1777\"", "\"mode\":\"999\"", "root: [1]: \"999\" is no octal mode of four digits"),
        ("\"7:70000\"", "\"bob\"", "root: [1]: \"bob\" is no owner and group as numbers"),
        ("\"change\":\"remove\"", "\"change\":\"add\"", "/etc/gone is said to be a change of kind `add`"),
        ("\"by\":", "\"who\":", "the manifest cannot be read: unknown field `who`"),
        ("\"kind\":\"image\"", "\"kind\":\"moon\"", "the manifest cannot be read: unknown variant `moon`"),
        ("{\n  \"format\"", "{\n \"format\": 1, \"format\"", "the manifest cannot be read: duplicate field"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = parse(text.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{to}");
        assert!(error.to_string().contains(message) && error.to_string().starts_with(MANIFEST), "{error}");
        assert!(error.remedy_text().unwrap().contains("/etc/ibwrt"), "{error}");
    }
    let newer = parse(text.replace("\"format\": 1", "\"format\": 2").as_bytes()).unwrap_err();
    assert_eq!(
        (newer.kind(), newer.message()),
        (ErrorKind::Unsupported, "the manifest has format 2, this ibwrt reads 1")
    );
    for cut in [0, 1, text.len() / 2, text.len() - 3] {
        assert_eq!(parse(&text.as_bytes()[..cut]).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn a_device_node_that_would_go_is_no_record() {
    let error = to_json(&manifest(vec![record("/dev/console", State::Absent, State::Special)])).unwrap_err();
    assert!(
        error.message().starts_with("/dev/console is a device node")
            && error.remedy_text().unwrap().contains("--no-manifest")
    );
}

#[test]
fn a_content_is_packed_the_same_way_each_time_and_damage_to_it_is_told() {
    let content = b"root:::0:99999:7:::\n".repeat(100);
    let sha256 = sha256_hex(&content);
    let packed = pack(&content).unwrap();
    assert_eq!(pack(&content).unwrap(), packed);
    assert_eq!(packed[4..10], [0, 0, 0, 0, 2, 3], "no time, and no system's name");
    assert_eq!(unpack(&packed, &sha256).unwrap(), content);
    let other = unpack(&packed, &sha256_hex(b"other")).unwrap_err();
    assert!(other.message().starts_with("the content that was kept has the SHA-256"), "{other}");
    let cut = unpack(&packed[..packed.len() - 9], &sha256).unwrap_err();
    assert_eq!(cut.kind(), ErrorKind::Corrupt);
    assert!(cut.message().starts_with("the content that was kept cannot be unpacked"), "{cut}");
}

/// A root that was patched as `manifest` says, with what was kept of `originals`.
fn patched(manifest: &Manifest, originals: &[&str]) -> MemoryFilesystem {
    let mut root = MemoryFilesystem::new();
    root.add_file("/etc/untouched", "u");
    root.add_file(MANIFEST, to_json(manifest).unwrap());
    for original in originals {
        root.add_file(&packed_path(&sha256_hex(original.as_bytes())), pack(original.as_bytes()).unwrap());
    }
    root
}

fn read(root: &mut MemoryFilesystem, changes: Changes) -> Past {
    Past::read(root, None, true, changes, &["/db"]).unwrap().unwrap()
}

fn names(view: &mut View, path: &str) -> Vec<String> {
    view.list(path).unwrap().into_iter().map(|entry| entry.name).collect()
}

#[test]
fn the_root_is_seen_as_it_was() {
    let manifest = manifest(vec![
        record("/etc/added", file("a", 0o644), State::Absent),
        record("/etc/folder", State::Directory(Attributes::root(0o755)), State::Absent),
        record("/etc/folder/in", file("i", 0o644), State::Absent),
        record("/etc/ibwrt", State::Directory(Attributes::root(0o755)), State::Absent),
        record("/etc/ibwrt/originals", State::Directory(Attributes::root(0o755)), State::Absent),
        record("/etc/link", file("l", 0o644), link("../there")),
        record("/etc/replaced", file("new", 0o644), file("old", 0o600)),
        record("/lib/gone", State::Absent, State::Directory(Attributes::root(0o711))),
        record("/lib/gone/file", State::Absent, file("f", 0o644)),
    ]);
    let mut root = patched(&manifest, &["old", "f"]);
    for (path, text) in [("/etc/added", "a"), ("/etc/folder/in", "i"), ("/etc/link", "l"), ("/etc/replaced", "new")] {
        root.add_file(path, text);
    }
    root.add_directory("/lib");
    let past = read(&mut root, Changes::Keep);
    assert_eq!((past.changed.as_slice(), past.held.as_slice()), (&[][..], &[][..]));
    let mut view = View::new(Box::new(root), past.over());
    assert_eq!(names(&mut view, "/"), ["etc", "lib"]);
    assert_eq!(names(&mut view, "/etc"), ["link", "replaced", "untouched"]);
    assert_eq!(names(&mut view, "/lib"), ["gone"]);
    assert_eq!(names(&mut view, "/lib/gone"), ["file"]);
    assert_eq!(view.read("/etc/replaced").unwrap(), b"old");
    assert_eq!(view.metadata("/etc/replaced").unwrap().unwrap().attributes, Attributes::root(0o600));
    assert_eq!(view.metadata("/etc/link").unwrap().unwrap().link_target.as_deref(), Some("../there"));
    assert_eq!(view.read("/lib/gone/file").unwrap(), b"f");
    assert!(view.metadata("/etc/ibwrt").unwrap().is_none() && view.list("/etc/folder").is_err());
    assert!(view.write("/x", b"", Attributes::root(0o644)).is_err() && view.remove("/etc/untouched").is_err());
}

#[test]
fn what_others_changed_counts_as_before_or_goes_and_holds_its_directory() {
    let manifest = manifest(vec![
        record("/etc/added", file("a", 0o644), State::Absent),
        record("/etc/folder", State::Directory(Attributes::root(0o755)), State::Absent),
        record("/etc/folder/in", file("i", 0o644), State::Absent),
        record("/etc/mode", file("m", 0o600), file("m", 0o644)),
        record("/etc/replaced", file("new", 0o644), file("old", 0o644)),
        record("/etc/vanished", file("v", 0o644), State::Absent),
    ]);
    let mut root = patched(&manifest, &["old"]);
    for (path, text) in
        [("/etc/added", "mine"), ("/etc/folder/in", "i"), ("/etc/folder/other", "o"), ("/etc/mode", "n")]
    {
        root.add_file(path, text);
    }
    let past = read(&mut root, Changes::Keep);
    let changed: Vec<_> =
        past.changed.iter().map(|changed| (changed.path.as_str(), changed.how, changed.is_lost)).collect();
    let expected =
        [("/etc/added", "changed", false), ("/etc/mode", "changed", true), ("/etc/replaced", "removed", false)];
    assert_eq!(changed, expected, "what was to vanish is no change");
    assert_eq!(past.held, [("/etc/folder".to_owned(), "other".to_owned())]);
    assert_eq!(past.root.before["/etc/added"], file("mine", 0o644));
    assert_eq!(past.root.before["/etc/folder/in"], State::Absent);
    assert_eq!(past.root.before["/etc/folder"], State::Directory(Attributes::root(0o755)));
    assert_eq!(past.root.before["/etc/replaced"], State::Absent);

    let past = read(&mut root, Changes::Discard);
    assert_eq!(past.root.before["/etc/added"], State::Absent);
    assert_eq!(past.root.before["/etc/replaced"], file("old", 0o644));
    assert_eq!(past.root.before["/etc/mode"], file("n", 0o644), "the content was never kept");
    assert_eq!(past.root.before["/etc/vanished"], State::Absent);
}

#[test]
fn a_database_that_others_changed_keeps_all_that_it_names() {
    let manifest = manifest(vec![
        record("/db", file("new", 0o644), file("old", 0o644)),
        record("/etc/added", file("a", 0o644), State::Absent),
    ]);
    let mut root = patched(&manifest, &["old"]);
    root.add_file("/etc/added", "a");
    root.add_file("/db", "new and more");
    let past = read(&mut root, Changes::Keep);
    assert!(past.is_settled);
    assert_eq!(past.root.before["/etc/added"], file("a", 0o644));
    assert_eq!(past.root.before[MANIFEST], State::Absent, "the record itself is none of it");
    let past = read(&mut root, Changes::Discard);
    assert!(!past.is_settled);
    assert_eq!(past.root.before["/db"], file("old", 0o644));
}

#[test]
fn nothing_is_laid_over_a_root_that_was_not_patched() {
    let mut root = MemoryFilesystem::new();
    root.add_file("/etc/a", "x");
    assert!(Past::read(&mut root, None, true, Changes::Keep, &[]).unwrap().is_none());
    let mut view = View::new(Box::new(root.clone()), Arc::new(BTreeMap::new()));
    assert_eq!(view.read("/etc/a").unwrap(), b"x");
    root.add_directory(MANIFEST);
    assert_eq!(Past::read(&mut root, None, true, Changes::Keep, &[]).unwrap_err().kind(), ErrorKind::Corrupt);
}
