//! The cost of the boundary on batches of 8,192 rows and 8 columns: the `taxonomy` plugin linked in, the same from its
//! dynamic library, and the same mapping in a child process that speaks JSON lines.
#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

use arrow::{
    array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Schema},
};
use criterion::{Criterion, Throughput};
use kindred_core::plugin::{EnrichmentHandle, Opening, Plugin, library};
use kindred_plugin_taxonomy as _;
use kindred_tests::artefacts;
use serde_json::{Value, json};
use std::{
    hint::black_box,
    io::{BufRead, BufReader, BufWriter, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

const ROWS: usize = 8_192;
/// Set in the child process.
const CHILD: &str = "KINDRED_BENCH_CHILD";
const MAP: [(&str, &str); 3] = [("PIZZA", "1023"), ("COFFEE", "977"), ("CATS", "543")];

fn batch() -> RecordBatch {
    let text = |f: &dyn Fn(usize) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values((0..ROWS).map(f)))
    };
    let categories = ["PIZZA", "COFFEE", "CATS", "MILK", "BREAD"];
    let times =
        TimestampMicrosecondArray::from_iter_values((0..ROWS as i64).map(|i| 1_760_000_000_000_000 + i));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("event_id", text(&|i| format!("{i:032x}"))),
        ("event_time", Arc::new(times.with_timezone("+00:00"))),
        ("event", text(&|i| ["view", "purchase"][i % 2].into())),
        ("id.cookie", text(&|i| format!("{:016x}", i * 7_919))),
        ("category", text(&|i| categories[i % categories.len()].into())),
        ("url", text(&|i| format!("https://shop.example/{}", i % 97))),
        ("amount", Arc::new(Float64Array::from_iter_values((0..ROWS).map(|i| i as f64 / 100.0)))),
        ("quantity", Arc::new(Int64Array::from_iter_values((0..ROWS).map(|i| (i % 7) as i64)))),
    ];
    let field = |(name, values): &(&str, ArrayRef)| Field::new(*name, values.data_type().clone(), true);
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_, values)| values).collect()).unwrap()
}

fn open(plugin: &Plugin, schema: &Schema) -> EnrichmentHandle {
    let config = json!({"map": MAP.into_iter().collect::<std::collections::BTreeMap<_, _>>()});
    let opening = Opening { instance: "bench", config: &config, base_dir: Path::new("."), state: None };
    let mut handle = plugin.open_enrichment(&opening).unwrap();
    handle.bind(schema).unwrap();
    handle
}

fn boundary(criterion: &mut Criterion) {
    let batch = batch();
    let built_in = kindred_core::plugin::built_in();
    let linked = built_in.iter().find(|p| p.manifest.name == "taxonomy").unwrap();
    // Pinned, as in production: unpinned libraries are proved byte by byte.
    let path = artefacts::built_in("taxonomy");
    let folder = path.parent().unwrap();
    let lock = kindred_core::plugin::lock::Lock::of(folder, &[path]).unwrap();
    let pinned = library::load(path, Some(&lock)).unwrap().remove(0);

    let mut group = criterion.benchmark_group("boundary");
    group.throughput(Throughput::Elements(ROWS as u64));
    let mut handle = open(linked, &batch.schema());
    group.bench_function("linked in", |b| b.iter(|| handle.process(black_box(&batch)).unwrap()));
    let mut handle = open(&pinned, &batch.schema());
    group.bench_function("dynamic library", |b| b.iter(|| handle.process(black_box(&batch)).unwrap()));
    let unpinned = library::load(path, None).unwrap().remove(0);
    let mut handle = open(&unpinned, &batch.schema());
    group.bench_function("dynamic library, not pinned", |b| {
        b.iter(|| handle.process(black_box(&batch)).unwrap())
    });
    group.sample_size(10);
    let mut child = JsonChild::start();
    group.bench_function("child process, JSON lines", |b| b.iter(|| child.process(black_box(&batch))));
    group.finish();
}

/// A child that reads a row a line and writes it back with the mapped category.
struct JsonChild {
    child: Child,
    to: BufWriter<std::process::ChildStdin>,
    from: BufReader<std::process::ChildStdout>,
}

impl JsonChild {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self {
            child,
            to: BufWriter::with_capacity(1 << 20, to),
            from: BufReader::with_capacity(1 << 20, from),
        }
    }

    /// Rows out as JSON, rows back into columns; the pipe is drained by a second thread so that neither side blocks.
    fn process(&mut self, batch: &RecordBatch) -> RecordBatch {
        let Self { to, from, .. } = self;
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut lines = Vec::new();
                for _ in 0..ROWS {
                    let mut line = String::new();
                    from.read_line(&mut line).unwrap();
                    lines.push(line);
                }
                lines
            });
            let mut writer = arrow_json::LineDelimitedWriter::new(&mut *to);
            writer.write(batch).unwrap();
            writer.finish().unwrap();
            to.flush().unwrap();
            let mut fields = batch.schema().fields().to_vec();
            fields
                .extend(["interest", "interest_path"].map(|n| Arc::new(Field::new(n, DataType::Utf8, true))));
            let schema = Arc::new(Schema::new(fields));
            let mut decoder =
                arrow_json::ReaderBuilder::new(schema).with_batch_size(ROWS).build_decoder().unwrap();
            for line in reader.join().unwrap() {
                decoder.decode(line.as_bytes()).unwrap();
            }
            decoder.flush().unwrap().unwrap()
        })
    }
}

impl Drop for JsonChild {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn child() {
    let mut out = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    for (at, line) in std::io::stdin().lock().lines().enumerate() {
        let mut row: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let id = MAP.iter().find(|(name, _)| row["category"] == *name).map(|(_, id)| *id);
        row["interest"] = json!(id);
        row["interest_path"] = json!(id.map(|id| format!("/{id}/")));
        serde_json::to_writer(&mut out, &row).unwrap();
        out.write_all(b"\n").unwrap();
        if at % ROWS == ROWS - 1 {
            out.flush().unwrap();
        }
    }
}

fn main() {
    if std::env::var_os(CHILD).is_some() {
        return child();
    }
    let mut criterion = Criterion::default().configure_from_args();
    boundary(&mut criterion);
    criterion.final_summary();
}
