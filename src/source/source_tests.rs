use std::fs::{self, File};
use std::io::Write as _;
use std::process::Command;

use super::*;
use crate::error::ErrorKind;
use crate::kernel::strip;
use crate::kernel::test_module::{Tiny, converted, fixture_archive, fixtures, run, tiny};

fn release() -> KernelRelease {
    KernelRelease::new("6.12.117")
}

fn name(text: &str) -> ModuleName {
    ModuleName::new(text)
}

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, bytes) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

fn open(paths: &[&Path]) -> Result<ModuleSources> {
    ModuleSources::open(&paths.iter().map(|path| path.to_path_buf()).collect::<Vec<_>>())
}

fn found(sources: &ModuleSources, module: &str) -> SourcedModule {
    sources.find(&name(module), &release()).unwrap().unwrap()
}

fn refused(sources: &ModuleSources, module: &str) -> String {
    let error = sources.find(&name(module), &release()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    assert!(error.remedy_text().is_some(), "{error}");
    error.to_string()
}

/// `bytes` through a command-line compressor.
fn compressed(program: &str, bytes: &[u8]) -> Vec<u8> {
    let folder = folder(&[("file", bytes)]);
    let output = Command::new(program).args(["-c", "-q"]).arg(folder.path().join("file")).output().unwrap();
    assert!(output.status.success(), "{program}");
    output.stdout
}

fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A fixture module made for another release of the same length.
fn for_release(bytes: &[u8], release: &str) -> Vec<u8> {
    let at = bytes.windows(17).position(|window| window == b"vermagic=6.12.117").unwrap();
    let mut other = bytes.to_vec();
    other[at + 9..at + 17].copy_from_slice(release.as_bytes());
    other
}

#[test]
fn a_folder_is_searched_in_depth_and_other_files_are_let_be() {
    let folder = folder(&[
        ("drivers/infiniband/core/ib_core.ko", &fixtures()["ib_core.ko"]),
        ("drivers/net/tiny.ko", tiny()),
        ("drivers/net/tiny.mod.o", b"no module"),
        ("old.tar.gz", b"not opened"),
    ]);
    let sources = open(&[folder.path()]).unwrap();
    assert_eq!(sources.names(), [name("ib_core"), name("tiny")]);
    let module = found(&sources, "ib_core");
    assert!(module.bytes == fixtures()["ib_core.ko"]);
    assert_eq!(module.origin, folder.path().join("drivers/infiniband/core/ib_core.ko").display().to_string());
    assert!(module.is_release_known);
    assert!(sources.find(&name("absent"), &release()).unwrap().is_none());
}

#[test]
fn compressed_modules_are_told_by_their_content() {
    for (program, ending) in [("gzip", "gz"), ("xz", "xz"), ("zstd", "zst")] {
        let file_name = format!("sub/tiny.ko.{ending}");
        let folder = folder(&[(&file_name, &compressed(program, tiny()))]);
        assert!(found(&open(&[folder.path()]).unwrap(), "tiny").bytes == tiny(), "{program}");
        let file = folder.path().join(&file_name);
        assert!(found(&open(&[&file]).unwrap(), "tiny").bytes == tiny(), "{program} as a single file");
        let misnamed = self::folder(&[("tiny.ko", &compressed(program, tiny()))]);
        assert!(found(&open(&[misnamed.path()]).unwrap(), "tiny").bytes == tiny(), "{program} under another name");
    }
}

#[test]
fn archives_are_told_by_their_content_and_may_hold_compressed_modules() {
    let plain = archive(&[
        ("./lib/tiny.ko", tiny()),
        ("lib/ib_core.ko.zst", &compressed("zstd", &fixtures()["ib_core.ko"])),
        ("lib/readme", b"text"),
    ]);
    let files = [plain.clone(), compressed("gzip", &plain), compressed("xz", &plain), compressed("zstd", &plain)];
    for (bytes, file_name) in files.iter().zip(["m.tar", "m.tgz", "m.tar.xz", "no-ending"]) {
        let folder = folder(&[(file_name, bytes)]);
        let path = folder.path().join(file_name);
        let sources = open(&[&path]).unwrap();
        assert_eq!(sources.names(), [name("ib_core"), name("tiny")], "{file_name}");
        let module = found(&sources, "tiny");
        assert!(module.bytes == tiny(), "{file_name}");
        assert_eq!(module.origin, format!("{} » lib/tiny.ko", path.display()));
        assert!(found(&sources, "ib-core").bytes == fixtures()["ib_core.ko"], "{file_name}");
    }
}

#[test]
fn an_archive_written_by_gnu_tar_with_long_names_and_hard_links_is_read() {
    let deep = "a".repeat(90) + "/" + &"b".repeat(90) + "/tiny.ko";
    let folder = folder(&[(&deep, tiny())]);
    fs::hard_link(folder.path().join(&deep), folder.path().join("tiny2.ko")).unwrap();
    for format in ["gnu", "pax"] {
        let path = folder.path().join(format!("{format}.tar"));
        let mut command = Command::new("tar");
        command.current_dir(folder.path()).arg(format!("--format={format}")).arg("-cf").arg(&path);
        run(command.args([deep.as_str(), "tiny2.ko"]));
        let sources = open(&[&path]).unwrap();
        assert!(found(&sources, "tiny").bytes == tiny(), "{format}");
        assert!(found(&sources, "tiny2").bytes == tiny(), "{format}");
    }
}

#[test]
fn the_fixtures_archive_offers_all_its_modules() {
    let sources = open(&[fixture_archive()]).unwrap();
    assert_eq!(sources.names().len(), 23);
    for module in sources.names() {
        assert!(found(&sources, module.as_str()).bytes == fixtures()[&format!("{module}.ko")]);
    }
}

#[test]
fn several_streams_in_one_file_are_read_to_the_end() {
    let (first, second) = tiny().split_at(1000);
    for program in ["gzip", "xz", "zstd"] {
        let both = [compressed(program, first), compressed(program, second)].concat();
        let folder = folder(&[("tiny.ko", &both)]);
        assert!(found(&open(&[folder.path()]).unwrap(), "tiny").bytes == tiny(), "{program}");
    }
    let skippable = [b"\x50\x2a\x4d\x18\x03\0\0\0abc", compressed("zstd", tiny()).as_slice()].concat();
    let folder = folder(&[("tiny.ko", &skippable)]);
    assert!(found(&open(&[folder.path()]).unwrap(), "tiny").bytes == tiny());
}

#[test]
fn copies_that_differ_only_in_stripping_are_one_module() {
    let openwrt = ["-x", "-G", "__this_module", "--strip-unneeded", "-R", ".note.gnu.build-id", "-R", ".comment"];
    let folder = folder(&[
        ("linux-6.12.117/net/tiny.ko", tiny()),
        ("packages/.pkgdir/tiny.ko", &strip(tiny()).unwrap()),
        ("packages/ipkg-x86_64/tiny.ko", &converted("objcopy", &openwrt, tiny())),
    ]);
    let module = found(&open(&[folder.path()]).unwrap(), "tiny");
    assert!(module.origin.ends_with("linux-6.12.117/net/tiny.ko"), "{}", module.origin);
}

#[test]
fn two_builds_of_one_module_are_an_error_that_names_both() {
    let other = Tiny { body: 9, ..Tiny::default() }.build();
    let folder = folder(&[("a/tiny.ko", tiny()), ("b/tiny.ko", &other)]);
    let message = refused(&open(&[folder.path()]).unwrap(), "tiny");
    let (a, b) = (folder.path().join("a/tiny.ko"), folder.path().join("b/tiny.ko"));
    assert_eq!(message, format!("two different tiny modules fit kernel 6.12.117: {} and {}", a.display(), b.display()));
}

#[test]
fn the_candidate_for_the_images_release_wins() {
    let core = &fixtures()["ib_core.ko"];
    let folder =
        folder(&[("a/ib_core.ko", &for_release(core, "6.12.116")), ("b/ib_core.ko", core), ("c/ib_core.ko", b"")]);
    let module = found(&open(&[folder.path()]).unwrap(), "ib_core");
    assert!(module.origin.ends_with("b/ib_core.ko"));
}

#[test]
fn a_single_module_for_another_release_says_both_releases() {
    let folder = folder(&[("ib_core.ko", &for_release(&fixtures()["ib_core.ko"], "6.12.116"))]);
    let path = folder.path().join("ib_core.ko");
    let expected = format!("{} was built for 6.12.116, the image's kernel is 6.12.117", path.display());
    assert_eq!(refused(&open(&[&path]).unwrap(), "ib_core"), expected);
}

#[test]
fn a_release_that_merely_begins_alike_does_not_fit() {
    let sources = open(&[fixture_archive()]).unwrap();
    let error = sources.find(&name("ib_core"), &KernelRelease::new("6.12.11")).unwrap_err();
    assert!(error.to_string().contains("was built for 6.12.117, the image's kernel is 6.12.11"), "{error}");
}

#[test]
fn if_nothing_fits_each_candidate_is_listed_with_its_own_problem() {
    let core = &fixtures()["ib_core.ko"];
    let mut arm = core.clone();
    arm[18..20].copy_from_slice(&[183, 0]);
    let zipped = compressed("gzip", core);
    let folder = folder(&[
        ("1/ib_core.ko", &for_release(core, "6.12.116")),
        ("2/ib_core.ko", b""),
        ("3/ib_core.ko", &arm),
        ("4/ib_core.ko", &core[..core.len() - 100]),
        ("5/ib_core.ko.gz", &zipped[..zipped.len() / 2]),
        ("6/ib_core.ko", b"junk"),
    ]);
    let message =
        refused(&open(&[folder.path()]).unwrap(), "ib_core").replace(&folder.path().display().to_string(), "");
    assert!(message.starts_with("none of the 6 files for ib_core fits the image's kernel 6.12.117: "), "{message}");
    for part in [
        "/1/ib_core.ko was built for 6.12.116, the image's kernel is 6.12.117;",
        "/2/ib_core.ko is empty (0 bytes): kmodloader would load nothing at all with it in the directory;",
        "/3/ib_core.ko is built for AArch64, not for x86-64;",
        "/4/ib_core.ko is cut short or damaged: ",
        "/5/ib_core.ko.gz is damaged: the compressed data is damaged or cut short: ",
        "/6/ib_core.ko is not an ELF file: it begins with 6a 75 6e 6b, not with 7f 45 4c 46",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn a_module_without_vermagic_is_taken_on_trust_unless_another_is_known_to_fit() {
    let unknown = Tiny { vermagic: "srcversion=1", body: 7, ..Tiny::default() }.build();
    let alone = folder(&[("a/tiny.ko", &unknown)]);
    let module = found(&open(&[alone.path()]).unwrap(), "tiny");
    assert!(module.bytes == unknown && !module.is_release_known);
    let both = folder(&[("a/tiny.ko", &unknown), ("b/tiny.ko", tiny())]);
    let module = found(&open(&[both.path()]).unwrap(), "tiny");
    assert!(module.bytes == tiny() && module.is_release_known);
}

#[test]
fn sources_without_any_module_say_what_was_looked_for() {
    let folder = folder(&[("Makefile", b"all:"), ("tree/a.o", b"x")]);
    let empty = folder.path().join("empty.tar");
    fs::write(&empty, archive(&[])).unwrap();
    let error = open(&[folder.path(), &empty]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(
        error.to_string(),
        format!(
            "no kernel module in {}, {}: looked for *.ko, *.ko.gz, *.ko.xz and *.ko.zst",
            folder.path().display(),
            empty.display()
        )
    );
    assert!(error.remedy_text().unwrap().contains("build_dir/target-x86_64_musl/linux-x86_64/linux-6.6.106"));
}

#[test]
fn no_sources_at_all_are_no_error() {
    let sources = open(&[]).unwrap();
    assert!(sources.names().is_empty());
    assert!(sources.find(&name("ib_core"), &release()).unwrap().is_none());
}

#[test]
fn a_path_that_does_not_exist_is_named() {
    let error = open(&[Path::new("does/not/exist")]).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Usage, "there is no file or folder does/not/exist"));
    assert!(error.remedy_text().unwrap().contains("--modules"), "{error:?}");
}

#[test]
fn a_file_that_is_neither_module_nor_archive_is_named() {
    let folder = folder(&[("notes.txt", b"hello"), ("zipped.gz", &compressed("gzip", &[7; 4096]))]);
    for file in ["notes.txt", "zipped.gz"] {
        let path = folder.path().join(file);
        let error = open(&[&path]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().starts_with(&format!("{} is neither a kernel module", path.display())), "{error}");
    }
}

#[test]
fn a_truncated_archive_is_an_error_whatever_it_is_compressed_with() {
    let plain = archive(&[("tiny.ko", tiny()), ("ib_core.ko", &fixtures()["ib_core.ko"])]);
    let files = [plain.clone(), compressed("gzip", &plain), compressed("xz", &plain), compressed("zstd", &plain)];
    for (bytes, file_name) in files.iter().zip(["m.tar", "m.tar.gz", "m.tar.xz", "m.tar.zst"]) {
        for keep in [bytes.len() / 4, bytes.len() / 2] {
            let folder = folder(&[(file_name, &bytes[..keep])]);
            let error = open(&[&folder.path().join(file_name)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{file_name} at {keep}: {error}");
            assert!(error.to_string().contains(file_name), "{error}");
        }
    }
    // The end of the compressed stream is checked too, behind the last member.
    for (bytes, file_name) in files.iter().zip(["m.tar", "m.tar.gz", "m.tar.xz", "m.tar.zst"]).skip(1) {
        let folder = folder(&[(file_name, &bytes[..bytes.len() - 3])]);
        let error = open(&[&folder.path().join(file_name)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{file_name}");
    }
}

#[test]
fn a_member_larger_than_any_module_is_refused_before_it_is_read() {
    let mut header = tar::Header::new_gnu();
    header.set_path("huge.ko").unwrap();
    header.set_size(300 << 20);
    header.set_cksum();
    let folder = folder(&[("m.tar", header.as_bytes())]);
    let error = open(&[&folder.path().join("m.tar")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("huge.ko is 314572800 bytes long, more than 256 MiB"), "{error}");
}

#[test]
fn a_module_that_unpacks_to_more_than_256_mib_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.ko.gz");
    let mut writer = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
    for _ in 0..257 {
        writer.write_all(&vec![0; 1 << 20]).unwrap();
    }
    writer.finish().unwrap();
    let message = refused(&open(&[&path]).unwrap(), "bomb");
    assert_eq!(message, format!("{} is larger than 256 MiB unpacked", path.display()));
}

#[cfg(unix)]
mod links {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_circle_of_symbolic_links_ends_and_the_real_path_is_told() {
        let folder = folder(&[("z/real/tiny.ko", tiny())]);
        symlink("..", folder.path().join("z/real/up")).unwrap();
        symlink("self", folder.path().join("self")).unwrap();
        symlink("z/real", folder.path().join("a")).unwrap();
        let sources = open(&[folder.path()]).unwrap();
        assert!(found(&sources, "tiny").origin.ends_with("z/real/tiny.ko"));
        assert_eq!(sources.candidates[&name("tiny")].len(), 1);
    }

    #[test]
    fn a_linked_folder_outside_is_searched_and_a_dangling_module_is_named() {
        let outside = folder(&[("tiny.ko", tiny())]);
        let folder = tempfile::tempdir().unwrap();
        symlink(outside.path(), folder.path().join("linux")).unwrap();
        symlink("gone", folder.path().join("ib_core.ko")).unwrap();
        let sources = open(&[folder.path()]).unwrap();
        assert!(found(&sources, "tiny").origin.ends_with("linux/tiny.ko"));
        let error = sources.find(&name("ib_core"), &release()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        let path = folder.path().join("ib_core.ko");
        assert!(error.to_string().starts_with(&format!("cannot open {}: ", path.display())), "{error}");
    }

    #[test]
    fn an_unreadable_candidate_does_not_hide_one_that_fits() {
        let folder = folder(&[("b/tiny.ko", tiny())]);
        symlink("gone", folder.path().join("tiny.ko")).unwrap();
        assert!(found(&open(&[folder.path()]).unwrap(), "tiny").bytes == tiny());
    }

    #[test]
    fn a_pipe_named_like_a_module_is_not_waited_for() {
        let folder = folder(&[("tiny.ko", tiny())]);
        run(Command::new("mkfifo").arg(folder.path().join("pipe.ko")));
        assert_eq!(open(&[folder.path()]).unwrap().names(), [name("tiny")]);
    }
}

#[test]
fn thousands_of_files_are_listed_without_being_read() {
    let folder = tempfile::tempdir().unwrap();
    for group in 0..20 {
        let below = folder.path().join(format!("drivers/{group}"));
        fs::create_dir_all(&below).unwrap();
        for number in 0..150 {
            // Not modules at all: reading one would be an error.
            fs::write(below.join(format!("m{group}-{number}.ko")), b"").unwrap();
        }
    }
    let sources = open(&[folder.path()]).unwrap();
    assert_eq!(sources.names().len(), 3000);
    assert!(sources.names().is_sorted());
}

mod damage {
    use std::sync::OnceLock;

    use proptest::prelude::*;

    use super::*;

    /// An archive of one module as it is and compressed by each program.
    fn archives() -> &'static [Vec<u8>] {
        static ARCHIVES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
        ARCHIVES.get_or_init(|| {
            let plain = archive(&[("lib/tiny.ko", tiny()), ("lib/tiny2.ko.xz", &compressed("xz", tiny()))]);
            let packed = ["gzip", "xz", "zstd"].map(|program| compressed(program, &plain));
            [vec![plain], packed.to_vec()].concat()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn damaged_archives_never_cause_a_panic(
            which in 0..4_usize,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let mut bytes = archives()[which].clone();
            for (place, value) in changes {
                let at = place.index(bytes.len());
                bytes[at] = value;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let folder = folder(&[("archive", &bytes)]);
            // Damage may hit what nobody reads; then the archive opens, and its modules are as they were or refused.
            if let Ok(sources) = open(&[&folder.path().join("archive")]) {
                for module in sources.names() {
                    let _ = sources.find(&module, &release());
                }
            }
        }
    }
}
