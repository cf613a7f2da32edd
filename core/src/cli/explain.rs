//! `kindred explain`.

use super::{Failure, File, Outcome, load, out::say, paint::Paint, print_json, reason};
use crate::{
    Error,
    config::Pipeline,
    plugin::{Plugins, registry::Registry},
    profile::Profile,
    segment::{
        Segments,
        turns::{Since, Turns, Until, turns},
    },
    step::{moment, text},
    store::Store,
};
use clap::Args;
use kindred_plugin_api::Reason;
use serde_json::{Value, json};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: File,
    /// The segment.
    segment: String,
    /// An identifier of the profile, `NAMESPACE:VALUE`.
    identifier: String,
    /// Ask about another moment, RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    as_of: Option<i64>,
}

/// What is found out.
struct Answer {
    profile: u32,
    as_of_us: i64,
    consents: bool,
    committed: bool,
    reason: Reason,
    turns: Turns,
}

impl Answer {
    fn is_member(&self) -> bool {
        self.reason.holds == Some(true) && self.consents
    }
}

pub(super) fn explain(registry: &Registry, options: &Options, json: bool) -> Outcome {
    let pipeline = load(registry, &options.file, json)?;
    let Some((namespace, value)) = options.identifier.split_once(':') else {
        return Err(Failure::Usage(format!("`{}` is not NAMESPACE:VALUE", options.identifier)));
    };
    let Some(segment) = pipeline.segments.iter().find(|s| s.name == options.segment) else {
        return Err(super::unknown_segment(&options.segment));
    };
    let mut store = Store::look(&pipeline.store)?;
    let now = moment(&pipeline, &store);
    let moment = now.at(options.as_of.unwrap_or(now.as_of_us));
    let Some(profile) = store.identity.find(&store.tables, namespace, value)? else {
        return Err(
            Error::NotFound(format!("no profile has an identifier `{namespace}` with this value")).into()
        );
    };
    let segments = Segments::open(&needed(&pipeline, registry, &options.segment), registry, &store)?;
    let reason = segments.explain(&mut store, &options.segment, profile, &moment)?;
    let record = store.profiles.get(&store.tables, profile)?;
    let committed = segments.members().get(&options.segment).is_some_and(|m| m.contains(profile));
    let turns = turns(&segments, &mut store, &options.segment, profile, &moment)?;
    let consents = record.consents();
    let answer = Answer { profile, as_of_us: moment.as_of_us, consents, committed, reason, turns };
    if json {
        print_json(&told(options, &answer));
    } else {
        print(options, &segment.title, &answer, &record);
    }
    Ok(ExitCode::SUCCESS)
}

/// The segment and what it builds on; with a model among them everything, because a model is kept for all its segments.
fn needed(pipeline: &Pipeline, registry: &Registry, segment: &str) -> Pipeline {
    let narrowed = pipeline.narrowed([segment]);
    let is_model = |plugin: &str| {
        registry.find(plugin, &pipeline.base_dir).is_ok_and(|plugin| plugin.manifest.can("model"))
    };
    if narrowed.segments.iter().any(|s| s.model || is_model(&s.plugin)) { pipeline.clone() } else { narrowed }
}

/// `since` and `until` are null where consent is missing; each is `{"at": T}`, or `{"at_or_before": T}` and
/// `{"at_least": T}` where the search ended, or the words `always` and `forever`.
fn told(options: &Options, answer: &Answer) -> Value {
    let since = match answer.turns.since {
        Since::At(us) => json!({"at": text(us)}),
        Since::AtOrBefore(us) => json!({"at_or_before": text(us)}),
        Since::Always => json!("always"),
    };
    let until = match answer.turns.until {
        Until::At(us) => json!({"at": text(us)}),
        Until::AtLeast(us) => json!({"at_least": text(us)}),
        Until::Forever => json!("forever"),
    };
    let known = |value: Value| if answer.consents { value } else { Value::Null };
    json!({
        "segment": options.segment, "profile": answer.profile, "as_of": text(answer.as_of_us),
        "member": answer.is_member(), "committed": answer.committed, "consent": answer.consents,
        "since": known(since), "until": known(until), "reason": answer.reason,
    })
}

fn print(options: &Options, title: &str, answer: &Answer, record: &Profile) {
    let paint = Paint::stdout();
    let at = |us: i64| text(us).unwrap_or_default();
    let is = if answer.is_member() { paint.good("is in") } else { paint.bad("is not in") };
    let (identifier, segment) = (paint.strong(&options.identifier), paint.strong(&options.segment));
    say!("{identifier} {is} `{segment}` as of {}", at(answer.as_of_us));
    if title != options.segment {
        say!("  {}", paint.faint(title));
    }
    if answer.consents {
        let (came, goes) =
            if answer.is_member() { ("entered", "leaves") } else { ("outside since", "enters") };
        match answer.turns.since {
            Since::At(us) => say!("  {came} {}", at(us)),
            Since::AtOrBefore(us) => say!("  {came} {} or earlier", at(us)),
            Since::Always if answer.is_member() => say!("  inside from before its first event"),
            Since::Always => say!("  never inside before"),
        }
        match answer.turns.until {
            Until::At(us) => say!("  {goes} {}, unless something new happens", at(us)),
            Until::AtLeast(us) => say!("  stays so at least until {}", at(us)),
            Until::Forever => say!("  stays so until something new happens"),
        }
    } else {
        match &record.consent {
            Some(said) => {
                let version =
                    if said.version.is_empty() { String::new() } else { format!(" ({})", said.version) };
                say!(
                    "{} consent: {} since {}{version}",
                    paint.bad("✗"),
                    said.reach.text(),
                    at(said.since_us)
                );
            }
            None => say!("{} consent: never given", paint.bad("✗")),
        }
    }
    if options.as_of.is_none() && answer.committed != answer.is_member() {
        let held = if answer.committed { "inside" } else { "outside" };
        say!(
            "  {}",
            paint.unsure(&format!("the last commit has it {held}; the next run brings that up to date"))
        );
    }
    say!("");
    reason::print(paint, &answer.reason, 0);
}
