//! How fast one image is patched, held against the shell's way and against what cannot be done without:
//! `cargo bench --bench splice`.
//!
//! The image is made here: 57 MB of files in an ext4 root of 104 MiB, `gzip -9n`. Kernel and system come from the first
//! image in `IBWRT_IMAGES`, where that names a folder, else from a fixture, whose kernel is a small stand-in. All contenders
//! of a table take turns; a figure is the median of its runs. Nothing here passes or fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]

mod common;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::filling::fill;
use common::support::{BootKind, RootKind, image, partitions, raw_disk, system_of_fixture};
use common::{
    Contender, WISHES, With, by_hand, finish, foreign, ibwrt, is_asked_for_figures, line, measured, megabytes, patch,
    race, ratio, requests, size, source,
};
use sha2::{Digest, Sha256};

/// Timed runs of each contender, after one that is not counted.
const RUNS: usize = 5;
/// The same where one run takes seconds.
const SLOW_RUNS: usize = 3;
/// Bytes of files in the root.
const CONTENT: usize = 57_000_000;
/// Lengths of these files: 1 KiB to 2 MiB.
const LENGTHS: usize = 12;
/// Size of the root, and of the large one.
const MEBIBYTES: usize = 104;
const LARGE_MEBIBYTES: usize = 8 * 1024;
/// The edit of a small edit: another address and name.
const SMALL: [&str; 4] = ["--set", "ipoib.address=10.20.0.77/22", "--set", "hostname=fabric-77"];

fn main() {
    if !is_asked_for_figures() {
        return;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("Medians of {RUNS} runs (the shell's way: {SLOW_RUNS}) on {cores} cores. Nothing is asserted.\n");
    let folder = tempfile::tempdir().unwrap();
    let (source, modules) = source();
    let (tree, kernel) = system_of_fixture(source.to_str().unwrap(), folder.path());
    fill(&tree, CONTENT, LENGTHS);
    let bench = Bench { folder: folder.path(), kernel: &kernel };

    let plain = bench.image("plain", &tree, MEBIBYTES);
    let patched = folder.path().join("patched.img.gz");
    // A second patch would take the place of a recorded one.
    finish(patch(&plain, &modules, &patched).arg("--no-manifest"));
    let after = folder.path().join("after");
    std::fs::create_dir(&after).unwrap();
    let (with_modules, _) = system_of_fixture(patched.to_str().unwrap(), &after);
    whole_set(&bench, &plain, &modules, &requests(&tree, &with_modules));

    let base = bench.image("base", &with_modules, MEBIBYTES);
    let times = small_edit(&bench, &base, &with_modules);
    large_root(&bench, &base, &with_modules, times);
}

/// Where images are made, and of what besides their roots.
struct Bench<'a> {
    folder: &'a Path,
    kernel: &'a Path,
}

impl Bench<'_> {
    /// An image with the root `tree`, packed by `gzip -9n`.
    fn image(&self, name: &str, tree: &Path, mebibytes: usize) -> PathBuf {
        let raw = self.folder.join(format!("{name}.img"));
        let features = "has_journal,extent,dir_index,^64bit,^metadata_csum,uninit_bg";
        image(&raw, BootKind::Efi, RootKind { block_size: 4096, features, mebibytes }, tree, self.kernel);
        finish(&mut foreign("gzip").with(["-9nf"]).with([&raw]));
        raw.with_extension("img.gz")
    }

    /// The shell's way with these requests to debugfs.
    fn by_hand(&self, image: &Path, requests: &str, level: u32) -> Command {
        let (script, raw) = (self.folder.join("requests"), self.folder.join("by-hand.img"));
        std::fs::write(&script, requests).unwrap();
        let [_, root] = partitions(&raw_disk(image));
        let commands = by_hand(image, &script, &raw, root.range().start, level);
        foreign("sh").with(["-c", commands.as_str()])
    }
}

fn whole_set(bench: &Bench<'_>, image: &Path, modules: &Path, requests: &str) {
    let output = bench.folder.join("by-ibwrt.img.gz");
    let way = bench.by_hand(image, requests, 9);
    let way = way.get_args().map(std::ffi::OsStr::to_owned).collect::<Vec<_>>();
    let contenders = [
        Contender::command("ibwrt patch, whole InfiniBand set", || patch(image, modules, &output)),
        Contender::command("gzip -dc, debugfs -w, gzip -9", || foreign("sh").with(&way)),
    ];
    println!("The whole InfiniBand set injected; image {} MB", size(image));
    let times = race(&contenders, SLOW_RUNS);
    report(&contenders, &times);
    ratio("the shell's way / ibwrt patch", times[1], times[0]);
    println!("  the output has {} MB, the shell's {} MB\n", size(&output), size(&bench.folder.join("by-hand.img.gz")));
}

/// Returns the times of patch and of the floor.
fn small_edit(bench: &Bench<'_>, image: &Path, tree: &Path) -> [Duration; 2] {
    let output = bench.folder.join("small.img.gz");
    finish(&mut small(image, &output));
    let folder = bench.folder.join("edited");
    std::fs::create_dir(&folder).unwrap();
    let (edited, _) = system_of_fixture(output.to_str().unwrap(), &folder);
    let requests = requests(tree, &edited);
    let way = |level| {
        let way = bench.by_hand(image, &requests, level);
        way.get_args().map(std::ffi::OsStr::to_owned).collect::<Vec<_>>()
    };
    let (best, usual) = (way(9), way(6));
    let written = std::fs::read(&output).unwrap();
    let copy = bench.folder.join("floor.img.gz");
    let slow = [
        Contender::command("gzip -dc, debugfs -w, gzip -9", || foreign("sh").with(&best)),
        Contender::command("gzip -dc, debugfs -w, gzip -6", || foreign("sh").with(&usual)),
    ];
    let quick = [
        Contender::command("ibwrt patch, small edit", || small(image, &output)),
        Contender::new("one process: inflate, write, SHA-256 of the output", || floor(image, &written, &copy, false)),
        Contender::new("the same, and fsync", || floor(image, &written, &copy, true)),
    ];
    println!("A small edit ({} files); image {} MB", requests.matches("write ").count(), size(image));
    let quick_times = race(&quick, RUNS);
    let slow_times = race(&slow, SLOW_RUNS);
    report(&quick, &quick_times);
    report(&slow, &slow_times);
    ratio("gzip -9 way / ibwrt patch", slow_times[0], quick_times[0]);
    ratio("gzip -6 way / ibwrt patch", slow_times[1], quick_times[0]);
    ratio("ibwrt patch / inflate, write, SHA-256", quick_times[0], quick_times[1]);
    ratio("ibwrt patch / the same with fsync", quick_times[0], quick_times[2]);
    println!("  the output has {} MB; ibwrt held {} MB of memory\n", size(&output), held(small(image, &output)));
    [quick_times[0], quick_times[1]]
}

fn small(image: &Path, output: &Path) -> Command {
    let arguments = ["patch".as_ref(), image.as_os_str(), "-o".as_ref(), output.as_os_str()];
    ibwrt(arguments).with(["--quiet", "--force"]).with(&WISHES[..14]).with(SMALL)
}

/// What nobody can do without who reads such an image and writes such an output.
fn floor(image: &Path, output: &[u8], to: &Path, sync: bool) {
    let packed = std::fs::read(image).unwrap();
    // A member ends in the length of what is in it (RFC 1952, 2.3.1).
    let length = u32::from_le_bytes(*packed.last_chunk().unwrap());
    let mut disk = Vec::with_capacity(usize::try_from(length).unwrap());
    flate2::bufread::GzDecoder::new(packed.as_slice()).read_to_end(&mut disk).unwrap();
    let mut file = std::fs::File::create(to).unwrap();
    file.write_all(output).unwrap();
    std::hint::black_box(Sha256::digest(output));
    if sync {
        file.sync_all().unwrap();
    }
    std::hint::black_box(disk);
}

fn large_root(bench: &Bench<'_>, base: &Path, tree: &Path, [usual, _]: [Duration; 2]) {
    let image = bench.image("large", tree, LARGE_MEBIBYTES);
    let output = bench.folder.join("large-out.img.gz");
    let contenders = [
        Contender::command("ibwrt patch, small edit, root of 8 GiB", || small(&image, &output)),
        Contender::command("ibwrt patch, small edit, root of 104 MiB", || small(base, &output)),
    ];
    println!("A root of 8 GiB with the same files; image {} MB", size(&image));
    let times = race(&contenders, RUNS);
    report(&contenders, &times);
    ratio("8 GiB / 104 MiB", times[0], times[1].min(usual));
    println!("  ibwrt held {} MB of memory", held(small(&image, &output)));
}

fn report(contenders: &[Contender<'_>], times: &[Duration]) {
    for (contender, &time) in contenders.iter().zip(times) {
        line(contender.name, time);
    }
}

/// The most memory that a command held, in MB.
fn held(mut command: Command) -> String {
    format!("{:.0}", megabytes(measured(&mut command).peak))
}
