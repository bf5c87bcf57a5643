//! Other identifiers, as sgdisk, partx and blkid see them.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::grow_tests::{back_up, bios, changed, efi, printed, problems};
use super::*;
use crate::error::ErrorKind as Kind;

fn rekey(disk: &Disk, seed: &str) -> (Disk, PartitionTable) {
    PartitionTable::read(disk).unwrap().rekey(disk, &DiskIdentity::derived(seed)).unwrap()
}

/// The field of `sgdisk`'s answer that follows `label`, in lower case.
fn told(disk: &Disk, arguments: &[&str], label: &str) -> String {
    let text = printed("sgdisk", arguments, disk);
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    line.unwrap_or_else(|| panic!("{label} is not in {text}")).trim().to_lowercase()
}

#[test]
fn a_gpt_gets_identifiers_that_sgdisk_reads_and_finds_sound() {
    let before = efi();
    let (after, table) = rekey(&before, "h1");
    let guid = DiskIdentity::derived("h1").guid_text(0);
    assert_eq!(table.disk_id, guid);
    assert_eq!(told(&after, &["-p"], "Disk identifier (GUID):"), guid);
    for number in [1, 2, 128] {
        let partuuid = told(&after, &["-i", &number.to_string()], "Partition unique GUID:");
        assert_eq!(partuuid, guid.strip_suffix("00").unwrap().to_owned() + &format!("{number:02x}"));
        assert_eq!(table.partition(number).unwrap().partuuid, partuuid);
    }
    // OpenWrt's images have no backup, about which sgdisk complains before and after.
    assert_eq!(problems(&after), problems(&before));
    let identifiers = |table: &PartitionTable| {
        let mut table = table.clone();
        table.disk_id.clear();
        table.partitions.iter_mut().for_each(|partition| partition.partuuid.clear());
        table
    };
    assert_eq!(identifiers(&table), identifiers(&PartitionTable::read(&before).unwrap()), "something else changed");
    let fields = [440..444, 512 + 16..512 + 20, 512 + 56..512 + 72, 512 + 88..512 + 92];
    let entries = [1, 2, 128].map(|number| 1024 + (number - 1) * 128 + 16..1024 + (number - 1) * 128 + 32);
    let allowed: BTreeSet<u64> = fields.into_iter().chain(entries).flatten().collect();
    assert!(changed(&before, &after).iter().all(|at| allowed.contains(at)));
}

#[test]
fn a_backup_gpt_gets_them_too() {
    let (backed, _) = back_up(&efi());
    let (after, table) = rekey(&backed, "h1");
    assert!(table.backup && table.remarks.is_empty(), "{table:?}");
    assert_eq!(problems(&after), Vec::<String>::new());
    let other_order = back_up(&rekey(&efi(), "h1").0).0;
    let tables = |disk: &Disk| [0, disk.length() - 33 * SECTOR].map(|at| disk.read_vec(at, 33 * 512).unwrap());
    assert!(tables(&after) == tables(&other_order));
}

#[test]
fn an_mbr_gets_a_signature_and_nothing_else() {
    let (after, table) = rekey(&bios(), "h1");
    let signature = format!("{:08x}", DiskIdentity::derived("h1").signature());
    assert_eq!(table.disk_id, signature);
    let seen = printed("partx", &["--show", "--noheadings", "--output", "UUID"], &after);
    let expected = [1, 2].map(|number| format!("{signature}-0{number}"));
    assert_eq!(seen.split_whitespace().collect::<Vec<_>>(), expected);
    assert_eq!(changed(&bios(), &after), [440, 441, 442, 443]);
}

#[test]
fn a_partition_number_that_no_guid_ends_in_is_refused() {
    let mut table = PartitionTable::read(&efi()).unwrap();
    table.partitions[2].number = 256;
    let error = table.rekey(&efi(), &DiskIdentity::derived("h1")).unwrap_err();
    let line = "partition 256 has a number above 255, which no GUID of OpenWrt's kind ends in";
    assert_eq!((error.kind(), error.message()), (Kind::Unsupported, line));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_last_seed_counts_and_the_same_one_again_changes_nothing(
        seeds in prop::collection::vec(".{1,12}", 1..4), gpt in any::<bool>(), backup in any::<bool>(),
    ) {
        let start = if gpt { efi() } else { bios() };
        let start = if gpt && backup { back_up(&start).0 } else { start };
        let mut disk = start.clone();
        for seed in &seeds {
            disk = rekey(&disk, seed).0;
        }
        let last = seeds.last().unwrap();
        prop_assert_eq!(changed(&rekey(&start, last).0, &disk), Vec::<u64>::new());
        prop_assert_eq!(changed(&rekey(&disk, last).0, &disk), Vec::<u64>::new());
        let own = DiskIdentity::derived(last);
        let guid = own.guid_text(0);
        prop_assert!(guid.ends_with("00") && guid.as_bytes()[14] == b'8' && b"89ab".contains(&guid.as_bytes()[19]), "{}", guid);
        let table = PartitionTable::read(&disk).unwrap();
        prop_assert_eq!(&table, &PartitionTable::read(&start).unwrap().renamed(&own).unwrap());
        let first_group = guid.split_once('-').unwrap().0;
        prop_assert_eq!(&table.disk_id, if gpt { &guid } else { first_group });
    }
}
