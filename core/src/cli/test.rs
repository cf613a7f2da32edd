//! `kindred test`.

use super::{Failure, File, Outcome, load, out::say, paint::Paint, print_json, reason};
use crate::{
    plugin::registry::Registry,
    testing::{self, Verdict, Wrong},
};
use clap::Args;
use serde_json::json;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: File,
    /// Only tests with this in their name.
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
}

pub(super) fn test(registry: &Registry, options: &Options, json: bool) -> Outcome {
    let pipeline = load(registry, &options.file, json)?;
    let wanted = |name: &str| options.filter.as_ref().is_none_or(|part| name.contains(part.as_str()));
    let cases: Vec<_> = pipeline.tests.list.iter().filter(|case| wanted(&case.name)).collect();
    if cases.is_empty() {
        return Err(Failure::Usage(match pipeline.tests.list.len() {
            0 => "the pipeline file has no tests: write one with `[[tests]]`".to_owned(),
            all => format!("none of its {all} tests has this in its name"),
        }));
    }
    let paint = Paint::stdout();
    let mut verdicts = Vec::new();
    for case in cases {
        let verdict = testing::run(&pipeline, registry, case);
        if !json {
            print(paint, &verdict);
        }
        verdicts.push(verdict);
    }
    let failed = verdicts.iter().filter(|verdict| !verdict.passed).count();
    if json {
        print_json(&json!({"passed": verdicts.len() - failed, "failed": failed, "tests": verdicts}));
    } else {
        say!("{} passed, {failed} failed", verdicts.len() - failed);
    }
    Ok(if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(paint: Paint, verdict: &Verdict) {
    let mark = if verdict.passed { paint.good("✓") } else { paint.bad("✗") };
    say!("{mark} {}", verdict.test);
    if let Some(error) = &verdict.error {
        say!("    {error}");
    }
    for outcome in &verdict.segments {
        if outcome.missing.is_empty() && outcome.unexpected.is_empty() {
            continue;
        }
        let list = |keys: &std::collections::BTreeSet<String>| match keys.len() {
            0 => "nobody".to_owned(),
            _ => keys.iter().cloned().collect::<Vec<_>>().join(", "),
        };
        let (expected, found) = (list(&outcome.expected), list(&outcome.found));
        say!("  `{}`: expected {expected}; found {found}", paint.strong(&outcome.segment));
        outcome.missing.iter().for_each(|w| wrong(paint, w, &paint.bad("- missing")));
        outcome.unexpected.iter().for_each(|w| wrong(paint, w, &paint.bad("+ too many")));
    }
}

fn wrong(paint: Paint, wrong: &Wrong, word: &str) {
    say!("  {word}: {}", paint.strong(&wrong.profile));
    if !wrong.consents {
        say!("    {} consent: denied", paint.bad("✗"));
    }
    match &wrong.reason {
        Some(found) => reason::print(paint, found, 2),
        None => say!("    the plugin gives no reasons"),
    }
}
