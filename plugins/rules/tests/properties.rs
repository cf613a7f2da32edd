//! The laws of the evaluator, over random rules and random profiles. What fails is made smaller and shown as it is written,
//! to be kept in `meaning.rs`.
//!
//! `KINDRED_CASES=5000 cargo test -p kindred-plugin-rules --test properties` tries more than the suite does, and
//! `KINDRED_SEED=7` one case again.

#![allow(clippy::unwrap_used, reason = "helpers of tests unwrap as tests do")]

mod drawn;
mod support;

use drawn::{Drawn, drawn};
use kindred_plugin_api::{Context, Evaluated, FaultKind, Segment, Segmentation};
use kindred_plugin_rules::{Config, Rules};
use proptest::{
    prelude::*,
    test_runner::{TestCaseResult, TestRunner},
};
use std::cell::Cell;
use support::{
    Random,
    data::{AS_OF, DAY, HOUR, Profile, batch, project},
    rule::{Rule, World, holds, windows::LENGTHS},
};

/// A random case: an open instance, its rules, profiles, and whether batches hold only what was asked for.
struct Case {
    rules: Vec<(String, Rule)>,
    profiles: Vec<Profile>,
    plugin: Rules,
    needs: Option<kindred_plugin_api::Needs>,
    /// Some rule asks about everybody.
    model: bool,
    shape: u64,
    random: Random,
}

impl Case {
    fn new(drawn: &Drawn) -> Self {
        let (mut random, rules, profiles) = drawn.parts();
        let shape = random.next();
        let mut plugin = Rules::open(segments(&rules), Context::detached(".")).unwrap_or_else(|fault| {
            panic!("{:#?}\n{:?}", fault.problems, rules.iter().map(|(_, r)| &r.text).collect::<Vec<_>>())
        });
        let full = batch(&profiles, AS_OF, shape);
        let needs = plugin.plan(&full.schema()).unwrap_or_else(|fault| panic!("{:#?}", fault.problems));
        let needs = random.chance(50).then_some(needs);
        let model = rules.iter().any(|(_, rule)| Rules::facts(&Config { rule: rule.text.clone() }).model);
        let mut case = Self { rules, profiles, plugin, needs, model, shape, random };
        let schema = case.batch(AS_OF).schema();
        case.plugin.bind(schema).unwrap();
        case
    }

    fn batch(&self, as_of: i64) -> arrow::array::RecordBatch {
        let full = batch(&self.profiles, as_of, self.shape);
        match &self.needs {
            Some(needs) => project(&full, needs),
            None => full,
        }
    }

    /// Learns from everybody first, in whatever portions, and sometimes goes on from what was stored.
    fn evaluate(&mut self, as_of: i64) -> Evaluated {
        let batch = self.batch(as_of);
        if self.model {
            let mut start = 0;
            while start < batch.num_rows() {
                let length = (1 + self.random.below(9)).min(batch.num_rows() - start);
                self.plugin.observe(&batch.slice(start, length)).unwrap();
                start += length;
            }
            let fitted = self.plugin.fit().unwrap();
            assert_eq!(fitted.reports.len(), self.rules.len());
            if self.random.chance(30) {
                let context = Context::detached(".").with_state(Some(fitted.state));
                self.plugin = Rules::open(segments(&self.rules), context).unwrap();
                self.plugin.bind(batch.schema()).unwrap();
            }
        }
        self.plugin.evaluate(&batch).unwrap()
    }

    /// The rules and a profile; everybody, where they matter.
    fn show(&self, row: usize) -> String {
        let rules: Vec<String> =
            self.rules.iter().map(|(name, rule)| format!("{name}: {}", rule.text)).collect();
        let rules = rules.join("\n");
        match self.model {
            true => format!("{rules}\nprofile {row} of {:#?}", self.profiles),
            false => format!("{rules}\n{:#?}", self.profiles[row]),
        }
    }

    /// Whether a change by itself may depend on everybody: then nothing can be recalled.
    fn may_forget(&self) -> bool {
        let depends =
            |text: &str| ["percentile(", "total(", "in_segment("].iter().any(|word| text.contains(word));
        let mut watches = self.rules.iter().flat_map(|(_, rule)| &rule.watches);
        watches.any(|watch| watch.is_age && depends(&watch.text))
    }

    /// Whether only time's passing makes any call of any rule see something else of a profile than it saw just before.
    fn moves(&self, row: usize, as_of: i64) -> bool {
        let (rules, everybody) = (&self.rules[..], &self.profiles[..]);
        let world = World { profile: &everybody[row], event: None, as_of, rules, everybody };
        rules.iter().flat_map(|(_, rule)| &rule.watches).any(|watch| watch.moves(&world))
    }
}

fn segments(rules: &[(String, Rule)]) -> Vec<Segment<Config>> {
    let segment = |(name, rule): &(String, Rule)| Segment {
        name: name.clone(),
        config: Config { rule: rule.text.clone() },
    };
    rules.iter().map(segment).collect()
}

fn config() -> ProptestConfig {
    let cases = std::env::var("KINDRED_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(400);
    ProptestConfig { cases, max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() }
}

/// Whether only one case is looked at.
fn is_one() -> bool {
    std::env::var_os("KINDRED_SEED").is_some()
}

/// A law that counts what it looked at, too.
fn law(test: impl Fn(&Drawn) -> TestCaseResult) {
    let ran = TestRunner::new(config()).run(&drawn(), |drawn| test(&drawn));
    ran.unwrap_or_else(|failed| panic!("{failed}"));
}

proptest! {
    #![proptest_config(config())]

    /// An interpreter that works row by row over plain structs gives the same members, at any moment.
    #[test]
    fn agrees_with_the_interpreter(drawn in drawn()) {
        let mut case = Case::new(&drawn);
        for as_of in [AS_OF, AS_OF - 2 * DAY, AS_OF + 6 * HOUR, AS_OF + 1] {
            let answer = case.evaluate(as_of);
            prop_assert_eq!(answer.rows(), case.profiles.len());
            for row in 0..case.profiles.len() {
                let members = (0..case.rules.len()).filter(|&k| holds(&case.rules, k, &case.profiles, row, as_of));
                let expected: Vec<u32> = members.map(|k| k as u32).collect();
                prop_assert_eq!(answer.row(row).0, &expected[..], "{}", case.show(row));
            }
        }
    }

    /// However the profiles are cut into batches, and whatever was evaluated before, each gets the same answer.
    #[test]
    fn batches_do_not_matter(drawn in drawn()) {
        let mut case = Case::new(&drawn);
        let (whole, batch) = (case.evaluate(AS_OF), case.batch(AS_OF));
        let mut start = 0;
        while start < case.profiles.len() {
            let length = (1 + case.random.below(9)).min(case.profiles.len() - start);
            let part = case.plugin.evaluate(&batch.slice(start, length)).unwrap();
            for row in 0..length {
                prop_assert_eq!(part.row(row), whole.row(start + row));
            }
            start += length;
        }
        case.shape = case.random.next();
        let shape = case.batch(AS_OF);
        case.plugin.bind(shape.schema()).unwrap();
        prop_assert_eq!(case.evaluate(AS_OF), whole);
    }

    /// Until the moment it names, the answer stays.
    #[test]
    fn next_change_is_never_late(drawn in drawn()) {
        let mut case = Case::new(&drawn);
        let now = case.evaluate(AS_OF);
        let mut probes = vec![AS_OF + 1, AS_OF + 400 * DAY];
        for row in 0..now.rows() {
            let next = now.row(row).1;
            prop_assert!(next.is_none_or(|next| next > AS_OF));
            probes.extend(next.into_iter().flat_map(|next| [next - 1, next]));
        }
        probes.extend((0..10).map(|_| AS_OF + case.random.below(60) as i64 * 6 * HOUR + case.random.below(3) as i64 - 1));
        // When an event comes to an age that windows have.
        let times: Vec<i64> = case.profiles.iter().flat_map(|profile| &profile.events).map(|event| event.time).collect();
        if !times.is_empty() {
            probes.extend((0..10).map(|_| case.random.pick(&times) + case.random.pick(&LENGTHS).1));
        }
        // What is learnt from everybody changes when anybody does.
        let first = (0..now.rows()).filter_map(|row| now.row(row).1).min();
        for probe in probes.into_iter().filter(|probe| *probe > AS_OF) {
            let later = case.evaluate(probe);
            for row in 0..now.rows() {
                let (members, next) = now.row(row);
                if case.model && first.is_some_and(|first| probe >= first) {
                    continue;
                }
                if next.is_none_or(|next| probe < next) {
                    prop_assert_eq!(later.row(row).0, members, "{} µs later\n{}", probe - AS_OF, case.show(row));
                    prop_assert_eq!(later.row(row).1, next, "{} µs later\n{}", probe - AS_OF, case.show(row));
                }
            }
        }
    }

    /// The reason is true exactly where the profile is a member.
    #[test]
    fn explanation_agrees_with_membership(drawn in drawn()) {
        let mut case = Case::new(&drawn);
        let (answer, batch) = (case.evaluate(AS_OF), case.batch(AS_OF));
        for row in 0..answer.rows().min(8) {
            let single = batch.slice(row, 1);
            for segment in 0..case.rules.len() {
                let reason = case.plugin.explain(&single, segment).unwrap();
                let member = answer.row(row).0.contains(&(segment as u32));
                prop_assert_eq!(reason.holds == Some(true), member, "{}\n{:#?}", case.show(row), reason);
            }
        }
    }
}

/// Batches that were surveyed, and recalled once everybody was seen, get the answers that evaluating them gives; twice
/// over, as passes follow each other.
#[test]
fn what_is_surveyed_and_recalled_is_what_is_evaluated() {
    let (surveyed_rows, recalled_rows) = (Cell::new(0), Cell::new(0));
    law(|drawn| {
        let mut case = Case::new(drawn);
        for as_of in [AS_OF, AS_OF + DAY] {
            let batch = case.batch(as_of);
            let mut surveyed = Vec::new();
            while let Some(start) =
                Some(surveyed.iter().map(Evaluated::rows).sum::<usize>()).filter(|n| *n < batch.num_rows())
            {
                let length = (1 + case.random.below(9)).min(batch.num_rows() - start);
                surveyed.push(case.plugin.survey(&batch.slice(start, length)).unwrap());
            }
            case.plugin.fit().unwrap();
            let numbers = 0..surveyed.len() as u32;
            let recalled: Vec<_> = numbers.map(|number| case.plugin.recall(number)).collect();
            let evaluated = case.plugin.evaluate(&batch).unwrap();
            let mut row = 0;
            for (early, late) in surveyed.iter().zip(recalled) {
                let late = match late {
                    Ok(late) => late,
                    Err(fault) => {
                        prop_assert_eq!(fault.kind, FaultKind::Unsupported);
                        prop_assert!(case.may_forget(), "{}\n{}", fault, case.show(row));
                        row += early.rows();
                        continue;
                    }
                };
                recalled_rows.set(recalled_rows.get() + late.rows());
                for at in 0..early.rows() {
                    let ((some, change), (others, later)) = (early.row(at), late.row(at));
                    let mut all = [some, others].concat();
                    all.sort_unstable();
                    let next = change.into_iter().chain(later).min();
                    prop_assert_eq!((&all[..], next), evaluated.row(row), "{}", case.show(row));
                    row += 1;
                }
            }
            prop_assert_eq!(row, batch.num_rows());
            surveyed_rows.set(surveyed_rows.get() + row);
            let again = case.plugin.recall(0).unwrap_err();
            prop_assert_eq!(again.kind, FaultKind::Unsupported, "what was recalled is forgotten");
        }
        Ok(())
    });
    let (surveyed, recalled) = (surveyed_rows.get(), recalled_rows.get());
    assert!(recalled * 10 > surveyed * 8 || is_one(), "of {surveyed} rows only {recalled} were recalled");
}

/// At the moment that is named, some call sees other events than just before, or an age has passed its number: so the
/// answer changes, unless it is the same with what came or went.
#[test]
fn next_change_is_never_needlessly_early() {
    let (named, changed) = (Cell::new(0), Cell::new(0));
    law(|drawn| {
        let mut case = Case::new(drawn);
        for as_of in [AS_OF, AS_OF - 3 * DAY - HOUR, AS_OF + 6 * HOUR + 1] {
            let now = case.evaluate(as_of);
            for row in 0..now.rows() {
                let (members, Some(next)) = now.row(row) else { continue };
                prop_assert!(case.moves(row, next), "{} µs later\n{}", next - as_of, case.show(row));
                named.set(named.get() + 1);
                let later: Vec<u32> = (0..case.rules.len())
                    .filter(|&k| holds(&case.rules, k, &case.profiles, row, next))
                    .map(|k| k as u32)
                    .collect();
                changed.set(changed.get() + usize::from(later != members));
            }
        }
        Ok(())
    });
    let (named, changed) = (named.get(), changed.get());
    assert!(changed * 20 > named || is_one(), "of {named} moments only {changed} change an answer");
}
