//! The query engine, which is a program of its own: `kindred-query`, found beside `kindred` the way cargo and git find
//! subcommands. It reads what was published, never the store.

use crate::{
    Error, Result,
    config::{self, Distributed, Pipeline},
    profile::batch::Moment,
    publish::{self, Manifest, Options},
    store::Store,
};
use roaring::RoaringBitmap;
use std::{
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

/// Name of the program.
const PROGRAM: &str = "kindred-query";
/// Of the one that has workers execute the plans; it takes the same arguments and some more.
const CLUSTER: &str = "kindred-cluster";
/// The system's signal for a program that gave up.
const ABORTED: i32 = 6;

/// Where the tables of a pipeline's store are published for its own queries: where the workers see them, if it has any.
pub fn published(pipeline: &Pipeline) -> PathBuf {
    match &pipeline.engine {
        config::Engine::Embedded => pipeline.store.join("published"),
        config::Engine::Distributed(workers) => workers.shared.clone(),
    }
}

/// Publishes the store unless what is published is of its last commit.
///
/// Events and attributes expire while nothing is committed, too; the last of them may still be there, as far as
/// [`Moment::is_near`] goes.
///
/// # Errors
/// When the store or the disk fails.
pub fn refresh(store: &mut Store, dir: &Path, moment: &Moment) -> Result<Manifest> {
    let fresh =
        |manifest: &Manifest| manifest.commit == store.totals.commits && moment.is_near(&manifest.moment());
    // What cannot be read is published again.
    if let Some(manifest) = Manifest::find(dir).ok().flatten().filter(fresh) {
        return Ok(manifest);
    }
    let options = Options { buckets: publish::buckets(store), moment: moment.clone() };
    std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
    publish::publish(store, dir, &options)
}

/// The program, and what it is always told.
#[derive(Clone, Debug)]
pub struct Engine(PathBuf, Vec<String>);

impl Engine {
    /// The one beside this program that suits a pipeline's engine.
    ///
    /// # Errors
    /// [`Error::NotFound`] with what to do.
    pub fn find(engine: &config::Engine) -> Result<Self> {
        let (name, arguments) = match engine {
            config::Engine::Embedded => (PROGRAM, Vec::new()),
            config::Engine::Distributed(options) => (CLUSTER, on_workers(options)),
        };
        let this = std::env::current_exe().map_err(Error::io("the path of this program"))?;
        let program = this.with_file_name(name);
        if program.is_file() {
            return Ok(Self(program, arguments));
        }
        Err(Error::NotFound(format!(
            "SQL needs the query engine, and there is no `{}`: build it with `cargo build --release -p {name}`, or \
             put it there",
            program.display()
        )))
    }

    /// A call of it; `as_of_us` is what `now()` answers.
    pub fn command(&self, snapshot: &Path, as_of_us: i64) -> Command {
        let mut command = Command::new(&self.0);
        command.args(&self.1).arg("--snapshot").arg(snapshot);
        if let Some(as_of) = crate::step::text(as_of_us) {
            command.args(["--as-of", &as_of]);
        }
        // What it says is for the operator.
        command.stdin(Stdio::null()).env("RUST_BACKTRACE", "0");
        command
    }

    /// The profiles that a segment's query answers with.
    ///
    /// # Errors
    /// What the query engine says, or how it ended; an answer is a whole one.
    pub fn members(&self, snapshot: &Path, as_of_us: i64, sql: &str) -> Result<RoaringBitmap> {
        let answer = self.ask(self.command(snapshot, as_of_us).args(["--members", "--", sql]))?;
        RoaringBitmap::deserialize_from(&*answer)
            .map_err(|e| Error::Query(format!("the answer of {PROGRAM} cannot be read: {e}")))
    }

    /// Whether a segment's query can be planned over what was published.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, snapshot: &Path, as_of_us: i64, sql: &str) -> Result<()> {
        self.ask(self.command(snapshot, as_of_us).args(["--check", "--", sql])).map(drop)
    }

    fn ask(&self, command: &mut Command) -> Result<Vec<u8>> {
        let output = command.output().map_err(Error::io(&self.0))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let lines = said.lines().map(|line| line.strip_prefix("error: ").unwrap_or(line));
        let said = lines.filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("; ");
        Err(Error::Query(match ended(output.status) {
            Some(how) => format!("{how}; it said: {said}"),
            None => said,
        }))
    }
}

/// A query for `kindred-cluster`: on which workers, and how often it is tried.
fn on_workers(options: &Distributed) -> Vec<String> {
    let (deadline, retries) = (format!("{} ms", options.deadline_ms), options.retries.to_string());
    let workers = options.workers.join(",");
    ["query", "--workers", &workers, "--deadline", &deadline, "--retries", &retries].map(str::to_owned).into()
}

/// How the program ended where it could not tell itself.
pub fn ended(status: ExitStatus) -> Option<String> {
    Some(match status.signal()? {
        ABORTED => format!("{PROGRAM} gave up: most often it needs more memory than --memory allows"),
        signal => format!("{PROGRAM} was ended by signal {signal}"),
    })
}
