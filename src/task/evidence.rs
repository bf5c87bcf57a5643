//! From a scene to what the checks look at.

use std::collections::BTreeSet;

use crate::error::{At, Error};
use crate::filesystem::{self, Filesystem, Kind};
use crate::openwrt::{LoadReport, System};
use crate::verify::{self, BootedKernel, Evidence, Expectations, Program};

use super::medium::Medium;
use super::programs::linked;
use super::scene::{KernelFile, Located, Scene};
use super::unpacked::UnpackedKernels;

/// What the filesystems of a scene hold.
pub(super) struct Read {
    /// The system, or why it cannot be read.
    pub(super) system: Result<System, String>,
    /// What is wrong with the boot partition's filesystem.
    pub(super) boot_problems: Vec<String>,
    /// What is wrong with the root filesystem.
    pub(super) root_problems: Vec<String>,
    /// What a boot of the system loads, where that is known.
    pub(super) load: Option<LoadReport>,
}

/// Reads everything that a check may ask for; what cannot be read becomes the reason why.
pub(super) fn gather<'a>(scene: &'a Scene, unpacked: &UnpackedKernels, expectations: Expectations) -> Evidence<'a> {
    let wanted = expectations.paths();
    // The kernel comes second: it was begun long ago, and who waits for it would keep a thread from reading.
    let (read, kernels) = rayon::join(
        || {
            let problems = || (boot_problems(scene), root_problems(scene));
            let (system, (boot_problems, root_problems)) = rayon::join(|| read_system(scene, &wanted), problems);
            Read { system, boot_problems, root_problems, load: None }
        },
        || kernels(&scene.kernels, unpacked),
    );
    joined(scene, None, kernels, read, expectations)
}

/// The evidence that follows from what was read. `reader` reads the root, where it is open.
pub(super) fn joined<'a>(
    scene: &'a Scene,
    reader: Option<&mut dyn Filesystem>,
    kernels: Vec<BootedKernel>,
    Read { system, boot_problems, root_problems, load }: Read,
    expectations: Expectations,
) -> Evidence<'a> {
    let (boot, root) = (scene.boot.as_ref(), scene.root.as_ref());
    let manager = system.as_ref().ok().and_then(System::package_manager);
    let by_database = system.as_ref().ok().and_then(|system| system.packages.manager());
    let mut expectations = expectations.for_manager(manager, by_database);
    if let (Medium::Tree(directory), Ok(system)) = (&scene.medium, &system)
        && !directory.keeps_owners()
    {
        expectations.ignore_owners(system);
    }
    let programs = system.as_ref().map(|system| programs(scene, reader, system, &expectations)).unwrap_or_default();
    let load = match load {
        Some(load) => Ok(load),
        None if scene.is_bare() && kernels.is_empty() => Err("there is no kernel to ask (see kernel-found)".to_owned()),
        None => verify::load(&kernels, &system),
    };
    Evidence {
        image: scene.medium.image(),
        boot_partition: boot.ok().and_then(|boot| boot.located.number()),
        root_partition: root.ok().and_then(Located::number),
        boot: boot.map(|boot| boot.configuration.clone()).map_err(Clone::clone),
        boot_files: boot.map(|boot| boot.files.clone()).unwrap_or_default(),
        boot_problems,
        root_problems,
        // A superblock that cannot be read is among the problems.
        root_packing: root.ok().and_then(|located| scene.medium.packing(located).ok()?),
        kernel_release: scene.kernel_release.clone(),
        kernels,
        system,
        load,
        programs,
        expectations,
        authenticity: None,
        history: None,
    }
}

/// What each of `kernels` exports.
pub(super) fn kernels(kernels: &[KernelFile], unpacked: &UnpackedKernels) -> Vec<BootedKernel> {
    let read = |kernel: &KernelFile| {
        let bytes = kernel.content.as_ref().map_err(Clone::clone)?;
        unpacked.read(bytes).at(|| kernel.path.clone()).map_err(|error| error.to_string())
    };
    kernels.iter().map(|kernel| BootedKernel { path: kernel.path.clone(), exports: read(kernel) }).collect()
}

pub(super) fn read_system(scene: &Scene, wanted: &[String]) -> Result<System, String> {
    let located = scene.root.as_ref().map_err(Clone::clone)?;
    let system = scene.medium.filesystem(located).and_then(|mut root| System::read(root.as_mut(), wanted));
    system.map_err(|error| error.to_string())
}

/// The programs that are expected, linked; none where the filesystem cannot be opened, which other checks say. `reader` reads it,
/// where it is open.
fn programs(
    scene: &Scene,
    reader: Option<&mut dyn Filesystem>,
    system: &System,
    expectations: &Expectations,
) -> Vec<Program> {
    if expectations.programs.is_empty() && expectations.tools.is_empty() {
        return Vec::new();
    }
    if let Some(root) = reader {
        return linked(root, system, expectations);
    }
    let root = scene.root.as_ref().ok().and_then(|located| scene.medium.filesystem(located).ok());
    root.map(|mut root| linked(root.as_mut(), system, expectations)).unwrap_or_default()
}

/// What is wrong with the boot partition's filesystem, where there is one.
pub(super) fn boot_problems(scene: &Scene) -> Vec<String> {
    scene.boot.as_ref().map(|boot| problems(scene, &boot.located)).unwrap_or_default()
}

/// What is wrong with the root filesystem, where there is one.
pub(super) fn root_problems(scene: &Scene) -> Vec<String> {
    scene.root.as_ref().map(|located| problems(scene, located)).unwrap_or_default()
}

fn problems(scene: &Scene, located: &Located) -> Vec<String> {
    if located.kind == Kind::Directory {
        // The system that keeps it sees to its structure.
        return Vec::new();
    }
    told(scene.medium.volume(located).and_then(|volume| filesystem::problems(&volume)))
}

/// The problems that were `found`, each once; what kept them from being looked for is one.
pub(super) fn told(found: Result<Vec<String>, Error>) -> Vec<String> {
    let mut problems = found.unwrap_or_else(|error| vec![error.to_string()]);
    // Several walks may meet the same damage.
    let mut seen = BTreeSet::new();
    problems.retain(|problem| seen.insert(problem.clone()));
    problems
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::super::Input;
    use super::*;
    use crate::kernel::{KernelExports, Module, ModuleName, test_module};
    use crate::openwrt::{AutoloadFile, InstalledModule, LoadReport};
    use crate::progress::Silent;

    const IRQ_POLL: [&str; 4] = ["irq_poll_complete", "irq_poll_disable", "irq_poll_init", "irq_poll_sched"];

    fn scene(name: &str) -> Scene {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
        Scene::survey(Medium::open(&Input::Image(path), &Silent).unwrap(), None)
    }

    /// Kernel and system of a fixture.
    fn parts(name: &str) -> (Arc<KernelExports>, System) {
        let scene = scene(name);
        let kernel = kernels(&scene.kernels, &UnpackedKernels::default()).remove(0).exports.unwrap();
        (kernel, read_system(&scene, &[]).unwrap())
    }

    /// What a boot of `system` with `kernel` loads.
    fn boot(kernel: &Arc<KernelExports>, system: System) -> LoadReport {
        let kernel = BootedKernel { path: "/boot/vmlinuz".into(), exports: Ok(Arc::clone(kernel)) };
        verify::load(&[kernel], &Ok(system)).unwrap()
    }

    /// The 23 modules of the fixtures, parsed.
    fn modules() -> Vec<InstalledModule> {
        let parse = |(name, bytes): (&String, &Vec<u8>)| InstalledModule {
            name: ModuleName::new(name),
            path: format!("/lib/modules/6.12.117/{name}"),
            size: bytes.len() as u64,
            sha256: String::new(),
            module: Ok(Module::parse(bytes).unwrap()),
        };
        test_module::fixtures().iter().map(parse).collect()
    }

    /// Puts the modules into the system, with an autoload entry for `names`.
    fn install(system: &mut System, names: &[&ModuleName]) {
        let directory = &mut system.module_directories[0].modules;
        let added = modules().into_iter().filter(|module| directory.iter().all(|own| own.name != module.name));
        let added: Vec<_> = added.collect();
        directory.extend(added);
        directory.sort_by(|a, b| a.path.cmp(&b.path));
        let text: String = names.iter().map(|name| format!("{name}\n")).collect();
        system.autoload.push(AutoloadFile::regular("99-all", text.as_bytes()));
    }

    #[test]
    fn the_kernels_of_the_ib_images_take_all_23_modules() {
        for layout in ["ext4-1k-combined-efi", "ext4-combined-efi", "ext4-combined", "ext4-nojournal-combined"] {
            let (kernel, mut system) = parts(&format!("openwrt-mini-ib-{layout}.img.gz"));
            let modules = modules();
            install(&mut system, &modules.iter().map(|module| &module.name).collect::<Vec<_>>());
            let report = boot(&kernel, system);
            let refused: Vec<_> = modules.iter().filter(|module| !report.is_loaded(&module.name)).collect();
            assert!(refused.is_empty(), "{layout}: {refused:#?}");
        }
    }

    #[test]
    fn the_kernels_on_squashfs_images_are_those_on_ext4_images() {
        let exports =
            |name: &str| kernels(&scene(name).kernels, &UnpackedKernels::default()).remove(0).exports.unwrap();
        let same = |a: &str, b: &str| assert_eq!(exports(a).exports(), exports(b).exports(), "{a}, {b}");
        same("openwrt-mini-ib-squashfs-combined-efi.img.gz", "openwrt-mini-ib-ext4-combined-efi.img.gz");
        same("openwrt-mini-stock-squashfs-combined.img.gz", "openwrt-mini-stock-ext4-combined-efi.img.gz");
    }

    #[test]
    fn the_stock_kernel_refuses_exactly_the_sets_that_need_irq_poll() {
        let (kernel, system) = parts("openwrt-mini-stock-ext4-combined-efi.img.gz");
        let needs = |module: &InstalledModule| {
            let imports = &module.module.as_ref().unwrap().imports;
            imports.iter().any(|symbol| IRQ_POLL.contains(&symbol.as_str()))
        };
        let modules = modules();
        let mut others = Vec::new();
        let find = |name: &ModuleName| modules.iter().find(|module| module.name == *name);
        for module in &modules {
            let mut set = vec![module];
            let mut next = 0;
            while let Some(depends) = set.get(next).map(|module| module.depends()) {
                for needed in depends.iter().filter_map(find) {
                    if set.iter().all(|own| own.name != needed.name) {
                        set.push(needed);
                    }
                }
                next += 1;
            }
            let mut system = system.clone();
            install(&mut system, &[&module.name]);
            let report = boot(&kernel, system);
            let is_refused = !report.is_loaded(&module.name);
            if set.iter().copied().any(needs) {
                assert!(is_refused, "{}: {:#?}", module.name, report.attempt(&module.name));
            } else if is_refused {
                others.push(module.name.as_str().to_owned());
            }
        }
        // It needs dst_cache_*, which this kernel does not have either; of the set only rdma_rxe uses it.
        assert_eq!(others, ["udp_tunnel"]);
    }
}
