//! What a file source is: files in sorted order, polled in batches that never cross a file, and a position behind
//! every batch.

use crate::{
    assemble::{Origin, assemble},
    catalogue::Catalogue,
    chunk::{Header, Reader},
    files::{File, Format, places, resolve},
    mapping::Mapping,
    options::Names,
    plan::Plan,
    position::{Mark, Position, Progress},
    read,
    written::TextConfig,
};
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use kindred_objects::{Address, StoreConfig, Stores};
use kindred_plugin_api::{Context, Fault, Poll, Problem, Result, Rows};
use std::{collections::VecDeque, sync::Arc};

/// Headers that `check` looks at, and footers that tell the exact backlog; of more files these are the first.
const LOOKED_AT: usize = 256;
/// The same of objects: each costs a request.
const OBJECTS_LOOKED_AT: usize = 16;

/// Where rows come from; the options `path`, `store`, `format` and `text` of every file source.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Files, folders, globs; of this machine or of an object store.
    pub path: Names,
    /// How the store is reached.
    pub store: StoreConfig,
    /// Their format, where their names do not tell.
    pub format: Option<Format>,
    /// How text files are written.
    pub text: TextConfig,
}

/// Reads files as the rows of a mapping. A plugin wraps it and passes its calls on.
pub struct FileSource {
    context: Context,
    text: TextConfig,
    plan: Plan,
    catalogue: Option<Catalogue>,
    queue: VecDeque<Waiting>,
    current: Option<Current>,
    position: Position,
    /// The position has moved since a batch carried it.
    moved: bool,
    bytes_per_row: Option<f64>,
}

struct Waiting {
    file: File,
    bytes: u64,
    rows: Option<u64>,
}

struct Current {
    file: File,
    begun: Progress,
    fingerprint: String,
    reader: Box<dyn Reader>,
}

/// What is wrong with the options of a file source, as far as can be told without looking at files.
pub fn problems(files: &Files, mapping: &Mapping) -> Vec<Problem> {
    let mut problems = files.text.problems("/text");
    problems.extend(files.store.problems("/store"));
    let addresses: Vec<_> =
        places(&files.path, "/path").map(|(at, text)| Address::parse(text, &at)).collect();
    let elsewhere = mapping.catalogue.as_ref().is_some_and(|catalogue| catalogue.path.contains("://"));
    if files.store != StoreConfig::default() && !elsewhere && addresses.iter().all(|found| *found == Ok(None))
    {
        let problem = Problem::new("/store", "`store` is of addresses, and `path` is none");
        problems.push(problem.help("as `s3://bucket/logs/*.jsonl.gz`, `gs://…`, `az://…`"));
    }
    problems.extend(addresses.into_iter().filter_map(Result::err));
    problems
        .extend(mapping.catalogue.iter().flat_map(|catalogue| catalogue.text.problems("/catalogue/text")));
    problems.extend(mapping.problems());
    problems
}

/// Looks whether the files are there and have the columns of the mapping.
///
/// # Errors
/// CONFIG for a path or column that is not there, PERMANENT for a broken Parquet file, TRANSIENT when a file cannot
/// be read.
pub fn check(files: &Files, mapping: &Mapping, context: &Context) -> Result<()> {
    let mut stores = Stores::new(&files.store, context);
    let found = resolve(&files.path, files.format, "/path", &mut stores, context)?;
    let (plan, _) = plan(files, mapping, &found, &mut stores, context)?;
    let objects = found.iter().any(|file| file.place.listed().is_some());
    for file in found.iter().take(if objects { OBJECTS_LOOKED_AT } else { LOOKED_AT }) {
        lacks_nothing(&plan, file, header(file, &files.text, &plan.slots, context)?.as_ref())?;
    }
    Ok(())
}

impl FileSource {
    /// Opens the files behind the position of the context.
    ///
    /// # Errors
    /// As [`check`]; PERMANENT for a position that is not one of a file source.
    pub fn open(files: &Files, mapping: &Mapping, context: Context) -> Result<Self> {
        let position = context.state().map(Position::from_bytes).transpose()?.unwrap_or_default();
        let mut stores = Stores::new(&files.store, &context);
        let found = resolve(&files.path, files.format, "/path", &mut stores, &context)?;
        let (plan, catalogue) = plan(files, mapping, &found, &mut stores, &context)?;
        let mut queue = VecDeque::new();
        for file in found {
            let counted = queue.len() < LOOKED_AT;
            queue.extend(waiting(file, &position, &files.text, counted, &context)?);
        }
        let text = files.text.clone();
        let (current, moved, bytes_per_row) = (None, false, None);
        Ok(Self { context, text, plan, catalogue, queue, current, position, moved, bytes_per_row })
    }

    /// The schema of every batch.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.plan.schema)
    }

    /// The next rows: batch and rejects together are `max_rows` while the current file has that many.
    ///
    /// # Errors
    /// TRANSIENT when a file cannot be read now, CONFIG when a later file lacks a column, PERMANENT when it is broken.
    /// The position stays; a further call tries again.
    pub fn poll(&mut self, max_rows: usize) -> Result<Poll> {
        loop {
            let Some(mut current) = self.current()? else {
                let last = std::mem::take(&mut self.moved);
                let nothing = || (RecordBatch::new_empty(self.schema()), Vec::new());
                return if last { self.rows(nothing()) } else { Ok(Poll::End) };
            };
            let made = current.reader.next(max_rows.max(1)).and_then(|chunk| {
                let end = chunk.end;
                let origin = Origin { name: &current.file.name, fingerprint: &current.fingerprint };
                Ok((assemble(&self.plan, self.catalogue.as_ref(), chunk, &origin)?, end))
            });
            let (made, end) = match made {
                Ok(made) => made,
                Err(fault) => {
                    // The next call enters the file again, at the last position.
                    self.queue.push_front(Waiting { bytes: 0, rows: None, file: current.file });
                    return Err(fault);
                }
            };
            let (mark, bytes) = (current.reader.mark(), current.reader.bytes());
            self.position.set(&current.file, &current.begun, mark, end.then_some(bytes));
            self.moved = true;
            if mark.rows > 0 {
                self.bytes_per_row = Some(current.reader.passed() as f64 / mark.rows as f64);
            }
            if !end {
                self.current = Some(current);
            }
            if made.0.num_rows() + made.1.len() > 0 {
                self.moved = false;
                return self.rows(made);
            }
        }
    }

    fn rows(&self, (batch, rejects): (RecordBatch, Vec<kindred_plugin_api::Reject>)) -> Result<Poll> {
        Ok(Poll::Rows(Rows {
            batch,
            rejects,
            position: self.position.to_bytes()?,
            backlog_rows: self.backlog(),
        }))
    }

    /// The file that is being read, or the next one that has something to read.
    fn current(&mut self) -> Result<Option<Current>> {
        if let Some(current) = self.current.take() {
            return Ok(Some(current));
        }
        while let Some(Waiting { file, .. }) = self.queue.front() {
            let Some(input) = file.place.enter()? else {
                self.context.warn(&format!("`{}` is gone; its rows are not read", file.name));
                self.queue.pop_front();
                continue;
            };
            if let Some(begun) = self.position.rest_of(file, &input)? {
                let payloads = !self.plan.personal;
                let (slots, mark) = (&self.plan.slots, begun.mark);
                let opened = read::open((file, &input), &self.text, slots, payloads, mark, &self.context)?;
                lacks_nothing(&self.plan, file, opened.header.as_ref())?;
                let fingerprint = begun.fingerprint(&file.name);
                let current = Current { file: file.clone(), begun, fingerprint, reader: opened.reader };
                self.queue.pop_front();
                return Ok(Some(current));
            }
            self.queue.pop_front();
        }
        Ok(None)
    }

    fn backlog(&self) -> u64 {
        let estimate =
            |bytes: u64| self.bytes_per_row.map_or(0, |per_row| (bytes as f64 / per_row.max(1.0)) as u64);
        let waiting =
            self.queue.iter().map(|waiting| waiting.rows.unwrap_or_else(|| estimate(waiting.bytes)));
        self.current.as_ref().map_or(0, |current| current.reader.backlog()) + waiting.sum::<u64>()
    }
}

/// A file that has something to read, as far as that can be told cheaply.
fn waiting(
    file: File,
    position: &Position,
    text: &TextConfig,
    counted: bool,
    context: &Context,
) -> Result<Option<Waiting>> {
    if let Some(listed) = file.place.listed() {
        let (done, bytes) = (position.has_all_of(&file.name, listed), listed.bytes);
        return Ok((!done).then_some(Waiting { file, bytes, rows: None }));
    }
    let input = file.enter()?;
    let Some(progress) = position.rest_of(&file, &input)? else { return Ok(None) };
    let open = || read::open((&file, &input), text, &[], false, progress.mark, context);
    let counted = counted && file.format == Format::Parquet;
    let rows = if counted { Some(open()?.reader.backlog()) } else { None };
    let bytes = input.size().unwrap_or(0);
    Ok(Some(Waiting { file, bytes, rows }))
}

/// Resolves the mapping against the first file that says its columns.
fn plan(
    files: &Files,
    mapping: &Mapping,
    found: &[File],
    stores: &mut Stores,
    context: &Context,
) -> Result<(Plan, Option<Catalogue>)> {
    let problems = problems(files, mapping);
    if !problems.is_empty() {
        return Err(Fault::config(problems));
    }
    let catalogue =
        mapping.catalogue.as_ref().map(|spec| Catalogue::load(spec, stores, context)).transpose()?;
    let types = catalogue.as_ref().map(Catalogue::types);
    // Whether a first row names the columns depends on how the options name them.
    let slots = Plan::compile(mapping, None, types.as_deref()).map_err(Fault::config)?.slots;
    let mut first = None;
    for file in found.iter().filter(|file| file.format != Format::Jsonl) {
        if let Some(header) = header(file, &files.text, &slots, context)? {
            first = Some((file, header));
            break;
        }
    }
    if let (None, Some(rest), true) = (&first, &mapping.rest, found.iter().any(|f| f.format == Format::Jsonl))
    {
        let problem = Problem::new(&rest.at, "`*` needs files that name their columns; JSON lines do not");
        return Err(Fault::config(vec![problem.help("list the columns")]));
    }
    let plan = Plan::compile(mapping, first.as_ref().map(|(_, header)| header), types.as_deref());
    let plan = plan.map_err(Fault::config)?;
    if let Some((file, header)) = first {
        lacks_nothing(&plan, file, Some(&header))?;
    }
    Ok((plan, catalogue))
}

fn header(file: &File, text: &TextConfig, slots: &[String], context: &Context) -> Result<Option<Header>> {
    Ok(read::open((file, &file.enter()?), text, slots, false, Mark::default(), context)?.header)
}

fn lacks_nothing(plan: &Plan, file: &File, header: Option<&Header>) -> Result<()> {
    let problems = header.map(|header| plan.lacks(header, &file.name)).unwrap_or_default();
    if problems.is_empty() { Ok(()) } else { Err(Fault::config(problems)) }
}

impl Files {
    /// From the options of a plugin.
    pub fn new(path: &Names, store: &StoreConfig, format: Option<Format>, text: &TextConfig) -> Self {
        Self { path: path.clone(), store: store.clone(), format, text: text.clone() }
    }
}
