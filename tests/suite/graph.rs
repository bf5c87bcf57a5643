//! The module graph: what it shows of images that were patched, and that others can read what is written.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::support::{Job, fixture, fixture_modules, ibwrt, listing, run};

/// Parses an SVG file; prints the number of boxes by their class, and all tooltips.
const READER: &str = r##"
import collections, re, sys, xml.etree.ElementTree as tree
text = open(sys.argv[1], encoding="utf-8").read()
root = tree.fromstring(text)
svg = "{http://www.w3.org/2000/svg}"
assert root.tag == svg + "svg", root.tag
assert root.find(svg + "title").text and root.find(svg + "desc").text
ids = [element.get("id") for element in root.iter() if element.get("id")]
assert len(ids) == len(set(ids)), "ids are not unique"
for name in root.get("aria-labelledby").split() + re.findall(r"url\(#([\w-]+)\)", text):
    assert name in ids, name
allowed = {"svg", "g", "title", "desc", "style", "defs", "marker", "path", "rect", "text"}
assert {element.tag.removeprefix(svg) for element in root.iter()} <= allowed
for element in root.iter():
    assert not any("href" in name or name.startswith("on") for name in element.keys()), element.keys()
width, height = (float(root.get(side)) for side in ("width", "height"))
assert root.get("viewBox") == "0 0 %g %g" % (width, height)
kinds = collections.Counter(
    group.get("class").split()[1] for group in root.iter(svg + "g") if (group.get("class") or "").startswith("module "))
print(" ".join("%s=%d" % kind for kind in sorted(kinds.items())))
for title in root.iter(svg + "title"):
    print(title.text)
"##;

/// What Python's XML parser makes of the picture.
fn read_svg(path: &Path) -> String {
    run(Command::new("python3").arg("-c").arg(READER).arg(path)).expect_status(0).text()
}

/// The fixture `name`, patched for ConnectX-3 and ConnectX-4, without the checks that look at symbols.
fn patched(name: &str, folder: &Path) -> PathBuf {
    let image = fixture(name);
    let output = folder.join("router.img.gz");
    let modules = fixture_modules();
    let mut arguments = vec!["patch", image.to_str().unwrap(), "-q", "-o", output.to_str().unwrap()];
    arguments.extend(["--modules", modules.to_str().unwrap(), "--set", "ipoib.address=10.10.0.5/24"]);
    arguments.extend(["--overlay", "connectx3", "--overlay", "connectx4", "--overlay", "ipoib"]);
    let table = ibwrt(folder, ["verify", "--list-checks", "--format", "json"]).expect_status(0);
    let table: Value = serde_json::from_slice(&table.stdout).unwrap();
    let rows = table.as_array().or_else(|| table["checks"].as_array()).unwrap();
    let ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    for id in ids.into_iter().filter(|id| id.contains("symbol") || id.contains("load-order")) {
        arguments.extend(["--skip", id]);
    }
    ibwrt(folder, arguments).expect_status(0);
    output
}

#[test]
fn the_picture_of_a_patched_image_shows_every_module_loaded() {
    let folder = tempfile::tempdir().unwrap();
    patched("openwrt-mini-ib-ext4-combined-efi.img.gz", folder.path());
    let ran = ibwrt(folder.path(), ["graph", "router.img.gz", "-o", "modules.svg"]).expect_status(0);
    assert!(ran.text().contains("Wrote modules.svg: "), "{ran}");
    assert_eq!(listing(folder.path()), ["modules.svg", "router.img.gz"]);
    let read = read_svg(&folder.path().join("modules.svg"));
    assert!(!read.contains("fails=") && read.contains("boot="), "{read}");
    for line in ["mlx4_ib needs ib_core: ", "/lib/modules/6.12.117/ib_ipoib.ko, ", "the kernel takes it"] {
        assert!(read.contains(line), "{line}: {read}");
    }
    let printed = ibwrt(folder.path(), ["graph", "router.img.gz", "--type", "svg"]).expect_status(0);
    assert_eq!(std::fs::read(folder.path().join("modules.svg")).unwrap(), printed.stdout, "the same every time");
}

#[test]
fn what_a_stock_kernel_refuses_is_red_and_has_its_words() {
    let folder = tempfile::tempdir().unwrap();
    patched("openwrt-mini-stock-ext4-combined-efi.img.gz", folder.path());
    let ran = ibwrt(folder.path(), ["graph", "router.img.gz", "-o", "modules.svg"]).expect_status(0);
    assert!(ran.text().contains("do not load; they are shown in red"), "{ran}");
    let read = read_svg(&folder.path().join("modules.svg"));
    assert!(read.contains("fails="), "{read}");
    for symbol in ["irq_poll_complete", "irq_poll_disable", "irq_poll_init", "irq_poll_sched"] {
        assert!(read.contains(&format!("ib_core: Unknown symbol {symbol} (err -2)")), "{symbol}: {read}");
    }
    assert!(read.contains("ib_cm: kmodloader never asks the kernel, since ib_core is not loaded"), "{read}");
}

#[test]
fn the_graph_as_data_names_both_ends_of_every_need() {
    let folder = tempfile::tempdir().unwrap();
    patched("openwrt-mini-ib-ext4-combined.img.gz", folder.path());
    let ran = ibwrt(folder.path(), ["graph", "router.img.gz", "--all", "--format", "json"]).expect_status(0);
    let graph: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let names: Vec<&str> =
        graph["modules"].as_array().unwrap().iter().map(|module| module["name"].as_str().unwrap()).collect();
    let needs = graph["needs"].as_array().unwrap();
    assert!(names.contains(&"ib_core") && needs.len() > 5, "{ran}");
    for end in needs.iter().flat_map(|need| [&need["from"], &need["to"]]) {
        assert!(names.contains(&end.as_str().unwrap()), "{end}");
    }
    assert_eq!((&graph["kernel"]["release"], &graph["left_out"]), (&"6.12.117".into(), &0.into()));
    let few = ibwrt(folder.path(), ["graph", "router.img.gz", "--format", "json"]).expect_status(0);
    let few: Value = serde_json::from_slice(&few.stdout).unwrap();
    assert_eq!(few["left_out"].as_u64().unwrap() as usize, names.len() - few["modules"].as_array().unwrap().len());
}

#[test]
fn a_dot_file_goes_to_standard_output_when_nothing_else_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let image = fixture("openwrt-mini-ib-ext4-combined-efi.img.gz");
    let ran = ibwrt(folder.path(), [Path::new("graph"), &image, Path::new("--all")]).expect_status(0);
    let text = ran.text();
    assert!(text.starts_with("digraph modules {\n") && text.ends_with("}\n"), "{ran}");
    assert!(text.contains("\"igb\" -> \"ptp\""), "{ran}");
    assert_eq!(listing(folder.path()), Vec::<String>::new());
    let dash = ibwrt(folder.path(), [Path::new("graph"), &image, Path::new("--all"), Path::new("-o-")]);
    assert_eq!(dash.expect_status(0).text(), text);
}

#[test]
fn an_existing_file_is_replaced_by_force_only_and_the_image_never() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("a.svg");
    std::fs::copy(fixture("openwrt-mini-ib-ext4-combined-efi.img.gz"), &image).unwrap();
    std::fs::write(folder.path().join("old.svg"), "old").unwrap();
    let ran = ibwrt(folder.path(), ["graph", "a.svg", "-o", "old.svg"]).expect_status(2);
    assert!(ran.stderr.contains("old.svg exists already"), "{ran}");
    assert_eq!(std::fs::read(folder.path().join("old.svg")).unwrap(), b"old");
    let ran = ibwrt(folder.path(), ["graph", "a.svg", "-f", "-o", "a.svg"]).expect_status(2);
    assert!(ran.stderr.contains("is the input a.svg"), "{ran}");
    ibwrt(folder.path(), ["graph", "a.svg", "-f", "-o", "old.svg"]).expect_status(0);
    read_svg(&folder.path().join("old.svg"));
    assert_eq!(listing(folder.path()), ["a.svg", "old.svg"]);
    let pristine = std::fs::read(fixture("openwrt-mini-ib-ext4-combined-efi.img.gz")).unwrap();
    assert!(std::fs::read(image).unwrap() == pristine);
}

#[test]
fn every_module_of_the_example_job_says_what_loads_it() {
    let folder = tempfile::tempdir().unwrap();
    let job = Job::connectx3(&fixture("openwrt-mini-ib-ext4-1k-combined-efi.img.gz"), &fixture_modules());
    job.patch(folder.path(), &job.image, &["-o", "router.img.gz"]).expect_status(0);
    let ran = ibwrt(folder.path(), ["graph", "router.img.gz", "--format", "json"]).expect_status(0);
    let graph: Value = serde_json::from_slice(&ran.stdout).unwrap();
    for module in graph["modules"].as_array().unwrap() {
        assert_eq!(module["standing"], "loads", "{module}");
        let entry = module["entry"].as_str();
        let is_listed = module["stage"] == "boot" || module["stage"] == "main";
        assert_eq!(entry.is_some(), is_listed, "{module}");
        assert_eq!(module["pulled_in_by"].is_string(), module["stage"] == "dependency", "{module}");
    }
}
