//! What the benchmarks share: taking turns, telling times, and the programs that are measured.
// Each has its uses for some of it.
#![allow(dead_code)]

// The suite has its uses for the rest of it.
#[allow(dead_code, unused_imports, clippy::cast_possible_truncation)]
#[path = "../../tests/suite/support/mod.rs"]
pub(crate) mod support;

pub(crate) mod filling;

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Everything that brings a module, with the one setting that has no default.
pub(crate) const WISHES: [&str; 16] = [
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

/// Somebody whose time is taken.
pub(crate) struct Contender<'a> {
    pub(crate) name: &'static str,
    job: Box<dyn Fn() + 'a>,
}

impl<'a> Contender<'a> {
    pub(crate) fn new(name: &'static str, job: impl Fn() + 'a) -> Self {
        Self { name, job: Box::new(job) }
    }

    /// A command that must succeed; what it says goes nowhere.
    pub(crate) fn command(name: &'static str, make: impl Fn() -> Command + 'a) -> Self {
        Self::new(name, move || finish(&mut make()))
    }
}

pub(crate) fn finish(command: &mut Command) {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let status = status.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

/// The median time of each, all taking turns.
pub(crate) fn race(contenders: &[Contender<'_>], runs: usize) -> Vec<Duration> {
    race_with_cpu(contenders, runs).into_iter().map(|(wall, _)| wall).collect()
}

/// The median time of each by the clock, and on processors (of commands only), all taking turns.
pub(crate) fn race_with_cpu(contenders: &[Contender<'_>], runs: usize) -> Vec<(Duration, Duration)> {
    let mut times = vec![(Vec::new(), Vec::new()); contenders.len()];
    for round in 0..=runs {
        for (contender, (walls, cpus)) in contenders.iter().zip(&mut times) {
            let (start, before) = (Instant::now(), cpu_of_children());
            (contender.job)();
            if round > 0 {
                walls.push(start.elapsed());
                cpus.push(cpu_of_children() - before);
            }
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    times.into_iter().map(|(walls, cpus)| (median(walls), median(cpus))).collect()
}

/// What all children that ended have spent on processors, and theirs (proc(5): cutime and cstime, the 16th and 17th field).
fn cpu_of_children() -> Duration {
    cpu_fields(13)
}

/// What this process has spent on processors (proc(5): utime and stime, the 14th and 15th field).
pub(crate) fn cpu_of_self() -> Duration {
    cpu_fields(11)
}

/// Two fields of hundredths of a second, of which `skipped` come first behind the name.
fn cpu_fields(skipped: usize) -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field, the name in parentheses, may hold blanks.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).into_iter().flatten();
    let ticks: u64 = fields.skip(skipped).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// What a command took.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    /// By the clock.
    pub(crate) wall: Duration,
    /// On processors.
    pub(crate) cpu: Duration,
    /// The most memory that it held, in bytes; 0 where nobody looked.
    pub(crate) peak: u64,
}

/// Runs a command that must succeed, and looks at its memory (proc(5), VmHWM) meanwhile.
pub(crate) fn measured(command: &mut Command) -> Measured {
    let (start, before) = (Instant::now(), cpu_of_children());
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let result = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kibibytes.unwrap_or(0) * 1024);
        if let Some(result) = child.try_wait().unwrap() {
            break result;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(result.success(), "{command:?}: {result}");
    Measured { wall: start.elapsed(), cpu: cpu_of_children() - before, peak }
}

/// The medians of several runs.
pub(crate) fn median(mut runs: Vec<Measured>) -> Measured {
    let mut middle = |key: fn(&Measured) -> u128| {
        runs.sort_by_key(key);
        runs[runs.len() / 2]
    };
    Measured {
        wall: middle(|run| run.wall.as_nanos()).wall,
        cpu: middle(|run| run.cpu.as_nanos()).cpu,
        peak: middle(|run| run.peak.into()).peak,
    }
}

pub(crate) fn line(name: &str, time: Duration) {
    println!("  {name:<52} {:>8.1} ms", time.as_secs_f64() * 1000.0);
}

pub(crate) fn ratio(name: &str, of: Duration, to: Duration) {
    println!("  {name:<52} {:>8.2}", of.as_secs_f64() / to.as_secs_f64());
}

/// A program found as root would find it.
pub(crate) fn foreign(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(name);
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C");
    command
}

/// The program; `IBWRT_BINARY` names another build of it.
pub(crate) fn ibwrt<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(std::env::var_os("IBWRT_BINARY").unwrap_or(env!("CARGO_BIN_EXE_ibwrt").into()));
    command.args(arguments).env_remove("SOURCE_DATE_EPOCH");
    command
}

pub(crate) fn patch(image: &Path, modules: &Path, output: &Path) -> Command {
    let mut command = ibwrt([OsStr::new("patch"), image.as_os_str(), OsStr::new("--modules"), modules.as_os_str()]);
    command.args(WISHES).args(["--quiet", "--force", "-o"]).arg(output);
    command
}

/// Everything to its end and away, by the libraries that the program itself uses; how many bytes that is.
pub(crate) fn drain(mut reader: impl Read) -> u64 {
    std::io::copy(&mut reader, &mut std::io::sink()).unwrap()
}

pub(crate) fn megabytes(bytes: u64) -> f64 {
    Duration::from_micros(bytes).as_secs_f64()
}

/// The ext4 images of the folder in `IBWRT_IMAGES`, with their modules.
pub(crate) fn given() -> Vec<(PathBuf, PathBuf)> {
    let (Some(folder), Some(modules)) = (std::env::var_os("IBWRT_IMAGES"), std::env::var_os("IBWRT_MODULES")) else {
        println!("IBWRT_IMAGES and IBWRT_MODULES name no folder of images and no modules: the fixture alone.\n");
        return Vec::new();
    };
    let folder = PathBuf::from(folder);
    let names = support::listing(&folder).into_iter();
    let names = names.filter(|name| name.contains("ext4") && (name.ends_with(".img") || name.ends_with(".img.gz")));
    names.map(|name| (folder.join(name), PathBuf::from(&modules))).collect()
}

/// Whether `cargo bench` runs this; `cargo test --benches` does too, but asks for no figures.
pub(crate) fn is_asked_for_figures() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// The image whose system and kernel fill a benchmark's own image, and its modules: the first that is given, else a fixture.
pub(crate) fn source() -> (PathBuf, PathBuf) {
    let fixture = || (support::fixture("openwrt-mini-ib-ext4-combined-efi.img.gz"), support::fixture_modules());
    given().into_iter().next().unwrap_or_else(fixture)
}

/// What debugfs is asked for to make the folder `before` the folder `after`, where nothing goes.
pub(crate) fn requests(before: &Path, after: &Path) -> String {
    let changed = support::listing(after).into_iter().filter_map(|path| {
        let (old, new) = (before.join(&path), after.join(&path));
        let is_there = old.is_symlink() || old.exists();
        Some(match new {
            new if new.is_symlink() && !is_there => {
                format!("symlink /{path} {}\n", std::fs::read_link(new).unwrap().display())
            }
            new if new.is_dir() && !is_there => format!("mkdir /{path}\n"),
            new if new.is_symlink() || new.is_dir() => return None,
            new if !is_there => format!("write {} /{path}\n", new.display()),
            new if std::fs::read(&new).unwrap() == std::fs::read(&old).unwrap() => return None,
            new => format!("rm /{path}\nwrite {} /{path}\n", new.display()),
        })
    });
    changed.collect()
}

/// The shell's way to patch `image`: unpack it to `raw`, let debugfs do `script` on the filesystem at byte `offset`, pack.
pub(crate) fn by_hand(image: &Path, script: &Path, raw: &Path, offset: usize, level: u32) -> String {
    // What follows the gzip member is a trailer, of which gzip warns.
    format!(
        "gzip -dc '{image}' > '{raw}'; debugfs -w -f '{script}' '{raw}?offset={offset}' && gzip -{level}nf '{raw}'",
        image = image.display(),
        raw = raw.display(),
        script = script.display(),
    )
}

/// A command with more arguments, in one expression.
pub(crate) trait With {
    fn with<S: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = S>) -> Self;
}

impl With for Command {
    fn with<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.args(arguments);
        self
    }
}

/// Copies what is new or other in `after` to `to`; how many paths that are.
pub(crate) fn difference(before: &Path, after: &Path, to: &Path) -> usize {
    let mut count = 0;
    for path in support::listing(after) {
        let (old, new, copy) = (before.join(&path), after.join(&path), to.join(&path));
        let content = |path: &Path| match path.is_symlink() {
            true => std::fs::read_link(path).ok().map(|target| target.into_os_string().into_encoded_bytes()),
            // Reading a device would wait for what nobody sends.
            false => path.is_file().then(|| std::fs::read(path).unwrap()),
        };
        if new.is_dir() && !new.is_symlink() || content(&old) == content(&new) {
            continue;
        }
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        finish(&mut foreign("cp").with(["-a"]).with([new, copy]));
        count += 1;
    }
    count
}

/// The shell's way: the image unpacked, its root unpacked, the files of `new` put in, all packed anew with the same options.
pub(crate) fn squash_by_hand(image: &Path, new: &Path, folder: &Path) -> String {
    let [_, root] = support::partitions(&support::raw_disk(image));
    let file = |name: &str| -> PathBuf { folder.join(name) };
    format!(
        "set -e; gzip -dc '{image}' > '{raw}'; rm -rf '{tree}' '{packed}'
         dd if='{raw}' of='{part}' bs=512 skip={start} count={sectors} status=none
         unsquashfs -quiet -no-progress -no-exit-code -dest '{tree}' '{part}'
         cp -a '{new}/.' '{tree}'
         mksquashfs '{tree}' '{packed}' -nopad -noappend -root-owned -no-xattrs -quiet -no-progress {options}
         truncate -s $(({sectors} * 512)) '{packed}'
         dd if='{packed}' of='{raw}' bs=512 seek={start} conv=notrunc status=none
         gzip -9nf '{raw}'",
        image = image.display(),
        new = new.display(),
        raw = file("by-hand.img").display(),
        tree = file("by-hand").display(),
        part = file("by-hand.root").display(),
        packed = file("by-hand.squashfs").display(),
        start = root.start,
        sectors = root.sectors,
        options = support::OPENWRT.join(" "),
    )
}

/// Length of a file in MB.
pub(crate) fn size(file: &Path) -> String {
    format!("{:.1}", megabytes(std::fs::metadata(file).unwrap().len()))
}
