//! Random cases that can be made smaller: all of them is drawn from one number, and rules, profiles and events are left out
//! after that.

use crate::support::{
    Random,
    data::{Profile, profiles},
    rule::{Rule, rules},
};
use proptest::prelude::*;

const RULES: usize = 6;
const PROFILES: usize = 30;
/// More than a profile has.
const EVENTS: usize = 14;

/// A number, and what of the case that it makes is kept.
#[derive(Clone)]
pub(crate) struct Drawn {
    seed: u64,
    rules: Vec<bool>,
    profiles: Vec<bool>,
    events: Vec<bool>,
}

/// Everything is kept at first; only `KINDRED_SEED`, if it is set.
pub(crate) fn drawn() -> impl Strategy<Value = Drawn> {
    let seed = match std::env::var("KINDRED_SEED") {
        Ok(seed) => Just(seed.parse::<u64>().unwrap()).boxed(),
        Err(_) => any::<u64>().no_shrink().boxed(),
    };
    let kept = |count: usize| prop::collection::vec(prop::bool::weighted(1.0), count);
    (seed, kept(RULES), kept(PROFILES), kept(PROFILES * EVENTS))
        .prop_map(|(seed, rules, profiles, events)| Drawn { seed, rules, profiles, events })
}

impl Drawn {
    /// What follows in the case is drawn from what comes first.
    pub(crate) fn parts(&self) -> (Random, Vec<(String, Rule)>, Vec<Profile>) {
        let mut random = Random(self.seed);
        let count = 1 + random.below(RULES);
        let mut rules = rules(&mut random, count);
        let count = random.below(PROFILES);
        let mut profiles = profiles(&mut random, count);
        for (profile, kept) in profiles.iter_mut().zip(self.events.chunks(EVENTS)) {
            let mut kept = kept.iter();
            profile.events.retain(|_| kept.next() == Some(&true));
        }
        let mut kept = self.profiles.iter();
        profiles.retain(|_| kept.next() == Some(&true));
        let mut kept = self.kept_rules(&rules).into_iter();
        rules.retain(|_| kept.next() == Some(true));
        (random, rules, profiles)
    }

    /// At least one, and those that others refer to.
    fn kept_rules(&self, rules: &[(String, Rule)]) -> Vec<bool> {
        let mut kept = self.rules[..rules.len()].to_vec();
        if !kept.contains(&true) {
            kept[0] = true;
        }
        let refers =
            |from: usize, to: usize| rules[from].1.text.contains(&format!("in_segment('{}')", rules[to].0));
        while let Some(asked) = (0..rules.len())
            .find(|&to| !kept[to] && (0..rules.len()).any(|from| kept[from] && refers(from, to)))
        {
            kept[asked] = true;
        }
        kept
    }
}

impl std::fmt::Debug for Drawn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let left_out = |kept: &[bool]| -> Vec<usize> {
            kept.iter().enumerate().filter(|(_, kept)| !**kept).map(|(place, _)| place).collect()
        };
        write!(f, "KINDRED_SEED={}", self.seed)?;
        write!(f, " without rules {:?}, profiles {:?}", left_out(&self.rules), left_out(&self.profiles))?;
        write!(f, ", events {:?} of {EVENTS} each", left_out(&self.events))
    }
}
