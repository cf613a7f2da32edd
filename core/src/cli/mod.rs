//! The command line. Each subcommand has a file; all print a table for people or, with `--json`, one JSON value.
//!
//! Exit codes: see `EXIT_CODES`.

mod bench;
mod beside;
mod check;
mod dead_letters;
mod explain;
mod out;
mod paint;
mod plan;
mod plugins;
pub mod progress;
mod query;
mod reason;
mod run;
mod segments;
mod serve;
mod signals;
mod table;
mod test;

use crate::{
    Error,
    config::{self, Distributed, Pipeline, Problems},
    log,
    plugin::registry::Registry,
    segment::engine::Engine,
};
use clap::{Args, Parser, Subcommand};
use out::say;
use std::{ffi::OsString, path::PathBuf, process::ExitCode};

/// Shown at the end of every help.
const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed, also a test or a delivery; 2 a wrong file or argument; \
                          3 the world has moved since the plan (run --plan-id); 130 interrupted.";
/// Of a plan that is out of date.
const MOVED: u8 = 3;

/// An open Data Management Platform: collects what people do, joins it into profiles, keeps audiences true and
/// activates them. One pipeline file, plugins for everything that touches the outside.
#[derive(Debug, Parser)]
#[command(name = "kindred", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Show details: what plugins log, the whole text of layout errors.
    #[arg(long, short, global = true)]
    verbose: bool,
    /// Print JSON for machines instead of tables.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a pipeline file: every error at once, with its place and what is allowed.
    Check(File),
    /// Run the tests of a pipeline file, `[[tests]]`: do its segments answer what is expected?
    Test(test::Options),
    /// What a run would change: who would enter and leave each segment, what each destination would get. Changes nothing.
    Plan(plan::Options),
    /// Run a pipeline until its sources end, deliver what changed, print a summary.
    #[command(after_help = EXIT_CODES)]
    Run(run::Options),
    /// Serve a pipeline until it is told to stop: live sources, the Profile API, deliveries now and then. SIGTERM ends it
    /// with nothing lost, SIGHUP has it read its file again.
    #[command(after_help = EXIT_CODES)]
    Serve(serve::Options),
    /// Audiences in the store: sizes, when they changed, whether their definitions are applied; with --members, who is in one.
    Segments(segments::Options),
    /// Why a profile is in a segment, or is not, since when and until when.
    Explain(explain::Options),
    /// Ask the store in SQL: events, profiles, identities, memberships.
    Query(query::Options),
    /// Rows that could not be used: look at them, and send them once more after a fix.
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLetters),
    /// Plugins: built in, or in libraries.
    #[command(subcommand)]
    Plugin(plugins::Command),
    /// Measure how quickly this machine answers for the stored profiles; commits and sends nothing.
    Bench(bench::Options),
    /// Do jobs for pipelines with the distributed engine; see `kindred worker --help`.
    #[command(disable_help_flag = true)]
    Worker(Elsewhere),
    /// Print the JSON Schema of pipeline files, for editors.
    Schema,
}

/// Arguments that another binary reads.
#[derive(Debug, Args)]
struct Elsewhere {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

/// A pipeline file and its variables.
#[derive(Clone, Debug, Args)]
struct File {
    /// The pipeline file.
    file: PathBuf,
    /// Set a variable of `[vars]`. A value that starts with ./ or ../ is a path from the current directory.
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
}

/// Why a command ended early.
enum Failure {
    /// Printed already; exit code 2.
    Reported,
    /// A wrong argument; exit code 2.
    Usage(String),
    /// Exit code 1.
    Failed(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

type Outcome = Result<ExitCode, Failure>;

/// Makes the engine that a pipeline file asks for.
pub type MakeEngine = fn(&Distributed) -> crate::Result<Box<dyn Engine>>;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    main_with(None)
}

/// The same in a binary that has the distributed engine in it.
pub fn main_with(engine: Option<MakeEngine>) -> ExitCode {
    let cli = Cli::parse();
    log::set_verbose(cli.verbose);
    let registry = Registry::new();
    let outcome = match &cli.command {
        Command::Check(file) => check::check(&registry, file, cli.json),
        Command::Test(options) => test::test(&registry, options, cli.json),
        Command::Plan(options) => plan::plan(&registry, options, cli.json),
        Command::Run(options) => run::run(&registry, options, cli.json, engine),
        Command::Serve(options) => serve::run(&registry, options, cli.json),
        Command::Segments(options) => segments::segments(&registry, options, cli.json),
        Command::Explain(options) => explain::explain(&registry, options, cli.json),
        Command::Query(options) => query::run(&registry, options, cli.json),
        Command::DeadLetters(command) => dead_letters::dead_letters(&registry, command, cli.json),
        Command::Plugin(command) => plugins::run(&registry, command, cli.json),
        Command::Bench(options) => bench::bench(&registry, options, cli.json),
        Command::Worker(elsewhere) => {
            let arguments = [OsString::from("worker")].into_iter().chain(elsewhere.rest.clone());
            Err(beside::go_on_as(beside::CLUSTER, arguments).into())
        }
        Command::Schema => check::schema(&registry),
    };
    match outcome {
        Ok(code) => code,
        Err(Failure::Reported) => ExitCode::from(2),
        Err(Failure::Usage(message)) => {
            report(&message, None, cli.json);
            ExitCode::from(2)
        }
        Err(Failure::Failed(Error::Refused(problems))) => {
            show(&problems, cli.json);
            ExitCode::from(2)
        }
        Err(Failure::Failed(error)) => {
            report(&error.to_string(), error.help(), cli.json);
            if matches!(error, Error::Moved { .. }) { ExitCode::from(MOVED) } else { ExitCode::FAILURE }
        }
    }
}

fn report(message: &str, help: Option<String>, json: bool) {
    if json {
        say!("{}", serde_json::json!({"error": message, "help": help}));
        return;
    }
    eprintln!("error: {message}");
    if let Some(help) = help {
        eprintln!("help: {help}");
    }
}

/// Reads the pipeline file; prints every problem.
fn load(registry: &Registry, file: &File, json: bool) -> Result<Pipeline, Failure> {
    let sets: Result<Vec<_>, String> = file.set.iter().map(|s| config::set_argument(s)).collect();
    let sets = sets.map_err(Failure::Usage)?;
    config::load(&file.file, &sets, registry).map_err(|problems| {
        show(&problems, json);
        Failure::Reported
    })
}

/// Everything that is wrong with a pipeline file.
fn show(problems: &Problems, json: bool) {
    if json {
        say!("{}", serde_json::json!({"problems": problems.to_json()}));
    } else {
        eprint!("{}", problems.report());
    }
}

/// An argument that is a moment, in microseconds since 1970.
fn time(argument: &str) -> Result<i64, String> {
    let time = argument.parse::<jiff::Timestamp>();
    time.map(|time| time.as_microsecond()).map_err(|e| format!("not a time like 2026-01-31T12:00:00Z: {e}"))
}

fn unknown_segment(segment: &str) -> Failure {
    Error::NotFound(format!("there is no segment `{segment}` in the pipeline")).into()
}

fn print_json(value: &impl serde::Serialize) {
    say!("{}", serde_json::json!(value));
}
