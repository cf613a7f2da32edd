//! A table for people.

use super::{Rows, line};
use crate::error::{Error, Result};
use arrow::{
    datatypes::SchemaRef,
    util::display::{ArrayFormatter, FormatOptions},
};
use comfy_table::{Cell, CellAlignment, LineStyle, Table, TableStyle};
use futures::StreamExt;

/// One line below the header and no other, as in the rest of Kindred.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

pub(super) async fn write(mut rows: Rows, schema: &SchemaRef, limit: Option<usize>) -> Result<()> {
    let mut table = Table::new();
    table.load_style(STYLE);
    let right: Vec<bool> = schema.fields().iter().map(|f| f.data_type().is_numeric()).collect();
    let cell = |at: usize, text: &str| {
        Cell::new(text).set_alignment(if right[at] { CellAlignment::Right } else { CellAlignment::Left })
    };
    table.set_header(schema.fields().iter().enumerate().map(|(at, f)| cell(at, f.name())));
    let options = FormatOptions::default().with_display_error(true);
    let (mut shown, mut more) = (0, false);
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let part = limit.map_or(batch.num_rows(), |most| batch.num_rows().min(most - shown));
        more = part < batch.num_rows();
        let columns: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect::<Result<_, _>>()?;
        for row in 0..part {
            table.add_row(columns.iter().enumerate().map(|(at, c)| cell(at, &c.value(row).to_string())));
        }
        shown += part;
        if more {
            break;
        }
    }
    let print = |text: &str| line(text).map_err(Error::io("standard output"));
    print(&table.to_string())?;
    let rows = if shown == 1 { "row" } else { "rows" };
    match more {
        true => print(&format!("\nthe first {shown} {rows}; see all with --limit 0, --csv or --json")),
        false => print(&format!("\n{shown} {rows}")),
    }
}
