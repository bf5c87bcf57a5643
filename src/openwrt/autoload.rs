//! `/etc/modules.d` and `/etc/modules-boot.d`, read as kmodloader reads them.
//!
//! Source: ubox `kmodloader.c`, `main_loader`: the files of the directory in byte order, dot files left out; of each
//! line the text up to the first blank, its last path component, cut at `.ko`; the rest are parameters.

use serde::Serialize;

use super::tree::Tree;
use crate::filesystem::FileType;
use crate::kernel::ModuleName;

/// Where kmodloader finds the modules to load after the overlay is mounted.
pub(crate) const AUTOLOAD_DIRECTORY: &str = "/etc/modules.d";
/// Where it finds those to load before preinit.
pub(crate) const BOOT_DIRECTORY: &str = "/etc/modules-boot.d";

/// One line of an autoload file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct AutoloadLine {
    /// 1-based line number.
    pub(crate) number: usize,
    /// The line as it stands, without the newline.
    pub(crate) text: String,
    /// The module kmodloader takes from it; `None` for blank lines, comments and lines that it silently ignores.
    pub(crate) module: Option<ModuleName>,
    /// What follows the first blank, trimmed at the end.
    pub(crate) parameters: String,
    /// Why kmodloader would ignore a line that looks meant (tab, CR, leading blank), one sentence.
    pub(crate) trap: Option<String>,
}

/// One file of `/etc/modules.d` or `/etc/modules-boot.d`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct AutoloadFile {
    /// File name.
    pub(crate) name: String,
    /// Where a symlink points.
    pub(crate) link_target: Option<String>,
    /// Whether it is a dangling symlink.
    pub(crate) dangling: bool,
    /// Its lines (of the file it resolves to).
    pub(crate) lines: Vec<AutoloadLine>,
}

impl AutoloadLine {
    /// Reads line `number` as kmodloader does; `text` has no newline.
    pub(crate) fn parse(number: usize, text: &str) -> Self {
        let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
        let meant = !text.trim().is_empty() && !text.trim_start().starts_with('#');
        let basename = first.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let name = ModuleName::new(basename);
        let trap = meant.then(|| trap(text, first, &name)).flatten().map(str::to_owned);
        let module = (meant && trap.is_none()).then_some(name);
        Self { number, text: text.to_owned(), module, parameters: rest.trim_end().to_owned(), trap }
    }

    /// Reads all lines of a file.
    pub(crate) fn parse_all(content: &[u8]) -> Vec<Self> {
        split_lines(content)
            .enumerate()
            .map(|(index, line)| {
                let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line));
                Self::parse(index.saturating_add(1), &text)
            })
            .collect()
    }
}

impl AutoloadFile {
    /// A regular file called `name`.
    pub(crate) fn regular(name: &str, content: &[u8]) -> Self {
        Self { name: name.to_owned(), link_target: None, dangling: false, lines: AutoloadLine::parse_all(content) }
    }

    #[cfg(test)]
    /// Whether kmodloader inserts the modules of this file line by line.
    pub(crate) fn loads_immediately(&self) -> bool {
        loads_immediately(&self.name)
    }

    /// The files of `directory` that kmodloader reads, in byte order.
    pub(crate) fn read_directory(tree: &Tree, directory: &str) -> Vec<Self> {
        let Some(directory) = tree.resolve(directory) else { return Vec::new() };
        let mut files = Vec::new();
        for (name, node) in tree.children(&directory) {
            let path = format!("{directory}/{name}");
            let file_type = tree.metadata(&path).map(|metadata| metadata.file_type);
            let dangling = file_type.is_none();
            if name.starts_with('.') || !(dangling || file_type == Some(FileType::Regular)) {
                continue;
            }
            files.push(Self {
                name: name.to_owned(),
                link_target: node.metadata.link_target.clone(),
                dangling,
                lines: tree.content(&path).map(|content| AutoloadLine::parse_all(content)).unwrap_or_default(),
            });
        }
        files
    }
}

/// Whether the modules of a file of this name are inserted line by line; those of any other file are inserted together
/// after all files are read, in the order of their names (main_loader: first character at most `'9'`, a signed char).
pub(crate) fn loads_immediately(file_name: &str) -> bool {
    file_name.bytes().next().is_some_and(|first| first <= b'9' || !first.is_ascii())
}

/// The lines of `content`, each with its newline where it has one.
pub(crate) fn split_lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split_inclusive(|byte| *byte == b'\n')
}

fn trap(text: &str, first: &str, name: &ModuleName) -> Option<&'static str> {
    if text.starts_with(' ') {
        return Some("the line starts with a blank: kmodloader takes an empty name from it and ignores the line");
    }
    if first.contains('\t') {
        return Some("a tab stands before, in or after the name: kmodloader knows only the blank and ignores the line");
    }
    if first.ends_with('\r') {
        return Some(
            "the line ends with a carriage return, which kmodloader takes for a part of the name: it ignores the line",
        );
    }
    if first.chars().any(|character| character.is_control() || character.is_whitespace()) {
        return Some("the name holds a control character: kmodloader ignores the line");
    }
    name.as_str().is_empty().then_some("no module name stands before the first blank: kmodloader ignores the line")
}

#[cfg(test)]
mod tests {
    use super::super::testing::MemoryFilesystem;
    use super::*;

    fn line(text: &str) -> AutoloadLine {
        AutoloadLine::parse(1, text)
    }

    #[test]
    fn a_name_is_the_last_path_component_cut_at_ko() {
        assert_eq!(line("kernel/net/ib-core.ko x=1 y=2 ").module, Some(ModuleName::new("ib_core")));
        assert_eq!(line("kernel/net/ib-core.ko x=1 y=2 ").parameters, "x=1 y=2");
        assert_eq!(line("mlx4_core ").module, Some(ModuleName::new("mlx4_core")));
    }

    #[test]
    fn comments_and_blank_lines_are_no_traps() {
        for text in ["", "   ", "\t", "\r", "# mlx4_core", "#mlx4_core", "  # x"] {
            assert_eq!((line(text).module, line(text).trap), (None, None), "{text:?}");
        }
    }

    #[test]
    fn lines_that_kmodloader_ignores_say_why() {
        for (text, word) in [
            (" ib_core", "starts with a blank"),
            ("ib_core\tx=1", "tab"),
            ("\tib_core", "tab"),
            ("ib_core\r", "carriage return"),
            (".ko", "no module name"),
            ("ib\u{b}core", "control character"),
        ] {
            assert_eq!(line(text).module, None, "{text:?}");
            assert!(line(text).trap.unwrap().contains(word), "{text:?}");
        }
    }

    #[test]
    fn a_carriage_return_after_parameters_does_no_harm() {
        let line = line("mlx4_core port_type_array=1,1\r");
        assert_eq!(line.module, Some(ModuleName::new("mlx4_core")));
        assert_eq!(line.parameters, "port_type_array=1,1");
    }

    #[test]
    fn file_names_up_to_nine_load_at_once() {
        assert!(loads_immediately("30-hw-network") && loads_immediately("-x") && loads_immediately("9"));
        assert!(
            !loads_immediately("mlx4") && !loads_immediately(":x") && !loads_immediately("") && !loads_immediately("A")
        );
    }

    #[test]
    fn links_are_followed_and_dot_files_and_directories_left_out() {
        let mut root = MemoryFilesystem::new();
        root.add_file("/etc/modules.d/35-igb", "igb\n\nptp");
        root.add_file("/etc/modules.d/.hidden", "x\n");
        root.add_file("/etc/modules.d/folder/x", "x\n");
        root.add_link("/etc/modules-boot.d/35-igb", "../modules.d/35-igb");
        root.add_link("/etc/modules-boot.d/36-gone", "../modules.d/36-gone");
        let mut tree = Tree::walk(&mut root).unwrap();
        tree.load(&mut root, "/etc/modules.d/35-igb", 100).unwrap();
        let files = AutoloadFile::read_directory(&tree, AUTOLOAD_DIRECTORY);
        assert_eq!(files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["35-igb"]);
        assert_eq!(files[0].lines.len(), 3);
        let boot = AutoloadFile::read_directory(&tree, BOOT_DIRECTORY);
        assert_eq!(boot[0].link_target.as_deref(), Some("../modules.d/35-igb"));
        assert_eq!(boot[0].lines, files[0].lines);
        assert!(!boot[0].dangling && boot[1].dangling);
    }
}
