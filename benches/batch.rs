//! How fast many hosts' images are made of one, held against the shell's way and against what cannot be done without:
//! `cargo bench --bench batch`.
//!
//! The images are made here: 57 MB of files in a root of 104 MiB, ext4 and squashfs, `gzip -9n`. Kernel and system come from
//! the first image in `IBWRT_IMAGES`, where that names a folder, else from a fixture, whose kernel is a small stand-in.
//! Each host gets every InfiniBand module, and an address and a name of its own. A thousand outputs are 25 GB: each is
//! removed as soon as it has its name, by batch as by the floor. `IBWRT_HOSTS` names other numbers of hosts than
//! `10,100,1000`. Nothing here passes or fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]

mod common;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::filling::fill;
use common::support::{BootKind, OPENWRT, RootKind, image, partitions, raw_disk, squashfs_image, system_of_fixture};
use common::{
    Measured, WISHES, With, by_hand, difference, finish, foreign, ibwrt, is_asked_for_figures, measured, median,
    megabytes, requests, size, source, squash_by_hand,
};
use sha2::{Digest, Sha256};

/// Runs of the floor and of the smaller numbers of hosts; the shell's way and the largest number are run once.
const RUNS: usize = 3;
/// Bytes of files in the root.
const CONTENT: usize = 57_000_000;
/// Lengths of these files: 1 KiB to 2 MiB in ext4, to 256 KiB, a block, in squashfs.
const LENGTHS: [usize; 2] = [12, 9];
/// Size of the root partition.
const MEBIBYTES: usize = 104;
/// Hosts that the floor is measured with.
const FLOOR_HOSTS: usize = 50;

fn main() {
    if !is_asked_for_figures() {
        return;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "On {cores} cores; medians of {RUNS} runs up to 100 hosts. Outputs are removed as they come. Nothing is asserted.\n"
    );
    for (kind, lengths) in ["ext4", "squashfs"].into_iter().zip(LENGTHS) {
        let folder = tempfile::tempdir().unwrap();
        let (source, modules) = source();
        let (tree, kernel) = system_of_fixture(source.to_str().unwrap(), folder.path());
        fill(&tree, CONTENT, lengths);
        let raw = folder.path().join("base.img");
        if kind == "ext4" {
            let features = "has_journal,extent,dir_index,^64bit,^metadata_csum,uninit_bg";
            let root = RootKind { block_size: 4096, features, mebibytes: MEBIBYTES };
            image(&raw, BootKind::Efi, root, &tree, &kernel);
        } else {
            squashfs_image(&raw, BootKind::Efi, &OPENWRT, MEBIBYTES, &tree, &kernel);
        }
        finish(&mut foreign("gzip").with(["-9nf"]).with([&raw]));
        Bench { folder: folder.path(), tree, modules, image: raw.with_extension("img.gz"), kind }.run();
    }
}

struct Bench<'a> {
    folder: &'a Path,
    /// The base's root as a folder.
    tree: PathBuf,
    modules: PathBuf,
    image: PathBuf,
    kind: &'static str,
}

impl Bench<'_> {
    fn run(&self) {
        // The output of one host: for the floor, and for the shell to know what goes where.
        self.batch(1, false);
        let output = self.folder.join("out/n0000.img.gz");
        println!("{}: image {} MB, an output {} MB", self.kind, size(&self.image), size(&output));
        let by_hand = self.shell(&output);
        let written = std::fs::read(&output).unwrap();
        let [floor, synced] = [false, true].map(|sync| self.floor(&written, sync));
        row("hash and write an output", FLOOR_HOSTS, floor);
        row("the same, and fsync", FLOOR_HOSTS, synced);
        row("the shell's way, one output", 1, by_hand);
        let counts = std::env::var("IBWRT_HOSTS").unwrap_or_else(|_| "10,100,1000".to_owned());
        let counts: Vec<usize> = counts.split(',').map(|count| count.trim().parse().unwrap()).collect();
        let mut results = Vec::new();
        for &count in &counts {
            let runs: Vec<Measured> =
                (0..if count > 100 { 1 } else { RUNS }).map(|_| self.batch(count, true)).collect();
            let result = median(runs);
            row("ibwrt batch", count, result);
            results.push((count, result));
        }
        let each = |part: fn(&Measured) -> Duration| slope(&results, part);
        let (wall, cpu) = (each(|result| result.wall), each(|result| result.cpu));
        println!("  one host more: {:.1} ms, on processors {:.1} ms", wall * 1e3, cpu * 1e3);
        let per_host = |(count, result): &(usize, Measured)| result.wall.as_secs_f64() / *count as f64;
        let most = results.last().map_or(f64::NAN, per_host);
        let floor_each =
            |floor: Measured, part: fn(&Measured) -> Duration| part(&floor).as_secs_f64() / FLOOR_HOSTS as f64;
        println!("  the shell's way / a host of the most                 {:>8.0}", by_hand.wall.as_secs_f64() / most);
        println!("  the shell's way / one host more                      {:>8.0}", by_hand.wall.as_secs_f64() / wall);
        println!("  the same on processors                               {:>8.0}", by_hand.cpu.as_secs_f64() / cpu);
        for (name, floor) in [("hash and write", floor), ("hash, write and fsync", synced)] {
            println!("  one host more / {name:<36} {:>8.2}", wall / floor_each(floor, |floor| floor.wall));
            println!("    on processors {:<36} {:>8.2}", "", cpu / floor_each(floor, |floor| floor.cpu));
        }
        println!();
    }

    /// The batch of `count` hosts; its outputs are removed as they come, if `emptied`.
    fn batch(&self, count: usize, emptied: bool) -> Measured {
        let (hosts, out) = (self.folder.join("hosts.toml"), self.folder.join("out"));
        std::fs::write(&hosts, hosts_file(count)).unwrap();
        let _ = std::fs::remove_dir_all(&out);
        let mut command = ibwrt(["batch".as_ref(), self.image.as_os_str(), "--hosts".as_ref(), hosts.as_os_str()]);
        command.arg("--modules").arg(&self.modules).arg("--quiet").arg("-o").arg(&out);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            if emptied {
                scope.spawn(|| empty(&out, &is_over));
            }
            let measured = measured(&mut command);
            is_over.store(true, Ordering::Relaxed);
            measured
        })
    }

    /// What is the least that somebody does who leaves such outputs behind: hashes and writes them, on all cores.
    fn floor(&self, output: &[u8], sync: bool) -> Measured {
        median((0..RUNS).map(|_| self.floor_once(output, sync)).collect())
    }

    fn floor_once(&self, output: &[u8], sync: bool) -> Measured {
        let next = AtomicUsize::new(0);
        let (start, before) = (Instant::now(), common::cpu_of_self());
        let work = || loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= FLOOR_HOSTS {
                break;
            }
            let path = self.folder.join(format!("floor-{number}.img.gz"));
            let mut file = std::fs::File::create(&path).unwrap();
            file.write_all(output).unwrap();
            std::hint::black_box(Sha256::digest(output));
            if sync {
                file.sync_all().unwrap();
            }
            drop(file);
            std::fs::remove_file(&path).unwrap();
        };
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(work);
            }
        });
        Measured { wall: start.elapsed(), cpu: common::cpu_of_self() - before, peak: 0 }
    }

    /// One output, made by the programs that a person would use.
    fn shell(&self, output: &Path) -> Measured {
        let after = self.folder.join("after");
        std::fs::create_dir(&after).unwrap();
        let (edited, _) = system_of_fixture(output.to_str().unwrap(), &after);
        let script = if self.kind == "ext4" {
            let (script, raw) = (self.folder.join("requests"), self.folder.join("by-hand.img"));
            std::fs::write(&script, requests(&self.tree, &edited)).unwrap();
            let [_, root] = partitions(&raw_disk(&self.image));
            by_hand(&self.image, &script, &raw, root.range().start, 9)
        } else {
            let new = self.folder.join("new");
            difference(&self.tree, &edited, &new);
            squash_by_hand(&self.image, &new, self.folder)
        };
        measured(foreign("sh").arg("-c").arg(script))
    }
}

/// Hosts with all that brings a module, and an address and a name each.
fn hosts_file(count: usize) -> String {
    let overlays: Vec<String> = WISHES.iter().skip(1).step_by(2).take(7).map(|name| format!("{name:?}")).collect();
    let common = format!(
        "overlays = [{}]\nipoib.address = \"{{{{ cidr_address('10.10.0.0/16', host.index + 1) }}}}\"\n",
        overlays.join(", ")
    );
    common + &(0..count).map(|number| format!("[[host]]\nname = 'n{number:04}'\n")).collect::<String>()
}

/// Removes outputs as they come.
fn empty(folder: &Path, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().ends_with(".img.gz") {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Seconds that one host more takes: the slope of the line that fits best (least squares).
fn slope(results: &[(usize, Measured)], part: fn(&Measured) -> Duration) -> f64 {
    let points: Vec<(f64, f64)> =
        results.iter().map(|(count, result)| (*count as f64, part(result).as_secs_f64())).collect();
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    covariance / points.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>()
}

fn row(name: &str, count: usize, Measured { wall, cpu, peak }: Measured) {
    let each = |time: Duration| time.as_secs_f64() * 1e3 / count as f64;
    let memory = if peak > 0 { format!("{:.0} MB", megabytes(peak)) } else { String::new() };
    println!(
        "  {name:<28} {count:>5} {:>9.2} s  each {:>8.1} ms, on processors {:>8.1} ms  {memory}",
        wall.as_secs_f64(),
        each(wall),
        each(cpu)
    );
}
