//! Who may work in a batch's folder at the same time, and what a batch that is stopped leaves there.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::batch::{batch, contents, site};
use super::support::{Ran, fixture, fixture_modules, ibwrt_command, listing, run};

const IMAGE: &str = "openwrt-mini-ib-ext4-combined.img.gz";

/// A batch into `out` that runs until it is stopped; killed when this is dropped.
struct Running(Child);

impl Running {
    /// Begins one, and waits until it has written to its `journal`: from then on it holds all its locks.
    fn begin(folder: &Path, journal: &str, more: &[&str]) -> Self {
        let mut command = ibwrt_command(folder);
        command.arg("batch").arg(fixture(IMAGE)).arg("--modules").arg(fixture_modules());
        command.args(["--hosts", "hosts.toml", "-o", "out", "--threads", "1"]).args(more);
        let mut running = Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let (begun, path) = (Instant::now(), folder.join("out").join(journal));
        while !std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() > 0) {
            assert!(begun.elapsed() < Duration::from_secs(60), "there is no {journal}");
            assert!(running.0.try_wait().unwrap().is_none(), "it ended before it had {journal}");
            sleep(Duration::from_millis(1));
        }
        running
    }

    fn signal(&self, signal: &str) {
        let ran = run(Command::new("sh").args(["-c", &format!("kill -{signal} {}", self.0.id())]));
        assert_eq!(ran.status, 0, "{ran}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn assert_refused(ran: &Ran, who: &str) {
    assert_eq!(ran.status, 2, "{ran}");
    assert!(ran.says(&format!("{who} is at work in the folder out")) && ran.says("wait until it is done"), "{ran}");
}

#[test]
fn two_batches_never_work_in_one_folder_and_a_killed_one_holds_nobody_up() {
    let site = site(12);
    let first = Running::begin(site.path(), ".ibwrt-batch.jsonl", &[]);
    first.signal("STOP");
    let before = contents(&site.path().join("out"));
    assert_refused(&batch(site.path(), IMAGE, &[]), "a batch");
    assert_refused(&batch(site.path(), IMAGE, &["--shard", "1/2"]), "a batch");
    assert_refused(&run(ibwrt_command(site.path()).args(["batch", "merge", "out"])), "a batch");
    assert_eq!(contents(&site.path().join("out")), before, "who is refused changes nothing");
    // Another folder is free.
    batch(site.path(), IMAGE, &["-o", "other"]).expect_status(0);
    drop(first);
    batch(site.path(), IMAGE, &[]).expect_status(0);
    assert_eq!(contents(&site.path().join("out")), contents(&site.path().join("other")));
}

#[test]
fn shards_of_one_batch_work_side_by_side_and_keep_all_others_out() {
    let site = site(12);
    let mut first = Running::begin(site.path(), ".ibwrt-batch.1-of-2.jsonl", &["--shard", "1/2"]);
    first.signal("STOP");
    batch(site.path(), IMAGE, &["--shard", "2/2"]).expect_status(0);
    assert_refused(&batch(site.path(), IMAGE, &["--shard", "1/2"]), "shard 1 of 2");
    assert_refused(&batch(site.path(), IMAGE, &["--shard", "2/3"]), "shard 1 of 2");
    assert_refused(&batch(site.path(), IMAGE, &[]), "a batch");
    assert_refused(&run(ibwrt_command(site.path()).args(["batch", "merge", "out"])), "a batch");
    // All of it passed the one at work by.
    first.signal("CONT");
    assert!(first.0.wait().unwrap().success());
    run(ibwrt_command(site.path()).args(["batch", "merge", "out"])).expect_status(0);
    let hidden: Vec<String> =
        listing(&site.path().join("out")).into_iter().filter(|name| name.starts_with('.')).collect();
    assert!(hidden.is_empty(), "{hidden:?}");
}

/// Whether files without a name can be made in `folder`.
fn takes_nameless_files(folder: &Path) -> bool {
    const O_TMPFILE: i32 = 0o20_200_000;
    OpenOptions::new().write(true).custom_flags(O_TMPFILE).open(folder).is_ok()
}

#[test]
fn a_batch_that_is_interrupted_leaves_no_part_of_a_file_and_the_next_one_goes_on() {
    let site = site(12);
    batch(site.path(), IMAGE, &["-o", "whole"]).expect_status(0);
    let out = site.path().join("out");
    let mut seed = u64::from(std::process::id());
    println!("seed {seed}");
    for signal in ["INT", "TERM", "INT", "TERM", "HUP"] {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Into a new folder: what replaces a file has a hidden name for a moment.
        let _ = std::fs::remove_dir_all(&out);
        let mut running = Running::begin(site.path(), ".ibwrt-batch.jsonl", &[]);
        sleep(Duration::from_millis((seed >> 33) % 300));
        running.signal(signal);
        running.0.wait().unwrap();
        let parts: Vec<String> = listing(&out).into_iter().filter(|name| name.ends_with(".part")).collect();
        assert!(parts.is_empty() || !takes_nameless_files(&out), "after {signal}: {parts:?}");
    }
    batch(site.path(), IMAGE, &[]).expect_status(0);
    assert_eq!(contents(&out), contents(&site.path().join("whole")));
}
