//! What is published is what the store holds: a reader outside gets the rows, the batches and the answers that the
//! store itself gives, and finds out when a file is not what was published.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise"
)]

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Schema, TimestampMicrosecondType, UInt32Type},
};
use kindred_core::{
    Error, config,
    plugin::registry::Registry,
    profile::{
        Value,
        batch::{self, Moment},
    },
    publish::{self, Manifest, Options, Table, read::Snapshot},
    segment::{self, group},
    step::{self, Observer},
    store::{Store, columns::ColumnType, segment::Segment, span::Span, tables},
};
use kindred_plugin_campaign_log as _;
use kindred_plugin_consent as _;
use kindred_plugin_content_category as _;
use kindred_plugin_cookies as _;
use kindred_plugin_crm_import as _;
use kindred_plugin_dsp_export as _;
use kindred_plugin_file_events as _;
use kindred_plugin_geo as _;
use kindred_plugin_hash_identifiers as _;
use kindred_plugin_lookalike as _;
use kindred_plugin_rules as _;
use kindred_plugin_session as _;
use kindred_plugin_taxonomy as _;
use kindred_plugin_url as _;
use kindred_plugin_user_agent as _;
use proptest::prelude::*;
use roaring::RoaringBitmap;
use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

struct Silent;

impl Observer for Silent {
    fn rows(&self, _: u64, _: u64) {}
    fn stage(&self, _: &str) {}
}

fn members(store: &Store) -> BTreeMap<String, RoaringBitmap> {
    let stored = tables::scan(&store.tables.segments, []).unwrap();
    let names = stored.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned());
    names
        .map(|name| {
            let record: segment::Membership = tables::read(&store.tables.segments, &name).unwrap().unwrap();
            (name, segment::bitmap(&record.members).unwrap())
        })
        .collect()
}

/// The same batch with plain text, so that codes of different dictionaries compare.
fn plain(batch: &RecordBatch) -> RecordBatch {
    fn kind(of: &DataType) -> DataType {
        let field = |f: &Field| f.clone().with_data_type(kind(f.data_type()));
        match of {
            DataType::Dictionary(_, value) => (**value).clone(),
            DataType::List(item) => DataType::List(Arc::new(field(item))),
            DataType::Struct(fields) => DataType::Struct(fields.iter().map(|f| field(f)).collect()),
            other => other.clone(),
        }
    }
    let columns: Vec<ArrayRef> =
        batch.columns().iter().map(|c| arrow::compute::cast(c, &kind(c.data_type())).unwrap()).collect();
    let fields: Vec<Field> = batch
        .schema()
        .fields()
        .iter()
        .map(|f| f.as_ref().clone().with_data_type(kind(f.data_type())))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// The retail sample, run and published: the batches are those of the store, and so are the answers of every rule.
#[test]
fn published_batches_give_the_answers_of_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/retail/pipeline.toml");
    let set = |name: &str| (name.to_owned(), dir.path().join(name).display().to_string());
    let registry = Registry::new();
    let pipeline = config::load(&file, &[set("store"), set("out")], &registry).unwrap();
    step::run(&pipeline, &registry, &Silent, &Arc::default()).unwrap();
    let mut store = Store::existing(&pipeline.store).unwrap();
    let stored = members(&store);
    let moment = step::moment(&pipeline, &store);
    let published = dir.path().join("published");
    let manifest =
        publish::publish(&mut store, &published, &Options { buckets: 7, moment: moment.clone() }).unwrap();
    assert_eq!(manifest, Manifest::read(&published).unwrap());
    assert_eq!(manifest.commit, store.totals.commits);
    assert_eq!(manifest.rows(Table::Events), store.totals.events);
    assert_eq!(manifest.rows(Table::Profiles), 300);
    assert_eq!(manifest.rows(Table::Memberships), stored.values().map(RoaringBitmap::len).sum::<u64>());
    let mut snapshot = Snapshot::open(&published).unwrap();
    let names: Vec<&str> = pipeline.segments.iter().map(|s| s.name.as_str()).collect();
    let catalog = batch::catalog(&store, names.iter().copied());
    assert_eq!(snapshot.catalog(names.iter().copied()).unwrap(), catalog);

    let mut found: BTreeMap<String, RoaringBitmap> = BTreeMap::new();
    let groups = group::open(&pipeline, &registry, &store, &BTreeMap::new(), |_, _| Ok(None)).unwrap();
    for group in groups.iter().filter(|g| !g.is_model) {
        // As a worker does: published columns are as wide as they come.
        let shown = catalog.clone();
        let needs = group.worker.call(move |h| h.plan(&shown)).unwrap();
        let schema = batch::project(&catalog, &needs).unwrap();
        let bound = schema.clone();
        group.worker.call(move |h| h.bind(&bound)).unwrap();
        for number in 0..manifest.buckets {
            let bucket = snapshot.bucket(number, &schema, &moment, group.look_back_us, &stored).unwrap();
            let rows = |table| manifest.file(table, number).map_or(0, |f| f.rows);
            assert_eq!((bucket.profiles, bucket.events), (rows(Table::Profiles), rows(Table::Events)));
            let consenting = snapshot.consenting(number).unwrap();
            for (batch, _) in bucket.batches {
                let asked = batch.clone();
                let answer = group.worker.call(move |h| h.evaluate(&asked)).unwrap();
                for (row, profile) in batch.column(0).as_primitive::<UInt32Type>().values().iter().enumerate()
                {
                    for ordinal in answer.row(row).0.iter().filter(|_| consenting.contains(*profile)) {
                        let name = group.segments[*ordinal as usize].clone();
                        found.entry(name).or_default().insert(*profile);
                    }
                }
            }
        }
    }
    assert_eq!(found.len(), 13, "every rule holds for somebody: {:?}", found.keys());
    for (name, inside) in &found {
        assert_eq!(inside, &stored[name], "{name}");
    }
    let mut listed: BTreeMap<String, RoaringBitmap> = BTreeMap::new();
    for number in 0..manifest.buckets {
        for (name, inside) in snapshot.members(number).unwrap() {
            *listed.entry(name).or_default() |= inside;
        }
    }
    assert_eq!(listed, stored);
    everything_is_the_same(&mut store, &mut snapshot, &Arc::new(catalog), &moment, &stored);
}

/// All columns, also at an earlier moment and with a short look-back.
fn everything_is_the_same(
    store: &mut Store,
    snapshot: &mut Snapshot,
    catalog: &Arc<Schema>,
    moment: &Moment,
    members: &BTreeMap<String, RoaringBitmap>,
) {
    const DAY: i64 = 86_400_000_000;
    for (earlier, look_back) in [(0, None), (100 * DAY, None), (30 * DAY, Some(20 * DAY))] {
        let moment = moment.at(moment.as_of_us - earlier);
        same(store, snapshot, catalog, &moment, look_back, members);
    }
}

/// All columns of everybody.
fn same(
    store: &mut Store,
    snapshot: &mut Snapshot,
    catalog: &Arc<Schema>,
    moment: &Moment,
    look_back: Option<i64>,
    members: &BTreeMap<String, RoaringBitmap>,
) {
    for number in 0..snapshot.manifest().buckets {
        let found = snapshot.bucket(number, catalog, moment, look_back, members).unwrap();
        for (batch, next) in found.batches {
            let profiles = batch.column(0).as_primitive::<UInt32Type>().values().to_vec();
            let (wanted, wanted_next) =
                batch::build(store, catalog, &profiles, moment, look_back, members).unwrap();
            assert_eq!(plain(&batch), plain(&wanted), "bucket {number}, {moment:?}");
            // A store says of a block that nothing of it leaves before its first event does.
            let later = |(found, wanted): (&Option<i64>, &Option<i64>)| match (found, wanted) {
                (Some(found), Some(wanted)) => wanted <= found,
                // Where all events of the profile have their window, the block may hold others that have none.
                (found, _) => found.is_none(),
            };
            assert!(next.iter().zip(&wanted_next).all(later), "{next:?} {wanted_next:?}");
        }
    }
}

type Event = (u8, i64, u8);

/// The source of an event, by its kind.
fn source(kind: u8) -> &'static str {
    if kind == 3 { "bought" } else { "web" }
}

/// A store with events of cookies `0..12`, some of which are linked. Each event says something of its profile, too.
fn store(dir: &Path, events: &[Event], links: &[(u8, u8)]) -> Store {
    let mut store = Store::open(dir).unwrap();
    let mut profiles = Vec::new();
    for (cookie, ..) in events {
        let value = cookie.to_string();
        let Store { identity, profiles: records, tables, .. } = &mut store;
        profiles.push(identity.resolve(tables, records, &[("cookie", &value)]).unwrap().profile);
    }
    let times =
        TimestampMicrosecondArray::from_iter_values(events.iter().map(|e| e.1)).with_timezone("+00:00");
    let names: ArrayRef =
        Arc::new(StringArray::from_iter_values(events.iter().map(|e| format!("event {}", e.2))));
    let sources: ArrayRef = Arc::new(StringArray::from_iter_values(events.iter().map(|e| source(e.2))));
    let columns = BTreeMap::from([
        ("source".to_owned(), store.columns.store("source", &sources).unwrap()),
        ("event_time".to_owned(), Arc::new(times) as ArrayRef),
        ("event".to_owned(), store.columns.store("event", &names).unwrap()),
    ]);
    let segment = Segment::from_rows(&profiles, columns, &store.columns).unwrap();
    let mut change = store.tables.change();
    let staged = store.stage(&mut change, Some(segment), &Span::after(i64::MIN)).unwrap();
    store.commit(change, staged).unwrap();
    for (a, b) in links {
        let (a, b) = (a.to_string(), b.to_string());
        let Store { identity, profiles: records, tables, .. } = &mut store;
        identity.resolve(tables, records, &[("cookie", &a), ("cookie", &b)]).unwrap();
    }
    for name in ["bought.kind", "web.kind"] {
        store.profiles.declare(name.to_owned(), ColumnType::Integer);
    }
    for (cookie, time, kind) in events {
        let profile = store.identity.find(&store.tables, "cookie", &cookie.to_string()).unwrap().unwrap();
        let record = store.profiles.edit(&store.tables, profile).unwrap();
        record.set(&format!("{}.kind", source(*kind)), Value::Integer((*kind).into()), *time);
    }
    let change = store.tables.change();
    store.commit(change, Vec::new()).unwrap();
    store
}

/// The rows of a table as other tools see them: file by file.
fn rows(dir: &Path, manifest: &Manifest, table: Table) -> Vec<(u32, RecordBatch)> {
    let mut found = Vec::new();
    for file in manifest.files(table) {
        let open = fs::File::open(dir.join(&file.path)).unwrap();
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(open).unwrap();
        found.extend(reader.build().unwrap().map(|batch| (file.bucket, batch.unwrap())));
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Every event that is not expired is published once, under the profile that its cookie means today, in that
    /// profile's bucket, by profile and time.
    #[test]
    fn every_event_is_published_once(
        events in proptest::collection::vec((0_u8..12, 0_i64..100, 0_u8..4), 1..60),
        links in proptest::collection::vec((0_u8..12, 0_u8..12), 0..6),
        buckets in 1_u32..9,
        expired in -1_i64..60,
        ttl in proptest::option::of(1_i64..80),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = store(&dir.path().join("store"), &events, &links);
        let ttl_us = ttl.map(|ttl| ("bought".to_owned(), ttl)).into_iter().collect();
        let moment = Moment { as_of_us: 80, retention_us: 80 - expired, ttl_us };
        let after = |kind| moment.kept().of(source(kind)).after_us;
        let out = dir.path().join("published");
        let options = Options { buckets, moment: moment.clone() };
        let manifest = publish::publish(&mut store, &out, &options).unwrap();
        let mut wanted: Vec<(u32, i64, String)> = Vec::new();
        for (cookie, time, name) in events.iter().filter(|e| e.1 > after(e.2)) {
            let profile = store.identity.find(&store.tables, "cookie", &cookie.to_string()).unwrap().unwrap();
            wanted.push((profile, *time, format!("event {name}")));
        }
        let mut found = Vec::new();
        let mut keys = Vec::new();
        for (number, batch) in rows(&out, &manifest, Table::Events) {
            let profiles = batch.column(0).as_primitive::<UInt32Type>();
            let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
            let names = arrow::compute::cast(batch.column_by_name("event").unwrap(), &DataType::Utf8).unwrap();
            for row in 0..batch.num_rows() {
                let (profile, time) = (profiles.value(row), times.value(row));
                prop_assert_eq!(publish::bucket(profile, buckets), number);
                keys.push((number, profile, time));
                found.push((profile, time, names.as_string::<i32>().value(row).to_owned()));
            }
        }
        prop_assert!(keys.is_sorted(), "{:?}", keys);
        found.sort();
        wanted.sort();
        prop_assert_eq!(found, wanted);
        let profiles: u64 = manifest.rows(Table::Profiles);
        prop_assert_eq!(profiles, store.identity.len() as u64);
        // What a reader sees now and later is what the store says.
        let catalog = Arc::new(batch::catalog(&store, [].into_iter()));
        let mut snapshot = Snapshot::open(&out).unwrap();
        prop_assert_eq!(&snapshot.catalog([].into_iter()).unwrap(), &*catalog);
        for (later, look_back) in [(0, None), (1, Some(30)), (15, None), (60, Some(10))] {
            let moment = moment.at(80 + later);
            same(&mut store, &mut snapshot, &catalog, &moment, look_back, &BTreeMap::new());
        }
    }
}

#[test]
fn a_generation_goes_when_nobody_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = store(&dir.path().join("store"), &[(1, 5, 0), (2, 6, 1)], &[]);
    let out = dir.path().join("published");
    let options =
        Options { buckets: 2, moment: Moment { as_of_us: 10, retention_us: 100, ..Moment::default() } };
    let mut publish = || publish::publish(&mut store, &out, &options).unwrap();
    let generations = || {
        let entries = fs::read_dir(&out).unwrap().map(|e| e.unwrap());
        entries.filter(|e| e.path().is_dir()).count()
    };
    let first = publish();
    fs::create_dir_all(out.join("000000000001-0099/events")).unwrap();
    let second = publish();
    assert_ne!(first.generation, second.generation);
    assert_eq!(generations(), 1, "the one before, and what a killed publisher left, are gone");
    let held = Snapshot::open(&out).unwrap();
    publish();
    assert_eq!(generations(), 2, "the one that is read stays");
    assert_eq!(held.consenting(0).unwrap().len() + held.consenting(1).unwrap().len(), 0);
    drop(held);
    publish();
    assert_eq!(generations(), 1);
    assert!(matches!(first.hold(&out), Ok(None)), "who comes too late is told");
}

#[test]
fn a_store_with_nothing_in_it_has_all_tables() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("store")).unwrap();
    let out = dir.path().join("published");
    let moment = Moment { as_of_us: 10, retention_us: 100, ..Moment::default() };
    let manifest =
        publish::publish(&mut store, &out, &Options { buckets: 4, moment: moment.clone() }).unwrap();
    for table in Table::ALL {
        assert_eq!((manifest.files(table).len(), manifest.rows(table)), (1, 0), "{table:?}");
    }
    let mut snapshot = Snapshot::open(&out).unwrap();
    let catalog = Arc::new(snapshot.catalog([].into_iter()).unwrap());
    assert_eq!(*catalog, batch::catalog(&store, [].into_iter()));
    for bucket in 0..4 {
        let found = snapshot.bucket(bucket, &catalog, &moment, None, &BTreeMap::new()).unwrap();
        assert!(found.batches.is_empty());
    }
}

#[test]
fn what_is_not_what_was_published_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Manifest::read(dir.path()), Err(Error::NotFound(_))));
    let mut store = store(&dir.path().join("store"), &[(1, 5, 0), (2, 6, 1)], &[]);
    let out = dir.path().join("published");
    let moment = Moment { as_of_us: 10, retention_us: 100, ..Moment::default() };
    let manifest =
        publish::publish(&mut store, &out, &Options { buckets: 1, moment: moment.clone() }).unwrap();
    let file = out.join(&manifest.file(Table::Events, 0).unwrap().path);
    let whole = fs::read(&file).unwrap();
    let catalog = Arc::new(Snapshot::open(&out).unwrap().catalog([].into_iter()).unwrap());
    for at in (0..whole.len()).step_by(whole.len() / 20 + 1) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&file, &bytes).unwrap();
        let mut snapshot = Snapshot::open(&out).unwrap();
        let error = snapshot.bucket(0, &catalog, &moment, None, &BTreeMap::new()).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "byte {at}: {error}");
    }
    fs::write(&file, &whole).unwrap();
    let text = fs::read_to_string(out.join(publish::MANIFEST)).unwrap();
    let other = text.replacen("\"rows\": 2", "\"rows\": 3", 1);
    assert_ne!(text, other);
    fs::write(out.join(publish::MANIFEST), other).unwrap();
    let mut snapshot = Snapshot::open(&out).unwrap();
    let error = snapshot.bucket(0, &catalog, &moment, None, &BTreeMap::new()).unwrap_err().to_string();
    assert!(error.contains("2 rows, published were 3"), "{error}");
    fs::write(out.join(publish::MANIFEST), text.replacen("\"version\": 1", "\"version\": 9", 1)).unwrap();
    assert!(matches!(Manifest::read(&out), Err(Error::OtherFormat { found: 9, .. })));
    fs::write(out.join(publish::MANIFEST), &text[..text.len() / 2]).unwrap();
    assert!(matches!(Manifest::read(&out), Err(Error::Damaged { .. })));
}
