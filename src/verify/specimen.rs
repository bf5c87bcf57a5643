//! Evidence made by hand for tests: a small patched image that passes every check, to change one thing of.

use std::path::Path;
use std::sync::Arc;

use super::{BootedKernel, Evidence, Expectations, History, Outcome, Program, Report, load, run};
use crate::filesystem::{Attributes, FileType, Metadata, Packing, Space};
use crate::image::{Container, Disk, Form, Image, Lba, Partition, PartitionTable, Scheme};
use crate::kernel::{Export, KernelExports, KernelRelease, LoadRules, ModInfo, Module, ModuleName};
use crate::openwrt::{
    AutoloadFile, BootConfiguration, InstalledModule, MenuEntry, ModuleDirectory, Node, PackageDatabase, Release,
    System, Tree,
};
use crate::plan::{AutoloadWish, Content, FileWish};

const RELEASE: &str = "6.6.106";

/// What [`Evidence`] is made of, open to changes.
pub(crate) struct Specimen {
    pub(crate) image: Image,
    /// Whether there is an image at all, and not a tree of files.
    pub(crate) is_image: bool,
    pub(crate) boot_partition: Option<u32>,
    pub(crate) root_partition: Option<u32>,
    pub(crate) boot: BootConfiguration,
    pub(crate) boot_files: Vec<String>,
    pub(crate) root_problems: Vec<String>,
    /// How the root is compressed, where it is a squashfs.
    pub(crate) root_packing: Option<Packing>,
    pub(crate) kernel_release: Result<KernelRelease, String>,
    /// The kernel that both menu entries boot.
    pub(crate) kernel: Result<KernelExports, String>,
    /// A further kernel in the menu, `/boot/vmlinuz.old`.
    pub(crate) second_kernel: Option<KernelExports>,
    pub(crate) system: System,
    /// Why the system cannot be read, where it cannot.
    pub(crate) unreadable: Option<String>,
    pub(crate) expectations: Expectations,
    /// The programs that are expected, linked.
    pub(crate) programs: Vec<Program>,
    /// The patch that is recorded in it, where that is asked for.
    pub(crate) history: Option<Result<Option<History>, String>>,
}

impl Specimen {
    /// A stock image: an Ethernet driver and mlx4_core, no InfiniBand, no overlay to hold it against.
    pub(crate) fn stock() -> Self {
        Self {
            image: image(),
            is_image: true,
            boot_partition: Some(1),
            root_partition: Some(2),
            boot: BootConfiguration { entries: vec![entry("OpenWrt"), entry("OpenWrt (failsafe)")] },
            boot_files: vec!["/boot/grub/grub.cfg".into(), "/boot/vmlinuz".into()],
            root_problems: Vec::new(),
            root_packing: None,
            kernel_release: Ok(KernelRelease::new(RELEASE)),
            kernel: Ok(kernel(&KERNEL)),
            second_kernel: None,
            system: system(),
            unreadable: None,
            expectations: Expectations::default(),
            programs: Vec::new(),
            history: None,
        }
    }

    /// The stock image, patched with connectx3 and ipoib, and held against them.
    pub(crate) fn patched() -> Self {
        let mut specimen = Self::stock();
        for (name, depends) in [
            ("ib_cm", &["ib_core"][..]),
            ("ib_core", &[]),
            ("ib_ipoib", &["ib_core", "ib_cm"]),
            ("ib_uverbs", &["ib_core"]),
            ("mlx4_ib", &["mlx4_core", "ib_core", "ib_uverbs"]),
        ] {
            specimen.system.module_directories[0].modules.push(installed(name, depends));
            specimen.expectations.modules.push(ModuleName::new(name));
        }
        specimen.system.module_directories[0].modules.sort_by(|a, b| a.path.cmp(&b.path));
        let lines = "mlx4_core port_type_array=1,1\nmlx4_ib\nib_ipoib";
        specimen.system.autoload.push(autoload_file("30-hw-network", lines));
        for (name, parameters) in [("mlx4_core", "port_type_array=1,1"), ("mlx4_ib", ""), ("ib_ipoib", "")] {
            specimen.expectations.autoload.push(AutoloadWish {
                module: ModuleName::new(name),
                parameters: parameters.into(),
                file: "30-hw-network".into(),
                boot: false,
                reason: "overlay connectx3".into(),
            });
        }
        specimen.expectations.overlays = vec!["connectx3".into(), "ipoib".into()];
        specimen.wish("/etc/uci-defaults/60-ipoib", "uci set x=y\ntrue", 0o644);
        specimen.wish("/etc/init.d/ipoib", "#!/bin/sh /etc/rc.common\nSTART=19\n", 0o755);
        specimen.wish("/etc/banner", "fabric\n", 0o644);
        let link = Metadata {
            file_type: FileType::Symlink,
            attributes: Attributes::root(0o777),
            size: 15,
            link_target: Some("../init.d/ipoib".into()),
        };
        specimen.system.tree.nodes.insert("/etc/rc.d/S19ipoib".into(), Node { metadata: link, content: None });
        specimen
    }

    /// Wishes a file, and puts it there.
    fn wish(&mut self, path: &str, text: &str, mode: u16) {
        self.put(path, text, mode);
        self.expectations.files.push(FileWish {
            path: path.into(),
            content: Content::File(text.as_bytes().into()),
            attributes: Attributes::root(mode),
            reason: "overlay ipoib".into(),
            is_certain: true,
            is_own: true,
        });
    }

    /// Puts a file into the root filesystem, and the directories that it is in.
    pub(crate) fn put(&mut self, path: &str, text: &str, mode: u16) {
        let directory = Metadata {
            file_type: FileType::Directory,
            attributes: Attributes::root(0o755),
            size: 0,
            link_target: None,
        };
        for parent in Path::new(path).ancestors().skip(1) {
            let node = Node { metadata: directory.clone(), content: None };
            self.system.tree.nodes.entry(parent.to_str().unwrap().to_owned()).or_insert(node);
        }
        let metadata = Metadata {
            file_type: FileType::Regular,
            attributes: Attributes::root(mode),
            size: text.len() as u64,
            link_target: None,
        };
        let content = Some(Arc::from(text.as_bytes()));
        self.system.tree.nodes.insert(path.into(), Node { metadata, content });
    }

    /// The module of that name.
    pub(crate) fn module(&mut self, name: &str) -> &mut InstalledModule {
        let name = ModuleName::new(name);
        self.system.module_directories[0].modules.iter_mut().find(|module| module.name == name).unwrap()
    }

    /// What the module of that name says.
    pub(crate) fn parsed(&mut self, name: &str) -> &mut Module {
        self.module(name).module.as_mut().unwrap()
    }

    /// Takes the module of that name out of the image.
    pub(crate) fn remove_module(&mut self, name: &str) {
        let name = ModuleName::new(name);
        self.system.module_directories[0].modules.retain(|module| module.name != name);
    }

    /// The report on it.
    pub(crate) fn report(&self) -> Report {
        let system = match &self.unreadable {
            Some(reason) => Err(reason.clone()),
            None => Ok(self.system.clone()),
        };
        let mut kernels =
            vec![BootedKernel { path: "/boot/vmlinuz".into(), exports: self.kernel.clone().map(Arc::new) }];
        if let Some(kernel) = &self.second_kernel {
            kernels.push(BootedKernel { path: "/boot/vmlinuz.old".into(), exports: Ok(Arc::new(kernel.clone())) });
        }
        let evidence = Evidence {
            image: self.is_image.then_some(&self.image),
            boot_partition: self.boot_partition,
            root_partition: self.root_partition,
            boot: Ok(self.boot.clone()),
            boot_files: self.boot_files.clone(),
            boot_problems: Vec::new(),
            root_problems: self.root_problems.clone(),
            root_packing: self.root_packing.clone(),
            kernel_release: self.kernel_release.clone(),
            load: load(&kernels, &system),
            kernels,
            system,
            expectations: self.expectations.clone(),
            authenticity: None,
            history: self.history.clone(),
            programs: self.programs.clone(),
        };
        run(&evidence, &[])
    }
}

fn outcome(specimen: &Specimen, id: &str) -> Outcome {
    let report = specimen.report();
    report.rows.into_iter().find(|row| row.id == id).unwrap_or_else(|| panic!("no check {id}")).outcome
}

/// The problems of the row `id`; panics when it does not fail.
pub(crate) fn problems(specimen: &Specimen, id: &str) -> Vec<String> {
    match outcome(specimen, id) {
        Outcome::Fail { problems } => problems,
        other => panic!("{id}: {other:?}"),
    }
}

/// What the row `id` saw; panics when it does not pass.
pub(crate) fn passed(specimen: &Specimen, id: &str) -> String {
    match outcome(specimen, id) {
        Outcome::Pass { detail } => detail,
        other => panic!("{id}: {other:?}"),
    }
}

/// Why the row `id` was not judged; panics when it was.
pub(crate) fn skipped(specimen: &Specimen, id: &str) -> String {
    match outcome(specimen, id) {
        Outcome::Skip { reason } => reason,
        other => panic!("{id}: {other:?}"),
    }
}

fn image() -> Image {
    let partition = |number: u32, first: u64| Partition {
        number,
        first: Lba(first),
        sectors: 32,
        type_id: "0FC63DAF-8483-4772-8E79-3D69D8477DE4".into(),
        partuuid: format!("ab12cd34-0000-0000-0000-0000000000{number:02x}"),
        bootable: number == 1,
    };
    Image {
        disk: Disk::from_bytes(&vec![0; 1024 * 512]),
        container: Container {
            form: Form::Gzip,
            file_length: 1000,
            sha256: "00".repeat(32),
            trailers: Vec::new(),
            unknown_tail: 0,
        },
        table: Some(PartitionTable {
            scheme: Scheme::Gpt,
            disk_id: "ab12cd34-0000-0000-0000-000000000000".into(),
            partitions: vec![partition(1, 512), partition(2, 544)],
            backup: false,
            remarks: Vec::new(),
        }),
    }
}

fn entry(title: &str) -> MenuEntry {
    MenuEntry {
        title: title.into(),
        kernel: "/boot/vmlinuz".into(),
        arguments: vec!["root=PARTUUID=ab12cd34-0000-0000-0000-000000000002".into(), "rootwait".into()],
    }
}

/// What the kernel exports.
const KERNEL: [&str; 3] = ["irq_poll_init", "irq_poll_sched", "printk"];

/// A kernel with these exports.
pub(crate) fn kernel(exports: &[&str]) -> KernelExports {
    let rules = LoadRules { checks_struct_module: true, struct_module_size: Some(1280), ..LoadRules::default() };
    KernelExports::of_exports(exports.iter().map(|name| export(name)).collect(), rules)
}

/// An export that anybody may use.
pub(crate) fn export(name: &str) -> Export {
    Export { name: name.into(), gpl_only: false, namespace: None, crc: None }
}

/// What a module of that name imports and exports.
fn symbols(name: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match name {
        "ib_core" => (&["irq_poll_init", "irq_poll_sched", "printk"], &["ib_register_client", "ib_register_device"]),
        "ib_cm" => (&["ib_register_client"], &["ib_create_cm_id"]),
        "ib_ipoib" => (&["ib_create_cm_id", "ib_register_client"], &[]),
        "ib_uverbs" => (&["ib_register_client"], &["ib_umem_get"]),
        "mlx4_core" => (&["printk"], &["mlx4_register_auxiliary_driver"]),
        "mlx4_ib" => (&["ib_register_device", "ib_umem_get", "mlx4_register_auxiliary_driver"], &[]),
        _ => (&["printk"], &[]),
    }
}

/// A module file.
pub(crate) fn installed(name: &str, depends: &[&str]) -> InstalledModule {
    let (imports, exports) = symbols(name);
    InstalledModule {
        name: ModuleName::new(name),
        path: format!("/lib/modules/{RELEASE}/{name}.ko"),
        size: 4096,
        sha256: "11".repeat(32),
        module: Ok(Module {
            modinfo: ModInfo {
                name: Some(name.into()),
                license: Some("GPL".into()),
                depends: Some(depends.iter().map(|name| ModuleName::new(name)).collect()),
                vermagic: Some(format!("{RELEASE} SMP mod_unload ")),
                ..ModInfo::default()
            },
            internal_name: Some(name.into()),
            this_module_size: Some(1280),
            has_modinfo: true,
            imports: imports.iter().map(ToString::to_string).collect(),
            exports: exports.iter().map(|name| export(name)).collect(),
            ..Module::default()
        }),
    }
}

/// A regular autoload file.
pub(crate) fn autoload_file(name: &str, text: &str) -> AutoloadFile {
    AutoloadFile::regular(name, text.as_bytes())
}

fn system() -> System {
    System {
        release: Release { description: "OpenWrt 24.10.0".into(), ..Release::default() },
        module_directories: vec![ModuleDirectory {
            release: KernelRelease::new(RELEASE),
            modules: vec![installed("e1000", &[]), installed("mlx4_core", &[])],
            unseen: Vec::new(),
            builtin: Vec::new(),
        }],
        autoload: Vec::new(),
        boot_autoload: Vec::new(),
        modules_conf: None,
        packages: PackageDatabase::None,
        tree: Tree::default(),
        space: Space { block_size: 4096, blocks: 26_624, free_blocks: 20_000, inodes: 6656, free_inodes: 5000 },
    }
}

#[test]
fn the_patched_specimen_passes_every_check_that_applies() {
    let report = Specimen::patched().report();
    let passes = |outcome: &Outcome| matches!(outcome, Outcome::Pass { .. });
    let others: Vec<_> = report.rows.iter().filter(|row| !passes(&row.outcome)).map(|row| row.id).collect();
    // No squashfs, no MODVERSIONS, no module but InfiniBand's in the autoload files, no mlx5, no interface; no key.
    let inapplicable = ["identity", "squashfs-decompressor", "crc", "other-modules", "mixed-builds", "connected-mode"];
    let (feeds, subnet) = (["tools-link", "feed-key", "history"], ["subnet-manager"]);
    assert_eq!(others, [&inapplicable[..], &subnet, &feeds, super::AUTHENTICITY].concat());
    assert_eq!(report.count().skipped, others.len());
}

#[test]
fn of_a_root_alone_nothing_is_judged_that_it_does_not_have() {
    let mut specimen = Specimen::patched();
    specimen.image.table = None;
    for id in ["partition-table", "partition-uuids", "boot-filesystem", "boot-entries"] {
        assert_eq!(skipped(&specimen, id), "this is a root filesystem alone, without partitions", "{id}");
    }
    assert!(!specimen.report().failed());
    assert!(passed(&specimen, "kernel-found").starts_with("/boot/vmlinuz: Linux "), "the given one");
    passed(&specimen, "container");
    specimen.is_image = false;
    specimen.system.space = Space::UNBOUNDED;
    assert_eq!(skipped(&specimen, "container"), "this is a tree of files, not an image");
    assert_eq!(passed(&specimen, "root-filesystem"), "OpenWrt 24.10.0, 8 paths in a folder");
    assert!(!specimen.report().failed());
}

#[test]
fn the_stock_specimen_fails_one_check_only() {
    let report = Specimen::stock().report();
    let failures: Vec<_> = report.failures().map(|row| row.id).collect();
    assert_eq!(failures, ["modules-present"]);
    let mut report = report;
    report.tolerate(&["modules-present".into()]);
    assert!(!report.failed());
}

#[test]
fn a_skipped_check_has_no_row() {
    let specimen = Specimen::stock();
    let evidence = Evidence {
        image: Some(&specimen.image),
        boot_partition: None,
        root_partition: None,
        boot: Err("x".into()),
        boot_files: Vec::new(),
        boot_problems: Vec::new(),
        root_problems: Vec::new(),
        root_packing: None,
        kernel_release: Err("x".into()),
        kernels: Vec::new(),
        system: Err("x".into()),
        load: Err("x".into()),
        expectations: Expectations::default(),
        authenticity: None,
        history: None,
        programs: Vec::new(),
    };
    let report = run(&evidence, &["boot-entries".into()]);
    assert!(report.rows.iter().all(|row| row.id != "boot-entries"));
    assert_eq!(report.rows.len() + 1, super::CHECKS.len());
}
