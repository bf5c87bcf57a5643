//! What a ground was proved to be, and what of that holds for a host: of an output only that is read again for the checks
//! which its host's own edits touched. The answers are those of reading all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use crate::error::{Error, Result};
use crate::filesystem::{
    self, Attributes, DirectoryEntry, FileType, Filesystem, Kind, Later, Metadata, Proven, Space, proven,
};
use crate::kernel::KernelExports;
use crate::openwrt::{KnownModules, LoadReport, System};
use crate::verify::{self, BootedKernel, Expectations, Report};

use super::super::evidence::{Read, boot_problems, joined, kernels, read_system, root_problems, told};
use super::super::given_kernel::GivenKernel;
use super::super::medium::Medium;
use super::super::scene::{Located, Scene};
use super::super::unpacked::UnpackedKernels;

/// A ground in whose root nothing is wrong.
pub(super) struct Proof {
    scene: Scene,
    root: Located,
    boot_problems: Vec<String>,
    system: System,
    proven: Box<dyn Proven>,
    /// The entries of each directory of the root.
    entries: BTreeMap<String, Vec<DirectoryEntry>>,
    /// What a boot of it loads, once it was asked for, and into which kernel.
    load: OnceLock<(Arc<KernelExports>, Option<LoadReport>)>,
}

/// What an output is checked for.
pub(super) struct Asked<'a> {
    /// What the kernels met so far export.
    pub(super) unpacked: &'a UnpackedKernels,
    /// The kernel that was given.
    pub(super) given: Option<&'a GivenKernel>,
    /// What is expected of it.
    pub(super) expectations: Expectations,
    /// Checks that are not run.
    pub(super) skip: &'a [String],
}

impl Proof {
    /// Reads all of `medium`. `None` when something is wrong in its root, so that every host is to be read whole.
    pub(super) fn of(medium: Medium) -> Option<Self> {
        let scene = Scene::survey(medium, None);
        let root = scene.root.clone().ok()?;
        if !root_problems(&scene).is_empty() {
            return None;
        }
        let system = read_system(&scene, &[]).ok()?;
        let proven = proven(&scene.medium.volume(&root).ok()?).ok()??;
        let mut entries: BTreeMap<String, Vec<DirectoryEntry>> = BTreeMap::new();
        for (path, node) in &system.tree.nodes {
            if node.metadata.file_type == FileType::Directory {
                entries.entry(path.clone()).or_default();
            }
            if let Some((directory, name)) = path.rsplit_once('/').filter(|(_, name)| !name.is_empty()) {
                let directory = if directory.is_empty() { "/" } else { directory };
                let entry = DirectoryEntry { name: name.to_owned(), file_type: node.metadata.file_type };
                entries.entry(directory.to_owned()).or_default().push(entry);
            }
        }
        Some(Self { boot_problems: boot_problems(&scene), scene, root, system, proven, entries, load: OnceLock::new() })
    }

    /// The checks on `result`, an edit of a clone of the ground, as if all of it were read. `None` where it cannot be told
    /// what changed.
    pub(super) fn checked(&self, result: &Medium, asked: Asked<'_>) -> Option<Report> {
        let (scene, boot_problems) = self.scene(result, asked.given)?;
        let volume = result.volume(&self.root).ok()?;
        let Later { changed, root, problems } = self.proven.later(&volume).ok()??;
        let mut reader = Reader { proof: self, changed: &changed, root };
        let root_problems = told(problems(&mut reader));
        let known = KnownModules::new(&self.system.module_directories, &self.system.tree, &changed);
        let system = System::read_knowing(&mut reader, &asked.expectations.paths(), &known);
        let kernels = kernels(&scene.kernels, asked.unpacked);
        let load = system.as_ref().ok().and_then(|system| self.load(&kernels, system));
        let system = system.map_err(|error| error.to_string());
        let read = Read { system, boot_problems, root_problems, load };
        Some(verify::run(&joined(&scene, Some(&mut reader), kernels, read, asked.expectations), asked.skip))
    }

    /// What a boot of `system` with the first of `kernels` loads, where kmodloader finds in it what it finds in the ground.
    fn load(&self, kernels: &[BootedKernel], system: &System) -> Option<LoadReport> {
        let kernel = kernels.first()?.exports.as_ref().ok()?;
        if !system.boots_like(&self.system) {
            return None;
        }
        let load = || (Arc::clone(kernel), verify::load_into(kernel, &self.system).ok());
        let (known, load) = self.load.get_or_init(load);
        load.clone().filter(|_| Arc::ptr_eq(known, kernel))
    }

    /// What is where in `result`, and what is wrong with its boot partition: as in the ground, as long as nothing outside the
    /// root changed.
    fn scene(&self, result: &Medium, given: Option<&GivenKernel>) -> Option<(Scene, Vec<String>)> {
        let (before, now) = (self.scene.medium.image()?, result.image()?);
        let kind = filesystem::detect(&result.volume(&self.root).ok()?).ok()?;
        let scene = match self.scene.is_bare() || before.table != now.table || !self.is_root_alone(result)? {
            true => Scene::survey(result.clone(), given),
            false => {
                return (kind == self.root.kind)
                    .then(|| (Scene { medium: result.clone(), ..self.scene.clone() }, self.boot_problems.clone()));
            }
        };
        let is_same = scene.root.as_ref().is_ok_and(|root| root.number() == self.root.number() && root.kind == kind);
        let boot_problems = boot_problems(&scene);
        (is_same && kind == self.root.kind).then_some((scene, boot_problems))
    }

    /// Whether nothing outside the root differs from the ground; `None` where that cannot be told.
    fn is_root_alone(&self, result: &Medium) -> Option<bool> {
        let (before, now) = (self.scene.medium.volume(&self.root).ok()?, result.volume(&self.root).ok()?);
        before.differs_alone(&now)
    }
}

/// Reads a root: what did not change from what is known of the ground.
struct Reader<'a> {
    proof: &'a Proof,
    changed: &'a BTreeSet<String>,
    root: Box<dyn Filesystem>,
}

fn read_only<T>() -> Result<T> {
    Err(Error::usage("an output that is checked is not edited"))
}

impl Filesystem for Reader<'_> {
    fn kind(&self) -> Kind {
        self.root.kind()
    }

    fn space(&mut self) -> Result<Space> {
        self.root.space()
    }

    fn metadata(&mut self, path: &str) -> Result<Option<Metadata>> {
        match self.proof.system.tree.node(path).filter(|_| !self.changed.contains(path)) {
            Some(node) => Ok(Some(node.metadata.clone())),
            None => self.root.metadata(path),
        }
    }

    fn list(&mut self, path: &str) -> Result<Vec<DirectoryEntry>> {
        match self.proof.entries.get(path).filter(|_| !self.changed.contains(path)) {
            Some(entries) => Ok(entries.clone()),
            None => self.root.list(path),
        }
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>> {
        let known = self.proof.system.tree.node(path).filter(|_| !self.changed.contains(path));
        match known.and_then(|node| node.content.as_ref()) {
            Some(content) => Ok(content.to_vec()),
            None => self.root.read(path),
        }
    }

    fn write(&mut self, _: &str, _: &[u8], _: Attributes) -> Result<()> {
        read_only()
    }

    fn make_directory(&mut self, _: &str, _: Attributes) -> Result<()> {
        read_only()
    }

    fn symlink(&mut self, _: &str, _: &str) -> Result<()> {
        read_only()
    }

    fn set_attributes(&mut self, _: &str, _: Attributes) -> Result<()> {
        read_only()
    }

    fn remove(&mut self, _: &str) -> Result<()> {
        read_only()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::super::super::{Input, evidence};
    use super::*;
    use crate::filesystem::{Trunk, VolumeFilesystem, open};
    use crate::image::{Image, Volume};
    use crate::kernel::{ModuleName, test_module};
    use crate::plan::{AutoloadWish, Content, FileWish};
    use crate::progress::Silent;

    const IMAGES: [&str; 5] = [
        "openwrt-mini-ib-ext4-combined-efi.img.gz",
        "openwrt-mini-ib-ext4-1k-combined-efi.img.gz",
        "openwrt-mini-ib-ext4-nojournal-combined.img.gz",
        "openwrt-mini-ib-squashfs-combined-efi.img.gz",
        "openwrt-mini-ib-squashfs-combined.img.gz",
    ];
    const RELEASE: &str = "/lib/modules/6.12.117";

    /// A ground with the fixture's modules but the last few, and its proof.
    struct Base {
        image: Image,
        trunk: Box<dyn Trunk>,
        proof: Proof,
        unpacked: UnpackedKernels,
    }

    impl Base {
        fn new(name: &str) -> Self {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
            let scene = Scene::survey(Medium::open(&Input::Image(path), &Silent).unwrap(), None);
            let root = scene.root.clone().unwrap();
            let mut filesystem = open(scene.medium.volume(&root).unwrap(), 1_700_000_000).unwrap();
            for (name, bytes) in test_module::fixtures().iter().take(12) {
                filesystem.write(&format!("{RELEASE}/{name}.ko"), bytes, Attributes::root(0o644)).unwrap();
            }
            let trunk = filesystem.into_trunk().unwrap();
            let image = scene.medium.image().unwrap().clone();
            let disk = trunk.branch().unwrap().finish().unwrap().into_disk();
            let proof = Proof::of(Medium::Image(Image { disk, ..image.clone() })).expect("the ground is sound");
            Self { image, trunk, proof, unpacked: UnpackedKernels::default() }
        }

        /// The rows of reading what changed, where that can be told, and those of reading all.
        fn rows(&self, volume: Volume, expectations: &Expectations) -> (Option<Report>, Report) {
            let medium = Medium::Image(Image { disk: volume.into_disk(), ..self.image.clone() });
            let (unpacked, expectations) = (&self.unpacked, expectations.clone());
            let asked = Asked { unpacked, given: None, expectations: expectations.clone(), skip: &[] };
            let short = self.proof.checked(&medium, asked);
            let scene = Scene::survey(medium, None);
            (short, verify::run(&evidence::gather(&scene, unpacked, expectations), &[]))
        }
    }

    fn bases() -> &'static [Base] {
        static BASES: OnceLock<Vec<Base>> = OnceLock::new();
        BASES.get_or_init(|| IMAGES.map(Base::new).into())
    }

    #[derive(Debug, Clone)]
    enum Step {
        Write(usize, u32),
        Remove(usize),
        Link(usize, usize),
        Attributes(usize, u16),
        Directory(usize),
        Module(usize),
        Autoload(usize, usize),
    }

    const PATHS: [&str; 14] = [
        "/etc/config/network",
        "/etc/modules.conf",
        "/etc/uci-defaults/60-ipoib",
        "/etc/banner",
        "/etc/passwd",
        "/etc/openwrt_release",
        "/etc/init.d/ipoib",
        "/etc/modules.d/30-hw",
        "/etc/new",
        "/new",
        "/etc/init.d",
        "/etc/config",
        "/lib/modules/6.12.117",
        "/etc/modules.d",
    ];

    fn step() -> impl Strategy<Value = Step> {
        let path = || 0..PATHS.len();
        prop_oneof![
            5 => (path(), prop_oneof![0..3000u32, 0..60_000u32]).prop_map(|(path, length)| Step::Write(path, length)),
            2 => path().prop_map(Step::Remove),
            2 => (path(), path()).prop_map(|(path, to)| Step::Link(path, to)),
            2 => (path(), 0..0o1000u16).prop_map(|(path, mode)| Step::Attributes(path, mode)),
            2 => path().prop_map(Step::Directory),
            2 => (0..23usize).prop_map(Step::Module),
            2 => (0..23usize, 0..4usize).prop_map(|(module, file)| Step::Autoload(module, file)),
        ]
    }

    fn module(number: usize) -> (&'static String, &'static Vec<u8>) {
        let modules = test_module::fixtures();
        modules.iter().nth(number % modules.len()).unwrap()
    }

    /// Takes the step where it can be taken.
    fn take(step: &Step, root: &mut dyn VolumeFilesystem) {
        let attributes = Attributes::root(0o644);
        let kind =
            |root: &mut dyn VolumeFilesystem, path: &str| root.metadata(path).unwrap().map(|found| found.file_type);
        let is_file = |kind: Option<FileType>| matches!(kind, None | Some(FileType::Regular | FileType::Symlink));
        match step {
            Step::Write(path, length) if is_file(kind(root, PATHS[*path])) => {
                let content: Vec<u8> = (0..*length).map(|at| (at / 7 % 251) as u8).collect();
                let _ = root.write(PATHS[*path], &content, attributes);
            }
            Step::Remove(path) if kind(root, PATHS[*path]).is_some() => {
                let children: Vec<_> = root.list(PATHS[*path]).into_iter().flatten().collect();
                if children.iter().all(|child| child.file_type != FileType::Directory) {
                    for child in children {
                        root.remove(&format!("{}/{}", PATHS[*path], child.name)).unwrap();
                    }
                    root.remove(PATHS[*path]).unwrap();
                }
            }
            Step::Link(path, to) if is_file(kind(root, PATHS[*path])) => {
                let _ = root.symlink(PATHS[*path], PATHS[*to]);
            }
            Step::Attributes(path, mode) if kind(root, PATHS[*path]).is_some() => {
                root.set_attributes(PATHS[*path], Attributes { mode: *mode, uid: 3, gid: 4 }).unwrap();
            }
            Step::Directory(path) if kind(root, PATHS[*path]).is_none() => {
                let _ = root.make_directory(PATHS[*path], Attributes::root(0o755));
            }
            Step::Module(number) if kind(root, RELEASE) == Some(FileType::Directory) => {
                let (name, bytes) = module(*number);
                root.write(&format!("{RELEASE}/{name}.ko"), bytes, attributes).unwrap();
            }
            Step::Autoload(number, file) if kind(root, "/etc/modules.d") == Some(FileType::Directory) => {
                let text = format!("{}\n", module(*number).0);
                root.write(&format!("/etc/modules.d/{file}0-some"), text.as_bytes(), attributes).unwrap();
            }
            _ => {}
        }
    }

    fn expectations() -> Expectations {
        let file = |path: &str| FileWish {
            path: path.into(),
            content: Content::File(b"x\n"[..].into()),
            attributes: Attributes::root(0o644),
            reason: "a test".into(),
            is_certain: true,
            is_own: true,
        };
        let autoload = |name: &str| AutoloadWish {
            module: ModuleName::new(name),
            parameters: String::new(),
            file: "10-some".into(),
            boot: false,
            reason: "a test".into(),
        };
        Expectations {
            overlays: vec!["ipoib".into()],
            modules: ["ib_core", "ib_ipoib", "rdma_cm"].map(ModuleName::new).into(),
            autoload: ["ib_core", "ib_ipoib"].map(autoload).into(),
            files: ["/etc/banner", "/etc/new", "/etc/init.d/ipoib", "/etc/uci-defaults/60-ipoib"].map(file).into(),
            ..Expectations::default()
        }
    }

    fn cases(cases: u32) -> ProptestConfig {
        ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(cases(40))]
        #[test]
        fn what_is_read_of_a_host_tells_what_reading_all_of_it_tells(
            base in 0..IMAGES.len(), steps in prop::collection::vec(step(), 0..12)
        ) {
            let base = &bases()[base];
            let mut root = base.trunk.branch().unwrap();
            steps.iter().for_each(|step| take(step, root.as_mut()));
            let Ok(volume) = root.finish() else { return Ok(()) };
            let (short, whole) = base.rows(volume, &expectations());
            prop_assert_eq!(short.as_ref(), Some(&whole));
        }
    }

    proptest! {
        #![proptest_config(cases(60))]
        #[test]
        fn damage_to_a_result_is_told_as_when_all_of_it_is_read(
            base in 0..IMAGES.len(),
            steps in prop::collection::vec(step(), 0..3),
            damage in prop::collection::vec((any::<u32>(), any::<u8>(), 0..3u8), 1..4),
        ) {
            let base = &bases()[base];
            let mut root = base.trunk.branch().unwrap();
            steps.iter().for_each(|step| take(step, root.as_mut()));
            let Ok(mut volume) = root.finish() else { return Ok(()) };
            let length = u32::try_from(volume.length()).unwrap();
            for (place, value, where_) in damage {
                // Superblock and tables lie at the beginning in ext4, at the end in squashfs; files in between.
                let place = u64::from(match where_ { 0 => place % 4096, 1 => place % (length / 16), _ => place % length });
                volume.write_at(place, &[value]).unwrap();
            }
            let (short, whole) = base.rows(volume, &expectations());
            prop_assert!(short.is_none() || short.as_ref() == Some(&whole), "{short:#?}\n{whole:#?}");
        }
    }
}
