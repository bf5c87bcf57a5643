//! `/etc/modules.conf`: `options` and `blacklist` lines, with the traps of ubox's reader (kmodloader.c, since 2022).

use crate::kernel::ModuleName;

/// One line that kmodloader acts upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ModulesConfEntry {
    /// `options <module> <parameters>`.
    Options {
        /// The key as written; it is compared with the file name's stem byte by byte, `-` is not `_` here.
        module: String,
        /// The rest of the line.
        parameters: String,
    },
    /// `blacklist <module>`: the module is not loaded but as a dependency of another.
    Blacklist {
        /// The key as written.
        module: String,
    },
}

/// The file, read as kmodloader reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ModulesConf {
    /// Line number (from 1) and meaning.
    pub(crate) entries: Vec<(usize, ModulesConfEntry)>,
    /// Line number and why the line makes kmodloader crash, or do nothing.
    pub(crate) traps: Vec<(usize, String)>,
}

/// Longest line that kmodloader reads whole, in bytes.
const MAX_LINE: usize = 511;

impl ModulesConf {
    /// Reads `text`.
    pub(crate) fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for (index, line) in text.split('\n').enumerate() {
            conf.read_line(index.saturating_add(1), line);
        }
        conf
    }

    fn read_line(&mut self, number: usize, line: &str) {
        let bare = line.split('#').next().unwrap_or_default().trim();
        let mut words = bare.splitn(2, char::is_whitespace);
        let Some(keyword) = words.next().filter(|word| !word.is_empty()) else { return };
        if line.len() > MAX_LINE {
            let trap = format!(
                "the line is {} bytes long; kmodloader reads {MAX_LINE} and takes the rest for a new line",
                line.len()
            );
            self.traps.push((number, trap));
        }
        let rest = words.next().unwrap_or_default().trim_start();
        let (module, parameters) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let parameters = parameters.trim();
        if module.is_empty() {
            self.traps.push((number, format!("`{keyword}` stands alone: kmodloader crashes on it and loads nothing")));
            return;
        }
        match keyword {
            "options" if parameters.is_empty() => {
                let trap = format!("`options {module}` has no parameters: kmodloader crashes on it and loads nothing");
                self.traps.push((number, trap));
            }
            "options" => {
                let entry = ModulesConfEntry::Options { module: module.to_owned(), parameters: parameters.to_owned() };
                self.entries.push((number, entry));
            }
            "blacklist" => self.entries.push((number, ModulesConfEntry::Blacklist { module: module.to_owned() })),
            _ => self.traps.push((number, format!("kmodloader does not know `{keyword}` and ignores the line"))),
        }
    }

    /// Keys that mean the module whose file is `<stem>.ko`, but are spelled otherwise and so have no effect: line
    /// number and key.
    pub(crate) fn misspelled(&self, stem: &str) -> Vec<(usize, &str)> {
        let name = ModuleName::new(stem);
        self.keys().filter(|(_, key)| *key != stem && ModuleName::new(key) == name).collect()
    }

    /// Line that blacklists the module whose file is `<stem>.ko`.
    pub(crate) fn blacklisted(&self, stem: &str) -> Option<usize> {
        let wanted = ModulesConfEntry::Blacklist { module: stem.to_owned() };
        self.entries.iter().find(|(_, entry)| *entry == wanted).map(|(number, _)| *number)
    }

    fn keys(&self) -> impl Iterator<Item = (usize, &str)> {
        self.entries.iter().map(|(number, entry)| match entry {
            ModulesConfEntry::Options { module, .. } | ModulesConfEntry::Blacklist { module } => {
                (*number, module.as_str())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_blacklists_are_read_and_comments_cut_off() {
        let conf =
            ModulesConf::parse("# remark\noptions mlx4_core port_type_array=1,1 # both IB\nblacklist nouveau\n\n");
        assert_eq!(conf.traps, []);
        assert_eq!(conf.entries.len(), 2);
        assert_eq!(
            conf.entries[0],
            (2, ModulesConfEntry::Options { module: "mlx4_core".into(), parameters: "port_type_array=1,1".into() })
        );
        assert_eq!(conf.blacklisted("nouveau"), Some(3));
        assert_eq!(conf.blacklisted("ib_core"), None);
    }

    #[test]
    fn lines_that_crash_kmodloader_are_traps() {
        let conf = ModulesConf::parse("blacklist\noptions ib_core\noptions\t\noptions x # y=1\n");
        assert_eq!(conf.traps.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert!(conf.traps.iter().all(|(_, trap)| trap.contains("crashes")));
        assert_eq!(conf.entries, []);
    }

    #[test]
    fn a_key_with_the_wrong_dash_has_no_effect() {
        let conf = ModulesConf::parse("blacklist ib-core\noptions ib-core x=1\noptions ib_core x=1\n");
        assert_eq!(conf.blacklisted("ib_core"), None);
        assert_eq!(conf.misspelled("ib_core"), [(1, "ib-core"), (2, "ib-core")]);
    }
}
