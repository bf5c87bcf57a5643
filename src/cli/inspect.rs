//! `ibwrt inspect`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use super::args::InspectArguments;
use super::page::{Page, size};
use super::patch::file;
use super::terminal::Terminal;
use crate::counted::number;
use crate::error::Result;
use crate::filesystem::{Kind, LiveOverlay, Space};
use crate::image::{Container, Partition, SECTOR, Scheme, Trailer, TrailerKind};
use crate::kernel::Proof;
use crate::openwrt::{PackageDatabase, Release};
use crate::task::{self, FilesystemRow, HistoryFacts, InspectReport, KernelFacts};

pub(super) fn run(arguments: &InspectArguments, terminal: &Terminal) -> Result<ExitCode> {
    let report = task::inspect(&arguments.input.to_input(), terminal.progress())?;
    terminal.report(&report, |page| {
        render(page, &report);
    })?;
    Ok(ExitCode::SUCCESS)
}

fn render(page: &mut Page, report: &InspectReport) {
    match &report.container {
        Some(container) => wrapping(page, report, container),
        None => page.heading(&format!("Tree {}", report.image.display())),
    }
    partitions(page, report);
    system(page, report);
    if let Some(history) = &report.history {
        patched(page, history);
    }
    if !report.remarks.is_empty() {
        page.heading("Remarks");
        for remark in &report.remarks {
            page.hanging("  - ", 4, remark);
        }
    }
}

/// The patch that the root was given: who wanted how much of it, and what was changed since.
fn patched(page: &mut Page, history: &HistoryFacts) {
    let patch = &history.patch;
    page.heading("Patched");
    page.fact("by", &patch.tool);
    page.fact("recipe", &patch.recipe);
    match (&patch.base, &patch.base_sha256) {
        (Some(name), Some(sha256)) => {
            page.fact("of", name);
            page.fact("", sha256);
        }
        _ => page.fact("of", "a tree of files"),
    }
    let mut wanted: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &history.files {
        *wanted.entry(&row.by).or_default() += 1;
    }
    for (by, count) in wanted {
        page.fact("", &format!("{} by {by}", number(count, "path")));
    }
    for row in &history.files {
        if let Some(how) = row.since {
            page.fact("since", &format!("{} {how}", row.path));
        }
    }
}

fn wrapping(page: &mut Page, report: &InspectReport, container: &Container) {
    page.heading(&format!("Image {}", report.image.display()));
    file(page, container);
    page.fact("sha256", &container.sha256);
    if let Some(length) = report.disk_length {
        page.fact("disk", &format!("{} ({length} bytes)", size(length)));
    }
    for trailer in &container.trailers {
        page.fact("trailer", &trailer_text(trailer));
    }
    if let Some(signature) = &report.signature {
        page.fact("signature", signature);
    }
    if container.unknown_tail > 0 {
        page.fact("tail", &format!("{} of unknown data behind the image", size(container.unknown_tail)));
    }
}

fn trailer_text(trailer: &Trailer) -> String {
    let kind = match trailer.kind {
        TrailerKind::Signature => "signature".to_owned(),
        TrailerKind::Info => "metadata".to_owned(),
        TrailerKind::Other(number) => format!("type {number}"),
    };
    let state = if trailer.crc_matches { "fits the image" } else { "stale: its CRC does not fit the image" };
    format!("fwtool {kind}, {}, {state}", size(trailer.payload_length))
}

fn partitions(page: &mut Page, report: &InspectReport) {
    let Some(table) = &report.table else { return whole(page, report) };
    let scheme = match table.scheme {
        Scheme::Gpt if table.backup => "GPT with backup",
        Scheme::Gpt => "GPT, no backup (as official images)",
        Scheme::Mbr => "MBR",
    };
    page.heading("Partitions");
    page.fact("table", &format!("{scheme}, disk {}", table.disk_id));
    for partition in &table.partitions {
        one_partition(page, report, partition);
    }
    for remark in &table.remarks {
        page.fact("remark", remark);
    }
}

/// The one filesystem of an image without partitions, or of a tree.
fn whole(page: &mut Page, report: &InspectReport) {
    page.heading("Root filesystem");
    for row in &report.filesystems {
        let length = report.disk_length.map(|length| format!(", {}, no partitions", size(length))).unwrap_or_default();
        page.fact("kind", &format!("{}{length}", kind_name(row.kind)));
        if let Some(space) = &row.space {
            page.fact("", &space_text(space));
        }
        squashfs(page, row);
    }
}

fn one_partition(page: &mut Page, report: &InspectReport, partition: &Partition) {
    let row = report.filesystems.iter().find(|row| row.partition == Some(partition.number));
    let role = row.and_then(|row| row.role).map(|role| format!("{role}, ")).unwrap_or_default();
    let kind = row.map_or("?", |row| kind_name(row.kind));
    let boot = if partition.bootable { ", bootable" } else { "" };
    page.fact(
        &format!("partition {}", partition.number),
        &format!(
            "{role}{kind}, {} from LBA {}{boot}",
            size(partition.sectors.saturating_mul(SECTOR)),
            partition.first.0
        ),
    );
    if let Some(space) = row.and_then(|row| row.space.as_ref()) {
        page.fact("", &space_text(space));
    }
    if let Some(row) = row {
        squashfs(page, row);
    }
    page.fact("", &format!("PARTUUID={}", partition.partuuid));
}

/// How a squashfs is compressed, and what lies behind it.
fn squashfs(page: &mut Page, row: &FilesystemRow) {
    if let Some(packing) = &row.packing {
        page.fact("", &format!("{packing}, data blocks of {}", size(packing.block_size.into())));
    }
    if let Some(LiveOverlay { kind, place }) = row.overlay {
        page.fact("", &format!("{kind} behind it, from byte {place} on: written since, not looked at here"));
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Ext4 => "ext4",
        Kind::Fat => "FAT",
        Kind::Squashfs => "squashfs",
        Kind::Erofs => "EROFS (read-only)",
        Kind::F2fs => "F2FS",
        Kind::Luks => "LUKS (encrypted)",
        Kind::Directory => "files in a folder",
        Kind::Empty => "empty",
        Kind::Unknown => "unknown content",
    }
}

fn space_text(space: &Space) -> String {
    let bytes = |blocks: u64| size(blocks.saturating_mul(u64::from(space.block_size)));
    let inodes = match space.inodes {
        u64::MAX => String::new(),
        all => format!(", {} of {all} inodes free", space.free_inodes),
    };
    format!("{} of {} free (blocks of {}){inodes}", bytes(space.free_blocks), bytes(space.blocks), space.block_size)
}

fn system(page: &mut Page, report: &InspectReport) {
    page.heading("System");
    if let Some(release) = &report.release {
        release_facts(page, release);
    }
    let no_kernel = if report.table.is_some() { "could not be read" } else { "none in it" };
    page.fact("kernel", report.kernel_release.as_deref().unwrap_or(no_kernel));
    if let Some(kernel) = &report.kernel {
        kernel_facts(page, kernel);
    }
    for (release, count) in &report.modules {
        page.fact("modules", &format!("{} in /lib/modules/{release}", number(*count, "file")));
    }
    if let Some(packages) = &report.packages {
        page.fact("packages", &packages_text(packages));
    }
    if report.modules.is_empty() {
        return;
    }
    match report.infiniband_modules.as_slice() {
        [] => page.fact("InfiniBand", "no module: this image has no InfiniBand support (yet)"),
        modules => page.fact("InfiniBand", &format!("{}: {}", number(modules.len(), "module"), modules.join(", "))),
    }
    page.gap();
    let input = if report.container.is_some() { "IMAGE" } else { "--rootdir DIR" };
    page.paragraph(0, &format!("What this means for InfiniBand: `ibwrt verify {input}`"));
}

fn kernel_facts(page: &mut Page, kernel: &KernelFacts) {
    page.fact("", &kernel.version);
    page.fact(
        "",
        &format!("{}, {} compression, {} unpacked", kernel.path, kernel.compression, size(kernel.unpacked_size)),
    );
    let proof = match kernel.proof {
        Proof::Sections => "",
        Proof::Weaker => " (section headers are gone; found by their looks)",
    };
    let modversions =
        if kernel.modversions { "with checksums (MODVERSIONS)" } else { "without checksums (no MODVERSIONS)" };
    page.fact("", &format!("{}, {modversions}{proof}", number(kernel.exports, "export")));
    let vermagic = match &kernel.vermagic {
        Some(vermagic) => format!("takes modules of vermagic `{}` only", vermagic.trim_end()),
        None => "does not compare vermagic".to_owned(),
    };
    let size_of_module = kernel.struct_module_size.map(|size| format!(", struct module of {size} bytes"));
    page.fact("", &format!("{vermagic}{}", size_of_module.unwrap_or_default()));
    for (label, built_in) in [("built in", true), ("not built in", false)] {
        let rows = kernel.options.iter().filter(|row| row.built_in == built_in);
        let options: Vec<&str> = rows.map(|row| row.option.as_str()).collect();
        if !options.is_empty() {
            page.fact(label, &options.join(", "));
        }
    }
}

fn release_facts(page: &mut Page, release: &Release) {
    let known = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
    page.fact("release", &known(&release.description));
    page.fact("target", &format!("{} ({})", known(&release.target), known(&release.architecture)));
    if let Some(date) = release.build_date {
        page.fact("built", &format!("{date} seconds after 1970-01-01 (SOURCE_DATE_EPOCH)"));
    }
}

fn packages_text(packages: &PackageDatabase) -> String {
    let (manager, kernel, count) = match packages {
        PackageDatabase::Opkg { kernel, packages } => ("opkg", kernel, *packages),
        PackageDatabase::Apk { kernel, packages } => ("apk", kernel, *packages),
        PackageDatabase::None => return "no database".to_owned(),
    };
    let kernel = kernel.as_ref().map(|version| format!(", kernel {version}")).unwrap_or_default();
    format!("{manager}, {} installed{kernel}", number(count, "package"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Compression;
    use crate::task::OptionRow;
    use crate::verify::specimen::Specimen;

    #[test]
    fn an_image_reads_like_this() {
        let specimen = Specimen::stock();
        let report = InspectReport {
            history: None,
            image: "router.img.gz".into(),
            container: Some(specimen.image.container.clone()),
            signature: None,
            disk_length: Some(specimen.image.disk.length()),
            table: specimen.image.table.clone(),
            filesystems: vec![
                FilesystemRow {
                    partition: Some(1),
                    kind: Kind::Fat,
                    role: Some("boot"),
                    space: None,
                    packing: None,
                    overlay: None,
                },
                FilesystemRow {
                    partition: Some(2),
                    kind: Kind::Ext4,
                    role: Some("root"),
                    space: Some(specimen.system.space),
                    packing: None,
                    overlay: None,
                },
            ],
            kernel_release: Some("6.6.106".into()),
            kernel: Some(KernelFacts {
                path: "/boot/vmlinuz".into(),
                version: "6.6.106 (builder@host) #0 SMP".into(),
                compression: Compression::Xz,
                unpacked_size: 40 << 20,
                exports: 9000,
                proof: Proof::Sections,
                modversions: false,
                vermagic: None,
                struct_module_size: Some(1088),
                options: vec![
                    OptionRow { option: "IRQ_POLL".into(), built_in: true, evidence: "irq_poll_init".into() },
                    OptionRow { option: "INFINIBAND".into(), built_in: false, evidence: "ib_register_device".into() },
                ],
            }),
            release: Some(specimen.system.release.clone()),
            packages: Some(PackageDatabase::Opkg { kernel: Some("6.6.106~ab-r1".into()), packages: 130 }),
            modules: vec![("6.6.106".into(), 2)],
            infiniband_modules: Vec::new(),
            remarks: Vec::new(),
        };
        let mut page = Page::new();
        render(&mut page, &report);
        let text = page.plain();
        for line in [
            "Image router.img.gz",
            "  file          gzip-compressed image, 1000 B",
            "  table         GPT, no backup (as official images), disk",
            "  partition 2   root, ext4, 16.0 KiB from LBA 544",
            "                78.1 MiB of 104 MiB free (blocks of 4096), 5000 of 6656 inodes",
            "                free",
            "  kernel        6.6.106",
            "                /boot/vmlinuz, XZ compression, 40.0 MiB unpacked",
            "                9000 exports, without checksums (no MODVERSIONS)",
            "                does not compare vermagic, struct module of 1088 bytes",
            "  built in      IRQ_POLL",
            "  not built in  INFINIBAND",
            "  packages      opkg, 130 packages installed, kernel 6.6.106~ab-r1",
            "  InfiniBand    no module: this image has no InfiniBand support (yet)",
        ] {
            assert!(text.contains(line), "{line:?} is not in:\n{text}");
        }
    }
}
