//! What nodes and edges say, for every output form.

use super::model::{Graph, LoadStage, ModuleNode, Need, Scope, Standing};
use crate::counted::{number, some};
use crate::kernel::{ModuleName, Reason, Refusal, SymbolTable};

/// A file's length.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        _ => format!("{} KiB", bytes.div_ceil(1024)),
    }
}

/// Why the kernel refuses a module, in a few words.
pub(super) fn cause(refusals: &[Refusal]) -> String {
    let unknown = refusals.iter().filter(|refusal| refusal.missing_symbol().is_some()).count();
    if unknown > 0 {
        return number(unknown, "unknown symbol");
    }
    let reason = refusals.first().map(|refusal| &refusal.reason);
    reason.map_or_else(|| "refused".to_owned(), brief)
}

fn brief(reason: &Reason) -> String {
    match reason {
        Reason::NotAModule { .. } | Reason::NoThisModule { .. } => "no module".to_owned(),
        Reason::StructModuleSize { .. } | Reason::ModuleLayout => "another struct module".to_owned(),
        Reason::NoVersions => "no checksums".to_owned(),
        Reason::Vermagic { .. } => "another vermagic".to_owned(),
        Reason::NoVermagic => "no vermagic".to_owned(),
        Reason::UnknownSymbol { symbol, .. } => format!("unknown {symbol}"),
        Reason::GplOnly { symbol, .. } => format!("GPL-only {symbol}"),
        Reason::ProprietaryProvider { owner, .. } => format!("{owner} is proprietary"),
        Reason::Version { symbol, .. } => format!("another {symbol}"),
        Reason::Namespace { namespace, .. } => format!("namespace {namespace}"),
        Reason::DuplicateExport { owner, .. } => format!("duplicates {owner}"),
    }
}

/// What the kernel logs, or why it refuses without a word.
pub(super) fn messages(module: &ModuleName, refusal: &Refusal) -> Vec<String> {
    if refusal.messages.is_empty() {
        let reason = match &refusal.reason {
            Reason::NotAModule { error } => error.clone(),
            reason => brief(reason),
        };
        return vec![format!("{module}: refused without a message ({reason})")];
    }
    refusal.messages.clone()
}

/// When and by what a module is loaded, or why it is not: a few words.
pub(super) fn stage(node: &ModuleNode) -> String {
    if let Some(cause) = &node.cause {
        return cause.clone();
    }
    match (node.stage, &node.entry, &node.pulled_in_by) {
        (LoadStage::Boot | LoadStage::Main, Some(entry), _) => entry.trim_start_matches("/etc/").to_owned(),
        (LoadStage::Dependency, _, Some(user)) => format!("pulled in by {user}"),
        _ => "never loaded".to_owned(),
    }
}

/// What the kinds of nodes are called in a legend, with the name of their style class.
pub(super) const KINDS: [(&str, &str); 5] = [
    ("boot", "loaded from /etc/modules-boot.d"),
    ("main", "from /etc/modules.d"),
    ("dependency", "pulled in by another's depends="),
    ("never", "never loaded"),
    ("fails", "does not load"),
];

/// The style class of a module: one of [`KINDS`].
pub(super) fn kind(node: &ModuleNode) -> &'static str {
    match (node.standing, node.stage) {
        (standing, _) if standing.fails() => "fails",
        (_, LoadStage::Boot) => "boot",
        (_, LoadStage::Main) => "main",
        (_, LoadStage::Dependency) => "dependency",
        (_, LoadStage::Never) => "never",
    }
}

/// What a module waits for, short enough for a box.
pub(super) fn waits_for(names: &[ModuleName]) -> String {
    /// Characters that two names may take.
    const ROOM: usize = 21;
    let two: usize = names.iter().take(2).map(|name| name.as_str().chars().count()).sum();
    let most = if names.len() <= 2 && two <= ROOM { 2 } else { 1 };
    format!("waits for {}", some(names, most))
}

/// Why a module lacks symbols that nothing there exports, and what to do: a sentence for each option of the kernel.
pub(super) fn advice(missing: &[String], table: &SymbolTable) -> Vec<String> {
    let mut advice: Vec<String> = Vec::new();
    for entry in missing.iter().filter_map(|symbol| table.explain(symbol)) {
        let sentence = format!("{}. Remedy: {}.", entry.cause(), entry.remedy);
        if !advice.contains(&sentence) {
            advice.push(sentence);
        }
    }
    advice
}

/// Everything about a module, line by line.
pub(super) fn about(node: &ModuleNode) -> String {
    let mut lines = vec![node.name.to_string()];
    lines.extend(node.path.as_ref().map(|path| format!("{path}, {} bytes", node.size)));
    lines.push(match (&node.entry, &node.pulled_in_by) {
        (Some(entry), _) => format!("asked for by {entry}"),
        (None, Some(user)) => format!("pulled in by {user} (depends=)"),
        (None, None) => "no autoload entry asks for it, and no module that is loaded".to_owned(),
    });
    if !node.parameters.is_empty() {
        lines.push(format!("parameters: {}", node.parameters));
    }
    let standing = match node.standing {
        Standing::Loads => "the kernel takes it",
        Standing::Refused => "the kernel refuses it:",
        Standing::Waits => "the kernel is never asked:",
        Standing::NotAsked => "never loaded",
        Standing::Unreadable => "it cannot be read:",
        Standing::Missing => "there is no such file",
    };
    lines.push(standing.to_owned());
    lines.extend(node.messages.iter().chain(&node.advice).cloned());
    if node.path.is_some() {
        lines.push(format!("uses {} of the kernel", number(node.kernel_symbols.len(), "symbol")));
    }
    lines.join("\n")
}

/// Everything about a need, line by line.
pub(super) fn about_need(need: &Need) -> String {
    let symbols = number(need.symbols.len(), "symbol");
    let how = match (need.depends, need.symbols.is_empty()) {
        (true, true) => "named in depends=, though no symbol is used".to_owned(),
        (true, false) => symbols,
        (false, _) => format!("{symbols}, but not named in depends=: kmodloader does not load it first"),
    };
    let mut lines = vec![format!("{} needs {}: {how}", need.from, need.to)];
    lines.extend(need.symbols.iter().cloned());
    lines.join("\n")
}

/// Everything about a module's need of the kernel, line by line.
pub(super) fn about_kernel_need(node: &ModuleNode) -> String {
    let count = number(node.kernel_symbols.len(), "symbol");
    let head = format!("{} uses {count} of the kernel", node.name);
    std::iter::once(&head).chain(&node.kernel_symbols).cloned().collect::<Vec<_>>().join("\n")
}

/// What the figure shows, one sentence.
pub(super) fn summary(graph: &Graph) -> String {
    let modules = graph.count(|standing| standing != Standing::Missing);
    let what = match graph.scope {
        Scope::Infiniband if modules == 0 => "no InfiniBand module in this image".to_owned(),
        Scope::Infiniband => format!("{} of the InfiniBand stack and what it needs", number(modules, "module")),
        Scope::All => format!("all {}", number(modules, "module")),
    };
    let mut parts = vec![format!("Linux {}", graph.kernel.release), what];
    for (count, text) in [
        (graph.count(|standing| standing == Standing::Loads), "loaded at boot"),
        (graph.count(|standing| standing.fails() && standing != Standing::Missing), "failing"),
        (graph.count(|standing| standing == Standing::Missing), "missing"),
        (graph.count(|standing| standing == Standing::NotAsked), "never loaded"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {text}"));
        }
    }
    parts.join(" · ")
}

/// What the picture tells about loading, for those who cannot see it.
pub(super) fn description(graph: &Graph) -> String {
    let failing: Vec<&ModuleName> =
        graph.modules.iter().filter(|node| node.standing.fails()).map(|node| &node.name).collect();
    let mut text =
        format!("Boxes are kernel modules; an arrow leads from a module to one that it needs. {}.", summary(graph));
    if !failing.is_empty() {
        text.push_str(&format!(" Not loaded: {}.", some(&failing, usize::MAX)));
    }
    text
}
