//! Why symbols are missing, in sentences: the kernel's words, the option they belong to, and the way out.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::listing;
use crate::kernel::{ModuleName, SymbolTable};

/// The table of symbols and options; its tests see to it that it can be read.
pub(super) fn symbol_table() -> Option<&'static SymbolTable> {
    static TABLE: OnceLock<Option<SymbolTable>> = OnceLock::new();
    TABLE.get_or_init(|| SymbolTable::built_in().ok()).as_ref()
}

/// The option that `symbol` belongs to, where one is known.
pub(super) fn option(symbol: &str) -> Option<&'static str> {
    symbol_table()?.explain(symbol).map(|entry| entry.option.as_str())
}

/// Missing symbols by the module that needs them.
pub(super) type Missing<'a> = BTreeMap<&'a ModuleName, Vec<&'a str>>;

/// One sentence per cause. `missing`: symbols that nothing exports, by the module that needs them.
pub(super) fn sentences(missing: &Missing<'_>) -> Vec<String> {
    // By option, in the order in which they are met; `None` for symbols of no known option.
    let mut causes: Vec<(Option<&str>, Missing<'_>)> = Vec::new();
    for (module, symbols) in missing {
        for symbol in symbols {
            let option = option(symbol);
            let index = causes.iter().position(|(known, _)| *known == option);
            let index = index.unwrap_or_else(|| {
                causes.push((option, BTreeMap::new()));
                causes.len().saturating_sub(1)
            });
            if let Some((_, modules)) = causes.get_mut(index) {
                modules.entry(module).or_default().push(symbol);
            }
        }
    }
    causes.iter().map(|(_, modules)| sentence(modules)).collect()
}

/// The kernel's words for symbols of one cause, the cause, and what to do.
fn sentence(modules: &Missing<'_>) -> String {
    let unknown: Vec<String> = modules.iter().map(|(module, symbols)| unknown(module, symbols)).collect();
    let unknown = unknown.join("; ");
    let symbol = modules.values().flatten().next();
    match symbol.and_then(|symbol| symbol_table()?.explain(symbol)) {
        Some(entry) => format!("{unknown}: {}. What to do: {}", entry.cause(), entry.remedy),
        None => format!(
            "{unknown}: neither this kernel nor a module in the image exports that. What to do: take modules and kernel \
             from one build"
        ),
    }
}

fn unknown(module: &ModuleName, symbols: &[&str]) -> String {
    match symbols {
        [] => module.to_string(),
        [only] => format!("{module}: Unknown symbol {only} (err -2)"),
        [first, rest @ ..] => format!("{module}: Unknown symbol {first} (err -2), likewise {}", listing(rest)),
    }
}
