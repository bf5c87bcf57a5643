//! Content to pack, the programs that pack it, and those that unpack what was written.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use flate2::read::GzDecoder;

use crate::image::{DeflateStream, Disk};
use crate::progress::Silent;
use crate::seal::gzip::{DEFAULT_LEVEL, write};

/// `disk` as a gzip member, by a pool of `threads` threads.
pub(super) fn gzip(disk: &Disk, threads: usize) -> Vec<u8> {
    gzip_at(disk, disk.stream(), DEFAULT_LEVEL, threads)
}

/// The same at a level, with or without a stream to take over from.
pub(super) fn gzip_at(disk: &Disk, stream: Option<(&DeflateStream, u64)>, level: u32, threads: usize) -> Vec<u8> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let mut out = Vec::new();
    pool.install(|| write(disk, stream, None, level, &mut out, &Silent)).unwrap();
    out
}

/// Unpacks one member and asserts that nothing follows it.
pub(super) fn unpack(bytes: &[u8]) -> Vec<u8> {
    let mut decoder = GzDecoder::new(bytes);
    let mut all = Vec::new();
    decoder.read_to_end(&mut all).unwrap();
    assert!(decoder.into_inner().is_empty(), "bytes behind the member");
    all
}

/// Numbers without a pattern, the same every time.
pub(super) fn noise(count: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..count).map(step).collect()
}

/// Words in no order: compresses to about a third.
pub(super) fn text(count: usize, seed: u32) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "kernel ", "module ", "port\n", "fabric, ", "queue ", "pair ", "the ", "verbs", " a ", "0x80", "subnet ",
        "link", "=\"", "\"\n", "ib0 ", "mtu ",
    ];
    let mut bytes: Vec<u8> = noise(count, seed).iter().flat_map(|byte| WORDS[usize::from(byte >> 4)].bytes()).collect();
    bytes.truncate(count);
    bytes
}

/// Text, noise (which is stored), runs of zeroes and a ragged end: 4.6 MB.
pub(super) fn mixture() -> &'static [u8] {
    static MIXTURE: OnceLock<Vec<u8>> = OnceLock::new();
    MIXTURE.get_or_init(|| {
        let counting = (0..30_000u32).flat_map(u32::to_le_bytes).collect();
        [
            text(400_000, 1),
            noise(300_000, 2),
            vec![0; 1_700_000],
            counting,
            text(600_000, 3),
            vec![0; 400_000],
            noise(150_000, 4),
            text(500_000, 5),
            vec![0; 20_000],
            text(400_321, 6),
        ]
        .concat()
    })
}

/// What `command` prints when `input` is its standard input.
pub(super) fn through(command: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{} is needed: {error}", command[0]));
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{command:?}: {}", output.status);
    output.stdout
}

/// Programs that pack, each of which cuts its blocks in its own way.
pub(super) const PACKERS: &[&[&str]] = &[
    &["gzip", "-1"],
    &["gzip", "-2"],
    &["gzip", "-3"],
    &["gzip", "-4"],
    &["gzip", "-5"],
    &["gzip", "-6"],
    &["gzip", "-7"],
    &["gzip", "-8"],
    &["gzip", "-9n"],
    &["gzip", "-6", "--rsyncable"],
    &["pigz", "-p2"],
    &["pigz", "-9", "-i"],
    &["busybox", "gzip"],
    &["libdeflate-gzip", "-1"],
    &["libdeflate-gzip", "-12"],
    &["igzip", "-0", "-c"],
    &["igzip", "-3", "-c"],
    &["python3", "-c", PYTHON_STORED],
    &["zopfli-of-standard-input"],
];

/// Stored blocks only.
const PYTHON_STORED: &str = "import sys,gzip;sys.stdout.buffer.write(gzip.compress(sys.stdin.buffer.read(),0,mtime=0))";

/// `content` as `packer` packs it.
fn pack(packer: &[&str], content: &[u8]) -> Vec<u8> {
    if packer[0] != "zopfli-of-standard-input" {
        return through(packer, content);
    }
    // zopfli reads files only.
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    let output = Command::new("zopfli").args(["--i1", "-c"]).arg(file.path()).output().expect("zopfli is needed");
    assert!(output.status.success(), "zopfli: {}", output.status);
    output.stdout
}

/// The mixture as each of the packers packs it, packed once.
pub(super) fn packed(packer: usize) -> &'static [u8] {
    static PACKED: [OnceLock<Vec<u8>>; PACKERS.len()] = [const { OnceLock::new() }; PACKERS.len()];
    PACKED[packer].get_or_init(|| pack(PACKERS[packer], mixture()))
}

/// zlib itself, told to expect one gzip member.
const PYTHON_ZLIB: &str = "import sys,zlib;d=zlib.decompressobj(31);\
    sys.stdout.buffer.write(d.decompress(sys.stdin.buffer.read()));assert d.eof and not d.unused_data";
const PYTHON_GZIP: &str = "import sys,gzip;sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))";

/// Programs that unpack.
const UNPACKERS: &[&[&str]] = &[
    &["gzip", "-dc"],
    &["pigz", "-dc"],
    &["busybox", "zcat"],
    &["python3", "-c", PYTHON_ZLIB],
    &["python3", "-c", PYTHON_GZIP],
    &["libdeflate-gzip", "-dc"],
    &["igzip", "-dc"],
];

/// Every foreign program finds `content` in `member`.
pub(super) fn assert_foreign_programs_unpack(member: &[u8], content: &[u8], what: &str) {
    for unpacker in UNPACKERS {
        assert!(through(unpacker, member) == content, "{what}: {unpacker:?} unpacked something else");
    }
    through(&["gzip", "-t"], member);
}
