//! How fast the proof is, held against what it cannot do without and against the programs that do parts of it:
//! `cargo bench --bench proof`.
//!
//! On a fixture, and on every ext4 image of the folder `IBWRT_IMAGES` with the modules in `IBWRT_MODULES`: the image is
//! patched with every InfiniBand module there is, then proved. All contenders of a table take turns, so that a busy
//! machine slows all of them down; a figure is the median of its runs. Nothing here passes or fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]

mod common;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use common::support::{BootKind, RootKind, fixture, fixture_modules, image, partitions, raw_disk, system_of_fixture};
use common::{
    Contender, WISHES, With, by_hand, drain, finish, foreign, given, ibwrt, is_asked_for_figures, line, megabytes,
    patch, race, ratio, requests,
};
use serde_json::Value;

/// Timed runs of each contender, after one that is not counted.
const RUNS: usize = 5;
/// The same where one run takes seconds.
const SLOW_RUNS: usize = 3;

fn main() {
    if !is_asked_for_figures() {
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

/// `ibwrt patch` against what a person would type who knows which files to write and where.
fn patch_by_hand(image: &Path, modules: &Path, patched: &Patched, folder: &Path) {
    let before = tempfile::tempdir().unwrap();
    let (old, _) = system_of_fixture(image.to_str().unwrap(), before.path());
    let script = folder.join("requests");
    std::fs::write(&script, requests(&old, &patched.root)).unwrap();
    let [_, root] = partitions(&raw_disk(image));
    let (raw, output) = (folder.join("by-hand.img"), folder.join("by-ibwrt.img.gz"));
    let by_hand = by_hand(image, &script, &raw, root.range().start, 9);
    let contenders = [
        Contender::command("ibwrt patch, whole InfiniBand set", || patch(image, modules, &output)),
        Contender::command("gzip -dc, debugfs -w, gzip -9", || foreign("sh").with(["-c", by_hand.as_str()])),
    ];
    let times = race(&contenders, SLOW_RUNS);
    for (contender, &time) in contenders.iter().zip(&times) {
        line(contender.name, time);
    }
    ratio("patch / gzip, debugfs, gzip", times[0], times[1]);
    println!();
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
