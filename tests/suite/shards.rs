//! Many hosts from one image, on more than one machine.

use std::path::Path;

use super::batch::{batch, contents, report, site};
use super::support::{Ran, fixture, fixture_modules, ibwrt_command, listing, run, tool};

const IMAGE: &str = "openwrt-mini-ib-ext4-combined.img.gz";

/// A batch into `out` with variables set, as `SLURM_ARRAY_TASK_ID=1 …`.
fn batch_with(folder: &Path, variables: &str, more: &[&str]) -> Ran {
    let mut command = ibwrt_command(folder);
    command.envs(variables.split(' ').filter_map(|pair| pair.split_once('=')));
    command.arg("batch").arg(fixture(IMAGE)).arg("--modules").arg(fixture_modules());
    run(command.args(["--hosts", "hosts.toml", "-o", "out"]).args(more))
}

/// Names of the images in a folder, without their ending.
fn images(folder: &Path) -> Vec<String> {
    listing(folder).iter().filter_map(|name| Some(name.strip_suffix(".img.gz")?.to_owned())).collect()
}

#[test]
fn shards_in_one_folder_make_what_a_run_over_all_hosts_makes_and_each_only_its_own() {
    let site = site(7);
    batch(site.path(), IMAGE, &["-o", "whole"]).expect_status(0);
    let ran = batch(site.path(), IMAGE, &["--shard", "2/3"]).expect_status(0);
    assert!(ran.says("shard 2 of 3: 2 of 7 hosts, as --shard says"), "{ran}");
    let out = site.path().join("out");
    assert_eq!(listing(&out), ["h001.img.gz", "h004.img.gz", "report.2-of-3.json", "sha256sums.2-of-3"]);
    for shard in ["1/3", "3/3"] {
        batch(site.path(), IMAGE, &["--shard", shard]).expect_status(0);
    }
    assert_eq!(images(&out).len(), 7);
    let whole = contents(&site.path().join("whole"));
    for made in contents(&out).iter().filter(|(name, _)| name.ends_with(".img.gz")) {
        assert!(whole.contains(made), "{} is not what a run over all hosts makes", made.0);
    }
    for shard in 1..=3 {
        let sums = format!("sha256sums.{shard}-of-3");
        run(tool("sha256sum").args(["--check", "--strict", &sums]).current_dir(&out)).expect_status(0);
    }
    // A run over all hosts keeps what the shards made, and takes the place of their lists.
    let ran = batch(site.path(), IMAGE, &[]).expect_status(0);
    assert!(ran.says("7 kept from an earlier run"), "{ran}");
    assert_eq!(contents(&out), whole);
}

#[test]
fn a_task_of_a_slurm_array_and_a_pod_of_an_indexed_job_make_their_shard_and_say_why() {
    let site = site(4);
    let array = "SLURM_ARRAY_TASK_COUNT=4 SLURM_ARRAY_TASK_MIN=5 SLURM_ARRAY_TASK_STEP=1 SLURM_ARRAY_TASK_ID";
    let ran = batch_with(site.path(), &format!("{array}=6"), &[]).expect_status(0);
    assert!(ran.says("shard 2 of 4: 1 of 4 hosts, as SLURM_ARRAY_TASK_ID 6 says"), "{ran}");
    let out = site.path().join("out");
    assert_eq!(images(&out), ["h001"]);
    batch_with(site.path(), "JOB_COMPLETION_INDEX=3 IBWRT_SHARD_COUNT=4", &[]).expect_status(0);
    assert_eq!(images(&out), ["h001", "h003"]);
    batch_with(site.path(), &format!("{array}=6"), &["--shard", "all"]).expect_status(0);
    assert_eq!(images(&out).len(), 4);
    assert_eq!(report(&out)["shard"], serde_json::Value::Null);

    for (variables, expected) in [
        (format!("{array}=9"), "SLURM_ARRAY_TASK_ID is 9"),
        ("SLURM_ARRAY_TASK_COUNT=four SLURM_ARRAY_TASK_ID=0".to_owned(), "SLURM_ARRAY_TASK_COUNT is `four`"),
        ("JOB_COMPLETION_INDEX=3".to_owned(), "IBWRT_SHARD_COUNT"),
    ] {
        let ran = batch_with(site.path(), &variables, &[]).expect_status(2);
        assert!(ran.says(expected) && ran.says("--shard"), "{ran}");
    }
    let ran = batch_with(site.path(), "", &["--shard", "auto"]).expect_status(2);
    assert!(ran.says("neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set"), "{ran}");
    let ran = batch_with(site.path(), "", &["--shard", "5/4"]).expect_status(2);
    assert!(ran.says("there is no shard 5 of 4"), "{ran}");
}

#[test]
fn a_shard_resumes_by_itself_and_leaves_what_others_have_in_work() {
    let site = site(6);
    let out = site.path().join("out");
    batch(site.path(), IMAGE, &["--shard", "1/2"]).expect_status(0);
    batch(site.path(), IMAGE, &["--shard", "2/2"]).expect_status(0);
    std::fs::write(out.join("h002.img.gz"), "damaged").unwrap();
    std::fs::write(out.join(".ibwrt-1-of-2-left.part"), "of this shard, killed").unwrap();
    std::fs::write(out.join(".ibwrt-2-of-2-left.part"), "of the other shard").unwrap();
    let ran = batch(site.path(), IMAGE, &["--shard", "1/2"]).expect_status(0);
    assert!(ran.says("3 hosts: 1 written to out, 2 kept from an earlier run"), "{ran}");
    let hidden: Vec<String> = listing(&out).into_iter().filter(|name| name.starts_with('.')).collect();
    assert_eq!(hidden, [".ibwrt-2-of-2-left.part"]);
    // Cut into other shards, what is there is kept as well.
    let ran = batch(site.path(), IMAGE, &["--shard", "3/3"]).expect_status(0);
    assert!(ran.says("2 hosts: 0 written to out, 2 kept from an earlier run"), "{ran}");
}

#[test]
fn every_shard_checks_the_hosts_of_all() {
    let site = site(4);
    let hosts = site.path().join("hosts.toml");
    let text = std::fs::read_to_string(&hosts).unwrap();
    std::fs::write(&hosts, text.replace("name = 'h003'", "name = 'h003'\nipoib.address = '10.10.0.1/16'")).unwrap();
    let ran = batch(site.path(), IMAGE, &["--shard", "2/4"]).expect_status(2);
    assert!(ran.says("10.10.0.1") && ran.says("h003"), "{ran}");
    assert!(!site.path().join("out").exists());
}
