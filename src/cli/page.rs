//! Text for people: headings, facts and paragraphs, wrapped for 80 columns. Colours are always in it; the stream it is
//! printed to takes them out where they do not belong.

use anstyle::{AnsiColor, Style};

/// Columns of a line.
const WIDTH: usize = 80;
/// Column at which the values of facts start.
const VALUE: usize = 16;

/// How a word is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// A heading, a name.
    Strong,
    /// Less important.
    Faint,
    /// As it should be.
    Good,
    /// Something to look at.
    Warn,
    /// Not as it should be.
    Bad,
    /// What to do, what to type.
    Accent,
}

impl Tone {
    const fn style(self) -> Style {
        match self {
            Self::Strong => Style::new().bold(),
            Self::Faint => Style::new().dimmed(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warn => AnsiColor::Yellow.on_default().bold(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Accent => AnsiColor::Cyan.on_default(),
        }
    }

    /// `text` in this tone.
    pub(super) fn paint(self, text: &str) -> String {
        let style = self.style();
        format!("{style}{text}{style:#}")
    }
}

/// A page that grows line by line.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
}

impl Page {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// One that `fill` fills.
    pub(super) fn of(fill: impl FnOnce(&mut Self)) -> Self {
        let mut page = Self::new();
        fill(&mut page);
        page
    }

    /// What was written, with colours.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What was written, without colours.
    #[cfg(test)]
    pub(super) fn plain(&self) -> String {
        anstream::adapter::strip_str(&self.text).to_string()
    }

    /// One line as it stands.
    pub(super) fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// An empty line between blocks; none at the top.
    pub(super) fn gap(&mut self) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
    }

    /// A heading, with a gap above it.
    pub(super) fn heading(&mut self, text: &str) {
        self.gap();
        self.line(&Tone::Strong.paint(text));
    }

    /// A label in the left column and its value, wrapped, in the right one.
    pub(super) fn fact(&mut self, label: &str, value: &str) {
        self.facts(&[(label, value)]);
    }

    /// Labels and their values, with a left column that is as wide as the longest label asks.
    pub(super) fn facts(&mut self, rows: &[(&str, &str)]) {
        let longest = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        let column = VALUE.max(longest + 4);
        for (label, value) in rows {
            let label = Tone::Faint.paint(&format!("  {label:<width$}", width = column - 2));
            self.hanging(&label, column, value);
        }
    }

    /// A table: columns as wide as they must be, those that are empty left out, lines never wrapped.
    pub(super) fn table<const N: usize>(&mut self, heads: &[&str; N], rows: &[[String; N]]) {
        let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column)).map(|cell| cell.chars().count());
        let widths: Vec<usize> = (0..N).map(|column| cells(column).max().unwrap_or(0)).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let shown = cells.zip(heads).zip(&widths).filter(|(_, width)| **width > 0);
            let padded = shown.map(|((cell, head), width)| format!("{cell:<0$}", (*width).max(head.len())));
            format!("  {}", padded.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
        };
        let head = line(&mut heads.iter().copied());
        self.line(&Tone::Faint.paint(&head));
        for row in rows {
            let text = line(&mut row.iter().map(String::as_str));
            self.line(&text);
        }
    }

    /// A paragraph that begins with a painted label and hangs under what follows it.
    pub(super) fn labelled(&mut self, label: &str, tone: Tone, text: &str) {
        let indent = label.chars().take_while(|c| *c == ' ').count();
        let painted = format!("{}{} ", " ".repeat(indent), tone.paint(label.trim_start()));
        self.hanging(&painted, label.chars().count() + 1, text);
    }

    /// A paragraph, indented.
    pub(super) fn paragraph(&mut self, indent: usize, text: &str) {
        self.hanging(&" ".repeat(indent), indent, text);
    }

    /// A command to type, on a line of its own and never wrapped.
    pub(super) fn command(&mut self, text: &str) {
        self.line(&format!("  {}", Tone::Accent.paint(text)));
    }

    /// `lead` (whose visible width is `indent`), then `text` wrapped and hung at column `indent`. Lines of `text` that
    /// begin with blanks keep them.
    pub(super) fn hanging(&mut self, lead: &str, indent: usize, text: &str) {
        let mut lead = lead.to_owned();
        for source in text.split('\n') {
            let own = indent + source.chars().take_while(|c| *c == ' ').count();
            lead.push_str(&" ".repeat(own - indent));
            for line in wrap(source, WIDTH.saturating_sub(own)) {
                self.line(format!("{lead}{line}").trim_end());
                lead = " ".repeat(own);
            }
            lead = " ".repeat(indent);
        }
    }
}

/// Breaks `text` at blanks into lines of at most `width` characters; longer words get a line of their own. What stands
/// in backticks is kept together where it fits on a line. Control characters from images are shown, not obeyed.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in unbroken(text) {
        let length = word.chars().count();
        if !line.is_empty() && line.chars().count() + 1 + length > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    lines.push(line);
    lines
}

/// Longest quoted command that is kept on one line.
const QUOTED: usize = 40;

/// The words of `text`, quoted commands of up to [`QUOTED`] characters as one.
fn unbroken(text: &str) -> Vec<String> {
    let clean: String = text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect();
    let mut words: Vec<String> = Vec::new();
    // Words since a backtick was opened.
    let mut quote: Vec<&str> = Vec::new();
    for word in clean.split_whitespace() {
        let flips = word.matches('`').count() % 2 == 1;
        match (quote.is_empty(), flips) {
            (true, false) => words.push(word.to_owned()),
            (true, true) | (false, false) => quote.push(word),
            (false, true) => {
                quote.push(word);
                words.extend(joined(&std::mem::take(&mut quote)));
            }
        }
    }
    words.extend(quote.into_iter().map(str::to_owned));
    words
}

/// The words as one where that is short enough.
fn joined(words: &[&str]) -> Vec<String> {
    let whole = words.join(" ");
    match whole.chars().count() <= QUOTED {
        true => vec![whole],
        false => words.iter().map(|word| (*word).to_owned()).collect(),
    }
}

/// A length in bytes for people: `512 B`, `1.4 KiB`, `120 MiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Tenths of the unit, in whole numbers; the last unit takes all that is larger.
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    match tenths {
        0..1000 => format!("{}.{} {name}", tenths / 10, tenths % 10),
        _ => format!("{} {name}", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        let shown: Vec<String> = [0, 1023, 1024, 1536, 102_400, 126_123_520, 1 << 40, u64::MAX].map(size).into();
        assert_eq!(
            shown,
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "100 KiB", "120 MiB", "1.0 TiB", "16383 PiB"]
                .map(|text| text.to_owned())
        );
    }

    #[test]
    fn no_line_is_wider_than_80_columns_unless_a_word_is() {
        let mut page = Page::new();
        page.fact("overlays", &"connectx3 ".repeat(30));
        page.labelled("  help:", Tone::Accent, &"do this ".repeat(30));
        assert!(page.plain().lines().all(|line| line.chars().count() <= 80), "{}", page.plain());
        assert!(page.plain().lines().count() > 6);
    }

    #[test]
    fn lines_of_a_message_stay_lines() {
        let mut page = Page::new();
        page.labelled("error:", Tone::Bad, "2 checks failed:\n  container: stale\n  vermagic: mixed");
        assert_eq!(page.plain(), "error: 2 checks failed:\n         container: stale\n         vermagic: mixed\n");
    }

    #[test]
    fn control_characters_from_an_image_do_not_reach_the_terminal() {
        let mut page = Page::new();
        page.paragraph(2, "evil \u{1b}[2J name");
        assert_eq!(page.text(), "  evil \u{fffd}[2J name\n");
    }

    #[test]
    fn a_quoted_command_stays_on_one_line() {
        let lines = wrap("Some words before it and then `ibwrt verify x` after", 40);
        assert!(lines.iter().any(|line| line.contains("`ibwrt verify x`")), "{lines:?}");
    }
}
