//! `kindred dead-letters`.

use super::{File, Outcome, load, out::say, print_json, table};
use crate::{plugin::registry::Registry, store::Store};
use clap::Subcommand;
use std::process::ExitCode;
use table::number;

#[derive(Debug, Subcommand)]
pub(super) enum DeadLetters {
    /// List them, oldest first.
    List {
        #[command(flatten)]
        file: File,
        /// Only this source, enrichment or destination.
        #[arg(long)]
        instance: Option<String>,
        /// Only this reason code.
        #[arg(long)]
        code: Option<String>,
        /// At most so many; 0 for all.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
}

pub(super) fn dead_letters(registry: &Registry, command: &DeadLetters, json: bool) -> Outcome {
    let DeadLetters::List { file, instance, code, limit } = command;
    let pipeline = load(registry, file, json)?;
    let store = Store::existing(&pipeline.store)?;
    let wanted = |asked: &Option<String>, is: &str| asked.as_ref().is_none_or(|a| a == is);
    let mut letters = store.dead_letters()?;
    letters.retain(|l| wanted(instance, &l.instance) && wanted(code, &l.code));
    let all = letters.len();
    letters.truncate(if *limit == 0 { all } else { *limit });
    if json {
        print_json(&letters);
        return Ok(ExitCode::SUCCESS);
    }
    let rows = letters.iter().map(|l| {
        let payload: String =
            l.payload.chars().take(60).map(|c| if c.is_control() { '·' } else { c }).collect();
        let place = format!("{}:{}", l.origin, l.row);
        vec![
            l.number.to_string(),
            format!("{} {}", l.stage, l.instance),
            place,
            l.code.clone(),
            l.message.clone(),
            payload,
        ]
    });
    table::print("", &[">#", "where", "row", "code", "reason", "as found"], rows.collect());
    say!("{} of {} dead letters", number(letters.len() as u64), number(all as u64));
    Ok(ExitCode::SUCCESS)
}
