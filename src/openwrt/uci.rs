//! UCI files: `config`, `option` and `list` lines.
//!
//! Syntax as libuci's file.c reads it: words separated by blanks; `'…'` is literal, `"…"` and bare text know `\`;
//! pieces that touch are one word; `#` where a word may start begins a comment; `;` and a newline end a statement.

use serde::Serialize;

/// One option of a section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct UciOption {
    /// Its name.
    pub(crate) name: String,
    /// One value for `option`, each in order for `list`.
    pub(crate) values: Vec<String>,
    /// Whether it was given by `list`.
    pub(crate) is_list: bool,
}

/// One section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct UciSection {
    /// Its type, such as `interface`.
    pub(crate) kind: String,
    /// Its name; `None` for an anonymous section.
    pub(crate) name: Option<String>,
    /// Its options, in order of first appearance.
    pub(crate) options: Vec<UciOption>,
}

/// A UCI file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct UciFile {
    /// Its sections, in order.
    pub(crate) sections: Vec<UciSection>,
    /// Line numbers of statements that are none of `package`, `config`, `option`, `list`, or that stand in no section.
    pub(crate) malformed: Vec<usize>,
}

impl UciSection {
    /// The one value of the option `name`, or the first of a list.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values(name).first().map(String::as_str)
    }

    /// All values of `name`; empty when it is not set.
    pub(crate) fn values(&self, name: &str) -> &[String] {
        self.options.iter().find(|option| option.name == name).map_or(&[], |option| &option.values)
    }

    /// The values of `name`, with an `option` that holds several words split at blanks, as netifd takes them.
    pub(crate) fn words(&self, name: &str) -> Vec<String> {
        self.values(name).iter().flat_map(|value| value.split_whitespace()).map(str::to_owned).collect()
    }

    fn set(&mut self, name: String, value: String, is_list: bool) {
        match self.options.iter_mut().find(|option| option.name == name) {
            Some(option) if is_list && option.is_list => option.values.push(value),
            // A later `option` replaces the earlier one; a `list` after an `option` keeps its value (uci_add_list).
            Some(option) if is_list => {
                option.values.push(value);
                option.is_list = true;
            }
            Some(option) => (option.values, option.is_list) = (vec![value], false),
            None => self.options.push(UciOption { name, values: vec![value], is_list }),
        }
    }
}

impl UciFile {
    /// Reads `text`. Sections of the same name are one, as in libuci.
    pub(crate) fn parse(text: &str) -> Self {
        let mut file = Self::default();
        let mut current: Option<usize> = None;
        for (line, words) in statements(text) {
            let mut words = words.into_iter();
            match (words.next().as_deref(), words.next(), words.next()) {
                (Some("package"), Some(_), _) => {}
                (Some("config"), Some(kind), name) => current = Some(file.section(kind, name)),
                (Some(keyword @ ("option" | "list")), Some(name), Some(value)) => {
                    match current.and_then(|index| file.sections.get_mut(index)) {
                        Some(section) => section.set(name, value, keyword == "list"),
                        None => file.malformed.push(line),
                    }
                }
                _ => file.malformed.push(line),
            }
        }
        file
    }

    fn section(&mut self, kind: String, name: Option<String>) -> usize {
        let known = name
            .as_ref()
            .and_then(|_| self.sections.iter().position(|section| section.name == name && section.kind == kind));
        known.unwrap_or_else(|| {
            self.sections.push(UciSection { kind, name, options: Vec::new() });
            self.sections.len().saturating_sub(1)
        })
    }
}

/// The words of each statement, with the number of the line on which it starts.
fn statements(text: &str) -> Vec<(usize, Vec<String>)> {
    let mut statements = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let (mut line, mut start) = (1usize, 1usize);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\n' | ';' => {
                statements.push((start, std::mem::take(&mut words)));
                line = line.saturating_add(usize::from(character == '\n'));
                start = line;
            }
            '#' => while characters.next_if(|next| *next != '\n').is_some() {},
            blank if blank.is_whitespace() => {}
            _ => {
                let (word, newlines) = read_word(character, &mut characters);
                line = line.saturating_add(newlines);
                words.push(word);
            }
        }
    }
    statements.push((start, words));
    statements.retain(|(_, words)| !words.is_empty());
    statements
}

/// One word, and how many newlines stand in it (in quotes, or escaped).
fn read_word(first: char, characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> (String, usize) {
    let mut word = String::new();
    let mut newlines = 0usize;
    let mut quote = None;
    let mut current = Some(first);
    while let Some(character) = current {
        newlines = newlines.saturating_add(usize::from(character == '\n'));
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => quote = Some(character),
            (None | Some('"'), '\\') => match characters.next() {
                Some('\n') => newlines = newlines.saturating_add(1),
                next => word.extend(next),
            },
            _ => word.push(character),
        }
        let ends = |next: &char| quote.is_none() && (next.is_whitespace() || *next == ';');
        current = characters.next_if(|next| !ends(next));
    }
    (word, newlines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_network_bridges_eth0() {
        let file = UciFile::parse(
            "config interface 'loopback'\n\toption device 'lo'\n\toption proto 'static'\n\n\
             config device\n\toption name 'br-lan'\n\toption type 'bridge'\n\tlist ports 'eth0'\n\tlist ports 'ib0'\n\n\
             config interface 'lan'\n\toption device 'br-lan'\n",
        );
        let kinds: Vec<_> = file.sections.iter().map(|section| section.kind.as_str()).collect();
        assert_eq!(kinds, ["interface", "device", "interface"]);
        assert_eq!(file.sections[1].value("name"), Some("br-lan"));
        assert_eq!(file.sections[1].words("ports"), ["eth0", "ib0"]);
        assert_eq!(file.malformed, [] as [usize; 0]);
    }

    #[test]
    fn the_bridge_of_old_releases_stands_in_the_interface() {
        let file = UciFile::parse("config interface lan\n option type bridge\n option ifname 'eth0 ib0.8001'\n");
        assert_eq!(file.sections[0].words("ifname"), ["eth0", "ib0.8001"]);
    }

    #[test]
    fn quoting_is_libucis() {
        let file = UciFile::parse(
            "config x 'n' # remark\n option a 'it'\\''s'\n option b \"say \\\"hi\\\"\"\n option c un\\ quoted#1\n\
             option d 'two\nlines'; option e 1\n",
        );
        let section = &file.sections[0];
        assert_eq!(section.value("a"), Some("it's"));
        assert_eq!(section.value("b"), Some("say \"hi\""));
        assert_eq!(section.value("c"), Some("un quoted#1"));
        assert_eq!(section.value("d"), Some("two\nlines"));
        assert_eq!(section.value("e"), Some("1"));
    }

    #[test]
    fn a_later_option_wins_and_named_sections_are_one() {
        let file = UciFile::parse("config a x\noption o 1\nconfig b\nconfig a x\noption o 2\nlist l 1\nlist l 2\n");
        assert_eq!(file.sections.len(), 2);
        assert_eq!(file.sections[0].value("o"), Some("2"));
        assert_eq!(file.sections[0].values("l"), ["1", "2"]);
    }

    #[test]
    fn what_is_no_uci_is_told_by_line() {
        let file = UciFile::parse("option a 1\nconfig x\nnonsense\n\noption a 'two\nlines'\noption b\n");
        assert_eq!(file.malformed, [1, 3, 7]);
    }
}
