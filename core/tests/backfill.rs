//! New and changed rules are evaluated for everybody a part at a time: meanwhile the other segments follow what happens,
//! a changed one keeps its members and a new one has none; in the end all is as if it had been so from the start.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

mod views;

use kindred_core::{
    config::{self, Pipeline},
    plugin::registry::Registry,
    profile::batch::Moment,
    segment::Segments,
    store::Store,
};
use kindred_plugin_cookies as _;
use kindred_plugin_rules as _;
use proptest::prelude::*;
use roaring::RoaringBitmap;
use std::{collections::BTreeMap, path::Path};
use views::{Event, HOUR, START};

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

fn pipeline(registry: &Registry, rest: &str) -> Pipeline {
    config::load_text(Path::new("p.toml"), &format!("{HEAD}{rest}"), &[], registry).unwrap()
}

/// Takes events in and evaluates in the way of a step.
struct House {
    store: Store,
    batches: usize,
}

impl House {
    fn new(folder: &Path) -> Self {
        Self { store: Store::open(folder).unwrap(), batches: 0 }
    }

    /// Answers who was touched.
    fn take(&mut self, events: &[Event]) -> RoaringBitmap {
        self.batches += 1;
        views::take(&mut self.store, self.batches, events)
    }

    fn step(&mut self, segments: &mut Segments, events: &[Event]) {
        let touched = if events.is_empty() { RoaringBitmap::new() } else { self.take(events) };
        segments.evaluate(&mut self.store, &touched, &moment()).unwrap();
        let mut change = self.store.tables.change();
        segments.save(&self.store, &mut change, NOW).unwrap();
        change.commit().unwrap();
    }

    /// What a full pass says now.
    fn whole(&mut self, pipeline: &Pipeline, registry: &Registry) -> BTreeMap<String, RoaringBitmap> {
        let mut segments = Segments::open(pipeline, registry, &self.store).unwrap();
        let everybody = self.store.identity.all();
        segments.answer(&mut self.store, &everybody, &moment()).unwrap();
        segments.members().clone()
    }
}

fn moment() -> Moment {
    Moment { as_of_us: NOW, retention_us: i64::MAX, ..Moment::default() }
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
