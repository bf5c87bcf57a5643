//! RFC 822 stanzas, as opkg writes its control files and its status file: `Name: value`, lines that begin with a blank go on.

/// A stanza: its fields in the order in which they stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stanza<'a>(Vec<(&'a str, Vec<&'a str>)>);

impl<'a> Stanza<'a> {
    /// The first line of the first field of that name, whichever case its letters have, as in opkg's parser.
    pub(crate) fn field(&self, name: &str) -> Option<&'a str> {
        self.lines(name)?.first().copied()
    }

    /// All lines of that field, each trimmed.
    pub(crate) fn lines(&self, name: &str) -> Option<&[&'a str]> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, lines)| lines.as_slice())
    }

    /// The parts of a field between commas, trimmed, empty ones left out; those of continuation lines too.
    pub(crate) fn list(&self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let lines: Vec<&str> = self.lines(name).unwrap_or_default().to_vec();
        lines.into_iter().flat_map(|line| line.split(',')).map(str::trim).filter(|part| !part.is_empty())
    }

    /// Reads the lines of one stanza. A line that is neither a field nor goes on with one is left out, as opkg does.
    fn parse(lines: &[&'a str]) -> Self {
        let mut fields: Vec<(&str, Vec<&str>)> = Vec::new();
        for line in lines {
            if line.starts_with([' ', '\t']) {
                if let Some((_, known)) = fields.last_mut() {
                    known.push(line.trim());
                }
            } else if let Some((name, value)) = line.split_once(':') {
                fields.push((name.trim(), vec![value.trim()]));
            }
        }
        Self(fields)
    }
}

/// The stanzas of `text`, which blank lines part.
pub(crate) fn stanzas(text: &str) -> Vec<Stanza<'_>> {
    let lines: Vec<&str> = text.lines().collect();
    let groups = lines.split(|line| line.trim().is_empty()).filter(|group| !group.is_empty());
    groups.map(Stanza::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continuation_lines_belong_to_their_field() {
        let text =
            "Package: a\ndepends: b, c (>=1) ,\n d\nConffiles:\n /etc/a 12\n /etc/b 34\nrubbish\n\n\n \nPackage: e\n";
        let stanzas = stanzas(text);
        assert_eq!(stanzas.len(), 2);
        assert_eq!(stanzas[0].list("Depends").collect::<Vec<_>>(), ["b", "c (>=1)", "d"]);
        assert_eq!(stanzas[0].lines("Conffiles").unwrap(), ["", "/etc/a 12", "/etc/b 34"]);
        assert_eq!(stanzas[1].field("PACKAGE"), Some("e"));
        assert_eq!(stanzas[1].field("Version"), None);
    }
}
