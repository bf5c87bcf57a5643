//! How fast a squashfs image is patched, held against unpacking and packing it anew: `cargo bench --bench squashfs`.
//!
//! The image is made here: 60 MB in about 1,000 files in a squashfs as OpenWrt's build makes it, `gzip -9n`. Kernel and
//! system come from the first image in `IBWRT_IMAGES`, where that names a folder, else from a fixture, whose kernel is a
//! small stand-in. Both contenders take turns; a figure is the median of its runs. Nothing here passes or fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]

mod common;

use common::filling::fill;
use common::support::{BootKind, OPENWRT, listing, squashfs_image, system_of_fixture};
use common::{
    Contender, With, difference, finish, foreign, is_asked_for_figures, line, patch, race_with_cpu, ratio, size,
    source, squash_by_hand,
};

/// Timed runs of each, after one that is not counted.
const RUNS: usize = 3;
/// Bytes of files in the root.
const CONTENT: usize = 60_000_000;
/// Lengths of these files: 1 KiB to 256 KiB, which is a block.
const LENGTHS: usize = 9;
/// Size of the root partition.
const MEBIBYTES: usize = 104;

fn main() {
    if !is_asked_for_figures() {
        return;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("Medians of {RUNS} runs on {cores} cores. Nothing is asserted.\n");
    let folder = tempfile::tempdir().unwrap();
    let (source, modules) = source();
    let (tree, kernel) = system_of_fixture(source.to_str().unwrap(), folder.path());
    fill(&tree, CONTENT, LENGTHS);
    let raw = folder.path().join("plain.img");
    squashfs_image(&raw, BootKind::Efi, &OPENWRT, MEBIBYTES, &tree, &kernel);
    finish(&mut foreign("gzip").with(["-9nf"]).with([&raw]));
    let image = raw.with_extension("img.gz");

    let patched = folder.path().join("by-ibwrt.img.gz");
    finish(&mut patch(&image, &modules, &patched));
    let after = folder.path().join("after");
    std::fs::create_dir(&after).unwrap();
    let (with_modules, _) = system_of_fixture(patched.to_str().unwrap(), &after);
    let new = folder.path().join("new");
    let count = difference(&tree, &with_modules, &new);
    let script = squash_by_hand(&image, &new, folder.path());
    println!(
        "{count} files of the InfiniBand set put into a squashfs with {} files; image {} MB",
        listing(&tree).len(),
        size(&image)
    );
    let contenders = [
        Contender::command("ibwrt patch, whole InfiniBand set, result checked", || patch(&image, &modules, &patched)),
        Contender::command("gzip -dc, unsquashfs, mksquashfs, gzip -9", || foreign("sh").with(["-c", &script])),
    ];
    let times = race_with_cpu(&contenders, RUNS);
    for (contender, (wall, cpu)) in contenders.iter().zip(&times) {
        line(contender.name, *wall);
        line("  on processors", *cpu);
    }
    let [(wall, cpu), (their_wall, their_cpu)] = times[..] else { return };
    ratio("unpacking and packing anew / ibwrt patch", their_wall, wall);
    ratio("the same on processors", their_cpu, cpu);
    println!("  the output has {} MB, theirs {} MB", size(&patched), size(&folder.path().join("by-hand.img.gz")));
}
