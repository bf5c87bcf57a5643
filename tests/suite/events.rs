//! `--format jsonl`: what other programs read while a job runs.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::support::{End, Events, Ran, fixture, fixture_modules, ibwrt, ibwrt_command, listing, run, sha256, tool};

const IMAGE: &str = "openwrt-mini-ib-ext4-combined.img.gz";

/// A folder with a hosts file of `count` hosts that holds a secret; those in `broken` cannot be made.
fn site(count: usize, broken: &[usize]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let host = |number: usize| {
        // A file in the place of a folder, whose content is told to nobody.
        let fault = if broken.contains(&number) { "[[host.file]]\npath = '/etc'\ncontent = 'x'\n" } else { "" };
        format!("[[host]]\nname = 'h{number:02}'\n{fault}")
    };
    let secret = "[[file]]\npath = '/etc/psk'\ncontent = \"{{ secret('psk') }} {{ host.name }}\"\n";
    let hosts: String = (0..count).map(host).collect();
    std::fs::write(folder.path().join("hosts.toml"), format!("overlays = ['connectx3']\n{secret}{hosts}")).unwrap();
    std::fs::write(folder.path().join("psk"), "open sesame\n").unwrap();
    folder
}

fn command(folder: &Path, more: &[&str]) -> Command {
    let mut command = ibwrt_command(folder);
    command.arg("batch").arg(fixture(IMAGE)).arg("--modules").arg(fixture_modules());
    command.args(["--hosts", "hosts.toml", "-o", "out", "--format", "jsonl"]).args(more);
    command
}

#[track_caller]
fn batch(folder: &Path, more: &[&str], status: i32) -> Events {
    let ran = run(&mut command(folder, more)).expect_status(status);
    assert!(!ran.text().contains("sesame") && !ran.stderr.contains("sesame"), "a secret is told: {ran}");
    assert!(status == 5 || ran.stderr.is_empty(), "all is told on standard output: {ran}");
    Events::read(&ran.stdout, End::Whole)
}

fn hosts(events: &[&Value]) -> Vec<String> {
    let mut names: Vec<String> = events.iter().map(|event| event["host"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// Asserts that each output that was told to be done is there, as it was told.
fn outputs_are_as_told(folder: &Path, events: &Events) {
    for done in events.called("host-done") {
        let bytes = std::fs::read(folder.join("out").join(done["output"].as_str().unwrap())).unwrap();
        assert_eq!(done["sha256"], sha256(&bytes).as_str());
        assert_eq!(done["length"], bytes.len() as u64);
    }
}

#[test]
fn a_batch_tells_each_host_once_with_what_the_report_says_of_it() {
    let site = site(6, &[2]);
    let events = batch(site.path(), &[], 1);
    let begun = events.0.first().unwrap();
    assert_eq!((&begun["format_version"], &begun["program"]), (&Value::from(1), &Value::from("ibwrt")));
    let begun = events.called("batch-begun")[0];
    assert_eq!(begun["image_sha256"], sha256(&std::fs::read(fixture(IMAGE)).unwrap()).as_str());
    outputs_are_as_told(site.path(), &events);
    let report: Value = serde_json::from_slice(&std::fs::read(site.path().join("out/report.json")).unwrap()).unwrap();
    for row in report["hosts"].as_array().unwrap() {
        let ended = events.0.iter().rfind(|event| event["host"] == row["host"]).unwrap();
        let keys: &[&str] =
            if row["status"] == "done" { &["sha256", "length", "inputs", "plan", "findings"] } else { &[] };
        assert!(keys.iter().all(|key| ended[key] == row[key]), "{ended} differs from {row}");
        assert_eq!((&ended["output"], ended["event"] == "host-done"), (&row["output"], row["status"] == "done"));
    }
    let [failed] = events.called("host-failed")[..] else { panic!("not one failure") };
    assert_eq!(failed["host"], "h02");
    assert_eq!((&failed["error"]["kind"], &failed["error"]["exit_code"]), (&Value::from("usage"), &Value::from(2)));
    assert!(failed["error"]["message"].as_str().unwrap().contains("/etc is a directory"), "{failed}");
    assert_eq!(failed["error"]["remedy"], "choose another path");

    let again = batch(site.path(), &[], 1);
    assert_eq!(again.last()["kept"], 5);
    assert_eq!(hosts(&again.called("host-begun")), hosts(&events.called("host-begun")));
    let told = |events: &Events| {
        let mut told: Vec<Value> = events.called("host-done").into_iter().cloned().collect();
        told.sort_by_key(|event| event["host"].as_str().unwrap().to_owned());
        told.into_iter().map(|mut event| [event["sha256"].take(), event["findings"].take()]).collect::<Vec<_>>()
    };
    assert_eq!(told(&events), told(&again), "a host that is kept is told as when it was made");
}

#[test]
fn a_shard_tells_which_it_is_and_of_its_own_hosts_only() {
    let site = site(5, &[]);
    let whole = batch(site.path(), &[], 0);
    assert_eq!(whole.called("batch-begun")[0]["shard"], Value::Null);
    std::fs::remove_dir_all(site.path().join("out")).unwrap();
    let events = batch(site.path(), &["--shard", "2/3"], 0);
    let begun = events.called("batch-begun")[0];
    assert_eq!((&begun["shard"]["number"], &begun["shard"]["count"]), (&Value::from(2), &Value::from(3)));
    assert_eq!(begun["hosts"], 2);
    assert_eq!(hosts(&events.called("host-done")), ["h01", "h04"]);
}

#[test]
fn with_fail_fast_hosts_that_are_not_begun_are_counted() {
    let site = site(5, &[1]);
    let events = batch(site.path(), &["--fail-fast", "--threads", "1"], 1);
    assert_eq!(hosts(&events.called("host-failed")), ["h01"]);
    assert_eq!(hosts(&events.called("host-done")), ["h00"]);
    assert_eq!(events.last()["not_begun"], 3);

    // What was made before is not lost by a run that stops: h00 here, and in the next run what --fail-fast left out.
    let events = batch(site.path(), &["--threads", "1"], 1);
    assert_eq!((&events.last()["made"], &events.last()["kept"]), (&Value::from(3), &Value::from(1)));
    let events = batch(site.path(), &["--fail-fast", "--threads", "1"], 1);
    assert_eq!((&events.last()["kept"], &events.last()["not_begun"]), (&Value::from(4), &Value::from(0)));
}

#[test]
fn what_a_killed_run_told_is_true_and_the_next_one_keeps_it() {
    let site = site(40, &[]);
    let mut child = command(site.path(), &[]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut told = Vec::new();
    while told.split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"{\"event\":\"host-done\"")).count() < 3 {
        assert_ne!(stdout.read_until(b'\n', &mut told).unwrap(), 0, "it ended by itself");
    }
    child.kill().unwrap();
    stdout.read_to_end(&mut told).unwrap();
    child.wait().unwrap();
    let events = Events::read(&told, End::Cut);
    outputs_are_as_told(site.path(), &events);
    let again = batch(site.path(), &["--threads", "3"], 0);
    assert!((1..=3).contains(&again.most_in_work()), "no thread has two hosts in work");
    assert_eq!(hosts(&again.called("host-done")).len(), 40);
    let kept: Vec<&Value> = again.called("host-done").into_iter().filter(|event| event["kept"] == true).collect();
    let kept = hosts(&kept);
    assert!(hosts(&events.called("host-done")).iter().all(|host| kept.contains(host)), "{kept:?}");
}

#[test]
fn a_reader_that_goes_away_does_not_keep_the_batch_from_its_end() {
    let site = site(5, &[]);
    let mut child = command(site.path(), &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("{\"event\":\"begun\""), "{first}");
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(listing(&site.path().join("out")).len(), 7, "five images, sums and report");
}

#[test]
fn events_that_cannot_be_written_are_an_error_once_the_batch_is_done() {
    let site = site(2, &[]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = command(site.path(), &[]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(ended.status.code(), Some(5));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("cannot write to stdout: No space left on device"), "{said}");
    assert_eq!(listing(&site.path().join("out")).len(), 4, "two images, sums and report");
}

#[test]
fn a_mistake_ends_the_stream_with_the_error_and_its_exit_code() {
    let site = site(2, &[]);
    std::fs::write(site.path().join("hosts.toml"), "[[host]]\nname = 'h1'\nhostname = '{{ nobody }}'\n").unwrap();
    for words in [vec!["batch", "i.img", "--hosts", "hosts.toml", "-o", "out"], vec!["batch", "--no-such-option"]] {
        let ran = ibwrt(site.path(), words.iter().chain(&["--format", "jsonl"]));
        let events = Events::read(&ran.stdout, End::Whole);
        assert_eq!((events.names().first(), events.names().last()), (Some(&"begun"), Some(&"error")), "{ran}");
        assert_eq!(events.last()["error"]["exit_code"], ran.status, "{ran}");
        assert!(!ran.stderr.is_empty(), "people are told as well");
    }
}

#[test]
fn every_other_command_ends_with_the_report_that_it_gives_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let (image, modules) = (fixture(IMAGE), fixture_modules());
    let (image, modules) = (image.to_str().unwrap(), modules.to_str().unwrap());
    let patch = ["patch", image, "--modules", modules, "--overlay", "connectx3", "--force", "-o"];
    let commands = [
        [&patch[..], &["a.img.ibdelta"]].concat(),
        vec!["expand", image, "a.img.ibdelta", "-o", "b.img", "--force"],
        vec!["verify", "b.img", "--overlay", "connectx3"],
        vec!["inspect", "b.img"],
        vec!["graph", "b.img"],
        vec!["hosts", "check", "hosts.toml"],
        vec!["overlays"],
        vec!["demo"],
    ];
    std::fs::write(folder.path().join("hosts.toml"), "[[host]]\nname = 'h1'\n").unwrap();
    for words in commands {
        let ran = |format: &'static str| -> Ran {
            ibwrt(folder.path(), words.iter().chain(&["--format", format])).expect_status(0)
        };
        let (json, stream) = (ran("json"), ran("jsonl"));
        let report: Value = serde_json::from_slice(&json.stdout).unwrap();
        let events = Events::read(&stream.stdout, End::Whole);
        assert_eq!(events.last()["event"], "report", "{words:?}");
        assert_eq!(events.last()["report"], report, "{words:?}");
        let reads = !["hosts", "overlays"].contains(&words[0]);
        assert_eq!(events.names().contains(&"step-begun"), reads, "{words:?}: {:?}", events.names());
    }
}

#[test]
fn on_a_terminal_the_bar_shows_the_hosts_in_work_within_the_width_and_is_gone_at_the_end() {
    let site = site(12, &[]);
    let shown = |redirection: &str| {
        let words = format!(
            "stty cols 72 rows 24 && {} batch {} --modules {} --hosts hosts.toml -o out --force --threads 2 {redirection}",
            env!("CARGO_BIN_EXE_ibwrt"),
            fixture(IMAGE).display(),
            fixture_modules().display()
        );
        let mut script = tool("script");
        script.args(["-qec", &words, "/dev/null"]).env("TERM", "xterm").current_dir(site.path());
        run(&mut script).expect_status(0).text()
    };
    let text = shown("");
    let frames: Vec<&str> = text.split(['\r', '\n']).filter(|frame| frame.contains("/12 hosts")).collect();
    assert!(frames.iter().any(|frame| frame.contains(" h0") && frame.contains("/s ")), "{text:?}");
    for frame in frames {
        let plain = plain(frame);
        assert!(plain.chars().count() <= 72, "{plain:?} is wider than the terminal");
    }
    assert!(text.contains("12 written to out"), "{text:?}");
    let events = shown("--format jsonl");
    assert!(!events.contains('\u{1b}'), "no bar is drawn through the events: {events:?}");
    assert!(!shown("2>errors >report").contains("hosts"), "no bar where standard error is a file");
    assert_eq!(std::fs::read_to_string(site.path().join("errors")).unwrap(), "");
}

/// A line without what controls the terminal.
fn plain(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line.chars();
    while let Some(character) = rest.next() {
        match character {
            '\u{1b}' => drop(rest.by_ref().skip(1).find(char::is_ascii_alphabetic)),
            shown => plain.push(shown),
        }
    }
    plain
}
