//! Which kernel modules make up the InfiniBand stack.

use std::collections::BTreeSet;

use crate::kernel::ModuleName;

/// The module that every other one of the stack needs.
const CORE: &str = "ib_core";
/// Drivers of adapters, whose names do not tell that they belong to the stack.
const PROVIDERS: [&str; 10] =
    ["mlx4_ib", "mlx5_ib", "siw", "hfi1", "rdmavt", "iw_cxgb4", "iw_cm", "irdma", "bnxt_re", "erdma"];

/// Of `modules` (names, each with what it depends on) those that belong to the InfiniBand stack: by name, or because
/// they depend on one that does, directly or through others.
pub(crate) fn stack<'a>(
    modules: impl Iterator<Item = (&'a ModuleName, &'a [ModuleName])> + Clone,
) -> BTreeSet<&'a ModuleName> {
    let mut found: BTreeSet<&ModuleName> = modules.clone().map(|(name, _)| name).filter(|name| by_name(name)).collect();
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

fn by_name(name: &ModuleName) -> bool {
    let name = name.as_str();
    name.starts_with("ib_") || name.starts_with("rdma_") || PROVIDERS.contains(&name)
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
