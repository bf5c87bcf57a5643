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

/// A site with four shards of six hosts, each in a folder of its own, `s1` to `s4`, and a run over all hosts in `whole`.
fn four_shards() -> tempfile::TempDir {
    let site = site(6);
    batch(site.path(), IMAGE, &["-o", "whole"]).expect_status(0);
    for shard in 1..=4 {
        let (shard, folder) = (format!("{shard}/4"), format!("s{shard}"));
        batch(site.path(), IMAGE, &["-o", &folder, "--shard", &shard]).expect_status(0);
    }
    site
}

fn merge(folder: &Path, arguments: &str) -> Ran {
    run(ibwrt_command(folder).args(["batch", "merge"]).args(arguments.split(' ')))
}

/// What is in a folder, without the lists of shards.
fn merged(folder: &Path) -> Vec<(String, String)> {
    contents(folder).into_iter().filter(|(name, _)| !name.contains("-of-")).collect()
}

#[test]
fn merged_shards_are_a_run_over_all_hosts_byte_for_byte() {
    let site = four_shards();
    let ran = merge(site.path(), "s3 s1 s4 s2 -o joined").expect_status(0);
    assert!(ran.says("6 hosts: 6 in joined, 0 failed, 0 not begun"), "{ran}");
    let (whole, joined) = (site.path().join("whole"), site.path().join("joined"));
    assert_eq!(contents(&joined), contents(&whole), "folders of their own");
    let sums = |folder: &Path| std::fs::read(folder.join("sha256sums")).unwrap();
    assert_eq!(sums(&joined), sums(&whole));
    // The same once more changes nothing, and all may be where one of them is.
    merge(site.path(), "s1 s2 s3 s4 -o joined").expect_status(0);
    assert_eq!(contents(&joined), contents(&whole), "merged twice");
    merge(site.path(), "s1 s2 s3 s4 -o s2").expect_status(0);
    assert_eq!(merged(&site.path().join("s2")), contents(&whole), "into the folder of a shard");

    // In one folder.
    for shard in ["1/3", "2/3", "3/3"] {
        batch(site.path(), IMAGE, &["--shard", shard]).expect_status(0);
    }
    let out = site.path().join("out");
    let ran = merge(site.path(), "out --format json").expect_status(0);
    let said: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(said, report(&out), "the report is printed");
    assert_eq!(merged(&out), contents(&whole), "one folder");
    run(tool("sha256sum").args(["--check", "--strict", "sha256sums"]).current_dir(&out)).expect_status(0);
    // A batch goes on from what was merged.
    let ran = batch(site.path(), IMAGE, &[]).expect_status(0);
    assert!(ran.says("6 kept from an earlier run"), "{ran}");
}

#[test]
fn a_host_that_failed_in_its_shard_is_in_the_merged_report_as_in_that_of_a_run_over_all_hosts() {
    let site = site(4);
    let hosts = site.path().join("hosts.toml");
    let text = std::fs::read_to_string(&hosts).unwrap();
    let broken = "name = 'h002'\n[[host.file]]\npath = '/etc'\ncontent = 'x'\n";
    std::fs::write(&hosts, text.replace("name = 'h002'\n", broken)).unwrap();
    batch(site.path(), IMAGE, &["-o", "whole"]).expect_status(1);
    batch(site.path(), IMAGE, &["--shard", "1/2"]).expect_status(1);
    batch(site.path(), IMAGE, &["--shard", "2/2"]).expect_status(0);
    let ran = merge(site.path(), "out").expect_status(1);
    assert!(ran.says("h002: ") && ran.says("4 hosts: 3 in out, 1 failed"), "{ran}");
    assert_eq!(merged(&site.path().join("out")), contents(&site.path().join("whole")));
}

/// Copies the folder `from` to `to`, which is emptied first.
fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir(to).unwrap();
    for name in listing(from) {
        std::fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

/// Changes the report of shard `number` of four in `folder`.
fn edit(folder: &Path, number: u32, change: impl Fn(&mut serde_json::Value)) {
    let path = folder.join(format!("s{number}/report.{number}-of-4.json"));
    let mut report = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut report);
    std::fs::write(path, report.to_string()).unwrap();
}

#[test]
fn what_keeps_shards_from_being_one_batch_is_named_and_nothing_is_written() {
    let made = four_shards();
    let site = tempfile::tempdir().unwrap();
    let at = site.path();
    type Spoil<'a> = Box<dyn Fn() + 'a>;
    let remove = |name: &'static str| move || std::fs::remove_file(at.join(name)).unwrap();
    let cases: Vec<(Spoil<'_>, i32, &[&str])> = vec![
        (Box::new(remove("s3/report.3-of-4.json")), 2, &["there is no report of a shard in the folder s3"]),
        (
            Box::new(|| copy(&at.join("s1"), &at.join("s3"))),
            1,
            &[
                "shard 3 of 4 is missing, and with it host h002",
                "--shard 3/4",
                "shard 1 of 4 is there twice, and with it hosts h000 and h004",
                "s3/report.1-of-4.json",
            ],
        ),
        (
            Box::new(|| edit(at, 2, |report| drop(report["hosts"].as_array_mut().unwrap().remove(1)))),
            1,
            &["host h005 is missing"],
        ),
        (
            Box::new(|| {
                edit(at, 2, |report| {
                    let first = report["hosts"][0].clone();
                    report["hosts"].as_array_mut().unwrap().push(first);
                });
            }),
            1,
            &["host h001 is there twice: in s2/report.2-of-4.json"],
        ),
        (
            Box::new(|| edit(at, 2, |report| report["hosts"][0]["host"] = "other".into())),
            1,
            &["2 things", "host h001 is missing", "host other in s2/report.2-of-4.json is none of the hosts file"],
        ),
        (
            Box::new(|| {
                let image = at.join("s4/h003.img.gz");
                let mut bytes = std::fs::read(&image).unwrap();
                bytes[1000] ^= 1;
                std::fs::write(image, bytes).unwrap();
            }),
            1,
            &["the output s4/h003.img.gz of host h003 no longer has the digest"],
        ),
        (Box::new(remove("s4/h003.img.gz")), 1, &["the output s4/h003.img.gz of host h003 cannot be read"]),
        (
            Box::new(|| std::fs::write(at.join("s4/h003.img.gz"), "short").unwrap()),
            1,
            &["the output s4/h003.img.gz of host h003 has 5 bytes, and not"],
        ),
        (
            Box::new(|| std::fs::write(at.join("s3/.ibwrt-batch.3-of-4.jsonl"), "\n").unwrap()),
            1,
            &["shard 3 of 4 did not end"],
        ),
        (Box::new(|| edit(at, 3, |report| report["ibwrt"] = "0.0.9".into())), 2, &["not of one batch", "0.0.9"]),
        (
            Box::new(|| edit(at, 3, |report| report["inputs"] = "00".into())),
            2,
            &["s1/report.1-of-4.json and s3/report.3-of-4.json", "`inputs`"],
        ),
        (Box::new(|| edit(at, 3, |report| report["image_sha256"] = "00".into())), 2, &["SHA-256 of the image"]),
        (
            Box::new(|| edit(at, 3, |report| report["shard"]["all_hosts"][4] = "new".into())),
            2,
            &["the list of hosts is h004 at place 5 in the first, new at place 5 in the second"],
        ),
        (Box::new(|| edit(at, 3, |report| report["version"] = 9.into())), 3, &["version 9, not 1"]),
        (Box::new(|| edit(at, 3, |report| report["shard"]["number"] = 2.into())), 4, &["it is of shard 2 of 4"]),
        (
            Box::new(|| edit(at, 3, |report| report["hosts"][0]["output"] = "../out.img.gz".into())),
            4,
            &["the output of host h002 is \"../out.img.gz\", which is no file name"],
        ),
        (
            Box::new(|| std::fs::write(at.join("s3/report.3-of-4.json"), "{").unwrap()),
            4,
            &["s3/report.3-of-4.json: it is no report of a shard"],
        ),
    ];
    for (number, (spoil, status, expected)) in cases.iter().enumerate() {
        (1..=4).map(|shard| format!("s{shard}")).for_each(|name| copy(&made.path().join(&name), &at.join(name)));
        spoil();
        let before: Vec<String> = listing(at);
        let ran = merge(at, "s1 s2 s3 s4 -o joined").expect_status(*status);
        for text in *expected {
            assert!(ran.says(text), "case {number}: {text} is not said\n{ran}");
        }
        assert_eq!(listing(at), before, "case {number}");
    }
}

#[test]
fn folders_that_are_not_those_of_one_batch_are_refused_with_what_to_do() {
    let site = site(4);
    for shard in ["1/2", "2/2", "1/3"] {
        batch(site.path(), IMAGE, &["--shard", shard]).expect_status(0);
    }
    batch(site.path(), IMAGE, &["-o", "whole"]).expect_status(0);
    let ran = merge(site.path(), "out").expect_status(2);
    assert!(ran.says("the number of shards is 2 in the first, 3 in the second") && ran.says("-of-2"), "{ran}");
    let ran = merge(site.path(), "whole").expect_status(2);
    assert!(ran.says("its report.json is of all hosts already"), "{ran}");
    let ran = merge(site.path(), "out whole").expect_status(2);
    assert!(ran.says("name a folder with -o DIR"), "{ran}");
    let ran = merge(site.path(), "out -o .").expect_status(2);
    assert!(ran.says("holds files that are not from a batch"), "{ran}");
    let ran =
        batch(site.path(), IMAGE, &["-o", "text", "--shard", "1/2", "--set", "ipoib.mode=connected"]).expect_status(0);
    drop(ran);
    std::fs::remove_file(site.path().join("out/report.1-of-2.json")).unwrap();
    std::fs::remove_file(site.path().join("out/report.1-of-3.json")).unwrap();
    let ran = merge(site.path(), "out text -o joined").expect_status(2);
    assert!(ran.says("make the shards again with the same ones") && !site.path().join("joined").exists(), "{ran}");
}
