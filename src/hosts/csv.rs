//! Hosts as CSV (RFC 4180): the header names dotted keys, each further line is a host. An empty cell says nothing.

use csv_core::{ReadFieldResult, Reader};
use toml::Value;

use crate::error::{Error, Result};
use crate::recipe::{Document, TextPlaces, dotted, parse_value};

/// A cell: where it begins in the text, and what it holds.
struct Cell {
    at: usize,
    text: String,
}

/// The hosts in `text`, each with its place; errors call the file `name`.
///
/// # Errors
/// No header, a header that is no dotted key or that is there twice, a line with more or fewer cells than the header.
pub(super) fn parse(text: &str, name: &str) -> Result<Vec<Document>> {
    let start = text.len() - text.trim_start_matches('\u{feff}').len();
    let places = TextPlaces::of(text, name);
    let mut records = records(text, start).into_iter();
    let Some(header) = records.next() else {
        return Err(Error::usage("there is no header").at(name).remedy("name the columns: name,ipoib.address"));
    };
    let keys = header.iter().map(|cell| column(cell).map_err(|error| error.at(places.describe(cell.at))));
    let keys = keys.collect::<Result<Vec<Vec<&str>>>>()?;
    for (index, (key, cell)) in keys.iter().zip(&header).enumerate() {
        if keys.iter().take(index).any(|other| other == key) {
            return Err(Error::usage(format!("there are two columns `{}`", cell.text)).at(places.describe(cell.at)));
        }
    }
    let mut hosts = Vec::new();
    for record in records {
        if record.len() != keys.len() {
            let at = record.first().map_or(0, |cell| cell.at);
            let message = format!("{} cells, where the header has {}", record.len(), keys.len());
            return Err(Error::usage(message)
                .at(places.describe(at))
                .remedy("put a cell that holds a comma between double quotes"));
        }
        let mut host = Document::default();
        for (key, cell) in keys.iter().zip(record).filter(|(_, cell)| !cell.text.is_empty()) {
            let place = places.place(cell.at);
            let value = value(key, cell.text);
            host.insert(key, value, &place).map_err(|error| error.at(place.to_string()))?;
        }
        hosts.push(host);
    }
    Ok(hosts)
}

/// The dotted key that heads a column.
fn column(cell: &Cell) -> Result<Vec<&str>> {
    dotted(&cell.text).ok_or_else(|| {
        Error::usage(format!("`{}` is not a dotted key", cell.text))
            .remedy("head the columns by keys, such as name,ipoib.address,vars.rack, separated by commas")
    })
}

/// A cell's value: a list or table where it is written as one; of a free variable, a number where it is plainly one. All
/// else is text, which becomes what its key takes when it is rendered.
fn value(key: &[&str], text: String) -> Value {
    let is_variable = key.first() == Some(&"vars");
    let is_number = !text.starts_with(['0', '+']) || text == "0";
    match parse_value(&text) {
        value @ (Value::Array(_) | Value::Table(_)) => value,
        value @ Value::Integer(_) if is_variable && is_number => value,
        value @ Value::Boolean(_) if is_variable => value,
        _ => Value::String(text),
    }
}

/// The records of `text` from byte `start` on. Empty lines are no records.
fn records(text: &str, start: usize) -> Vec<Vec<Cell>> {
    let mut reader = Reader::new();
    let (mut records, mut record) = (Vec::new(), Vec::new());
    let mut at = start;
    let mut cell = Cell { at, text: String::new() };
    let mut buffer = [0; 1024];
    let mut bytes = Vec::new();
    let mut is_begun = false;
    loop {
        let rest = text.as_bytes().get(at..).unwrap_or_default();
        let (result, read, written) = reader.read_field(rest, &mut buffer);
        if record.is_empty() && !is_begun {
            // The reader skips line ends in front of a record along with its first cell.
            let skipped = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            cell.at = at + skipped.min(read);
            is_begun = read > skipped;
        }
        at += read;
        bytes.extend_from_slice(buffer.get(..written).unwrap_or_default());
        match result {
            ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => {}
            ReadFieldResult::End => return records,
            ReadFieldResult::Field { record_end } => {
                cell.text = String::from_utf8_lossy(&std::mem::take(&mut bytes)).trim().to_owned();
                record.push(std::mem::replace(&mut cell, Cell { at, text: String::new() }));
                if record_end {
                    is_begun = false;
                    records.push(std::mem::take(&mut record));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\u{feff}name,ipoib.address , vars.rack,ipoib.pkeys\r\n\
        h1,10.10.0.1/24,7,\"[1, 2]\"\r\n\r\n\"h\"\"2\",\"a\nb\",07,\r\n";

    #[test]
    fn each_line_is_a_host_and_each_cell_knows_its_place() {
        let hosts = parse(TEXT, "h.csv").unwrap();
        let tables: Vec<_> = hosts.iter().map(|host| &host.table).collect();
        let first = "name='h1'\nipoib={address='10.10.0.1/24', pkeys=[1, 2]}\nvars.rack=7".parse().unwrap();
        let second = "name='h\"2'\nipoib={address=\"a\\nb\"}\nvars.rack='07'".parse().unwrap();
        assert_eq!(tables, [&first, &second]);
        assert_eq!(hosts[0].places.of("ipoib.address").as_deref(), Some("h.csv, line 2, column 4"));
        assert_eq!(hosts[0].places.of("name").as_deref(), Some("h.csv, line 2, column 1"));
        assert_eq!(hosts[1].places.of("name").as_deref(), Some("h.csv, line 4, column 1"));
        assert_eq!(hosts[1].places.of("vars.rack").as_deref(), Some("h.csv, line 5, column 4"));
    }

    #[test]
    fn what_is_no_table_is_refused_at_its_place() {
        for (text, message) in [
            ("", "h.csv: there is no header"),
            ("name;x\n", "h.csv, line 1, column 1: `name;x` is not a dotted key"),
            ("a,name,a\n", "h.csv, line 1, column 8: there are two columns `a`"),
            ("name,x\nh1,1\n\nh2\n", "h.csv, line 4, column 1: 1 cells, where the header has 2"),
            ("a,a.b\n1,2\n", "h.csv, line 2, column 3: `a` is a string, so nothing below it can be set"),
        ] {
            assert_eq!(parse(text, "h.csv").unwrap_err().to_string(), message);
        }
    }
}
