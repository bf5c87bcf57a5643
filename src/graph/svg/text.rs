//! Text in a picture: escaping, and how much room it takes. Fonts are the viewer's; the widths are those of a wide one.

/// Width of a character in a plain and in a bold wide font (DejaVu Sans), in parts of the font's size.
const ADVANCES: [f64; 2] = [0.60, 0.68];

/// `text` for use between tags and in attributes. Characters that XML 1.0 has no way to write are replaced.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push('\n'),
            control if control.is_control() || matches!(control, '\u{fffe}' | '\u{ffff}') => {
                out.push(char::REPLACEMENT_CHARACTER);
            }
            other => out.push(other),
        }
    }
    out
}

/// At most so many pixels wide.
pub(super) fn width(text: &str, size: f64, bold: bool) -> f64 {
    // Characters beyond Latin and punctuation may be as wide as they are high.
    let wide = text.chars().filter(|character| u32::from(*character) > 0x2fff).count();
    let [plain, strong] = ADVANCES;
    let advance = if bold { strong } else { plain };
    let pixels = |count: usize, advance: f64| f64::from(u32::try_from(count).unwrap_or(u32::MAX)) * advance * size;
    pixels(text.chars().count().saturating_sub(wide), advance) + pixels(wide, 1.05)
}

/// How many characters fit.
pub(super) fn fitting(room: f64, size: f64, bold: bool) -> usize {
    let mut line = String::new();
    let mut count = 0_usize;
    while count < 1000 {
        line.push('x');
        if width(&line, size, bold) > room {
            break;
        }
        count = count.saturating_add(1);
    }
    count
}

/// `text` of at most `most` characters; what is longer ends in an ellipsis.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// `text` in lines of at most `most` characters, broken at blanks where there are any.
pub(super) fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let length = lines.last().map_or(0, |line| line.chars().count());
        let fits = length == 0 || length.saturating_add(1 + word.chars().count()) <= most;
        if !fits {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&cut(word, most));
        }
    }
    lines
}
