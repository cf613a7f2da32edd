//! A page view's signals, from text to decision. `cargo bench -p kindred-signals`.

use criterion::{Criterion, criterion_group, criterion_main};
use kindred_signals::{Policy, Signals};
use std::hint::black_box;

/// Few vendors by bit field, with disclosed vendors: written by the IAB's encoder.
const FEW: &str = "CQgYw8AQgYw8AEsACBENAHFsAP_gAEPgAAAAF5wB4AAgAEAAgABkAFAAVAA-ADQBeYF5wB4AAgAEAAgABkAFAAVAA-ADQBeYAAAA.IF5wCoAAgAEAAgABkAFAAVAA-ADQAJgAWwBAALzA";
/// All vendors of a list, 1,200 bits twice.
const ALL: &str = "CQgYw8AQgYw8AEsACBENAHEsAP_gAEPgAAAAJhMUQGG_LGBiMRCgKXBEaYBA98A7xsAgAhCAE4wByCNU-IAVA2EQJA0StqICmBAEqjBBAAFkGBHUAUCgQggFrwCMYAGMhRAAJSBAAAMQIGVYABgJmAliAAAYg7BdQBZg2AeBZcnUGUBhSMhHDzVAEyMEYKAZAIksBMAVARCLAwAIQMTABYBEtAYrkGQQTQkUBIEiJAUkAMsLUQTCYogME6WODEYCABQuCIUQCgr4AnhYBAACEABggBkEQp8QACEsIgABokYUgAMCAJRGACAAIAADOIAIFCgBAKXgEYAAIRAiAAQECAAAYgwMCgABAbERLAAAAxA0CYgAzRkAsgyROoMoBCkZAOHiIAJkAKwUAwAQKIJIAKAAACBAAQgIiEiwCJYAxSIAAgCAYoAUBMSggJAJKWogAAAA";
const NATIONAL: &str = "DBABLA~CVQqGGGGAGBY.QA";

fn decide(c: &mut Criterion) {
    let policy = Policy { vendor: Some(755), ..Policy::default() };
    for (name, signals) in [
        ("few vendors", Signals { tcf: Some(FEW), ..Signals::default() }),
        ("all vendors", Signals { tcf: Some(ALL), ..Signals::default() }),
        ("us national", Signals { gpp: Some(NATIONAL), gpc: true, ..Signals::default() }),
    ] {
        c.bench_function(name, |b| b.iter(|| policy.decide(black_box(&signals))));
    }
}

criterion_group!(benches, decide);
criterion_main!(benches);
