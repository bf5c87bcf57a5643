//! Graph: the road up to the module graph of an image.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Input;
use super::given_kernel::GivenKernel;
use super::medium::Medium;
use super::scene::Scene;
use crate::error::{At, Error, Result};
use crate::graph::{self, Facts, Graph, Scope};
use crate::kernel::{KernelExports, SymbolTable};
use crate::openwrt::System;
use crate::progress::Progress;
use crate::verify;

/// What `graph` found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct GraphReport {
    /// The image, or the folder of a tree.
    pub(crate) image: PathBuf,
    /// The graph.
    #[serde(flatten)]
    pub(crate) graph: Graph,
}

/// Reads kernel and modules of `input`, loads them as kmodloader would, and draws up the graph. `kernel` is the
/// file of the kernel that boots a root without one.
///
/// # Errors
/// Those of reading image, kernel and root filesystem; corrupt when there is no directory of modules for the kernel.
pub(crate) fn graph(
    input: &Input,
    kernel: Option<&Path>,
    scope: Scope,
    progress: &dyn Progress,
) -> Result<GraphReport> {
    let place = || input.path().display().to_string();
    let given = kernel.map(GivenKernel::read).transpose()?;
    let scene = Scene::survey(Medium::open(input, progress)?, given.as_ref());
    scene.check_given(given.as_ref()).at(place)?;
    let root = scene.found_root().at(place)?;
    let kernel = read_kernel(&scene).at(place)?;
    let system = System::read(scene.medium.filesystem(root).at(place)?.as_mut(), &[]).at(place)?;
    let directory = system.module_directory(&kernel.release).ok_or_else(|| {
        let there: Vec<&str> = system.module_directories.iter().map(|directory| directory.release.as_str()).collect();
        Error::corrupt(format!(
            "no modules for the kernel {}: /lib/modules holds {}",
            kernel.release,
            if there.is_empty() { "nothing".to_owned() } else { there.join(", ") }
        ))
        .at(place())
    })?;
    let symbols = SymbolTable::built_in()?;
    let report = verify::load_into(&kernel, &system).map_err(|reason| Error::corrupt(reason).at(place()))?;
    let graph = graph::build(
        &Facts { kernel: &kernel, modules: &directory.modules, report: &report, symbols: &symbols },
        scope,
    );
    Ok(GraphReport { image: input.path().to_owned(), graph })
}

/// The kernel that the first menu entry boots.
fn read_kernel(scene: &Scene) -> Result<KernelExports> {
    if scene.is_bare() && scene.kernels.is_empty() {
        return Err(Error::usage("this is a root filesystem alone, without a kernel to link its modules into")
            .remedy("name the kernel that will boot it: --kernel BZIMAGE"));
    }
    if let Err(reason) = &scene.boot
        && !scene.is_bare()
    {
        return Err(Error::corrupt(format!("no boot partition found: {reason}"))
            .remedy("ibwrt inspect IMAGE shows what is in the partitions"));
    }
    let kernel = scene.kernels.first().ok_or_else(|| Error::corrupt("grub.cfg names no kernel"))?;
    let bytes = kernel.content.as_ref().map_err(|reason| Error::corrupt(reason.clone()))?;
    KernelExports::read(bytes).at(|| kernel.path.clone())
}
