//! New and changed rules are evaluated for everybody a part at a time: meanwhile the other segments follow what happens,
//! a changed one keeps its members and a new one has none; in the end all is as if it had been so from the start.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{Field, Schema},
};
use kindred_core::{
    config::{self, ConsentDefault, Pipeline, Source},
    plugin::registry::Registry,
    profile::batch::Moment,
    segment::Segments,
    step::{
        intake::{Bound, Gathering},
        load::Load,
    },
    store::Store,
};
use kindred_plugin_cookies as _;
use kindred_plugin_rules as _;
use proptest::prelude::*;
use roaring::RoaringBitmap;
use std::{collections::BTreeMap, path::Path, sync::Arc};

const HOUR: i64 = 3_600_000_000;
/// A day in 2026, so that times are times.
const START: i64 = 20_500 * 24 * HOUR;
const NOW: i64 = START + 1_000 * HOUR;

const HEAD: &str = r#"
[pipeline]
store = "store"
[sources.web]
plugin = "cookies"
config = { path = "logs" }
[segments.same]
rule = "count(event = 'view') >= 2"
[segments.above]
rule = "in_segment('changed') AND did(event = 'buy')"
"#;
const BEFORE: &str = "[segments.changed]\nrule = \"did(event = 'buy')\"\n";
const AFTER: &str = "[segments.changed]\nrule = \"count(event = 'view') >= 1\"\n\
                     [segments.new]\nrule = \"did(event = 'buy', '300 hours')\"\n";

/// One event: who, hours behind the start, whether it is a view.
type Event = (u8, i64, bool);

fn pipeline(registry: &Registry, rest: &str) -> Pipeline {
    config::load_text(Path::new("p.toml"), &format!("{HEAD}{rest}"), &[], registry).unwrap()
}

/// Takes events in and evaluates in the way of a step.
struct House {
    store: Store,
    source: Source,
    batches: usize,
}

impl House {
    fn new(folder: &Path) -> Self {
        let source = Source {
            name: "web".into(),
            plugin: "cookies".into(),
            consent: ConsentDefault::Granted,
            ..Source::default()
        };
        Self { store: Store::open(folder).unwrap(), source, batches: 0 }
    }

    /// Answers who was touched.
    fn take(&mut self, events: &[Event]) -> RoaringBitmap {
        self.batches += 1;
        let text = |of: &dyn Fn(usize, &Event) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(events.iter().enumerate().map(|(n, e)| of(n, e))))
        };
        let times = TimestampMicrosecondArray::from_iter_values(events.iter().map(|e| START + e.1 * HOUR));
        let columns: [(&str, ArrayRef); 4] = [
            ("event_id", text(&|n, _| format!("{} {n}", self.batches))),
            ("event_time", Arc::new(times.with_timezone("+00:00"))),
            ("event", text(&|_, e| if e.2 { "view" } else { "buy" }.to_owned())),
            ("id.cookie", text(&|_, e| e.0.to_string())),
        ];
        let fields: Vec<Field> =
            columns.iter().map(|(name, c)| Field::new(*name, c.data_type().clone(), true)).collect();
        let columns = columns.into_iter().map(|(_, column)| column).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let (mut gathering, store) = (Gathering::default(), &mut self.store);
        let bound = Bound::new(store, &self.source, &batch.schema(), &[]).unwrap();
        bound.take(store, &Load::of(batch), &mut gathering, &mut Vec::new()).unwrap();
        let mut change = store.tables.change();
        let segment = gathering.segment(&store.columns).unwrap();
        let staged = store.stage(&mut change, segment, i64::MIN).unwrap();
        store.commit(change, staged).unwrap();
        gathering.touched
    }

    fn step(&mut self, segments: &mut Segments, events: &[Event]) {
        let touched = if events.is_empty() { RoaringBitmap::new() } else { self.take(events) };
        segments.evaluate(&mut self.store, &touched, moment()).unwrap();
        let mut change = self.store.tables.change();
        segments.save(&self.store, &mut change, NOW).unwrap();
        change.commit().unwrap();
    }

    /// What a full pass says now.
    fn whole(&mut self, pipeline: &Pipeline, registry: &Registry) -> BTreeMap<String, RoaringBitmap> {
        let mut segments = Segments::open(pipeline, registry, &self.store).unwrap();
        let everybody = self.store.identity.all();
        segments.answer(&mut self.store, &everybody, moment()).unwrap();
        segments.members().clone()
    }
}

fn moment() -> Moment {
    Moment { as_of_us: NOW, retention_us: i64::MAX }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn others_go_on_and_the_end_is_as_if_from_the_start(
        first in proptest::collection::vec((0_u8..60, 0_i64..900, any::<bool>()), 30..200),
        steps in proptest::collection::vec(
            proptest::collection::vec((0_u8..70, 0_i64..900, any::<bool>()), 0..6), 0..12),
        part in 1_u64..25,
        restart in 0_usize..16,
    ) {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let registry = Registry::new();
        let (before, after) = (pipeline(&registry, BEFORE), pipeline(&registry, AFTER));
        let mut house = House::new(dir.path());
        let mut segments = Segments::open(&before, &registry, &house.store).unwrap();
        house.step(&mut segments, &first);
        prop_assert!(!segments.is_stale(), "few are asked at once");
        prop_assert_eq!(segments.members(), &house.whole(&before, &registry));
        let old = segments.members().clone();

        let mut segments = Segments::open(&after, &registry, &house.store).unwrap();
        segments.ask_at_once(part);
        let fresh: Vec<&str> = segments.fresh().collect();
        prop_assert_eq!(fresh, vec!["same"], "what builds on a changed one is another, too");
        let mut steps = steps.into_iter();
        for number in 0.. {
            if !segments.is_redefined() && steps.len() == 0 {
                break;
            }
            if number == restart {
                segments = Segments::open(&after, &registry, &house.store).unwrap();
                segments.ask_at_once(part);
            }
            house.step(&mut segments, &steps.next().unwrap_or_default());
            let whole = house.whole(&after, &registry);
            if segments.is_redefined() {
                let (done, all) = segments.backfilled().unwrap();
                prop_assert!(done < all);
                prop_assert_eq!(&segments.members()["changed"], &old["changed"]);
                prop_assert_eq!(&segments.members()["above"], &old["above"]);
                prop_assert!(segments.members()["new"].is_empty());
                prop_assert_eq!(&segments.members()["same"], &whole["same"]);
            } else {
                prop_assert_eq!(segments.members(), &whole);
            }
            prop_assert!(number < 200, "it ends");
        }
        let mut again = Segments::open(&after, &registry, &house.store).unwrap();
        prop_assert!(!again.is_stale());
        prop_assert_eq!(again.members(), segments.members());
        prop_assert_eq!(again.due(&house.store, i64::MAX - 1).unwrap(), segments.due(&house.store, i64::MAX - 1).unwrap());
    }
}
