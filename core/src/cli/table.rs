//! Tables on a terminal.

use super::out::say;
use comfy_table::{Cell, CellAlignment, LineStyle, Table, TableStyle};

/// One line below the header and no other.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// Prints a table; columns whose title starts with `>` are numbers, to the right.
pub(super) fn print(title: &str, header: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    let mut table = Table::new();
    table.load_style(STYLE);
    let right = |at: usize| header[at].starts_with('>');
    let cell = |at: usize, text: &str| {
        let alignment = if right(at) { CellAlignment::Right } else { CellAlignment::Left };
        Cell::new(text).set_alignment(alignment)
    };
    table.set_header(header.iter().enumerate().map(|(at, t)| cell(at, t.trim_start_matches('>'))));
    for row in rows {
        table.add_row(row.iter().enumerate().map(|(at, text)| cell(at, text)));
    }
    if !title.is_empty() {
        say!("{title}");
    }
    say!("{table}\n");
}

/// A number with thousands apart.
pub(super) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The same, with nothing for zero, so that what happened stands out.
pub(super) fn count(value: u64) -> String {
    if value == 0 { String::new() } else { number(value) }
}
