//! `kindred dead-letters`.

use super::{File, Outcome, load, out::say, print_json, progress::Progress, table};
use crate::{
    plugin::registry::Registry,
    step::replay::{Replay, replay},
    store::{Store, dead_letters::Wanted},
};
use clap::{Args, Subcommand};
use std::process::ExitCode;
use table::{count, number};

#[derive(Debug, Subcommand)]
pub(super) enum DeadLetters {
    /// List them, oldest first.
    List {
        #[command(flatten)]
        file: File,
        #[command(flatten)]
        filter: Filter,
        /// At most so many; 0 for all.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Send their rows once more through schema, enrichments and gates, after what was wrong with them has been mended. What
    /// succeeds leaves the dead letters in the same commit, what fails again stays with its new reason. Rows that their
    /// source itself could not read are not kept: let it bring them again. Nothing is delivered; the next run does that.
    Replay {
        #[command(flatten)]
        file: File,
        #[command(flatten)]
        filter: Filter,
        /// Say what would become of the rows, and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// No progress line.
        #[arg(long, short)]
        quiet: bool,
    },
}

/// Which letters; each option narrows.
#[derive(Debug, Args)]
pub(super) struct Filter {
    /// Only rows that this source brought.
    #[arg(long)]
    source: Option<String>,
    /// Only those rejected at this stage: source, schema, enrichment, identity or destination.
    #[arg(long)]
    stage: Option<String>,
    /// Only those rejected by this source, enrichment or destination.
    #[arg(long)]
    instance: Option<String>,
    /// Only those with this reason code.
    #[arg(long)]
    code: Option<String>,
    /// Only these, by their numbers.
    #[arg(long, value_name = "N", num_args = 1..)]
    number: Vec<u64>,
}

impl Filter {
    fn wanted(&self) -> Wanted {
        let Self { source, stage, instance, code, number } = self;
        let (source, stage) = (source.clone(), stage.clone());
        Wanted { source, stage, instance: instance.clone(), code: code.clone(), numbers: number.clone() }
    }
}

pub(super) fn dead_letters(registry: &Registry, command: &DeadLetters, json: bool) -> Outcome {
    match command {
        DeadLetters::List { file, filter, limit } => list(registry, file, &filter.wanted(), *limit, json),
        DeadLetters::Replay { file, filter, dry_run, quiet } => {
            let pipeline = load(registry, file, json)?;
            let progress = Progress::start(*quiet || json);
            let done = replay(&pipeline, registry, &progress, &filter.wanted(), *dry_run)?;
            drop(progress);
            if json {
                print_json(&done);
            } else {
                print(&done);
            }
            Ok(if done.stuck.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

fn list(registry: &Registry, file: &File, wanted: &Wanted, limit: usize, json: bool) -> Outcome {
    let pipeline = load(registry, file, json)?;
    let store = Store::existing(&pipeline.store)?;
    let mut letters = store.dead_letters()?;
    letters.retain(|letter| wanted.is(letter));
    let all = letters.len();
    letters.truncate(if limit == 0 { all } else { limit });
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
            if l.kept.is_some() { "kept" } else { "" }.to_owned(),
            payload,
        ]
    });
    table::print("", &[">#", "where", "row", "code", "reason", "row kept", "as found"], rows.collect());
    say!("{} of {} dead letters", number(letters.len() as u64), number(all as u64));
    Ok(ExitCode::SUCCESS)
}

fn print(done: &Replay) {
    let rows = done.sources.iter().map(|(name, s)| {
        let reasons: Vec<String> =
            s.reasons.iter().map(|(code, n)| format!("{code} {}", number(*n))).collect();
        let again = match s.rejected {
            0 => String::new(),
            n => format!("{} ({})", number(n), reasons.join(", ")),
        };
        let cells = [s.read, s.events, s.attributes, s.duplicates, s.suppressed].map(count);
        [name.clone()].into_iter().chain(cells).chain([again]).collect()
    });
    let header =
        ["source", ">replayed", ">events", ">attributes", ">duplicates", ">no consent", ">rejected again"];
    table::print("", &header, rows.collect());
    for stuck in &done.stuck {
        say!("{} rows of `{}` could not be tried: {}", number(stuck.letters), stuck.source, stuck.error);
    }
    for (stage, letters) in &done.without_row {
        let why = match stage.as_str() {
            "source" => {
                "their source could not read them: mend its data or its options, and let it bring them again"
            }
            "destination" => "they are rows of a delivery, which is not repeated",
            _ => {
                "nothing of them could be kept, for want of consent, by their age or because of raw identifiers"
            }
        };
        say!("{} letters of stage `{stage}` have no row to replay: {why}", number(*letters));
    }
    let replayed: u64 = done.sources.values().map(|s| s.read).sum();
    let taken = replayed - done.sources.values().map(|s| s.rejected).sum::<u64>();
    say!(
        "{} of {} rows {}",
        number(taken),
        number(replayed),
        if done.dry_run { "would be taken in; nothing was changed" } else { "were taken in" }
    );
}
