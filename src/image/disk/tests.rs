use proptest::prelude::*;

use super::*;

fn counting(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8).collect()
}

#[test]
fn what_is_made_of_a_range_is_made_once_as_long_as_the_range_is_the_same() {
    let disk = Disk::from_bytes(&counting(4 * PAGE));
    let made = |disk: &Disk, range, way| {
        let mut is_new = false;
        let made = disk.made(range, way, || {
            is_new = true;
            disk.read_vec(range.0, range.1 as usize)
        });
        (made.unwrap().to_vec(), is_new)
    };
    let (range, way) = ((PAGE_U64 + 5, 100), ("copy", 1, 2));
    let content = disk.read_vec(range.0, 100).unwrap();
    assert_eq!(made(&disk, range, way), (content.clone(), true));
    let mut edited = disk.clone();
    edited.write_at(PAGE_U64 - 1, &[0xAA]).unwrap();
    assert_eq!(made(&edited, range, way), (content, false), "another page was changed");
    assert!(made(&disk, range, ("copy", 1, 3)).1 && made(&disk, (range.0, 99), way).1, "another question");
    edited.write_at(PAGE_U64, &[0xAA; 50]).unwrap();
    for _ in 0..2 {
        assert_eq!(made(&edited, range, way), (edited.read_vec(range.0, 100).unwrap(), true));
    }
    assert!(!made(&disk, range, way).1);
    let founded = edited.founded();
    assert_eq!(made(&founded, range, way).0, founded.read_vec(range.0, 100).unwrap());
    let failure = || Err(Error::corrupt("damaged"));
    assert!(disk.made((0, 1), way, failure).is_err() && made(&disk, (0, 1), way).1, "an error is not kept");
}

#[test]
fn of_what_is_made_the_last_is_kept() {
    let disk = Disk::from_bytes(&counting(PAGE));
    let make = |number: u64| {
        let mut is_new = false;
        let made = disk.made((number, 1), ("length", 0, 0), || {
            is_new = true;
            Ok(vec![0; 5 << 20])
        });
        made.unwrap();
        is_new
    };
    assert!((0..4).all(make), "four times 5 MiB are more than is kept");
    assert!(!make(3) && !make(2) && !make(1) && make(0));
}

#[test]
fn what_was_built_reads_back_across_page_and_region_borders() {
    let bytes = counting(3 * REGION + 17);
    let disk = Disk::from_bytes(&bytes);
    assert_eq!(disk.length(), bytes.len() as u64);
    for (offset, length) in [(0, 10), (PAGE - 3, 7), (REGION - 5000, 10_000), (3 * REGION, 17)] {
        assert_eq!(disk.read_vec(offset as u64, length).unwrap(), &bytes[offset..offset + length]);
    }
}

#[test]
fn a_write_changes_one_clone_and_not_the_other() {
    let disk = Disk::from_bytes(&counting(REGION));
    let mut edited = disk.clone();
    edited.write_at(PAGE_U64 - 1, &[0xAA, 0xBB]).unwrap();
    assert_eq!(edited.changed_pages(), [0, 1]);
    assert_eq!(edited.read_vec(PAGE_U64 - 1, 2).unwrap(), [0xAA, 0xBB]);
    assert_ne!(disk.read_vec(PAGE_U64 - 1, 2).unwrap(), [0xAA, 0xBB]);
    assert!(disk.is_unchanged());
}

#[test]
fn clones_share_what_neither_changed() {
    let disk = Disk::from_bytes(&counting(4 * PAGE)).founded();
    let mut edited = disk.clone();
    edited.write_at(PAGE_U64, &[0xAA]).unwrap();
    assert!(disk.shares(&edited, 0..1) && disk.shares(&edited, 2..4));
    assert!(!disk.shares(&edited, 0..2) && !edited.shares(&disk, 1..4));
    assert!(!disk.shares(&edited.clone().founded(), 0..1), "another base");
}

#[test]
fn a_page_that_has_its_old_content_again_is_not_changed() {
    let mut disk = Disk::from_bytes(&counting(REGION));
    disk.write_at(0, &[0xAA]).unwrap();
    disk.write_at(0, &[0]).unwrap();
    assert_eq!(disk.changed_pages(), Vec::<u64>::new());
}

#[test]
fn writing_what_is_there_already_changes_nothing() {
    let mut disk = Disk::from_bytes(&vec![0; 2 * REGION]);
    disk.write_at(5, &[0; 9000]).unwrap();
    assert!(disk.is_unchanged());
}

#[test]
fn a_range_behind_the_end_is_refused_with_its_numbers() {
    let disk = Disk::from_bytes(&[1; 100]);
    let error = disk.read_vec(90, 11).unwrap_err();
    assert_eq!(error.message(), "11 bytes at byte 90 reach behind the end of the disk (100 bytes)");
    assert!(disk.read_vec(u64::MAX, 2).is_err());
}

#[test]
fn a_shortened_disk_ends_where_it_was_cut_and_is_zero_behind() {
    let bytes = counting(2 * REGION + 100);
    let mut disk = Disk::from_bytes(&bytes);
    disk.write_at(10, &[0xEE; 4]).unwrap();
    let short = disk.shortened(REGION_U64 + 50).unwrap();
    assert_eq!(short.length(), REGION_U64 + 50);
    assert_eq!(short.read_vec(0, REGION + 50).unwrap(), disk.read_vec(0, REGION + 50).unwrap());
    assert!(short.page(REGION_U64 / PAGE_U64).unwrap()[50..].iter().all(|byte| *byte == 0));
    assert!(short.page(2 * REGION_U64 / PAGE_U64).is_none());
    assert_eq!(disk.length(), bytes.len() as u64, "the original is as it was");
}

#[test]
fn zero_ranges_are_known_without_reading_them() {
    let mut bytes = vec![0; 4 * REGION];
    bytes[2 * REGION] = 1;
    let mut disk = Disk::from_bytes(&bytes);
    assert!(disk.is_zero(0, 2 * REGION_U64));
    assert!(!disk.is_zero(0, 2 * REGION_U64 + 1));
    assert!(disk.is_zero(3 * REGION_U64, REGION_U64));
    disk.write_at(2 * REGION_U64, &[0]).unwrap();
    assert!(disk.is_zero(0, 4 * REGION_U64));
}

#[test]
fn pieces_of_another_disk_are_appended_as_they_are() {
    let mut bytes = counting(4 * REGION + 77);
    bytes[REGION..3 * REGION].fill(0);
    let source = Disk::from_bytes(&bytes);
    for (lead, offset, length) in
        [(0, 0, bytes.len()), (5, 0, bytes.len()), (REGION, 3 * REGION, REGION + 77), (0, 9, 3 * REGION), (1, 7, 0)]
    {
        let mut builder = DiskBuilder::default();
        builder.push_zeroes(lead as u64);
        builder.push_from(&source, offset as u64, length as u64).unwrap();
        builder.push(&[1]);
        assert_eq!(builder.length(), (lead + length + 1) as u64);
        let expected = [&vec![0; lead][..], &bytes[offset..offset + length], &[1]].concat();
        assert!(builder.build().read_vec(0, expected.len()).unwrap() == expected, "{lead} {offset} {length}");
    }
    let error = DiskBuilder::default().push_from(&source, bytes.len() as u64 - 3, 4).unwrap_err();
    assert!(error.message().contains("reach behind the end"), "{error}");
}

#[test]
fn a_whole_region_is_shared_and_zeroes_are_not_stored() {
    let mut builder = DiskBuilder::default();
    builder.push_from(&Disk::from_bytes(&counting(REGION)), 0, REGION_U64).unwrap();
    builder.push_zeroes(1 << 40);
    assert_eq!((builder.length(), builder.stored()), ((1 << 40) + REGION_U64, REGION_U64));
}

/// Up to three regions, with runs of zeroes in them.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let run = prop_oneof![
        (0..REGION).prop_map(|length| vec![0; length]),
        (any::<u8>(), 1..REGION / 2).prop_map(|(byte, length)| vec![byte; length]),
        (1..REGION / 2).prop_map(counting),
    ];
    prop::collection::vec(run, 1..6).prop_map(|runs| [&[1][..], &runs.concat()].concat())
}

proptest! {
    #[test]
    fn random_writes_read_back_as_from_a_plain_array(
        start in content(),
        writes in prop::collection::vec((any::<u64>(), any::<u8>(), 0..3 * PAGE), 0..20),
        cleared in prop::collection::vec((any::<u64>(), 0..3 * REGION), 0..3),
        longer in 0..2 * REGION,
        cut in any::<u64>(),
    ) {
        let mut model = start.clone();
        let untouched = Disk::from_bytes(&start);
        let mut disk = untouched.clone();
        for (offset, byte, length) in writes {
            let offset = (offset % model.len() as u64) as usize;
            let length = length.min(model.len() - offset);
            model[offset..offset + length].fill(byte);
            disk.write_at(offset as u64, &vec![byte; length]).unwrap();
        }
        for (offset, length) in cleared {
            let offset = (offset % model.len() as u64) as usize;
            let length = length.min(model.len() - offset);
            model[offset..offset + length].fill(0);
            disk.clear(offset as u64, length as u64).unwrap();
        }
        prop_assert!(disk.clear(model.len() as u64, 1).is_err());
        let long = disk.lengthened((model.len() + longer) as u64);
        let zeroes = vec![0; longer];
        prop_assert!(long.read_vec(0, model.len() + longer).unwrap() == [&model[..], &zeroes[..]].concat());
        prop_assert!(disk.read_vec(0, model.len()).unwrap() == model);
        prop_assert!(untouched.read_vec(0, start.len()).unwrap() == start);
        let changed = disk.changed_pages();
        for (page, (old, new)) in start.chunks(PAGE).zip(model.chunks(PAGE)).enumerate() {
            prop_assert_eq!(old != new, changed.contains(&(page as u64)));
            let (at, length) = ((page * PAGE) as u64, new.len() as u64);
            prop_assert_eq!(disk.is_zero(at, length), new.iter().all(|byte| *byte == 0));
        }
        let founded = disk.clone().founded();
        prop_assert!(founded.changed.is_empty() && founded.read_vec(0, model.len()).unwrap() == model);
        prop_assert_eq!(founded.changed_pages(), changed);
        let mut restored = founded.clone();
        restored.write_at(0, &start).unwrap();
        prop_assert_eq!(restored.clone().founded().changed_pages(), Vec::<u64>::new());
        prop_assert!(restored.founded().read_vec(0, start.len()).unwrap() == start);
        let cut = (cut % (model.len() as u64 + 1)) as usize;
        let short = disk.shortened(cut as u64).unwrap();
        prop_assert!(short.read_vec(0, cut).unwrap() == model[..cut]);
    }
}
