//! The laws of the evaluator, over random rules and random profiles.

#![allow(clippy::unwrap_used, reason = "helpers of tests unwrap as tests do")]

mod support;

use kindred_plugin_api::{Context, Evaluated, FaultKind, Segment, Segmentation};
use kindred_plugin_rules::{Config, Rules};
use proptest::prelude::*;
use support::{
    Random,
    data::{AS_OF, DAY, HOUR, Profile, batch, profiles, project},
    rule::{Rule, holds, rules},
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
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let count = 1 + random.below(6);
        let rules = rules(&mut random, count);
        let count = random.below(30);
        let profiles = profiles(&mut random, count);
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

    fn show(&self, row: usize) -> String {
        let rules: Vec<String> =
            self.rules.iter().map(|(name, rule)| format!("{name}: {}", rule.text)).collect();
        format!("{}\n{:#?}", rules.join("\n"), self.profiles[row])
    }
}

fn segments(rules: &[(String, Rule)]) -> Vec<Segment<Config>> {
    let segment = |(name, rule): &(String, Rule)| Segment {
        name: name.clone(),
        config: Config { rule: rule.text.clone() },
    };
    rules.iter().map(segment).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 0, ..ProptestConfig::default() })]

    /// An interpreter that works row by row over plain structs gives the same members, at any moment.
    #[test]
    fn agrees_with_the_interpreter(seed in any::<u64>()) {
        let mut case = Case::new(seed);
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

    /// Batches that were surveyed, and recalled once everybody was seen, get the answers that evaluating them gives; twice
    /// over, as passes follow each other.
    #[test]
    fn what_is_surveyed_and_recalled_is_what_is_evaluated(seed in any::<u64>()) {
        let mut case = Case::new(seed);
        for as_of in [AS_OF, AS_OF + DAY] {
            let batch = case.batch(as_of);
            let mut surveyed = Vec::new();
            while let Some(start) = Some(surveyed.iter().map(Evaluated::rows).sum::<usize>()).filter(|n| *n < batch.num_rows()) {
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
                        row += early.rows();
                        continue;
                    }
                };
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
            let again = case.plugin.recall(0).unwrap_err();
            prop_assert_eq!(again.kind, FaultKind::Unsupported, "what was recalled is forgotten");
        }
    }

    /// However the profiles are cut into batches, and whatever was evaluated before, each gets the same answer.
    #[test]
    fn batches_do_not_matter(seed in any::<u64>()) {
        let mut case = Case::new(seed);
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
    fn next_change_is_never_late(seed in any::<u64>()) {
        let mut case = Case::new(seed);
        let now = case.evaluate(AS_OF);
        let mut probes = vec![AS_OF + 1, AS_OF + 400 * DAY];
        for row in 0..now.rows() {
            let next = now.row(row).1;
            prop_assert!(next.is_none_or(|next| next > AS_OF));
            probes.extend(next.into_iter().flat_map(|next| [next - 1, next]));
        }
        probes.extend((0..10).map(|_| AS_OF + case.random.below(60) as i64 * 6 * HOUR + case.random.below(3) as i64 - 1));
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
    fn explanation_agrees_with_membership(seed in any::<u64>()) {
        let mut case = Case::new(seed);
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
