//! Extended attributes, as SELinux builds have them.

use std::io::Write;
use std::process::{Command, Stdio};

use super::support::{edited, summary, used};
use crate::filesystem::Attributes;
use crate::filesystem::tests::support::{EPOCH, Scratch, noise, printed};

/// A tar with extended attributes in its PAX headers: directories, 700 files, a file of several blocks, a hard link.
fn archive() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind: tar::EntryType, label: &str, content: &[u8]| {
        builder.append_pax_extensions([("SCHILY.xattr.user.label", label.as_bytes())]).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        header.set_mtime(EPOCH);
        builder.append_data(&mut header, path, content).unwrap();
    };
    add("labelled/", tar::EntryType::Directory, "directory_t", b"");
    add("labelled/within/", tar::EntryType::Directory, "other_t", b"");
    add("labelled/large", tar::EntryType::Regular, "large_t", &noise(2, 400_000));
    for number in 0..700 {
        let label = format!("system_u:object_r:type_{}", number % 300);
        add(&format!("file{number}"), tar::EntryType::Regular, &label, format!("file {number}").as_bytes());
    }
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Link);
    header.set_size(0);
    header.set_mtime(EPOCH);
    builder.append_link(&mut header, "labelled/second-name", "file8").unwrap();
    builder.into_inner().unwrap()
}

/// The archive made into a squashfs.
fn image(options: &[&str]) -> Vec<u8> {
    let scratch = Scratch::new();
    let path = scratch.path("image");
    let arguments = ["-", path.to_str().unwrap(), "-tar", "-quiet", "-no-progress", "-xattrs"];
    let mut command = Command::new("mksquashfs");
    let mut child = command.args(arguments).args(options).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&archive()).unwrap();
    assert!(child.wait().unwrap().success());
    let mut image = std::fs::read(path).unwrap();
    image.resize(4 << 20, 0);
    image
}

/// The extended attributes of every file and directory, as extracted, one line each.
fn labels(image: &[u8]) -> Vec<String> {
    let scratch = Scratch::new();
    let (file, tree) = (scratch.path("image"), scratch.path("tree"));
    std::fs::write(&file, used(image)).unwrap();
    printed("unsquashfs", &["-no-progress", "-d", tree.to_str().unwrap(), file.to_str().unwrap()]);
    let script = "import os,sys\nos.chdir(sys.argv[1])\nfor d,s,f in os.walk('.'):\n for n in s+f:\n  p=os.path.join(d,n)\n  print(p,[(x,os.getxattr(p,x)) for x in os.listxattr(p)])";
    let mut lines: Vec<String> =
        printed("python3", &["-c", script, tree.to_str().unwrap()]).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn extended_attributes_stay_with_their_files() {
    for options in [
        &["-comp", "xz", "-Xbcj", "x86", "-b", "262144"][..],
        &["-comp", "zstd", "-noX", "-no-exports"],
        &["-comp", "gzip", "-noI", "-no-fragments"],
    ] {
        let image = image(options);
        let before = labels(&image);
        assert_eq!(before.iter().filter(|line| line.contains("system_u:object_r:type_")).count(), 701, "{options:?}");
        let after = edited(&image, |filesystem| {
            let root = Attributes::root(0o755);
            filesystem.write("/file5", &noise(1, 300_000), root).unwrap();
            filesystem.write("/file8", b"one of two names", root).unwrap();
            filesystem.remove("/file6").unwrap();
            filesystem.write("/new", b"new", root).unwrap();
            filesystem.write("/labelled/within/new", b"new", root).unwrap();
            filesystem.set_attributes("/labelled", Attributes { mode: 0o700, uid: 1, gid: 2 }).unwrap();
        });
        let kept = before.iter().filter(|line| !line.starts_with("./file6 ")).map(String::as_str);
        let mut expected: Vec<&str> = kept.chain(["./labelled/within/new []", "./new []"]).collect();
        expected.sort_unstable();
        assert_eq!(labels(&after), expected, "{options:?}");
        assert_eq!(summary(&after), summary(&image), "{options:?}");
        // Once more, without a word about them.
        let again = edited(&after, |filesystem| filesystem.remove("/new").unwrap());
        expected.retain(|line| !line.starts_with("./new "));
        assert_eq!(labels(&again), expected, "{options:?}");
    }
}
