//! How fast the proof is, held against what it cannot do without and against the programs that do parts of it:
//! `cargo bench --bench proof`.
//!
//! On a fixture, and on every ext4 image of the folder `IBWRT_IMAGES` with the modules in `IBWRT_MODULES`: the image is
//! patched with every InfiniBand module there is, then proved. All contenders of a table take turns, so that a busy
//! machine slows all of them down; a figure is the median of its runs. Nothing here passes or fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]

// The suite has its uses for the rest of it.
#[allow(dead_code, unused_imports, clippy::cast_possible_truncation)]
#[path = "../tests/suite/support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{BootKind, RootKind, fixture, fixture_modules, image, partitions, raw_disk, system_of_fixture};

/// Timed runs of each contender, after one that is not counted.
const RUNS: usize = 5;
/// The same where one run takes seconds.
const SLOW_RUNS: usize = 3;
/// Everything that brings a module, with the one setting that has no default.
const WISHES: [&str; 16] = [
    "--overlay",
    "connectx3",
    "--overlay",
    "connectx4",
    "--overlay",
    "infinihost",
    "--overlay",
    "soft-roce",
    "--overlay",
    "rdma-tools",
    "--overlay",
    "storage",
    "--overlay",
    "ipoib",
    "--set",
    "ipoib.address=10.10.0.5/24",
];

fn main() {
    // `cargo test --benches` runs this too; only `cargo bench` asks for figures.
    if std::env::args().all(|argument| argument != "--bench") {
        return;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("Medians of {RUNS} runs (patch: {SLOW_RUNS}) on {cores} cores. Nothing is asserted.\n");
    let small = fixture("openwrt-mini-ib-ext4-combined-efi.img.gz");
    prove(&small, &fixture_modules());
    for (image, modules) in given() {
        prove(&image, &modules);
    }
    scale(&small);
}

/// The ext4 images of the folder in `IBWRT_IMAGES`, with their modules.
fn given() -> Vec<(PathBuf, PathBuf)> {
    let (Some(folder), Some(modules)) = (std::env::var_os("IBWRT_IMAGES"), std::env::var_os("IBWRT_MODULES")) else {
        println!("IBWRT_IMAGES and IBWRT_MODULES name no folder of images and no modules: the fixture alone.\n");
        return Vec::new();
    };
    let folder = PathBuf::from(folder);
    let names = support::listing(&folder).into_iter();
    let names = names.filter(|name| name.contains("ext4") && (name.ends_with(".img") || name.ends_with(".img.gz")));
    names.map(|name| (folder.join(name), PathBuf::from(&modules))).collect()
}

/// Somebody whose time is taken.
struct Contender<'a> {
    name: &'static str,
    job: Box<dyn Fn() + 'a>,
}

impl<'a> Contender<'a> {
    fn new(name: &'static str, job: impl Fn() + 'a) -> Self {
        Self { name, job: Box::new(job) }
    }

    /// A command that must succeed; what it says goes nowhere.
    fn command(name: &'static str, make: impl Fn() -> Command + 'a) -> Self {
        Self::new(name, move || finish(&mut make()))
    }
}

fn finish(command: &mut Command) {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let status = status.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

/// The median time of each, all taking turns.
fn race(contenders: &[Contender<'_>], runs: usize) -> Vec<Duration> {
    let mut times = vec![Vec::new(); contenders.len()];
    for round in 0..=runs {
        for (contender, times) in contenders.iter().zip(&mut times) {
            let start = Instant::now();
            (contender.job)();
            if round > 0 {
                times.push(start.elapsed());
            }
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    times.into_iter().map(median).collect()
}

fn line(name: &str, time: Duration) {
    println!("  {name:<52} {:>8.1} ms", time.as_secs_f64() * 1000.0);
}

fn ratio(name: &str, of: Duration, to: Duration) {
    println!("  {name:<52} {:>8.2}", of.as_secs_f64() / to.as_secs_f64());
}

/// A program found as root would find it.
fn foreign(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(name);
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C");
    command
}

fn ibwrt<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ibwrt"));
    command.args(arguments).env_remove("SOURCE_DATE_EPOCH");
    command
}

fn patch(image: &Path, modules: &Path, output: &Path) -> Command {
    let mut command = ibwrt([OsStr::new("patch"), image.as_os_str(), OsStr::new("--modules"), modules.as_os_str()]);
    command.args(WISHES).args(["--quiet", "--force", "-o"]).arg(output);
    command
}

/// A patched image, and its parts for those who can only do parts.
struct Patched {
    /// As `patch` wrote it, gzip.
    image: PathBuf,
    /// The kernel's payload without the size behind it: an xz stream.
    payload: PathBuf,
    /// The root as a folder.
    root: PathBuf,
    /// What `graph --all --format json` says.
    graph: Value,
}

impl Patched {
    fn new(image: &Path, modules: &Path, folder: &Path) -> Option<Self> {
        let patched = folder.join("patched.img.gz");
        finish(&mut patch(image, modules, &patched));
        // Reads any image; an absolute path stands for itself.
        let (root, kernel) = system_of_fixture(patched.to_str().unwrap(), folder);
        let kernel = std::fs::read(kernel).unwrap();
        let payload = payload(&kernel);
        if !payload.starts_with(b"\xFD7zXZ\0") {
            println!("{}: the kernel is not packed with xz, left out\n", image.display());
            return None;
        }
        std::fs::write(folder.join("payload.xz"), payload).unwrap();
        let said = ibwrt(["graph", patched.to_str().unwrap(), "--all", "--format", "json"]).output().unwrap();
        let graph = serde_json::from_slice(&said.stdout).unwrap();
        Some(Self { image: patched, payload: folder.join("payload.xz"), root, graph })
    }

    fn release(&self) -> &str {
        self.graph["kernel"]["release"].as_str().unwrap()
    }

    fn modules(&self) -> &[Value] {
        self.graph["modules"].as_array().unwrap()
    }

    /// What depmod needs to know of the kernel: of its exports those that some module uses, as `Module.symvers`.
    fn write_symvers(&self, to: &Path) {
        let symbols = self.modules().iter().flat_map(|module| module["kernel_symbols"].as_array().unwrap());
        let symbols: BTreeSet<&str> = symbols.map(|symbol| symbol.as_str().unwrap()).collect();
        let lines = symbols.iter().map(|symbol| format!("0x00000000\t{symbol}\tvmlinux\tEXPORT_SYMBOL\t\n"));
        std::fs::write(to, lines.collect::<String>()).unwrap();
    }
}

/// The compressed stream in a bzImage (Documentation/arch/x86/boot.rst: setup_sects, payload_offset, payload_length),
/// without the four bytes of its unpacked size.
fn payload(kernel: &[u8]) -> &[u8] {
    let word = |at: usize| u32::from_le_bytes(kernel[at..at + 4].try_into().unwrap()) as usize;
    let start = (usize::from(kernel[0x1F1]) + 1) * 512 + word(0x248);
    &kernel[start..start + word(0x24C) - 4]
}

/// Everything to its end and away, by the libraries that the program itself uses; how many bytes that is.
fn drain(mut reader: impl Read) -> u64 {
    std::io::copy(&mut reader, &mut std::io::sink()).unwrap()
}

fn prove(image: &Path, modules: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let Some(patched) = Patched::new(image, modules, folder.path()) else { return };
    let symvers = folder.path().join("Module.symvers");
    patched.write_symvers(&symvers);
    let depmod = || {
        let mut command = foreign("depmod");
        command.arg("-e").arg("-E").arg(&symvers).arg("-b").arg(&patched.root).args(["-n", patched.release()]);
        command
    };
    let complaints = String::from_utf8(depmod().output().unwrap().stderr).unwrap();
    assert!(!complaints.contains("unknown symbol"), "depmod comes to another verdict: {complaints}");
    let (stream, kernel) = (std::fs::read(&patched.image).unwrap(), std::fs::read(&patched.payload).unwrap());
    let unpack_image = || drain(flate2::bufread::GzDecoder::new(stream.as_slice()));
    let unpack_kernel = || drain(lzma_rust2::XzReader::new(kernel.as_slice(), false));
    println!("{}", image.file_name().unwrap().to_string_lossy());
    println!(
        "  {} modules, {} exports; image {:.1} MB of {:.1} unpacked, kernel {:.1} MB of {:.1} unpacked",
        patched.modules().len(),
        patched.graph["kernel"]["exports"],
        megabytes(stream.len() as u64),
        megabytes(unpack_image()),
        megabytes(kernel.len() as u64),
        megabytes(unpack_kernel()),
    );
    let path = &patched.image;
    let contenders = [
        Contender::command("ibwrt graph --all --format json", || {
            ibwrt([OsStr::new("graph"), path.as_os_str()]).with(["--all", "--format", "json"])
        }),
        Contender::command("ibwrt verify", || ibwrt([OsStr::new("verify"), path.as_os_str()]).with(WISHES)),
        Contender::new("image unpacked, same library", || assert!(unpack_image() > 0)),
        Contender::new("kernel unpacked, same library", || assert!(unpack_kernel() > 0)),
        Contender::command("gzip -dc IMAGE", || foreign("gzip").with(["-dc"]).with([path])),
        Contender::command("xz -dc KERNEL", || foreign("xz").with(["-dc"]).with([&patched.payload])),
        Contender::command("depmod -e -E Module.symvers", depmod),
    ];
    let times = race(&contenders, RUNS);
    for (contender, &time) in contenders.iter().zip(&times) {
        line(contender.name, time);
    }
    let &[graph, verify, own_image, own_kernel, gzip, xz, depmod] = times.as_slice() else { return };
    let own = own_image + own_kernel;
    ratio("graph / decompression, same libraries", graph, own);
    ratio("graph / decompression of the kernel alone, xz", graph, xz);
    ratio("graph / decompression, gzip and xz", graph, gzip + xz);
    ratio("graph / gzip, xz and depmod", graph, gzip + xz + depmod);
    ratio("verify / decompression, same libraries", verify, own);
    ratio("verify / gzip, xz and depmod", verify, gzip + xz + depmod);
    patch_by_hand(image, modules, &patched, folder.path());
}

fn megabytes(bytes: u64) -> f64 {
    Duration::from_micros(bytes).as_secs_f64()
}

/// `ibwrt patch` against what a person would type who knows which files to write and where.
fn patch_by_hand(image: &Path, modules: &Path, patched: &Patched, folder: &Path) {
    let before = tempfile::tempdir().unwrap();
    let (old, _) = system_of_fixture(image.to_str().unwrap(), before.path());
    let old: BTreeSet<String> = support::listing(&old).into_iter().collect();
    let new = support::listing(&patched.root).into_iter().filter(|path| !old.contains(path));
    let requests = new.map(|path| match patched.root.join(&path) {
        from if from.is_symlink() => format!("symlink /{path} {}\n", std::fs::read_link(from).unwrap().display()),
        from if from.is_dir() => format!("mkdir /{path}\n"),
        from => format!("write {} /{path}\n", from.display()),
    });
    let script = folder.join("requests");
    std::fs::write(&script, requests.collect::<String>()).unwrap();
    let [_, root] = partitions(&raw_disk(image));
    let (raw, output) = (folder.join("by-hand.img"), folder.join("by-ibwrt.img.gz"));
    // What follows the gzip member is a trailer, of which gzip warns.
    let by_hand = format!(
        "gzip -dc '{image}' > '{raw}'; debugfs -w -f '{script}' '{raw}?offset={offset}' && gzip -9nf '{raw}'",
        image = image.display(),
        raw = raw.display(),
        script = script.display(),
        offset = root.range().start,
    );
    let contenders = [
        Contender::command("ibwrt patch, whole InfiniBand set", || patch(image, modules, &output)),
        Contender::command("gzip -dc, debugfs -w, gzip -9", || foreign("sh").with(["-c", &by_hand])),
    ];
    let times = race(&contenders, SLOW_RUNS);
    for (contender, &time) in contenders.iter().zip(&times) {
        line(contender.name, time);
    }
    ratio("patch / gzip, debugfs, gzip", times[0], times[1]);
    println!();
}

/// A command with more arguments, in one expression.
trait With {
    fn with<S: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = S>) -> Self;
}

impl With for Command {
    fn with<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.args(arguments);
        self
    }
}

/// One image with more and more copies of a real module, each under a name of its own and each with an autoload line.
fn scale(image: &Path) {
    const COUNTS: [usize; 4] = [0, 500, 1000, 2000];
    let folder = tempfile::tempdir().unwrap();
    let Some(patched) = Patched::new(image, &fixture_modules(), folder.path()) else { return };
    let images: Vec<PathBuf> = COUNTS.map(|count| crowd(&patched, count, folder.path())).to_vec();
    let graph = |path: &Path| ibwrt([OsStr::new("graph"), path.as_os_str()]).with(["--all", "--format", "json"]);
    let verify = |path: &Path| ibwrt([OsStr::new("verify"), path.as_os_str()]);
    let graphs: Vec<_> = images.iter().map(|path| Contender::command("graph", || graph(path))).collect();
    let verifies: Vec<_> = images.iter().map(|path| Contender::command("verify", || verify(path))).collect();
    println!("The same fixture, more modules on a root of mke2fs");
    for (name, times) in [("graph --all", race(&graphs, RUNS)), ("verify", race(&verifies, RUNS))] {
        for (count, &time) in COUNTS.iter().zip(&times) {
            line(&format!("ibwrt {name}, {count} modules more"), time);
            if *count > 0 {
                let each = time.saturating_sub(times[0]).as_secs_f64() / f64::from(u32::try_from(*count).unwrap());
                println!("  {:<52} {:>8.1} µs", "  for each of them", each * 1e6);
            }
        }
    }
}

/// An uncompressed image with `count` modules more.
fn crowd(patched: &Patched, count: usize, folder: &Path) -> PathBuf {
    const ORIGINAL: &[u8; 7] = b"ib_umad";
    let directory = patched.root.join("lib/modules").join(patched.release());
    let original = std::fs::read(directory.join("ib_umad.ko")).unwrap();
    let mut entries = String::new();
    for number in 0..count {
        // As long as the original, so that nothing in the file moves.
        let name = format!("m{number:06}");
        let mut module = original.clone();
        for at in memchr::memmem::find_iter(&original, ORIGINAL) {
            module[at..at + ORIGINAL.len()].copy_from_slice(name.as_bytes());
        }
        std::fs::write(directory.join(format!("{name}.ko")), module).unwrap();
        entries.push_str(&format!("{name}\n"));
    }
    std::fs::write(patched.root.join("etc/modules.d/90-crowd"), entries).unwrap();
    let kernel = folder.join("vmlinuz");
    let to = folder.join(format!("{count}.img"));
    let root = RootKind { block_size: 4096, features: "has_journal,extent,dir_index", mebibytes: 128 };
    image(&to, BootKind::Efi, root, &patched.root, &kernel);
    to
}
