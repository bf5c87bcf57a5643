//! Feature bits of the superblock: their names, and which of them an edit keeps right.
//! Names as in e2fsprogs' lib/e2p/feature.c.

/// One feature bit.
struct Feature {
    bit: u32,
    name: &'static str,
    editable: bool,
}

const fn kept(bit: u32, name: &'static str) -> Feature {
    Feature { bit, name, editable: true }
}

const fn refused(bit: u32, name: &'static str) -> Feature {
    Feature { bit, name, editable: false }
}

pub(super) const COMPAT_HAS_JOURNAL: u32 = 0x4;
pub(super) const COMPAT_RESIZE_INODE: u32 = 0x10;
pub(super) const COMPAT_DIR_INDEX: u32 = 0x20;
pub(super) const INCOMPAT_FILETYPE: u32 = 0x2;
pub(super) const INCOMPAT_RECOVER: u32 = 0x4;
pub(super) const INCOMPAT_64BIT: u32 = 0x80;
pub(super) const INCOMPAT_CSUM_SEED: u32 = 0x2000;
pub(super) const RO_COMPAT_SPARSE_SUPER: u32 = 0x1;
pub(super) const RO_COMPAT_GDT_CSUM: u32 = 0x10;
pub(super) const RO_COMPAT_METADATA_CSUM: u32 = 0x400;

const COMPAT: &[Feature] = &[
    kept(0x1, "dir_prealloc"),
    refused(0x2, "imagic_inodes"),
    kept(COMPAT_HAS_JOURNAL, "has_journal"),
    kept(0x8, "ext_attr"),
    kept(COMPAT_RESIZE_INODE, "resize_inode"),
    kept(COMPAT_DIR_INDEX, "dir_index"),
    refused(0x40, "lazy_bg"),
    refused(0x80, "exclude_inode"),
    refused(0x100, "exclude_bitmap"),
    refused(0x200, "sparse_super2"),
    kept(0x400, "fast_commit"),
    kept(0x800, "stable_inodes"),
    kept(0x1000, "orphan_file"),
];

const INCOMPAT: &[Feature] = &[
    refused(0x1, "compression"),
    kept(INCOMPAT_FILETYPE, "filetype"),
    // Refused with its own remedy, where the state is judged.
    kept(INCOMPAT_RECOVER, "needs_recovery"),
    refused(0x8, "journal_dev"),
    refused(0x10, "meta_bg"),
    kept(0x40, "extent"),
    kept(INCOMPAT_64BIT, "64bit"),
    refused(0x100, "mmp"),
    kept(0x200, "flex_bg"),
    refused(0x400, "ea_inode"),
    refused(0x1000, "dirdata"),
    kept(INCOMPAT_CSUM_SEED, "metadata_csum_seed"),
    refused(0x4000, "large_dir"),
    refused(0x8000, "inline_data"),
    refused(0x1_0000, "encrypt"),
    refused(0x2_0000, "casefold"),
];

const RO_COMPAT: &[Feature] = &[
    kept(RO_COMPAT_SPARSE_SUPER, "sparse_super"),
    kept(0x2, "large_file"),
    refused(0x4, "btree_dir"),
    kept(0x8, "huge_file"),
    kept(RO_COMPAT_GDT_CSUM, "uninit_bg"),
    kept(0x20, "dir_nlink"),
    kept(0x40, "extra_isize"),
    refused(0x80, "snapshot"),
    refused(0x100, "quota"),
    refused(0x200, "bigalloc"),
    kept(RO_COMPAT_METADATA_CSUM, "metadata_csum"),
    refused(0x800, "replica"),
    refused(0x1000, "read-only"),
    refused(0x2000, "project"),
    refused(0x4000, "shared_blocks"),
    refused(0x8000, "verity"),
    refused(0x1_0000, "orphan_present"),
];

/// Names of the set bits that an edit could not keep right; a bit without a name is shown in hex with its set.
pub(super) fn not_editable(compat: u32, incompat: u32, ro_compat: u32) -> Vec<String> {
    let sets = [("compat", compat, COMPAT), ("incompat", incompat, INCOMPAT), ("ro_compat", ro_compat, RO_COMPAT)];
    let mut names = Vec::new();
    for (set, bits, known) in sets {
        for bit in (0..u32::BITS).map(|shift| 1u32 << shift).filter(|bit| bits & bit != 0) {
            match known.iter().find(|feature| feature.bit == bit) {
                Some(feature) if feature.editable => {}
                Some(feature) => names.push(feature.name.to_owned()),
                None => names.push(format!("{set} bit {bit:#x}")),
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_feature_is_named_and_an_unknown_one_is_shown_in_hex() {
        assert_eq!(not_editable(0x103C, 0x22C2, 0x47B), Vec::<String>::new());
        assert_eq!(not_editable(0x8000_0000, 0x8000, 0x200), ["compat bit 0x80000000", "inline_data", "bigalloc"]);
    }
}
