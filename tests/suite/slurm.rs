//! A batch as the tasks of a Slurm array job, on a real Slurm.

use std::process::Command;

use super::batch::{batch, contents, site};
use super::support::{Cluster, JobEnd, fixture, fixture_modules, listing, run};

const IMAGE: &str = "openwrt-mini-ib-ext4-combined.img.gz";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/slurm/ibwrt-batch.sbatch");

fn completed(tasks: usize) -> Vec<JobEnd> {
    vec![JobEnd { state: "COMPLETED".to_owned(), exit: "0:0".to_owned() }; tasks]
}

#[test]
fn an_array_job_of_slurm_and_a_merge_behind_it_make_what_one_run_makes_byte_for_byte() {
    let site = site(9);
    batch(site.path(), IMAGE, &["-o", "whole"]).expect_status(0);
    let whole = contents(&site.path().join("whole"));
    let mut cluster = Cluster::start();
    let (image, modules) = (fixture(IMAGE), fixture_modules());
    let (image, modules) = (image.to_str().unwrap(), modules.to_str().unwrap());
    let log = |name: &str| std::fs::read_to_string(site.path().join(name)).unwrap_or_default();
    // Ids from nought, and ids that begin elsewhere and go in steps.
    for (array, out, ids) in [("0-3", "out", [0, 1, 2, 3]), ("5-20:5", "stepped", [5, 10, 15, 20])] {
        let array = format!("--array={array}");
        let (tasks, joined) = (format!("{out}-%a.log"), format!("{out}-merge.log"));
        let make =
            [&array, "--cpus-per-task=1", "--output", &tasks, SCRIPT, image, "hosts.toml", out, "--modules", modules];
        let job = cluster.submit(site.path(), &make);
        let dependency = format!("--dependency=afterany:{job}");
        let merge = [&dependency, "--cpus-per-task=1", "--output", &joined, SCRIPT, "merge", out];
        let merge = cluster.submit(site.path(), &merge);
        let ends = cluster.ends(&job);
        let said: String = ids.iter().map(|id| log(&format!("{out}-{id}.log"))).collect();
        assert_eq!(ends, completed(4), "{said}{}", cluster.logs());
        for (id, number) in ids.iter().zip(1..) {
            let text = log(&format!("{out}-{id}.log"));
            let expected = format!(
                "shard {number} of 4: {} of 9 hosts, as SLURM_ARRAY_TASK_ID {id}",
                if number == 1 { 3 } else { 2 }
            );
            assert!(text.contains(&expected), "{text}");
        }
        assert_eq!(cluster.ends(&merge), completed(1), "{}{}", log(&joined), cluster.logs());
        assert!(log(&joined).contains(&format!("9 hosts: 9 in {out}")), "{}", log(&joined));
        let made = contents(&site.path().join(out));
        let made: Vec<_> = made.into_iter().filter(|(name, _)| !name.contains("-of-")).collect();
        assert_eq!(made, whole, "{array}");
    }
    // Slurm tells no task its place among uneven ids: no hosts are made rather than some twice and some not at all.
    let uneven =
        ["--array=1,2,7", "--cpus-per-task=1", "--output", "uneven-%a.log", SCRIPT, image, "hosts.toml", "uneven"];
    let job = cluster.submit(site.path(), &uneven);
    let ends = cluster.ends(&job);
    assert_eq!(ends, vec![JobEnd { state: "FAILED".to_owned(), exit: "2:0".to_owned() }; 3], "{}", cluster.logs());
    let text = log("uneven-7.log").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("SLURM_ARRAY_TASK_ID is 7, which is none of 3 ids from 1 on in steps of 1"), "{text}");
    assert!(!listing(site.path()).contains(&"uneven".to_owned()));
}

#[test]
fn the_script_says_what_it_wants_and_makes_no_hosts_outside_of_an_array() {
    let site = site(2);
    let script = |arguments: &[&str]| {
        let mut command = Command::new("bash");
        command.arg(SCRIPT).args(arguments).current_dir(site.path()).env("IBWRT", env!("CARGO_BIN_EXE_ibwrt"));
        run(command.env_remove("SLURM_ARRAY_TASK_ID").env_remove("JOB_COMPLETION_INDEX"))
    };
    let ran = script(&["image.img.gz", "hosts.toml"]).expect_status(2);
    assert!(ran.says("usage: sbatch --array=0-3 ibwrt-batch.sbatch IMAGE HOSTS DIR"), "{ran}");
    let (image, modules) = (fixture(IMAGE), fixture_modules());
    let (image, modules) = (image.to_str().unwrap(), modules.to_str().unwrap());
    let make = [image, "hosts.toml", "out", "--modules", modules];
    let ran = script(&make).expect_status(2);
    assert!(ran.says("neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set"), "{ran}");
    assert!(!site.path().join("out").exists());
    // A task that is run again by itself is told its shard.
    let ran = script(&[&make[..], &["--shard", "2/2"]].concat()).expect_status(0);
    assert!(ran.says("shard 2 of 2: 1 of 2 hosts, as --shard says"), "{ran}");
}
