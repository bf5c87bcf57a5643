//! How fast a squashfs image is patched, held against unpacking and packing it anew: `cargo bench --bench squashfs`.
//!
//! The image is made here: 60 MB in about 1,000 files in a squashfs as OpenWrt's build makes it, `gzip -9n`. Kernel and
//! system come from the first image in `IBWRT_IMAGES`, where that names a folder, else from a fixture, whose kernel is a
//! small stand-in. Both contenders take turns; a figure is the median of its runs. Nothing here passes or fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]

mod common;

use std::path::{Path, PathBuf};

use common::filling::fill;
use common::support::{BootKind, OPENWRT, listing, partitions, raw_disk, squashfs_image, system_of_fixture};
use common::{
    Contender, With, finish, foreign, is_asked_for_figures, line, megabytes, patch, race_with_cpu, ratio, source,
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
    let script = by_hand(&image, &new, folder.path());
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

/// Copies what is new or other in `after` to `to`; how many paths that are.
fn difference(before: &Path, after: &Path, to: &Path) -> usize {
    let mut count = 0;
    for path in listing(after) {
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
fn by_hand(image: &Path, new: &Path, folder: &Path) -> String {
    let [_, root] = partitions(&raw_disk(image));
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
        options = OPENWRT.join(" "),
    )
}

fn size(file: &Path) -> String {
    format!("{:.1}", megabytes(std::fs::metadata(file).unwrap().len()))
}
