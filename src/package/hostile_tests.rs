//! .apk files that no builder makes, sealed anew so that their digests fit; and databases that are read as they were written.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::testing::fixture;
use super::*;
use crate::error::ErrorKind;

/// The parts of an .apk that is not packed: the description, and the blocks behind it.
struct Parts {
    adb: Vec<u8>,
    rest: Vec<u8>,
    id: [u8; 20],
}

impl Parts {
    fn everything() -> Self {
        let packed = fixture("everything-1.0~abcdef-r1.apk");
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::DeflateDecoder::new(&packed[4..]), &mut content).unwrap();
        let Details::Apk(details) = read(&packed, "x").unwrap().details else { panic!("no .apk") };
        let length = (u32::from_le_bytes(content[8..12].try_into().unwrap()) & 0x3FFF_FFFF) as usize;
        let end = 8 + length.next_multiple_of(8);
        Self { adb: content[12..8 + length].to_vec(), rest: content[end..].to_vec(), id: details.id }
    }

    /// Writes `to` in the place of the first `from`, which has the same length.
    fn replacing(mut self, from: &[u8], to: &[u8]) -> Self {
        assert_eq!(from.len(), to.len());
        let at = self.adb.windows(from.len()).position(|window| window == from).unwrap();
        self.adb[at..at + to.len()].copy_from_slice(to);
        self
    }

    /// Gives the package's outermost object a field that nobody knows, behind all others.
    fn with_unknown_field(mut self) -> Self {
        let root = u32::from_le_bytes(self.adb[4..8].try_into().unwrap());
        let at = (root & 0x0FFF_FFFF) as usize;
        let count = u32::from_le_bytes(self.adb[at..at + 4].try_into().unwrap()) as usize;
        let mut object = self.adb[at + 4..at + 4 * count].to_vec();
        object.resize(4 * 5, 0);
        object.extend(0x1000_0001_u32.to_le_bytes());
        let place = self.adb.len().next_multiple_of(4);
        self.adb.resize(place, 0);
        self.adb.extend(7_u32.to_le_bytes());
        self.adb.extend(object);
        let root = root & 0xF000_0000 | u32::try_from(place).unwrap();
        self.adb[4..8].copy_from_slice(&root.to_le_bytes());
        self
    }

    /// The file, with the identity that its description has now.
    fn sealed(mut self) -> Vec<u8> {
        let at = self.adb.windows(20).position(|window| window == self.id).unwrap();
        self.adb[at..at + 20].fill(0);
        let digest = Sha256::digest(&self.adb);
        self.adb[at..at + 20].copy_from_slice(&digest[..20]);
        let mut file = b"ADB.pckg".to_vec();
        file.extend(u32::try_from(self.adb.len() + 4).unwrap().to_le_bytes());
        file.extend(self.adb);
        file.resize(file.len().next_multiple_of(8), 0);
        file.extend(self.rest);
        file
    }
}

#[test]
fn hostile_apks_are_refused_with_a_remedy_though_their_digests_fit() {
    let read = |parts: Parts| read(&parts.sealed(), "bad.apk");
    assert_eq!(read(Parts::everything()).unwrap().name, "everything");
    let replaced = |from: &[u8], to: &[u8]| read(Parts::everything().replacing(from, to)).unwrap_err();
    for (error, message) in [
        (replaced(b"\x07usr/bin", b"\x07../../x"), "has .. in it and would leave its place"),
        (replaced(b"\x0Feverything-soft", b"\x0F../../../passwd"), "\"../../../passwd\" cannot be the name of a file"),
        (replaced(b"\x00\xA0everything", b"\x00\xA0../../../x"), "leads out of the root"),
        (replaced(b"\x00\xA0everything", b"\x00\xA0/../../etc"), "leads out of the root"),
        (
            replaced(b"\x00\x80usr/bin/everything", b"\x00\x80etc/shadow/../../x"),
            "has .. in it and would leave its place",
        ),
        (
            replaced(b"\x00\x80usr/bin/everything", b"\x00\x80usr/bin/everythin_"),
            "which is no file of the package before it",
        ),
        (replaced(b"\x00\xA0everything", b"\x00\x20everything"), "which no package of OpenWrt holds"),
        (read(Parts::everything().with_unknown_field()).unwrap_err(), "has a field 6, but only 5 are known"),
    ] {
        assert!(error.message().contains(message), "{error}, not {message}");
        assert!(error.remedy_text().is_some(), "{error}");
        assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported), "{error}");
        assert_eq!(error.places().last().map(String::as_str), Some("bad.apk"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_goes_into_apks_database_comes_out_of_it(
        names in prop::collection::btree_set("[a-z][a-z0-9.+-]{0,8}", 1..6),
        version in "[0-9]{1,3}(\\.[0-9]{1,3}){0,2}-r[0-9]",
        files in prop::collection::btree_set(("([a-z]{1,4}(/[a-z]{1,4}){0,2})?", "[a-z.]{1,8}"), 0..8),
    ) {
        let mut text = b"C:Q1x=\nP:zzz-there\nV:1\nF:zzz\nR:old\n\n".to_vec();
        for name in &names {
            let header = [('C', "Q1y="), ('P', name), ('V', &version), ('D', "so:libc.musl !bad a>=1")];
            let record = ApkRecord {
                header: header.map(|(letter, value)| (letter, value.to_owned())).to_vec(),
                directories: files.iter().map(|(directory, _)| (format!("{name}{directory}"), String::new())).collect(),
                files: files
                    .iter()
                    .map(|(directory, file)| {
                        ((format!("{name}{directory}"), file.clone()), (String::new(), apk_digest(file.as_bytes())))
                    })
                    .collect(),
            };
            text = with_apk_stanza(&text, name, Some(&apk_stanza(&record)));
        }
        let database = Database::parse_apk(std::str::from_utf8(&text).unwrap(), &BTreeMap::new());
        prop_assert_eq!(database.packages.len(), names.len() + 1);
        prop_assert_eq!(&database.owner("/zzz/old").unwrap().name, "zzz-there");
        for name in &names {
            let package = database.find(name).unwrap();
            prop_assert_eq!((&package.version, package.depends.len(), package.conflicts.len()), (&version, 2, 1));
            let expected: BTreeMap<_, _> = files
                .iter()
                .map(|(directory, file)| (format!("/{name}{directory}/{file}"), Some(apk_digest(file.as_bytes()))))
                .collect();
            prop_assert_eq!(&package.files, &expected);
        }
        for name in &names {
            text = with_apk_stanza(&text, name, None);
        }
        prop_assert_eq!(text, b"C:Q1x=\nP:zzz-there\nV:1\nF:zzz\nR:old\n\n");
    }

    #[test]
    fn what_goes_into_opkgs_database_comes_out_of_it(
        names in prop::collection::btree_set("[a-z][a-z0-9.+-]{0,8}", 1..6),
        version in "[0-9]{1,3}(\\.[0-9]{1,3}){0,2}(~[0-9a-f]{4})?-r[0-9]",
        needs in prop::collection::vec("[a-z]{1,6}( \\((=|>=|<=)[0-9.]{1,3}\\))?", 0..4),
        digests in prop::collection::btree_map("/etc/[a-z/]{1,8}", "[0-9a-f]{64}", 0..3),
        is_automatic: bool,
    ) {
        let before = b"Package: zzz-there\nVersion: 1\nStatus: install user installed\n\n";
        let mut text = before.to_vec();
        let conffiles: Vec<(String, String)> = digests.clone().into_iter().collect();
        for name in &names {
            let control =
                format!("Package: {name}\nVersion: {version}\nDepends: {}\nArchitecture: all\n", needs.join(", "));
            let record = OpkgRecord { conffiles: &conffiles, time: Some(1), is_automatic };
            text = with_opkg_stanza(&text, name, Some(&opkg_stanza(&control, &record)));
        }
        let database = Database::parse_opkg(std::str::from_utf8(&text).unwrap(), &BTreeMap::new());
        prop_assert_eq!(database.packages.len(), names.len() + 1);
        for name in &names {
            let package = database.find(name).unwrap();
            prop_assert_eq!(&package.version, &version);
            let depends: Vec<String> = package.depends.iter().map(ToString::to_string).collect();
            prop_assert_eq!(&depends, &needs);
            prop_assert_eq!(&package.conffiles, &digests);
        }
        for name in &names {
            text = with_opkg_stanza(&text, name, None);
        }
        prop_assert_eq!(text, before.to_vec());
    }
}
