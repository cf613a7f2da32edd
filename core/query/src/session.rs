//! The engine over one published generation: its four tables, its limits, and what is different from its defaults.

use crate::{
    Prepare,
    arguments::Arguments,
    error::{Error, Result},
    intervals::CompareIntervals,
    limits,
};
use arrow::datatypes::SchemaRef;
use datafusion::{
    dataframe::DataFrame,
    datasource::{
        file_format::parquet::ParquetFormat,
        listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl},
    },
    error::DataFusionError,
    execution::{
        SendableRecordBatchStream, SessionState, SessionStateBuilder,
        context::{SQLOptions, SessionContext},
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::FairSpillPool,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    logical_expr::LogicalPlan,
    optimizer::AnalyzerRule,
    prelude::SessionConfig,
};
use kindred_core::publish::{Table, read::Snapshot};
use std::{
    fs::{self, File},
    path::Path,
    sync::Arc,
};
use tempfile::TempDir;
use url::Url;

/// How folders for what does not fit into memory are called.
const SPILL: &str = "kindred-query-";

/// Tables, ready to be asked.
pub(crate) struct Session {
    context: SessionContext,
    /// The files stay as long as it lives.
    _snapshot: Snapshot,
    as_of_us: i64,
    _spill: Spill,
}

/// A planned query; the files that it reads stay as long as it lives.
pub(crate) struct Query<'a> {
    frame: DataFrame,
    _session: &'a Session,
}

impl Session {
    /// Opens what was published; `prepare` says where plans are executed.
    pub(crate) async fn open(arguments: &Arguments, prepare: Prepare<'_>) -> Result<Self> {
        let snapshot = Snapshot::open(&arguments.snapshot)?;
        let parent = arguments.spill.clone().unwrap_or_else(std::env::temp_dir);
        let spill = Spill::new(&parent).map_err(Error::io(parent))?;
        let runtime = runtime(spill.folder.path(), limits::memory(arguments)).map_err(Error::Engine)?;
        let builder = SessionStateBuilder::new()
            .with_config(config())
            .with_runtime_env(Arc::new(runtime))
            .with_default_features();
        let context = SessionContext::from(prepare(builder).map_err(Error::Engine)?.build());
        context.add_analyzer_rule(Arc::new(CompareIntervals));
        for table in Table::ALL {
            let files = snapshot.manifest().files(table).iter();
            let urls = files.map(|file| url(&arguments.snapshot.join(&file.path))).collect::<Result<_>>()?;
            register(&context, table.name(), urls).await.map_err(Error::Engine)?;
        }
        let as_of_us = arguments.as_of.map_or(snapshot.manifest().as_of_us, |time| time.as_microsecond());
        Ok(Self { context, _snapshot: snapshot, as_of_us, _spill: spill })
    }

    /// Plans one query, which may read and nothing else.
    pub(crate) async fn plan(&self, sql: &str) -> Result<Query<'_>> {
        let state = self.state();
        let plan = state.create_logical_plan(sql).await.map_err(Error::Plan)?;
        let reads =
            SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        reads.verify_plan(&plan).map_err(|e| Error::Refused(refusal(&e)))?;
        // Analysis finds what planning leaves, types above all; it is done here, so that it is told as a wrong query.
        let nothing = |_: &LogicalPlan, _: &dyn AnalyzerRule| {};
        state
            .analyzer()
            .execute_and_check(plan.clone(), state.config_options(), nothing)
            .map_err(Error::Plan)?;
        Ok(Query { frame: DataFrame::new(state, plan), _session: self })
    }

    /// With the clock of the answers.
    fn state(&self) -> SessionState {
        let mut state = self.context.state();
        state.execution_props_mut().query_execution_start_time =
            chrono::DateTime::from_timestamp_micros(self.as_of_us);
        state
    }
}

/// A folder for what does not fit into memory, removed with everything in it when the session ends.
struct Spill {
    folder: TempDir,
    /// Locked while the process lives.
    _lock: File,
}

impl Spill {
    /// Makes one, and removes those of processes that the system stopped.
    fn new(parent: &Path) -> std::io::Result<Self> {
        for entry in fs::read_dir(parent)?.flatten() {
            let ours = entry.file_name().to_string_lossy().starts_with(SPILL);
            if ours && File::open(entry.path()).is_ok_and(|folder| folder.try_lock().is_ok()) {
                // What cannot be removed is not worth an error of this query.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        loop {
            let folder = tempfile::Builder::new().prefix(SPILL).tempdir_in(parent)?;
            // Another process may have taken it for a leftover before it was locked.
            let Ok(lock) = File::open(folder.path()) else { continue };
            lock.lock()?;
            if folder.path().exists() {
                return Ok(Self { folder, _lock: lock });
            }
        }
    }
}

impl Query<'_> {
    pub(crate) fn schema(&self) -> SchemaRef {
        self.frame.schema().inner().clone()
    }

    pub(crate) async fn run(self) -> Result<SendableRecordBatchStream> {
        self.frame.execute_stream().await.map_err(Error::Engine)
    }
}

/// What an operator expects of SQL: nulls last in either order; times in UTC; tables that can be listed.
fn config() -> SessionConfig {
    let mut config = SessionConfig::new().with_information_schema(true);
    let options = config.options_mut();
    options.sql_parser.default_null_ordering = "nulls_last".into();
    options.execution.time_zone = Some("+00:00".into());
    options.execution.parquet.schema_force_view_types = false;
    config
}

/// Half of the memory is the engine's to share out among the operators that count what they take; the other half is for
/// those that do not, for what they read, and for the program.
fn runtime(spill: &Path, memory: u64) -> Result<RuntimeEnv, DataFusionError> {
    let pool = FairSpillPool::new(usize::try_from(memory / 2).unwrap_or(usize::MAX));
    let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Directories(vec![spill.to_owned()]));
    RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).with_disk_manager_builder(disk).build()
}

fn url(path: &Path) -> Result<ListingTableUrl> {
    let whole = std::path::absolute(path).map_err(Error::io(path))?;
    let url = Url::from_file_path(&whole).map_err(|()| {
        Error::io(&whole)(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            "not a path that can be named",
        ))
    })?;
    ListingTableUrl::try_new(url, None).map_err(Error::Engine)
}

async fn register(
    context: &SessionContext,
    name: &str,
    files: Vec<ListingTableUrl>,
) -> Result<(), DataFusionError> {
    let options = ListingOptions::new(Arc::new(ParquetFormat::default()));
    let config = ListingTableConfig::new_with_multi_paths(files).with_listing_options(options);
    let config = config.infer_schema(&context.state()).await?;
    context.register_table(name, Arc::new(ListingTable::try_new(config)?))?;
    Ok(())
}

/// What stood there instead of a query.
fn refusal(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::Plan(text) => {
            let what = text.rsplit(": ").next().unwrap_or(text);
            format!("`{what}` is not one")
        }
        other => other.strip_backtrace(),
    }
}
