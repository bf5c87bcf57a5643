//! The file around the disk, and the disk's partition table.

use super::{NO_PARTITIONS, fail, judge, number, skip};
use crate::image::{Partition, PartitionTable, SECTOR, Scheme};
use crate::plan::Severity;
use crate::verify::{Check, Evidence, Outcome};

/// GRUB's core image may occupy everything up to this sector; OpenWrt aligns partitions to 256 KiB behind it.
const LAST_BOOT_LOADER_LBA: u64 = 511;

pub(super) const CONTAINER: Check = Check {
    id: "container",
    severity: Severity::Warning,
    claim: "The file is an image (plain, gzip-compressed, qcow2 or VMDK) with nothing stale behind it.",
    remedy: "Run `ibwrt patch` on it: nothing lies behind its output, in whatever form.",
    run: container,
};

fn container(evidence: &Evidence<'_>) -> Outcome {
    let Some(image) = evidence.image else { return skip("this is a tree of files, not an image") };
    let container = &image.container;
    let mut problems = Vec::new();
    let stale = container.trailers.iter().filter(|trailer| !trailer.crc_matches).count();
    if stale > 0 {
        problems.push(format!(
            "{} behind the image no longer fits it: the image was changed after it was signed",
            number(stale, "fwtool trailer")
        ));
    }
    if container.unknown_tail > 0 {
        problems.push(format!(
            "{} bytes behind the image belong to nothing that is known; some tools refuse such a file",
            container.unknown_tail
        ));
    }
    judge(problems, || {
        let trailers = match container.trailers.len() {
            0 => "nothing behind it".to_owned(),
            count => format!("{} that fits it", number(count, "fwtool trailer")),
        };
        format!("{}, {} bytes, {trailers}", container.form.name(), container.file_length)
    })
}

pub(super) const PARTITION_TABLE: Check = Check {
    id: "partition-table",
    severity: Severity::Error,
    claim: "The partition table is sound and leads to a boot and a root partition behind the boot loader.",
    remedy: "The image is damaged or is no OpenWrt combined image: take a fresh one (…-combined.img.gz or \
             …-combined-efi.img.gz).",
    run: partition_table,
};

fn partition_table(evidence: &Evidence<'_>) -> Outcome {
    let Some((image, table)) = evidence.image.zip(evidence.table()) else { return skip(NO_PARTITIONS) };
    let disk_sectors = image.disk.length() / SECTOR;
    let mut problems: Vec<String> =
        table.partitions.iter().filter_map(|partition| extent_problem(partition, disk_sectors)).collect();
    problems.extend(overlaps(table));
    match table.partitions.iter().find(|partition| partition.number == 1) {
        Some(first) if first.first.0 <= LAST_BOOT_LOADER_LBA => problems.push(format!(
            "partition 1 starts at LBA {}, inside LBA 0 to {LAST_BOOT_LOADER_LBA} that belong to the boot loader",
            first.first.0
        )),
        Some(_) => {}
        None => problems.push("there is no partition 1, which GRUB boots from".to_owned()),
    }
    if evidence.boot_partition.is_none() {
        problems.push("no partition holds a kernel and boot/grub/grub.cfg".to_owned());
    }
    if evidence.root_partition.is_none() {
        problems.push("no partition holds OpenWrt's root filesystem".to_owned());
    }
    judge(problems, || {
        let scheme = match table.scheme {
            Scheme::Gpt => "GPT",
            Scheme::Mbr => "MBR",
        };
        let place = |number: Option<u32>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
        format!(
            "{scheme}, boot is partition {}, root is partition {}",
            place(evidence.boot_partition),
            place(evidence.root_partition)
        )
    })
}

fn extent_problem(partition: &Partition, disk_sectors: u64) -> Option<String> {
    let number = partition.number;
    if partition.sectors == 0 {
        return Some(format!("partition {number} has no sectors"));
    }
    match partition.first.0.checked_add(partition.sectors) {
        Some(end) if end <= disk_sectors => None,
        _ => Some(format!(
            "partition {number} ({} sectors from LBA {}) reaches behind the end of the disk ({disk_sectors} sectors)",
            partition.sectors, partition.first.0
        )),
    }
}

fn overlaps(table: &PartitionTable) -> Vec<String> {
    let mut sorted: Vec<&Partition> = table.partitions.iter().collect();
    sorted.sort_by_key(|partition| partition.first);
    let pairs = sorted.iter().zip(sorted.iter().skip(1));
    pairs
        .filter(|(a, b)| a.first.0.saturating_add(a.sectors) > b.first.0)
        .map(|(a, b)| format!("partitions {} and {} overlap at LBA {}", a.number, b.number, b.first.0))
        .collect()
}

pub(super) const PARTITION_UUIDS: Check = Check {
    id: "partition-uuids",
    severity: Severity::Warning,
    claim: "Partition identifiers follow OpenWrt's convention (disk …00, boot …01, root …02), which sysupgrade relies on.",
    remedy: "The image boots all the same; only a later sysupgrade may not find its root. If that matters, give it \
             identifiers in OpenWrt's way: `ibwrt patch IMAGE --rekey NAME`.",
    run: partition_uuids,
};

fn partition_uuids(evidence: &Evidence<'_>) -> Outcome {
    let Some(table) = evidence.table() else { return skip(NO_PARTITIONS) };
    let Some(root) = evidence.root_partition else {
        return skip("no root partition was found");
    };
    let mut problems = Vec::new();
    let stem = match table.scheme {
        Scheme::Mbr => format!("{}-", table.disk_id),
        Scheme::Gpt => match table.disk_id.strip_suffix("00") {
            Some(stem) => stem.to_owned(),
            None => return fail(format!("the disk's identifier {} does not end in 00", table.disk_id)),
        },
    };
    for number in [evidence.boot_partition, Some(root)].into_iter().flatten() {
        let expected = format!("{stem}{number:02x}");
        let found = table.partitions.iter().find(|partition| partition.number == number);
        if let Some(found) = found.filter(|found| found.partuuid != expected) {
            problems.push(format!("partition {number} has PARTUUID {}, expected {expected}", found.partuuid));
        }
    }
    judge(problems, || format!("root is PARTUUID={stem}{root:02x}"))
}

pub(super) const IDENTITY: Check = Check {
    id: "identity",
    severity: Severity::Error,
    claim: "Disk and partitions have the identifiers that the recipe's `rekey` makes.",
    remedy: "Patch the image with that recipe, or verify it with the recipe that it was patched with.",
    run: identity,
};

fn identity(evidence: &Evidence<'_>) -> Outcome {
    let Some(wished) = &evidence.expectations.identity else { return skip("no identifiers are asked for") };
    let Some(table) = evidence.table() else { return skip(NO_PARTITIONS) };
    let expected = match table.renamed(wished) {
        Ok(expected) => expected,
        Err(error) => return fail(error.to_string()),
    };
    let disk = (table.disk_id != expected.disk_id)
        .then(|| format!("the disk's identifier is {}, expected {}", table.disk_id, expected.disk_id));
    let partitions = table.partitions.iter().zip(&expected.partitions);
    let partitions =
        partitions.filter(|(found, expected)| found.partuuid != expected.partuuid).map(|(found, expected)| {
            format!("partition {} has PARTUUID {}, expected {}", found.number, found.partuuid, expected.partuuid)
        });
    judge(disk.into_iter().chain(partitions).collect(), || format!("disk {}", table.disk_id))
}

#[cfg(test)]
mod tests {
    use crate::disk_identity::DiskIdentity;
    use crate::image::{Lba, Trailer, TrailerKind};
    use crate::verify::specimen::{Specimen, passed, problems, skipped};

    #[test]
    fn a_stale_trailer_is_told() {
        let mut specimen = Specimen::patched();
        specimen.image.container.trailers =
            vec![Trailer { kind: TrailerKind::Signature, payload_length: 18, crc_matches: false }];
        assert_eq!(
            problems(&specimen, "container"),
            ["1 fwtool trailer behind the image no longer fits it: the image was changed after it was signed"]
        );
    }

    #[test]
    fn a_trailer_that_fits_is_no_problem() {
        let mut specimen = Specimen::patched();
        specimen.image.container.trailers =
            vec![Trailer { kind: TrailerKind::Signature, payload_length: 18, crc_matches: true }];
        assert_eq!(passed(&specimen, "container"), "gzip-compressed image, 1000 bytes, 1 fwtool trailer that fits it");
    }

    #[test]
    fn an_unknown_tail_is_told_with_its_length() {
        let mut specimen = Specimen::patched();
        specimen.image.container.unknown_tail = 77;
        assert!(problems(&specimen, "container")[0].starts_with("77 bytes behind the image"));
    }

    #[test]
    fn a_partition_inside_the_boot_loader_is_an_error() {
        let mut specimen = Specimen::patched();
        specimen.image.table.as_mut().unwrap().partitions[0].first = Lba(34);
        assert_eq!(
            problems(&specimen, "partition-table"),
            ["partition 1 starts at LBA 34, inside LBA 0 to 511 that belong to the boot loader"]
        );
    }

    #[test]
    fn partitions_that_overlap_name_the_sector() {
        let mut specimen = Specimen::patched();
        specimen.image.table.as_mut().unwrap().partitions[1].first = Lba(520);
        assert_eq!(problems(&specimen, "partition-table"), ["partitions 1 and 2 overlap at LBA 520"]);
    }

    #[test]
    fn a_partition_behind_the_disk_is_told_with_its_numbers() {
        let mut specimen = Specimen::patched();
        specimen.image.table.as_mut().unwrap().partitions[1].sectors = u64::MAX;
        assert_eq!(
            problems(&specimen, "partition-table"),
            [
                "partition 2 (18446744073709551615 sectors from LBA 544) reaches behind the end of the disk (1024 sectors)"
            ]
        );
    }

    #[test]
    fn a_missing_root_is_told() {
        let mut specimen = Specimen::patched();
        specimen.root_partition = None;
        assert_eq!(problems(&specimen, "partition-table"), ["no partition holds OpenWrt's root filesystem"]);
    }

    #[test]
    fn identifiers_are_held_against_what_rekey_makes() {
        let mut specimen = Specimen::patched();
        assert_eq!(skipped(&specimen, "identity"), "no identifiers are asked for");
        let h1 = DiskIdentity::derived("h1");
        specimen.expectations.identity = Some(h1);
        let found = problems(&specimen, "identity");
        assert!(found[0].ends_with(&format!("expected {}", h1.guid_text(0))), "{found:?}");
        assert_eq!(found.len(), 1 + specimen.image.table.as_ref().unwrap().partitions.len());
        let table = specimen.image.table.as_ref().unwrap().renamed(&h1).unwrap();
        specimen.image.table = Some(table);
        assert_eq!(passed(&specimen, "identity"), format!("disk {}", h1.guid_text(0)));
    }

    #[test]
    fn a_partuuid_off_the_convention_is_told() {
        let mut specimen = Specimen::patched();
        specimen.image.table.as_mut().unwrap().partitions[1].partuuid = "deadbeef-02".into();
        let expected = "ab12cd34-0000-0000-0000-000000000002";
        assert_eq!(
            problems(&specimen, "partition-uuids"),
            [format!("partition 2 has PARTUUID deadbeef-02, expected {expected}")]
        );
    }
}
