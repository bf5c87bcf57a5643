//! Which kernel modules make up the InfiniBand stack.

use std::collections::BTreeSet;

use crate::kernel::ModuleName;

/// The module that every other one of the stack needs.
const CORE: &str = "ib_core";
/// Drivers that make an RDMA device of an adapter (or of a network device), by module name.
pub(crate) const PROVIDERS: &[&str] = &[
    "mlx4_ib",
    "mlx5_ib",
    "ib_mthca",
    "rdma_rxe",
    "siw",
    "ib_qib",
    "hfi1",
    "iw_cxgb4",
    "ocrdma",
    "qedr",
    "bnxt_re",
    "irdma",
    "hns_roce_hw_v2",
    "vmw_pvrdma",
    "usnic_verbs",
    "efa",
    "erdma",
    "mana_ib",
];

/// Modules of the stack that are neither drivers nor named like the rest of it.
const OTHERS: [&str; 2] = ["iw_cm", "rdmavt"];

/// Of `modules` (names, each with what it depends on) those that belong to the InfiniBand stack: by name, or because
/// they depend on one that does, directly or through others.
pub(crate) fn stack<'a>(
    modules: impl Iterator<Item = (&'a ModuleName, &'a [ModuleName])> + Clone,
) -> BTreeSet<&'a ModuleName> {
    let mut found: BTreeSet<&ModuleName> =
        modules.clone().map(|(name, _)| name).filter(|name| is_named_so(name)).collect();
    loop {
        let before = found.len();
        for (name, depends) in modules.clone() {
            if depends.iter().any(|needed| needed.as_str() == CORE || found.contains(needed)) {
                found.insert(name);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// Whether the name alone tells that `name` belongs to the stack.
pub(crate) fn is_named_so(name: &ModuleName) -> bool {
    let name = name.as_str();
    name.starts_with("ib_") || name.starts_with("rdma_") || PROVIDERS.contains(&name) || OTHERS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_depends_on_the_core_through_others_belongs_to_the_stack() {
        let modules = [
            ("ib_core", vec![]),
            ("rdma_cm", vec!["ib_core"]),
            ("rpcrdma", vec!["sunrpc", "rdma_cm"]),
            ("sunrpc", vec![]),
            ("mlx4_core", vec![]),
            ("mlx4_ib", vec!["mlx4_core", "ib_core"]),
        ];
        let modules: Vec<(ModuleName, Vec<ModuleName>)> = modules
            .into_iter()
            .map(|(name, depends)| (ModuleName::new(name), depends.into_iter().map(ModuleName::new).collect()))
            .collect();
        let found = stack(modules.iter().map(|(name, depends)| (name, depends.as_slice())));
        let names: Vec<_> = found.into_iter().map(ModuleName::as_str).collect();
        assert_eq!(names, ["ib_core", "mlx4_ib", "rdma_cm", "rpcrdma"]);
    }
}
