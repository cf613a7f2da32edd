//! How well scores tell the seed from the others.

/// Area under the ROC curve: the chance that a member of the seed scores higher than another profile, ties counting
/// half (Mann–Whitney U by mean ranks). None when one side is empty or a score is no number.
pub(crate) fn auc(scored: &[(f64, bool)]) -> Option<f64> {
    let seed = scored.iter().filter(|(_, in_seed)| *in_seed).count() as f64;
    let others = scored.len() as f64 - seed;
    if seed == 0.0 || others == 0.0 || scored.iter().any(|(score, _)| score.is_nan()) {
        return None;
    }
    let mut sorted = scored.to_vec();
    sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut below = 0.0;
    let mut rank_sum = 0.0;
    for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
        let mean_rank = below + (tied.len() as f64 + 1.0) / 2.0;
        rank_sum += mean_rank * tied.iter().filter(|(_, in_seed)| *in_seed).count() as f64;
        below += tied.len() as f64;
    }
    Some((rank_sum - seed * (seed + 1.0) / 2.0) / (seed * others))
}

/// How many times as dense the seed is among the tenth with the highest scores as among all. Of equal scores the
/// earlier row comes first.
pub(crate) fn lift_at_10(scored: &[(f64, bool)]) -> Option<f64> {
    let share = |rows: &[(f64, bool)]| rows.iter().filter(|(_, s)| *s).count() as f64 / rows.len() as f64;
    let all = share(scored);
    let mut sorted = scored.to_vec();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    sorted.truncate(scored.len().div_ceil(10));
    (all > 0.0).then(|| share(&sorted) / all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, pair by pair.
    fn by_pairs(scored: &[(f64, bool)]) -> Option<f64> {
        let of = |side: bool| scored.iter().filter(move |(_, s)| *s == side).map(|(score, _)| *score);
        let pairs = (of(true).count() * of(false).count()) as f64;
        let wins: f64 =
            of(true).flat_map(|s| of(false).map(move |o| f64::from(s > o) + 0.5 * f64::from(s == o))).sum();
        (pairs > 0.0).then(|| wins / pairs)
    }

    proptest! {
        #[test]
        fn auc_is_the_share_of_pairs_in_the_right_order(
            scored in prop::collection::vec(((-3_i32..4).prop_map(|s| f64::from(s) / 2.0), any::<bool>()), 0..80)
        ) {
            match (auc(&scored), by_pairs(&scored)) {
                (Some(fast), Some(slow)) => prop_assert!((fast - slow).abs() < 1e-12, "{fast} {slow}"),
                (fast, slow) => prop_assert_eq!(fast, slow),
            }
        }
    }

    #[test]
    fn lift_is_the_density_of_the_top_tenth() {
        let scored: Vec<_> = (0..40).map(|i| (f64::from(i), i >= 30)).collect();
        assert_eq!(lift_at_10(&scored), Some(4.0));
        let reversed: Vec<_> = scored.iter().map(|&(score, s)| (-score, s)).collect();
        assert_eq!(lift_at_10(&reversed), Some(0.0));
        assert_eq!(lift_at_10(&[(1.0, false)]), None);
        assert_eq!(auc(&[(f64::NAN, true), (1.0, false)]), None);
    }
}
