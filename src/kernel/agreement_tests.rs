//! Agreement with the real kernel: boots it under QEMU with an initramfs that inserts modules case by case, and compares
//! each answer and the kernel's messages with what [`link`] says.
//!
//! `IBWRT_DEBIAN_KERNEL` names an unpacked linux-image package (`boot/vmlinuz*`, `lib/modules/<release>/**.ko`), and
//! `IBWRT_OTHER_KERNEL` one of another build or flavour, whose modules must be refused; `tests/run` fetches both. With
//! `--nocapture` the count of agreeing cases is printed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::kernel::bytes::find;

/// Modules to try; those that a build lacks are left out, and their dependencies added.
const WANTED: [&str; 17] = [
    "ib_core",
    "ib_cm",
    "iw_cm",
    "rdma_cm",
    "rdma_ucm",
    "ib_umad",
    "ib_uverbs",
    "mlx4_ib",
    "mlx5_ib",
    "mlx4_en",
    "ib_ipoib",
    "ib_srp",
    "ib_iser",
    "rdma_rxe",
    "siw",
    "ib_mthca",
    "mlx5_core",
];

/// Modules to insert, in order: name and file content.
struct Case {
    title: String,
    steps: Vec<(ModuleName, Vec<u8>)>,
}

type Files = BTreeMap<ModuleName, Vec<u8>>;

fn collect(folder: &Path, files: &mut Files) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
            continue;
        }
        let file_name = path.file_name().unwrap().to_str().unwrap();
        let bytes = match file_name.rsplit_once('.') {
            Some((_, "ko")) => std::fs::read(&path).unwrap(),
            Some((stem, "xz")) if stem.ends_with(".ko") => {
                Command::new("xz").arg("-dc").arg(&path).output().expect("xz is needed by this test").stdout
            }
            _ => continue,
        };
        files.insert(ModuleName::new(file_name), unsigned(bytes));
    }
}

/// Without the signature: what is changed below would no longer fit it.
fn unsigned(mut bytes: Vec<u8>) -> Vec<u8> {
    const MARK: &[u8] = b"~Module signature appended~\n";
    if bytes.ends_with(MARK) {
        let trailer = bytes.len() - MARK.len() - 12;
        let length = u32::from_be_bytes(bytes[trailer + 8..trailer + 12].try_into().unwrap()) as usize;
        bytes.truncate(trailer - length);
    }
    bytes
}

/// The kernel and the wanted modules in the order of their dependencies.
fn build(folder: &Path) -> (PathBuf, Vec<(ModuleName, Vec<u8>)>) {
    let boot = std::fs::read_dir(folder.join("boot")).unwrap().flatten().map(|entry| entry.path());
    let kernel = boot.filter(|path| path.to_str().unwrap().contains("vmlinuz")).max().expect("boot/vmlinuz*");
    let mut files = Files::new();
    let homes = ["lib/modules", "usr/lib/modules"].map(|path| folder.join(path));
    collect(homes.iter().find(|home| home.is_dir()).expect("lib/modules"), &mut files);
    let mut order: Vec<ModuleName> = Vec::new();
    fn add(name: &ModuleName, files: &Files, order: &mut Vec<ModuleName>) {
        let Some(bytes) = files.get(name).filter(|_| !order.contains(name)) else { return };
        for needed in Module::parse(bytes).unwrap().modinfo.depends.unwrap_or_default() {
            add(&needed, files, order);
        }
        order.push(name.clone());
    }
    WANTED.iter().for_each(|name| add(&ModuleName::new(name), &files, &mut order));
    (kernel, order.into_iter().map(|name| (name.clone(), files[&name].clone())).collect())
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    assert_eq!(from.len(), to.len());
    let at = find(bytes, from)?;
    let mut bytes = bytes.to_vec();
    bytes[at..at + to.len()].copy_from_slice(to);
    Some(bytes)
}

/// The header of a section, as an offset into the file.
fn section_header(bytes: &[u8], wanted: &str) -> Option<usize> {
    let word = |at: usize, size: usize| {
        let mut raw = [0; 8];
        raw[..size].copy_from_slice(&bytes[at..at + size]);
        u64::from_le_bytes(raw) as usize
    };
    let (table, count, names) = (word(40, 8), word(60, 2), word(62, 2));
    let names = word(table + names * 64 + 24, 8);
    (0..count).map(|index| table + index * 64).find(|&header| {
        let name = names + word(header, 4);
        bytes[name..].starts_with(wanted.as_bytes()) && bytes[name + wanted.len()] == 0
    })
}

fn cases(set: &[(ModuleName, Vec<u8>)], other: &[(ModuleName, Vec<u8>)], checks_struct_module: bool) -> Vec<Case> {
    let case = |title: String, steps: Vec<(ModuleName, Vec<u8>)>| Case { title, steps };
    let mut cases = vec![case("complete".into(), set.to_vec())];
    for (absent, _) in set {
        let rest = set.iter().filter(|(name, _)| name != absent).cloned().collect();
        cases.push(case(format!("without {absent}"), rest));
    }
    cases.push(case("reverse order".into(), set.iter().rev().cloned().collect()));
    cases.push(case("everything twice".into(), set.iter().chain(set).cloned().collect()));
    if !other.is_empty() {
        cases.push(case("the other build's".into(), other.to_vec()));
        for (name, bytes) in other {
            let swap = |(own, content): &(ModuleName, Vec<u8>)| {
                (own.clone(), if own == name { bytes.clone() } else { content.clone() })
            };
            cases.push(case(format!("the other build's {name}"), set.iter().map(swap).collect()));
        }
    }
    for (name, bytes) in set {
        let mut with = |what: &str, changed: Option<Vec<u8>>| {
            let Some(changed) = changed else { return };
            let swap = |(own, content): &(ModuleName, Vec<u8>)| {
                (own.clone(), if own == name { changed.clone() } else { content.clone() })
            };
            cases.push(case(format!("{name} {what}"), set.iter().map(swap).collect()));
        };
        if ["ib_core", "ib_cm", "ib_ipoib", "ib_uverbs", "udp_tunnel"].contains(&name.as_str()) {
            with(
                "under a proprietary licence",
                replaced(bytes, b"license=Dual BSD/GPL\0", b"license=Closed, Inc.\0")
                    .or_else(|| replaced(bytes, b"license=GPL\0", b"license=BSD\0")),
            );
            with("of zero length", Some(Vec::new()));
            with("cut in half", Some(bytes[..bytes.len() / 2].to_vec()));
            with("for another release", replaced(bytes, b"vermagic=6.1", b"vermagic=5.1"));
            with("of another flavour", replaced(bytes, b" mod_unload ", b" mod_unlaod "));
            let mut smaller = bytes.clone();
            // A kernel that does not check the size takes it, and crashes.
            let header = section_header(bytes, ".gnu.linkonce.this_module").filter(|_| checks_struct_module);
            if let Some(header) = header {
                smaller[header + 32] = smaller[header + 32].wrapping_sub(64);
                with("with a smaller struct module", Some(smaller));
            }
            for version in [0, 1, 5] {
                if let Some(header) = section_header(bytes, "__versions") {
                    let at = u64::from_le_bytes(bytes[header + 24..header + 32].try_into().unwrap()) as usize;
                    let mut changed = bytes.clone();
                    changed[at + version * 64] ^= 1;
                    with(&format!("with checksum {version} changed"), Some(changed));
                }
            }
        }
        with("without its namespace", replaced(bytes, b"import_ns=DMA_BUF\0", b"import_ns=DMA_BUG\0"));
        if ["udp_tunnel", "iw_cm", "ib_core"].contains(&name.as_str()) {
            // A second exporter: the same under another name.
            let (text, length) = (name.as_str(), name.as_str().len());
            let renamed = format!("{}x", text.strip_suffix(|_: char| true).unwrap());
            let mut copy = bytes.clone();
            while let Some(at) = find(&copy, format!("name={text}\0").as_bytes()) {
                copy[at + 5..at + 5 + length].copy_from_slice(renamed.as_bytes());
            }
            let header = section_header(bytes, ".gnu.linkonce.this_module").unwrap();
            let at = u64::from_le_bytes(bytes[header + 24..header + 32].try_into().unwrap()) as usize + 24;
            copy[at..at + length].copy_from_slice(renamed.as_bytes());
            let mut steps: Vec<_> = set.to_vec();
            steps.push((ModuleName::new(&renamed), copy));
            cases.push(case(format!("{name} twice under two names"), steps));
        }
    }
    cases
}

/// An entry of a `newc` cpio archive (Documentation/driver-api/early-userspace/buffer-format.rst).
fn cpio(archive: &mut Vec<u8>, name: &str, mode: u32, content: &[u8]) {
    let number = archive.len();
    let fields = [number as u32, mode, 0, 0, 1, 0, content.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
    archive.extend(b"070701");
    fields.iter().for_each(|field| archive.extend(format!("{field:08X}").as_bytes()));
    archive.extend(name.as_bytes());
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend(content);
    archive.resize(archive.len().next_multiple_of(4), 0);
}

const INIT: &str = "#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev 2>/dev/null || /bin/busybox mknod /dev/kmsg c 1 11
echo 1 > /proc/sys/kernel/printk
for order in /cases/*; do
  /bin/busybox dmesg -c >/dev/null
  echo \"@CASE ${order##*/}\"
  while read file; do
    /bin/busybox insmod /files/$file >/dev/null 2>/tmp.err
    echo \"@STEP $? $(/bin/busybox cat /tmp.err)\"
    /bin/busybox dmesg -c
  done < $order
  for round in 1 2 3 4 5 6 7 8 9; do
    while read name rest; do /bin/busybox rmmod $name 2>/dev/null; done < /proc/modules
  done
  [ -s /proc/modules ] && echo \"@LEFT $(/bin/busybox head -1 /proc/modules)\"
done
echo @DONE
/bin/busybox poweroff -f
";

/// Boots `kernel` over all cases; for each case and step whether insmod succeeded, and what the kernel said.
fn boot(kernel: &Path, cases: &[Case]) -> Vec<Vec<(bool, Vec<String>)>> {
    let mut archive = Vec::new();
    for folder in ["bin", "files", "cases", "dev"] {
        cpio(&mut archive, folder, 0o040_755, b"");
    }
    cpio(&mut archive, "bin/busybox", 0o100_755, &std::fs::read("/bin/busybox").expect("busybox-static"));
    cpio(&mut archive, "bin/sh", 0o120_777, b"busybox");
    cpio(&mut archive, "init", 0o100_755, INIT.as_bytes());
    let mut stored: BTreeMap<&[u8], String> = BTreeMap::new();
    for (number, case) in cases.iter().enumerate() {
        let mut order = String::new();
        for (_, bytes) in &case.steps {
            let next = format!("{}.ko", stored.len());
            if !stored.contains_key(bytes.as_slice()) {
                cpio(&mut archive, &format!("files/{next}"), 0o100_644, bytes);
            }
            order.push_str(stored.entry(bytes).or_insert(next));
            order.push('\n');
        }
        cpio(&mut archive, &format!("cases/{number:04}"), 0o100_644, order.as_bytes());
    }
    cpio(&mut archive, "TRAILER!!!", 0, b"");
    let folder = tempfile::tempdir().unwrap();
    let initramfs = folder.path().join("initramfs");
    std::fs::write(&initramfs, archive).unwrap();
    // Kept for a look at what the kernel said, if the caller names a place.
    let log = std::env::var("IBWRT_AGREEMENT_LOG").map_or_else(|_| folder.path().join("log"), PathBuf::from);
    let status = Command::new("timeout")
        .args(["1200", "qemu-system-x86_64"])
        .args(["-accel", "tcg", "-m", "3072", "-display", "none", "-no-reboot", "-net", "none"])
        .args(["-monitor", "none", "-append", "console=ttyS0 quiet loglevel=1 log_buf_len=16M panic=-1"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(&initramfs)
        .arg("-serial")
        .arg(format!("file:{}", log.display()))
        .status()
        .expect("qemu-system-x86_64 is needed by this test");
    let text = String::from_utf8_lossy(&std::fs::read(&log).unwrap()).replace('\r', "");
    assert!(
        text.contains("@DONE"),
        "the machine did not finish ({status}):\n{}",
        text.lines().last().unwrap_or_default()
    );
    let mut seen: Vec<Vec<(bool, Vec<String>)>> = Vec::new();
    for line in text.lines() {
        if line.starts_with("@CASE ") {
            seen.push(Vec::new());
        } else if let Some(status) = line.strip_prefix("@STEP ") {
            seen.last_mut().unwrap().push((status.starts_with("0 "), vec![status.to_owned()]));
        } else if let Some((_, messages)) = seen.last_mut().and_then(|case| case.last_mut()) {
            messages.push(line.split_once("] ").map_or(line, |(_, said)| said).to_owned());
        }
    }
    seen
}

/// The messages that tell why a module was refused.
fn reasons(said: &[String]) -> Vec<String> {
    const MARKS: [&str; 9] = [
        "Unknown symbol ",
        "disagrees about version",
        "version magic ",
        "exports duplicate symbol",
        "does not import it",
        "section size must match",
        "using GPL-only symbols",
        "No module found",
        "this_module section must exist",
    ];
    let mut reasons: Vec<String> =
        said.iter().filter(|line| MARKS.iter().any(|mark| line.contains(mark))).cloned().collect();
    reasons.sort();
    reasons.dedup();
    reasons
}

#[test]
fn agreement_of_every_verdict_with_the_kernels_own() {
    let given = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let (Some(kernel), Some(other)) = (given("IBWRT_DEBIAN_KERNEL"), given("IBWRT_OTHER_KERNEL")) else {
        assert!(std::env::var_os("CI").is_none(), "no kernels are named; CI compares verdicts with a kernel's own");
        println!("not run: IBWRT_DEBIAN_KERNEL and IBWRT_OTHER_KERNEL name no packages (tests/run fetches them)");
        return;
    };
    let (image, set) = build(&kernel);
    let other = build(&other).1;
    let kernel = KernelExports::read(&std::fs::read(&image).unwrap()).unwrap();
    let cases = cases(&set, &other, kernel.rules.checks_struct_module);
    let seen = boot(&image, &cases);
    assert_eq!(seen.len(), cases.len());
    let (mut agreed, mut steps) = (0, 0);
    for (case, seen) in cases.iter().zip(&seen) {
        let parsed: Vec<_> =
            case.steps.iter().map(|(_, bytes)| Module::parse(bytes).map_err(|e| e.to_string())).collect();
        let order: Vec<_> = case
            .steps
            .iter()
            .zip(&parsed)
            .map(|((name, _), module)| LoadStep { name, module: module.as_ref().map_err(String::as_str) })
            .collect();
        let results = link(&kernel, &order);
        assert_eq!(seen.len(), results.len(), "{}", case.title);
        let mut agrees = true;
        for (result, (inserted, said)) in results.iter().zip(seen) {
            steps += 1;
            let mut ours: Vec<String> = result.refusals().iter().flat_map(|refusal| refusal.messages.clone()).collect();
            ours.sort();
            // insmod calls a module that is there already an error; kmodloader does not.
            let expected = result.verdict == Verdict::Loads;
            let theirs = reasons(said);
            if expected != *inserted || ours != theirs {
                agrees = false;
                println!("{}: {}: we say {:?}\n  the kernel: {said:?}", case.title, result.name, result.verdict);
            }
        }
        agreed += usize::from(agrees);
    }
    // Past the capture of the test's output: the count is to be seen in every run.
    let count = format!("agreement {agreed}/{} ({steps} insertions into {})\n", cases.len(), kernel.release);
    std::io::Write::write_all(&mut std::io::stderr(), count.as_bytes()).unwrap();
    assert_eq!(agreed, cases.len());
}
