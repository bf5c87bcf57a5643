//! Packages made by hand for tests.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// What a test puts into a package.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Item<'a> {
    /// A directory with these permissions.
    Directory(&'a str, u32),
    /// A file with its text and permissions.
    File(&'a str, &'a str, u32),
    /// A symlink and its target.
    Link(&'a str, &'a str),
    /// A hard link and the file that it names.
    Hard(&'a str, &'a str),
    /// A character device.
    Device(&'a str),
}

/// A tar archive in GNU's form, names as given.
pub(crate) fn tar(items: &[Item<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for item in items {
        let (name, kind, target, text, mode) = match *item {
            Item::Directory(name, mode) => (name, tar::EntryType::Directory, "", "", mode),
            Item::File(name, text, mode) => (name, tar::EntryType::Regular, "", text, mode),
            Item::Link(name, target) => (name, tar::EntryType::Symlink, target, "", 0o777),
            Item::Hard(name, target) => (name, tar::EntryType::Link, target, "", 0o644),
            Item::Device(name) => (name, tar::EntryType::Char, "", "", 0o600),
        };
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_735_689_600);
        header.set_size(text.len() as u64);
        // The crate's own setters refuse the names that are to be tested.
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..name.len()].copy_from_slice(name.as_bytes());
        gnu.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        builder.append(&header, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Compresses as gzip does.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An .ipk around `control`, further control files, and `data`.
pub(crate) fn ipk(control: &str, scripts: &[(&str, &str)], data: &[Item<'_>]) -> Vec<u8> {
    let mut files = vec![Item::File("./control", control, 0o644)];
    files.extend(scripts.iter().map(|(name, text)| Item::File(name, text, 0o755)));
    ipk_of(&gzip(&tar(&files)), &gzip(&tar(data)))
}

/// An .ipk around two inner archives.
pub(crate) fn ipk_of(control: &[u8], data: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in [("./debian-binary", &b"2.0\n"[..]), ("./data.tar.gz", data), ("./control.tar.gz", control)]
    {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    gzip(&builder.into_inner().unwrap())
}

/// A package of `fixtures/packages`.
pub(crate) fn fixture(file: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/packages").join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
