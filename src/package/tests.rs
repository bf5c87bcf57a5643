//! The fixtures' packages, and packages that no builder makes.

use flate2::Compression;
use flate2::write::DeflateEncoder;
use proptest::prelude::*;

use super::testing::{Item, fixture, gzip, ipk, ipk_of, tar};
use super::*;

/// Each package in both formats.
const PAIRS: [(&str, &str); 3] = [
    ("libmnl0_1.0.5-r2_x86_64.ipk", "libmnl0-1.0.5-r2.apk"),
    ("rdma_6.11.0-r1_x86_64.ipk", "rdma-6.11.0-r1.apk"),
    ("kmod-mlx4-core_6.12.117-r1_x86_64.ipk", "kmod-mlx4-core-6.12.117-r1.apk"),
];
const EVERYTHING: &str = "everything-1.0~abcdef-r1.apk";
const CONTROL: &str = "Package: x\nVersion: 1\nArchitecture: all\n";

/// The ADB container of an .apk that is packed with deflate.
fn plain(packed: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::DeflateDecoder::new(&packed[4..]), &mut content).unwrap();
    content
}

fn deflated(content: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(b"ADBd".to_vec(), Compression::fast());
    std::io::Write::write_all(&mut encoder, content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn both_formats_hold_the_same_package() {
    for (ipk, apk) in PAIRS {
        let ipk = read(&fixture(ipk), ipk).unwrap();
        let apk = read(&fixture(apk), apk).unwrap();
        // OpenWrt's .apk files bring the list of their files along.
        let own = |package: &Package| {
            let mut entries = package.entries.clone();
            entries.retain(|entry| !entry.path.starts_with("/lib/apk") && entry.path != "/lib");
            // A symlink's own permissions mean nothing.
            entries
                .iter_mut()
                .filter(|entry| matches!(entry.kind, EntryKind::Symlink(_)))
                .for_each(|entry| entry.mode = 0);
            entries.sort_by(|a, b| a.path.cmp(&b.path));
            entries
        };
        assert!(own(&ipk) == own(&apk), "{} differs", ipk.name);
        assert_eq!((&ipk.name, &ipk.version, &ipk.architecture), (&apk.name, &apk.version, &apk.architecture));
        assert_eq!(ipk.depends, apk.depends);
        assert!(apk.is_signed && !ipk.is_signed);
    }
}

#[test]
fn an_apk_reads_the_same_however_it_is_packed() {
    let packed = fixture(EVERYTHING);
    let content = plain(&packed);
    let expected = read(&packed, "x").unwrap();
    let stored = [b"ADBc\0\0".as_slice(), &content].concat();
    let other = [b"ADBc\x01\x09".as_slice(), &packed[4..]].concat();
    for form in [content, stored, other, fixture("everything-zstd.apk")] {
        let mut package = read(&form, "x").unwrap();
        if let (Details::Apk(own), Details::Apk(expected)) = (&mut package.details, &expected.details) {
            own.file_size = expected.file_size;
        }
        package.sha256.clone_from(&expected.sha256);
        assert!(package == expected);
    }
}

#[test]
fn everything_that_an_apk_says_is_understood() {
    let package = read(&fixture(EVERYTHING), "x").unwrap();
    assert_eq!(package.title(), "everything 1.0~abcdef-r1");
    let spelled: Vec<String> = package.depends.iter().map(ToString::to_string).collect();
    assert_eq!(spelled, ["kernel (~6.12)", "libc (>=1.2)", "so:libx"]);
    assert_eq!(package.conflicts[0].name, "bar");
    assert_eq!(package.provides.iter().filter(|one| one.version.is_some()).count(), 2);
    assert_eq!(package.replaces[0].name, "rdma");
    assert_eq!(package.alternatives[0].target, "/usr/bin/everything");
    assert_eq!(package.users.as_deref(), Some("thing=453:thing=453:network"));
    assert_eq!(package.conffiles, ["/etc/config/everything"]);
    let scripts: Vec<&str> = package.scripts.iter().map(|script| script.name.as_str()).collect();
    assert_eq!(scripts, ["post-install", "pre-deinstall", "post-upgrade", "trigger"]);
    let entry = |path: &str| package.entries.iter().find(|entry| entry.path == path).unwrap();
    assert_eq!(entry("/usr/bin/everything").mode, 0o4755);
    assert_eq!(entry("/usr/bin/everything-hard").linked_to.as_deref(), Some("/usr/bin/everything"));
    assert_eq!(entry("/usr/bin/everything-soft").kind, EntryKind::Symlink("everything".into()));
    assert_eq!(entry("/usr/share/everything/private").mode, 0o700);
    assert!(!package.is_signed);
}

#[test]
fn an_ipk_in_the_older_ar_form_reads_the_same() {
    let (control, data) =
        (gzip(&tar(&[Item::File("control", CONTROL, 0o644)])), gzip(&tar(&[Item::File("etc/x", "y", 0o600)])));
    let mut archive = b"!<arch>\n".to_vec();
    for (name, content) in
        [("debian-binary", b"2.0\n".as_slice()), ("control.tar.gz/", &control), ("data.tar.gz", &data)]
    {
        archive.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, "100644", content.len()).bytes());
        archive.extend_from_slice(content);
        archive.extend((content.len() % 2 == 1).then_some(b'\n'));
    }
    let package = read(&archive, "x").unwrap();
    let tar = read(&ipk_of(&control, &data), "x").unwrap();
    assert_ne!(package.sha256, tar.sha256, "they are two files");
    assert_eq!(Package { sha256: tar.sha256.clone(), ..package.clone() }, tar);
    assert_eq!((package.entries[0].path.as_str(), package.entries[0].mode), ("/etc/x", 0o600));
    for cut in [9, 60, 80, archive.len() - 1] {
        assert!(read(&archive[..cut], "x").is_err(), "cut at {cut}");
    }
}

#[test]
fn hostile_ipks_are_refused_with_a_remedy() {
    let data = |items: &[Item<'_>]| ipk(CONTROL, &[], items);
    let bomb = gzip(&vec![0; 17 << 20]);
    for (bytes, message) in [
        (
            data(&[Item::File("./../etc/passwd", "x", 0o644)]),
            "the path \"./../etc/passwd\" has .. in it and would leave its place",
        ),
        (
            data(&[Item::Link("./a", "/etc"), Item::File("./a/passwd", "x", 0o644)]),
            "/a/passwd goes through /a, which is a symlink to /etc in the same package",
        ),
        (
            data(&[Item::Link("./usr/a", "../../../etc/shadow")]),
            "the symlink /usr/a points to \"../../../etc/shadow\", which leads out of the root",
        ),
        (
            data(&[Item::Device("./dev/mem")]),
            "./dev/mem is a device node, FIFO or another special file, which no package of OpenWrt holds",
        ),
        (data(&[Item::File("./a", "x", 0o644), Item::File("./a", "y", 0o644)]), "/a stands in it twice"),
        (
            data(&[Item::Hard("./b", "./a")]),
            "the hard link ./b names \"./a\", which is no file of the package before it",
        ),
        (ipk_of(&gzip(&tar(&[Item::File("./control", CONTROL, 0o644)])), &bomb), "it unpacks to more than 16 MiB"),
        (bomb.clone(), "it unpacks to more than 16 MiB"),
        (ipk(CONTROL, &[("../../x", "y")], &[]), "\"../../x\" has no business among the control files"),
    ] {
        let error = read(&bytes, "bad.ipk").unwrap_err();
        assert_eq!(error.message(), message);
        assert!(error.remedy_text().is_some(), "{message}");
        assert_eq!(error.places().last().map(String::as_str), Some("bad.ipk"));
    }
}

#[test]
fn a_control_file_that_says_too_little_or_nonsense_is_named() {
    for (control, message) in [
        ("Package: x\nVersion: 1\n", "it has no field Architecture"),
        ("Package: ../x\nVersion: 1\nArchitecture: all\n", "\"../x\" \"1\" cannot be a package's name and version"),
        ("Package: x\nVersion: 1/2\nArchitecture: all\n", "\"x\" \"1/2\" cannot be a package's name and version"),
        ("Package: x\nVersion: 1\nArchitecture: all\nDepends: a (=\n", "\"a (=\" is no dependency"),
        (
            "Package: x\nVersion: 1\nArchitecture: all\nAlternatives: a:b\n",
            "\"a:b\" is no alternative, which is written priority:/link:target",
        ),
        ("", "its control file is empty"),
    ] {
        assert_eq!(read(&ipk(control, &[], &[]), "x").unwrap_err().message(), message);
    }
    assert!(
        read(&ipk("Package: x\nVersion: 1\nArchitecture: all\nX-New-Field: y\n", &[], &[]), "x").is_ok(),
        "opkg takes what it does not know"
    );
}

#[test]
fn a_changed_apk_is_refused() {
    let content = plain(&fixture("rdma-6.11.0-r1.apk"));
    let adb_length = u64::from(u32::from_le_bytes(content[8..12].try_into().unwrap()) & 0x3FFF_FFFF);
    let last = content.len() - 20;
    let mut file = content.clone();
    file[last] ^= 1;
    let error = read(&deflated(&file), "rdma.apk").unwrap_err();
    assert!(error.message().starts_with("its content was changed: SHA is "), "{error}");
    assert_eq!(error.places(), ["rdma", "usr/sbin", "ADB", "rdma.apk"]);

    let at = content.windows(4).position(|window| window == b"rdma").unwrap();
    assert!((at as u64) < adb_length);
    let mut name = content.clone();
    name[at] = b'q';
    let error = read(&deflated(&name), "x").unwrap_err();
    assert_eq!(error.message(), "the description was changed: its digest is another than it says");

    let mut index = content.clone();
    index[4..8].copy_from_slice(b"indx");
    assert_eq!(read(&deflated(&index), "x").unwrap_err().message(), "this is a repository's index, not a package");
    let mut alien = content.clone();
    alien[8..12].copy_from_slice(&((5u32 << 27) | 20).to_le_bytes());
    assert!(read(&alien, "x").is_err());
    assert_eq!(
        read(b"ADBc\x07\x00abc", "x").unwrap_err().message(),
        "it is packed with algorithm 7; 0 (none), 1 (deflate) and 2 (zstd) are read"
    );
    let bomb = deflated(&vec![0; 17 << 20]);
    assert_eq!(read(&bomb, "x").unwrap_err().message(), "it unpacks to more than 16 MiB");
    let error = read(b"PK\x03\x04", "x").unwrap_err();
    assert_eq!(error.message(), "this is no package: its 4 bytes begin as neither .ipk nor .apk does");
}

#[test]
fn a_package_that_is_cut_short_is_refused_wherever() {
    for file in [EVERYTHING, "rdma-6.11.0-r1.apk", "rdma_6.11.0-r1_x86_64.ipk"] {
        let bytes = fixture(file);
        for cut in (0..bytes.len()).step_by(7) {
            assert!(read(&bytes[..cut], file).is_err(), "{file} cut at {cut}");
        }
    }
    let content = plain(&fixture(EVERYTHING));
    // Behind the last block stand up to seven bytes of nothing.
    for cut in 0..content.len() - 7 {
        assert!(read(&content[..cut], "x").is_err(), "cut at {cut}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn mutated_packages_never_panic(at in 0usize..2400, value: u8, count in 1usize..5) {
        let mut content = plain(&fixture(EVERYTHING));
        for step in 0..count {
            let index = (at + step * 97) % content.len();
            content[index] = value.wrapping_add(step as u8);
        }
        let _ = read(&content, "x");
        let items = [Item::Directory("./etc", 0o755), Item::File("./etc/a", "text", 0o644), Item::Link("./b", "etc/a")];
        let (mut control, mut data) = (tar(&[Item::File("./control", CONTROL, 0o644)]), tar(&items));
        let (control_at, data_at) = (at % control.len(), at % data.len());
        (control[control_at], data[data_at]) = (value, value);
        let _ = read(&ipk_of(&control, &data), "x");
    }

    #[test]
    fn whatever_bytes_come_nothing_panics(bytes: Vec<u8>) {
        let _ = read(&[b"ADB.pckg".as_slice(), &bytes].concat(), "x");
        let _ = read(&[b"!<arch>\n".as_slice(), &bytes].concat(), "x");
        let _ = read(&bytes, "x");
    }
}
