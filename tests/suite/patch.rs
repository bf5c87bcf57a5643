//! The main job on every kind of image that the fixtures hold.

use super::support::{Job, Ran, fixture, fixture_modules, ibwrt, judge, listing, sha256};

/// The identifiers of the check table that contain `part`.
fn checks_named(part: &str) -> Vec<String> {
    let ran = ibwrt(&std::env::temp_dir(), ["verify", "--list-checks", "--format", "json"]).expect_status(0);
    let table: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"));
    let rows = table.as_array().or_else(|| table["checks"].as_array()).unwrap_or_else(|| panic!("no rows: {ran}"));
    let ids = rows.iter().map(|row| row["id"].as_str().unwrap().to_string());
    ids.filter(|id| id.contains(part)).collect()
}

fn judge_fixture(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    judge(&Job::connectx3(&fixture(name), &fixture_modules()), folder.path());
}

#[test]
fn a_gpt_image_with_a_fat_boot_partition_is_patched() {
    judge_fixture("openwrt-mini-ib-ext4-combined-efi.img.gz");
}

#[test]
fn an_mbr_image_with_an_ext4_boot_partition_is_patched() {
    judge_fixture("openwrt-mini-ib-ext4-combined.img.gz");
}

#[test]
fn a_root_with_blocks_of_1024_bytes_is_patched() {
    judge_fixture("openwrt-mini-ib-ext4-1k-combined-efi.img.gz");
}

#[test]
fn a_root_without_a_journal_is_patched() {
    judge_fixture("openwrt-mini-ib-ext4-nojournal-combined.img.gz");
}

#[test]
fn an_image_of_a_kernel_without_infiniband_is_edited_as_soundly_when_its_symbols_are_not_looked_at() {
    let mut job = Job::connectx3(&fixture("openwrt-mini-stock-ext4-combined-efi.img.gz"), &fixture_modules());
    let skipped = checks_named("symbol").into_iter().chain(["load-order".to_string()]);
    job.extra = skipped.flat_map(|id| ["--skip".to_string(), id]).collect();
    judge(&job, tempfile::tempdir().unwrap().path());
}

#[test]
fn a_gpt_image_with_a_squashfs_root_is_patched() {
    judge_fixture("openwrt-mini-ib-squashfs-combined-efi.img.gz");
}

#[test]
fn an_mbr_image_with_a_squashfs_root_is_patched() {
    judge_fixture("openwrt-mini-ib-squashfs-combined.img.gz");
}

#[test]
fn verify_tells_what_a_bare_image_lacks() {
    let image = fixture("openwrt-mini-ib-ext4-combined-efi.img.gz");
    let job = Job::connectx3(&image, &fixture_modules());
    let ran = job.verify(&std::env::temp_dir(), &image).expect_status(1);
    for word in ["ib_core", "mlx4_ib", "ib_ipoib"] {
        assert!(ran.text().contains(word), "{word}: {ran}");
    }
    assert!(!ran.text().contains('\u{1b}'), "colours in a pipe: {ran}");
}

/// Sums of one file in the text of a `sha256sums`.
fn sum_of(sums: &str, name: &str) -> Option<String> {
    sums.lines().find_map(|line| Some(line.strip_suffix(name)?.trim_end_matches(['*', ' ']).to_string()))
}

#[test]
fn sums_and_profiles_beside_the_output_follow_it_and_keep_the_other_entries() {
    let name = "openwrt-mini-ib-ext4-combined-efi.img.gz";
    let folder = tempfile::tempdir().unwrap();
    for file in ["sha256sums", "profiles.json"] {
        std::fs::copy(fixture(file), folder.path().join(file)).unwrap();
    }
    let job = Job::connectx3(&fixture(name), &fixture_modules());
    job.patch(folder.path(), &job.image, &["-o", name]).expect_status(0);
    assert_eq!(listing(folder.path()), [name, "profiles.json", "sha256sums"]);

    let digest = sha256(&std::fs::read(folder.path().join(name)).unwrap());
    let sums = std::fs::read_to_string(folder.path().join("sha256sums")).unwrap();
    assert_eq!(sum_of(&sums, name).as_deref(), Some(digest.as_str()), "{sums}");
    let other = "openwrt-mini-ib-ext4-combined.img.gz";
    let pristine = std::fs::read_to_string(fixture("sha256sums")).unwrap();
    assert_eq!(sum_of(&sums, other), sum_of(&pristine, other), "{sums}");
    let profiles: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("profiles.json")).unwrap()).unwrap();
    let images = profiles["profiles"]["generic"]["images"].as_array().unwrap();
    let entry = images.iter().find(|image| image["name"] == name).unwrap();
    // No trailer is appended, so both sums are those of the file.
    assert_eq!(entry["sha256"].as_str(), Some(digest.as_str()));
    assert_eq!(entry["sha256_unsigned"].as_str(), Some(digest.as_str()));
}

#[test]
fn an_input_that_does_not_match_the_sums_beside_it_is_refused() {
    let name = "openwrt-mini-ib-ext4-combined-efi.img.gz";
    let input = tempfile::tempdir().unwrap();
    std::fs::copy(fixture(name), input.path().join(name)).unwrap();
    std::fs::write(input.path().join("sha256sums"), format!("{} *{name}\n", "0".repeat(64))).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let job = Job::connectx3(&input.path().join(name), &fixture_modules());
    let ran = job.patch(folder.path(), &job.image, &["-o", "router.img.gz"]);
    assert_refused(&ran, &[4], &["sha256sums", name]);
    assert_eq!(listing(folder.path()), Vec::<String>::new());
}

#[test]
fn the_command_that_is_told_for_checking_again_holds_the_image_against_all_that_was_wished() {
    let folder = tempfile::tempdir().unwrap();
    let (image, modules) = (fixture("openwrt-mini-ib-ext4-combined-efi.img.gz"), fixture_modules());
    std::fs::write(folder.path().join("my recipe.toml"), "ipoib.mode = \"connected\"\n").unwrap();
    std::fs::write(folder.path().join("note"), "it's here\n").unwrap();
    let mut arguments: Vec<String> =
        ["patch", image.to_str().unwrap(), "--modules", modules.to_str().unwrap()].map(str::to_owned).into();
    let wishes = ["--recipe", "my recipe.toml", "--overlay", "connectx3", "--overlay", "ipoib", "--set"];
    arguments.extend(wishes.map(str::to_owned));
    let others = ["ipoib.address=10.0.0.5/24", "--hostname", "gw", "--file", "/etc/note=note", "--root-password-hash"];
    arguments.extend(others.map(str::to_owned));
    arguments.extend([format!("$6$saltsalt${}", "a".repeat(86)), "-o".into(), "router.img.gz".into()]);
    let ran = ibwrt(folder.path(), &arguments).expect_status(0);
    assert!(!ran.text().contains("$6$salt"), "a secret: {ran}");
    // Without the breaks of the lines.
    let text = ran.text();
    let told: Vec<&str> = text.lines().skip_while(|line| !line.contains("Check it again")).skip(1).collect();
    let command = told.join(" ").replace('\\', " ");
    let command = command.split("Write it").next().unwrap().split_whitespace().skip(1).collect::<Vec<_>>().join(" ");
    let told_of = |folder: &std::path::Path| {
        let script = format!("set -e\nibwrt() {{ '{}' \"$@\"; }}\nibwrt {command}\n", env!("CARGO_BIN_EXE_ibwrt"));
        let status = std::process::Command::new("sh").arg("-c").arg(script).current_dir(folder).output().unwrap();
        (status.status.code(), String::from_utf8_lossy(&status.stdout).into_owned())
    };
    let (code, text) = told_of(folder.path());
    assert_eq!(code, Some(0), "{command}\n{text}");
    // Each wish is held against: with another file here, the image is no longer what is wished.
    std::fs::write(folder.path().join("note"), "it's elsewhere\n").unwrap();
    let (code, text) = told_of(folder.path());
    assert!(code == Some(1) && text.contains("/etc/note"), "{command}\n{text}");
}

#[track_caller]
fn assert_refused(ran: &Ran, statuses: &[i32], words: &[&str]) {
    assert!(statuses.contains(&ran.status), "{ran}");
    for word in words {
        assert!(ran.stderr.contains(word), "no word of {word}: {ran}");
    }
}
