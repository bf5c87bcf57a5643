//! Bills of materials beside the output.

use serde_json::Value;

use super::support::{Job, fixture, fixture_modules, listing, sha256};

const IMAGE: &str = "openwrt-mini-ib-ext4-combined.img.gz";

#[test]
fn a_bill_of_materials_lists_every_file_that_was_added_and_is_the_same_each_time() {
    let job = Job::connectx3(&fixture(IMAGE), &fixture_modules());
    let mut texts = Vec::new();
    for _ in 0..2 {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let ran = job.patch(folder.path(), &job.image, &["-o", "a.img.gz", "--sbom", "cyclonedx", "--format", "json"]);
        let report: Value = serde_json::from_slice(&ran.expect_status(0).stdout).unwrap();
        job.patch(folder.path(), &job.image, &["-o", "b.img.gz", "--sbom", "spdx"]).expect_status(0);
        assert_eq!(listing(folder.path()), ["a.img.gz", "a.img.gz.cdx.json", "b.img.gz", "b.img.gz.spdx.json"]);
        let bom: Value = serde_json::from_slice(&std::fs::read(at("a.img.gz.cdx.json")).unwrap()).unwrap();
        let spdx: Value = serde_json::from_slice(&std::fs::read(at("b.img.gz.spdx.json")).unwrap()).unwrap();
        let image = sha256(&std::fs::read(at("a.img.gz")).unwrap());
        assert_eq!(bom["metadata"]["component"]["hashes"][0]["content"], image.as_str());
        assert_eq!(spdx["packages"][0]["checksums"][0]["checksumValue"], image.as_str());

        // The record of the patch is nothing that the image was given.
        let is_file = |edit: &&Value| edit["becomes"] == "file" && edit["reason"] != "history";
        let files = report["edits"].as_array().unwrap().iter().filter(is_file);
        let mut expected: Vec<&str> = files.map(|edit| edit["sha256"].as_str().unwrap()).collect();
        let components = bom["components"].as_array().unwrap();
        let mut found: Vec<&str> =
            components.iter().map(|component| component["hashes"][0]["content"].as_str().unwrap()).collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
        let core = components.iter().find(|component| component["name"] == "ib_core").unwrap();
        assert_eq!(core["licenses"][0]["license"]["name"], "Dual BSD/GPL");
        assert_eq!(core["version"], "6.12.117");
        texts.push([std::fs::read(at("a.img.gz.cdx.json")).unwrap(), std::fs::read(at("b.img.gz.spdx.json")).unwrap()]);
    }
    assert!(texts[0] == texts[1], "two runs");
}

#[test]
fn a_bill_of_materials_that_is_there_already_is_kept() {
    let job = Job::connectx3(&fixture(IMAGE), &fixture_modules());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.img.gz.cdx.json"), "mine").unwrap();
    let ran = job.patch(folder.path(), &job.image, &["-o", "a.img.gz", "--sbom", "cyclonedx"]).expect_status(2);
    assert!(ran.stderr.contains("a.img.gz.cdx.json exists already"), "{ran}");
    assert_eq!(listing(folder.path()), ["a.img.gz.cdx.json"]);
}
