//! Nodes and edges.

use serde::Serialize;

use crate::kernel::{KernelRelease, ModuleName, Proof};

/// Which modules are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scope {
    /// Those of the InfiniBand stack, and everything they need.
    #[default]
    Infiniband,
    /// Every module of the image.
    All,
}

/// The kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct KernelNode {
    /// As `uname -r` prints it.
    pub(crate) release: KernelRelease,
    /// How many symbols it exports.
    pub(crate) exports: usize,
    /// How sure its export tables are.
    pub(crate) proof: Proof,
}

/// When kmodloader selects a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LoadStage {
    /// An entry of `/etc/modules-boot.d` names it.
    Boot,
    /// An entry of `/etc/modules.d` names it.
    Main,
    /// No entry names it; another module's `depends=` does.
    Dependency,
    /// Never.
    Never,
}

/// What becomes of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    /// The kernel takes it.
    Loads,
    /// The kernel refuses it.
    Refused,
    /// kmodloader never asks the kernel, since what its `depends=` names is not loaded.
    Waits,
    /// Nothing asks for it.
    NotAsked,
    /// It cannot be read: kmodloader gives up the whole directory.
    Unreadable,
    /// A `depends=` names it, but there is no such file.
    Missing,
}

impl Standing {
    /// Whether something asks for the module in vain.
    pub(crate) fn fails(self) -> bool {
        !matches!(self, Self::Loads | Self::NotAsked)
    }
}

/// A module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ModuleNode {
    /// Its name.
    pub(crate) name: ModuleName,
    /// Absolute path of its file; `None` when there is none.
    pub(crate) path: Option<String>,
    /// Length of the file in bytes.
    pub(crate) size: u64,
    /// Whether it belongs to the InfiniBand stack.
    pub(crate) infiniband: bool,
    /// When kmodloader selects it.
    pub(crate) stage: LoadStage,
    /// Path of the autoload file that names it.
    pub(crate) entry: Option<String>,
    /// The module whose `depends=` pulls it in, where no entry names it.
    pub(crate) pulled_in_by: Option<ModuleName>,
    /// The parameters it is given.
    pub(crate) parameters: String,
    /// What becomes of it.
    pub(crate) standing: Standing,
    /// Why it does not load, a few words.
    pub(crate) cause: Option<String>,
    /// Why it does not load, line by line: what the kernel logs, where it logs anything.
    pub(crate) messages: Vec<String>,
    /// Which option of the kernel its missing symbols belong to, and what to do, where that is known.
    pub(crate) advice: Vec<String>,
    /// The kernel's symbols that it uses, sorted.
    pub(crate) kernel_symbols: Vec<String>,
    /// Symbols that it needs and that neither the kernel nor any module there is exports, sorted.
    pub(crate) missing_symbols: Vec<String>,
}

/// One module needs another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Need {
    /// Who needs it.
    pub(crate) from: ModuleName,
    /// What is needed.
    pub(crate) to: ModuleName,
    /// Whether `depends=` says so: only then does kmodloader load `to` first.
    pub(crate) depends: bool,
    /// The symbols of `to` that `from` uses, sorted.
    pub(crate) symbols: Vec<String>,
}

/// The graph. Modules are sorted by name, needs by both names; both ends of every need are among the modules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Graph {
    /// The kernel.
    pub(crate) kernel: KernelNode,
    /// Which modules are shown.
    pub(crate) scope: Scope,
    /// How many modules of the image are not shown.
    pub(crate) left_out: usize,
    /// The modules.
    pub(crate) modules: Vec<ModuleNode>,
    /// Who needs whom.
    pub(crate) needs: Vec<Need>,
    /// What keeps kmodloader from working as a whole.
    pub(crate) remarks: Vec<String>,
}

impl Graph {
    /// How many of its modules are of that standing.
    pub(crate) fn count(&self, standing: impl Fn(Standing) -> bool) -> usize {
        self.modules.iter().filter(|module| standing(module.standing)).count()
    }

    /// Whether the module `name` is asked for in vain.
    pub(crate) fn fails(&self, name: &ModuleName) -> bool {
        let found = self.modules.binary_search_by(|module| module.name.cmp(name)).ok();
        found.and_then(|index| self.modules.get(index)).is_some_and(|module| module.standing.fails())
    }
}
