//! The boot of an image, offline: kmodloader over its files, linking each module into its kernel.

use super::BootedKernel;
use crate::kernel::KernelExports;
use crate::openwrt::{LoadReport, ModuleFile, Setup, System, simulate};

/// What the first of `kernels` loads of `system`.
///
/// # Errors
/// Why it cannot be told, one clause.
pub(crate) fn load(kernels: &[BootedKernel], system: &Result<System, String>) -> Result<LoadReport, String> {
    let first = kernels.first().ok_or("no kernel was found")?;
    let kernel = first.exports.as_ref().map_err(|_| format!("{} could not be read (see kernel-found)", first.path))?;
    let system = system.as_ref().map_err(|_| "the root filesystem could not be read")?;
    load_into(kernel, system)
}

/// What a boot of `system` with `kernel` loads, in which order, and what the kernel refuses.
///
/// # Errors
/// There is no module directory for this kernel.
pub(crate) fn load_into(kernel: &KernelExports, system: &System) -> Result<LoadReport, String> {
    let directory = system.module_directory(&kernel.release);
    let directory = directory.ok_or_else(|| format!("there is no /lib/modules/{}", kernel.release))?;
    let files = directory.modules.iter().map(|installed| ModuleFile {
        file_name: installed.file_name(),
        module: installed.module.as_ref().map_err(String::as_str),
    });
    let files: Vec<ModuleFile<'_>> = files.collect();
    let modules_conf = system.modules_conf_entries();
    let setup =
        Setup { files: &files, boot: &system.boot_autoload, main: &system.autoload, modules_conf: &modules_conf };
    Ok(simulate(kernel, &setup))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::specimen::{Specimen, autoload_file, installed};

    #[test]
    fn two_thousand_modules_one_line_each_are_played_through() {
        let specimen = Specimen::stock();
        let mut system = specimen.system.clone();
        let names: Vec<String> = (0..2000).map(|number| format!("m{number:04}")).collect();
        for pair in names.windows(2) {
            system.module_directories[0].modules.push(installed(&pair[1], &[&pair[0]]));
        }
        system.module_directories[0].modules.push(installed(&names[0], &[]));
        system.module_directories[0].modules.sort_by(|a, b| a.path.cmp(&b.path));
        system.autoload.push(autoload_file("50-all", &names.join("\n")));
        let report = load_into(specimen.kernel.as_ref().unwrap(), &system).unwrap();
        assert!(names.iter().all(|name| report.is_loaded(&crate::kernel::ModuleName::new(name))));
    }

    #[test]
    fn a_kernel_without_a_module_directory_loads_nothing() {
        let mut specimen = Specimen::patched();
        specimen.kernel.as_mut().unwrap().release = crate::kernel::KernelRelease::new("6.6.93");
        let reason = load_into(specimen.kernel.as_ref().unwrap(), &specimen.system).unwrap_err();
        assert_eq!(reason, "there is no /lib/modules/6.6.93");
    }
}
