//! The plugin as a host calls it, on made-up shoppers whose likeness is known.

use super::{AS_OF, DAY, Dice, Profile, batch, config, figure, fitted, members, opened, shop};
use crate::Lookalike;
use kindred_plugin_api::prelude::*;
use proptest::prelude::*;

const COUNT_90: &str = r#"{"seed": "vip", "count": 90}"#;

#[test]
fn the_behaviour_that_sets_the_seed_apart_is_found_and_named() {
    let shop = shop(600);
    let (mut plugin, fitted) = fitted(config(COUNT_90), &shop, 100);
    let report = &fitted.reports[0];
    assert_eq!((report.segment.as_str(), &report.problem), ("like-vip", &None));
    assert_eq!(report.drivers[0].0, "count of purchase in pets (log)");
    assert!(report.drivers[0].1 > 0.0);
    assert_eq!(report.drivers.len(), 10);
    // A fifth of the candidates like pets too and score as the seed does, so even perfect knowledge of the taste
    // orders only 4/5 of the pairs for sure and half of the rest by luck: 0.9.
    let auc = figure(report, "auc");
    assert!((0.75..0.95).contains(&auc), "{auc}");
    assert!(figure(report, "lift_at_10") > 1.5);
    assert_eq!([figure(report, "seed"), figure(report, "candidates")], [100.0, 500.0]);

    let found = members(&mut plugin, &shop);
    assert_eq!(found.len(), 90);
    assert!(found.iter().all(|number| !shop[*number as usize].in_seed));
    let liking = found.iter().filter(|number| number.is_multiple_of(3)).count();
    assert!(liking >= 80, "of 90 found, {liking} are of the 100 who like pets");
}

#[test]
fn labels_at_random_teach_nothing() {
    let mut dice = Dice(99);
    let mean = |salt: u64| {
        let mut shop = shop(600);
        dice.0 = salt;
        shop.iter_mut().for_each(|p| p.in_seed = dice.roll(4) == 0);
        figure(&fitted(config(COUNT_90), &shop, 600).1.reports[0], "auc")
    };
    let auc: f64 = (1..=5).map(mean).sum::<f64>() / 5.0;
    // Held out are about 37 × 112 profiles five times: the mean's standard error is about 0.024.
    assert!((0.42..0.58).contains(&auc), "{auc}");
}

#[test]
fn the_audience_has_exactly_the_size_asked_for_even_when_scores_tie() {
    // Four kinds of profiles, so that hundreds share a score.
    let kind = |number: u32| {
        let events = vec![
            (AS_OF - DAY, "visit", Some(["a", "b"][number as usize % 2]), None);
            1 + number as usize % 4
        ];
        Profile { number, in_seed: number.is_multiple_of(8), events, ..Profile::default() }
    };
    let profiles: Vec<_> = (0..480).map(kind).collect();
    for (options, size) in [(r#""count": 1"#, 1), (r#""count": 77"#, 77), (r#""top": "10 %""#, 42)] {
        let config = config(&format!(r#"{{"seed": "vip", {options}}}"#));
        let (mut plugin, _) = fitted(config, &profiles, 64);
        let found = members(&mut plugin, &profiles);
        assert_eq!(found.len(), size);
        // Of the last kind that is let in, the lowest numbers are.
        let last = found.iter().max().unwrap() % 4;
        let of_kind = |n: &u32| n % 4 == last && !n.is_multiple_of(8);
        let lowest: Vec<u32> =
            (0..480).filter(of_kind).take(found.iter().filter(|n| of_kind(n)).count()).collect();
        assert!(lowest.iter().all(|n| found.contains(n)));
    }
}

#[test]
fn order_and_batching_leave_no_trace_and_the_state_gives_the_same_answers() {
    let shop = shop(300);
    let mut shuffled = shop.clone();
    shuffled.reverse();
    shuffled.rotate_left(77);
    let (mut plugin, first) = fitted(config(COUNT_90), &shop, 300);
    let (_, second) = fitted(config(COUNT_90), &shuffled, 7);
    assert_eq!(first.state, second.state);
    assert_eq!(first.reports, second.reports);

    let mut restored = opened(config(COUNT_90), Some(first.state.clone()));
    assert_eq!(members(&mut restored, &shop), members(&mut plugin, &shop));

    let mut changed = opened(config(r#"{"seed": "vip", "count": 91}"#), Some(first.state.clone()));
    assert!(members(&mut changed, &shop).is_empty(), "a model of other options is not used");
    let mut broken = opened(config(COUNT_90), Some(first.state[..first.state.len() / 2].to_vec()));
    assert!(members(&mut broken, &shop).is_empty());
}

#[test]
fn a_slice_of_a_batch_is_read_as_what_it_is() {
    let shop = shop(300);
    let (mut plugin, _) = fitted(config(COUNT_90), &shop, 300);
    let whole = members(&mut plugin, &shop);
    let all = batch(&shop);
    let single = |row: usize| plugin.evaluate(&all.slice(row, 1)).unwrap().row(0).0 == [0];
    let sliced: Vec<bool> = (0..300).map(single).collect();
    let found: Vec<u32> = (0..300).filter(|&n| sliced[n as usize]).collect();
    assert_eq!(found, whole);
}

#[test]
fn where_there_is_nothing_to_learn_the_report_says_so() {
    let with = |in_seed: fn(u32) -> bool, count: u32| -> Vec<Profile> {
        let mut shop = shop(count);
        shop.iter_mut().for_each(|p| p.in_seed = in_seed(p.number));
        shop
    };
    let blank = |number| Profile { number, in_seed: number.is_multiple_of(2), ..Profile::default() };
    let cases = [
        (with(|_| true, 120), "seed `vip` leaves 0 of 120 profiles, at least 10 are needed"),
        (with(|_| false, 120), "seed `vip` has 0 members, `minimum_seed` is 50"),
        (with(|n| n < 49, 120), "seed `vip` has 49 members, `minimum_seed` is 50"),
        ((0..120).map(blank).collect(), "no feature differs between profiles"),
        (Vec::new(), "there are no profiles"),
    ];
    for (profiles, problem) in cases {
        let (mut plugin, fitted) = fitted(config(COUNT_90), &profiles, 50);
        assert_eq!(fitted.reports[0].problem.as_deref(), Some(problem));
        assert!(members(&mut plugin, &profiles).is_empty());
        if let Some(one) = profiles.first() {
            let reason = plugin.explain(&batch(std::slice::from_ref(one)), 0).unwrap();
            assert_eq!(reason.holds, Some(false));
        }
        let mut restored = opened(config(COUNT_90), Some(fitted.state));
        assert!(members(&mut restored, &profiles).is_empty());
    }
}

#[test]
fn wild_numbers_do_no_harm() {
    let wild = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, -0.0, 1e-320];
    let mut shop = shop(300);
    for (i, p) in shop.iter_mut().enumerate() {
        p.age = Some(wild[i % wild.len()]);
        p.events.iter_mut().for_each(|e| e.3 = Some(wild[(i + e.0 as usize) % wild.len()]));
    }
    let (mut plugin, fitted) = fitted(config(COUNT_90), &shop, 300);
    assert_eq!(fitted.reports[0].problem, None);
    assert!(fitted.reports[0].drivers.iter().all(|(_, weight)| weight.is_finite()));
    assert_eq!(members(&mut plugin, &shop).len(), 90);
}

#[test]
fn what_defines_the_seed_is_warned_of_until_it_is_excluded() {
    let mut shop = shop(600);
    for p in shop.iter_mut().filter(|p| p.in_seed) {
        p.events.push((AS_OF, "conversion", Some("coupon"), None));
    }
    let leaks = |options: &str| {
        let options = config(&format!(r#"{{"seed": "vip", "count": 90, {options}}}"#));
        let report = fitted(options, &shop, 600).1.reports.remove(0);
        let leaks = report.figures.iter().filter(|(name, _)| name.starts_with("leak?")).count();
        (leaks, report)
    };
    let (count, report) = leaks(r#""minimum_seed": 60"#);
    assert!(count >= 1);
    assert_eq!(figure(&report, "leak? auc of `count of conversion (log)` alone"), 1.0);
    let (count, report) = leaks(r#""exclude_events": ["conversion"]"#);
    assert_eq!(count, 0, "{report:?}");
    assert!(!format!("{report:?}").contains("conversion"));
    assert!((0.75..0.95).contains(&figure(&report, "auc")));
}

#[test]
fn the_plan_asks_for_what_it_reads_and_names_what_is_not_there() {
    let plan = |json: &str| {
        let segments = vec![Segment { name: "like-vip".into(), config: config(json) }];
        Lookalike::open(segments, Context::detached(".")).unwrap().plan(&batch(&[]).schema())
    };
    let all = plan(COUNT_90).unwrap();
    let wanted = [
        "attr.crm.age",
        "attr.crm.city",
        "events.amount",
        "events.category",
        "events.event",
        "events.event_time",
        "in.vip",
    ];
    assert_eq!(all, Needs { columns: wanted.map(String::from).into(), look_back_us: None });
    let few =
        plan(r#"{"seed": "vip", "count": 9, "features": ["attr.*"], "exclude_features": ["attr.crm.city"]}"#);
    assert_eq!(few.unwrap().columns, ["attr.crm.age", "events.event", "events.event_time", "in.vip"]);
    let wrong =
        r#"{"seed": "gold", "count": 9, "features": ["attr.crm.*", "events.size"], "category": "amount"}"#;
    let problems = plan(wrong).unwrap_err().problems;
    let places: Vec<_> = problems.iter().map(|p| (p.path.as_str(), p.message.as_str())).collect();
    assert_eq!(
        places,
        [
            ("/0/seed", "no segment `gold`"),
            ("/0/features/1", "no column `events.size`"),
            ("/0/category", "no event property of text `amount`"),
        ]
    );
    assert_eq!(Lookalike::facts(&config(COUNT_90)).depends_on, ["vip"]);
}

fn any_profile() -> impl Strategy<Value = Profile> {
    let name = prop::sample::select(vec!["purchase", "visit", "unheard-of"]);
    let category = prop::option::of(prop::sample::select(vec!["pets", "dairy", "new"]));
    let event = (0..200_i64, name, category, prop::option::of(-1e6..1e6_f64));
    let event = event.prop_map(|(days, name, category, amount)| (AS_OF - days * DAY, name, category, amount));
    let city = prop::option::of(prop::sample::select(vec!["Ulm", "Rome"]));
    let parts = (any::<u32>(), any::<bool>(), prop::option::of(0.0..99.0_f64), city);
    (parts, prop::collection::vec(event, 0..30)).prop_map(|((number, in_seed, age, city), mut events)| {
        events.sort_by_key(|e| e.0);
        Profile { number, in_seed, age, city, events }
    })
}

#[test]
fn explain_agrees_with_evaluate() {
    let (mut plugin, _) = fitted(config(COUNT_90), &shop(300), 300);
    let mut runner = proptest::test_runner::TestRunner::default();
    let law = |profile: Profile, plugin: &mut Lookalike| {
        let one = std::slice::from_ref(&profile);
        let member = !members(plugin, one).is_empty();
        let reason = plugin.explain(&batch(one), 0).unwrap();
        prop_assert_eq!(reason.holds, Some(member));
        prop_assert_eq!(reason.because.iter().all(|r| r.holds == Some(true)), member);
        prop_assert_eq!(reason.because[0].holds, Some(!profile.in_seed));
        prop_assert_eq!(reason.because[1].evidence.len(), 5);
        Ok(())
    };
    let plugin = std::cell::RefCell::new(&mut plugin);
    runner.run(&any_profile(), |profile| law(profile, &mut plugin.borrow_mut())).unwrap();
}
