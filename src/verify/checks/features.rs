//! What modules must have been built with, or be told, to do what is asked of them: mixed builds, connected mode, port
//! types.

use super::link::{last_attempts, with_load};
use super::set::{find, with_directory};
use super::{fail, judge, number, skip};
use crate::infiniband::Mode;
use crate::infiniband::PROVIDERS;
use crate::kernel::{KernelRelease, ModuleName};
use crate::openwrt::{AUTOLOAD_DIRECTORY, BOOT_DIRECTORY, ModulesConfEntry, System};
use crate::plan::Severity;
use crate::verify::{Check, Evidence, Outcome};

pub(super) const MIXED_BUILDS: Check = Check {
    id: "mixed-builds",
    severity: Severity::Error,
    claim: "The core driver of the adapter was built for its InfiniBand driver: mlx5_core offers the device to mlx5_ib.",
    remedy: "Take mlx5_core and mlx5_ib from one build with CONFIG_MLX5_INFINIBAND=m: `ibwrt patch --modules` of that \
             build replaces both.",
    run: mixed_builds,
};

/// Linux release from which on the mark of CONFIG_MLX5_INFINIBAND is there.
const MARKED_SINCE: (u32, u32) = (5, 15);

fn mixed_builds(evidence: &Evidence<'_>) -> Outcome {
    with_directory(evidence, |_, directory| {
        let module = |name| find(directory, &ModuleName::new(name)).and_then(|found| found.module.as_ref().ok());
        let (Some(core), Some(_)) = (module("mlx5_core"), module("mlx5_ib")) else {
            return skip("mlx5_core and mlx5_ib are not both in the image as files");
        };
        if version(&directory.release).is_none_or(|version| version < MARKED_SINCE) {
            return skip("before Linux 5.15 mlx5_core does not tell whether it was built for mlx5_ib");
        }
        match &core.marks {
            None => skip("it cannot be told: the constants of mlx5_core are absent or zero"),
            Some(marks) if marks.contains(&"enable_rdma") => Outcome::Pass {
                detail: "mlx5_core was built with MLX5_INFINIBAND (it has the parameter enable_rdma)".to_owned(),
            },
            Some(_) => fail(
                "mlx5_core was built without CONFIG_MLX5_INFINIBAND (it lacks the devlink parameter enable_rdma): mlx5_ib \
                 links against it, but is never offered a device, so no InfiniBand device and no ib0 appears",
            ),
        }
    })
}

/// The first two numbers of a release.
fn version(release: &KernelRelease) -> Option<(u32, u32)> {
    let mut numbers = release.as_str().split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

pub(super) const CONNECTED_MODE: Check = Check {
    id: "connected-mode",
    severity: Severity::Error,
    claim: "Where an interface asks for connected mode, ib_ipoib was built with it (CONFIG_INFINIBAND_IPOIB_CM).",
    remedy: "Take ib_ipoib from a build with CONFIG_INFINIBAND_IPOIB_CM=y, or set ipoib.mode to datagram.",
    run: connected_mode,
};

fn connected_mode(evidence: &Evidence<'_>) -> Outcome {
    let interfaces = evidence.expectations.interfaces.iter();
    let asking = interfaces.filter(|interface| interface.mode == Some(Mode::Connected));
    let asking: Vec<&str> = asking.map(|interface| interface.device.as_str()).collect();
    if asking.is_empty() {
        return skip("no interface asks for connected mode");
    }
    with_directory(evidence, |_, directory| {
        let ipoib = find(directory, &ModuleName::new("ib_ipoib")).and_then(|found| found.module.as_ref().ok());
        let Some(ipoib) = ipoib else { return skip("there is no ib_ipoib that could be looked at") };
        // Only drivers/infiniband/ulp/ipoib/ipoib_cm.c uses the connection manager.
        match ipoib.imports.iter().any(|symbol| symbol == "ib_create_cm_id") {
            true => Outcome::Pass {
                detail: format!("{} may: ib_ipoib uses the connection manager", super::listing(&asking)),
            },
            false => fail(format!(
                "{} is to be in connected mode, but ib_ipoib was built without it: it does not use the connection manager \
                 (ib_cm), and /sys/class/net/{}/mode is not there to be written",
                super::listing(&asking),
                asking.first().copied().unwrap_or("ib0")
            )),
        }
    })
}

pub(super) const PORT_TYPE: Check = Check {
    id: "port-type",
    severity: Severity::Error,
    claim: "The port types that mlx4_core gets are ones that it knows, and leave a port to InfiniBand where one is needed.",
    remedy: "Set connectx3.port_type to ib or eth for each port, and keep parameters on the line that loads mlx4_core first.",
    run: port_type,
};

/// The parameter of mlx4_core, `int array` (drivers/net/ethernet/mellanox/mlx4/main.c).
const PORT_TYPES: &str = "port_type_array=";

fn port_type(evidence: &Evidence<'_>) -> Outcome {
    with_load(evidence, |_, _, report| {
        let core = ModuleName::new("mlx4_core");
        let Some(attempt) = last_attempts(report).get(&core).copied() else {
            return skip("the boot does not load mlx4_core");
        };
        // Of several, the kernel takes the last.
        let given = attempt.parameters.split_whitespace().rev().find_map(|word| word.strip_prefix(PORT_TYPES));
        match (given, &evidence.system) {
            (Some(given), _) => judge_types(evidence, given),
            (None, Ok(system)) => judge_absence(evidence, system),
            (None, Err(_)) => skip("the root filesystem could not be read"),
        }
    })
}

fn judge_types(evidence: &Evidence<'_>, given: &str) -> Outcome {
    let types: Vec<&str> = given.split(',').collect();
    let mut problems = Vec::new();
    if types.len() > 2 {
        problems.push(format!("{PORT_TYPES}{given} names {}; a card has 2 at most", number(types.len(), "port")));
    }
    let unknown = types.iter().filter(|kind| !matches!(**kind, "0" | "1" | "2"));
    problems.extend(unknown.map(|kind| {
        format!("{PORT_TYPES}{given}: mlx4_core knows 1 (InfiniBand), 2 (Ethernet) and 0 (as the card's firmware says), not `{kind}`")
    }));
    let expectations = &evidence.expectations;
    let other_adapter = |name: &ModuleName| name.as_str() != "mlx4_ib" && PROVIDERS.contains(&name.as_str());
    let must_be_infiniband = !expectations.interfaces.is_empty() && !expectations.modules.iter().any(other_adapter);
    if types == ["2", "2"] && must_be_infiniband {
        problems.push(format!(
            "{PORT_TYPES}{given} makes both ports Ethernet: none is left for {}",
            expectations.interfaces.first().map_or("ib0", |interface| interface.device.as_str())
        ));
    }
    judge(problems, || {
        let names = types.iter().map(|kind| match *kind {
            "1" => "InfiniBand",
            "2" => "Ethernet",
            _ => "as the firmware says",
        });
        format!("{PORT_TYPES}{given}: {}", names.collect::<Vec<_>>().join(", "))
    })
}

/// mlx4_core gets no port types; was it meant to? Those that an overlay asks for are the matter of
/// `autoload-parameters`.
fn judge_absence(evidence: &Evidence<'_>, system: &System) -> Outcome {
    let core = ModuleName::new("mlx4_core");
    if evidence.expectations.autoload.iter().any(|wish| wish.module == core && !wish.parameters.is_empty()) {
        return skip("mlx4_core does not get them (see autoload-parameters)");
    }
    let folders = [(BOOT_DIRECTORY, &system.boot_autoload), (AUTOLOAD_DIRECTORY, &system.autoload)];
    let lines = folders.into_iter().flat_map(|(folder, files)| {
        let lines = files.iter().flat_map(|file| file.lines.iter().map(move |line| (file, line)));
        lines.map(move |(file, line)| (format!("{folder}/{} line {}", file.name, line.number), line))
    });
    let lost = lines.filter(|(_, line)| line.module.as_ref() == Some(&core) && line.parameters.contains(PORT_TYPES));
    let mut places: Vec<String> = lost.map(|(place, _)| place).collect();
    let conf = system.modules_conf_entries();
    places.extend(conf.entries.iter().filter_map(|(line, entry)| match entry {
        ModulesConfEntry::Options { module, parameters }
            if ModuleName::new(module) == core && parameters.contains(PORT_TYPES) =>
        {
            Some(format!("/etc/modules.conf line {line}"))
        }
        _ => None,
    }));
    let problems = places
        .into_iter()
        .map(|place| format!("{place} gives port types, but mlx4_core is loaded before without them"))
        .collect();
    judge(problems, || "none given: the card's firmware decides".to_owned())
}

#[cfg(test)]
#[path = "features_tests.rs"]
mod tests;
