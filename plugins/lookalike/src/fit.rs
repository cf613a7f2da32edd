//! From the training pass to a model and a report of what it is worth.
//!
//! The model is a logistic regression with an L2 penalty (smartcore, L-BFGS) over standardised features. A quarter of
//! the seed and of the other profiles, chosen by a hash of the profile's number, is held out to measure `auc` and
//! `lift_at_10`; the model that is kept then learns from all. Where the others outnumber the seed they are sampled
//! by another hash, which leaves the order of scores as it is and only moves the intercept (King and Zeng 2001,
//! *Logistic Regression in Rare Events Data*, section 4.1), and that is corrected. Nothing here is random: the same
//! rows give the same model.

use crate::{
    config::Config,
    extract::Extractor,
    feature::Feature,
    measure,
    model::{CutOff, Model, Term},
    table::{self, Row, Table},
};
use kindred_plugin_api::Report;
use smartcore::{
    linalg::basic::{arrays::Array, matrix::DenseMatrix},
    linear::logistic_regression::{LogisticRegression, LogisticRegressionParameters},
};

/// Weight of the L2 penalty against the summed log-loss.
const PENALTY: f64 = 10.0;
/// Most members of the seed that the regression sees.
const SEED_ROWS: usize = 10_000;
/// Others that it sees for each of them, and at least so many.
const OTHERS_PER_SEED: usize = 5;
const OTHERS: usize = 10_000;
/// A feature that fewer profiles have says more of them than of the seed.
const SUPPORT: usize = 10;
/// Fewer others than this cannot be split.
const SMALLEST_OTHERS: usize = 10;
/// A feature that tells the seed apart this well, alone, is most likely the seed's definition.
const LEAK_AUC: f64 = 0.99;
const DRIVERS: usize = 10;

/// Fits a model; the error says why there is none.
pub(crate) fn fit(
    segment: &str,
    config: &Config,
    extractor: &Extractor,
    mut table: Table,
) -> Result<(Model, Report), String> {
    check(config, &table.rows())?;
    let (kept, numbers) = table::keep(&extractor.features(), &table.rows(), config.top_categories);
    table.renumber(&numbers);
    let (terms, numbers) = scale(kept, &table.rows());
    if terms.is_empty() {
        return Err("no feature differs between profiles".into());
    }
    table.renumber(&numbers);

    let rows = table.rows();
    let (seed, others): (Vec<Row<'_>>, Vec<Row<'_>>) = rows.iter().partition(|row| row.in_seed);
    let mut report = Report { segment: segment.into(), ..Report::default() };
    report.figures = hold_out(&terms, &seed, &others)?;
    let mut model = learn(&terms, &seed, &others)?;
    let audience = config.audience(others.len());
    model.cut_off = cut_off(&model, &others, audience);
    let figure = |name: &str, value: usize| (name.to_owned(), value as f64);
    report.figures.extend([
        figure("seed", seed.len()),
        figure("candidates", others.len()),
        figure("audience", audience),
        figure("features", model.terms.len()),
    ]);
    report.figures.extend(leaks(&model, &seed, &others));
    report.drivers = drivers(&model);
    Ok((model, report))
}

fn check(config: &Config, rows: &[Row<'_>]) -> Result<(), String> {
    let seed = rows.iter().filter(|row| row.in_seed).count();
    let others = rows.len() - seed;
    let (name, minimum) = (&config.seed, config.minimum_seed);
    if rows.is_empty() {
        Err("there are no profiles".into())
    } else if (seed as u64) < minimum {
        Err(format!("seed `{name}` has {seed} members, `minimum_seed` is {minimum}"))
    } else if others < SMALLEST_OTHERS {
        Err(format!(
            "seed `{name}` leaves {others} of {} profiles, at least {SMALLEST_OTHERS} are needed",
            rows.len()
        ))
    } else {
        Ok(())
    }
}

/// Mean and deviation of each feature; those that do not vary or that few profiles have are dropped. Second: the new
/// number of each.
fn scale(features: Vec<Feature<String>>, rows: &[Row<'_>]) -> (Vec<Term>, Vec<Option<u32>>) {
    let zero: Vec<bool> = features.iter().map(Feature::absent_is_zero).collect();
    let mut sums = vec![0.0; features.len()];
    let mut present = vec![0_usize; features.len()];
    let mut support = vec![0_usize; features.len()];
    for &(number, value) in rows.iter().flat_map(|row| row.entries) {
        let i = number as usize;
        sums[i] += f64::from(value);
        present[i] += 1;
        support[i] += usize::from(value != 0.0 || !zero[i]);
    }
    let count = |i: usize| (if zero[i] { rows.len() } else { present[i] }) as f64;
    let means: Vec<f64> = sums.iter().enumerate().map(|(i, sum)| sum / count(i).max(1.0)).collect();
    let absent = |i: usize| count(i) - present[i] as f64;
    let mut squares: Vec<f64> = means.iter().enumerate().map(|(i, mean)| mean * mean * absent(i)).collect();
    for &(number, value) in rows.iter().flat_map(|row| row.entries) {
        squares[number as usize] += (f64::from(value) - means[number as usize]).powi(2);
    }
    let mut terms = Vec::new();
    let mut numbers = vec![None; features.len()];
    for (i, feature) in features.into_iter().enumerate() {
        let deviation = (squares[i] / count(i).max(1.0)).sqrt();
        // A deviation in the noise of the 32-bit values is none.
        let varies = deviation.is_finite() && deviation > means[i].abs().max(1e-3) * 1e-6;
        if varies && support[i] >= SUPPORT {
            numbers[i] = Some(terms.len() as u32);
            terms.push(Term { feature, mean: means[i], deviation, weight: 0.0 });
        }
    }
    (terms, numbers)
}

fn hold_out(terms: &[Term], seed: &[Row<'_>], others: &[Row<'_>]) -> Result<Vec<(String, f64)>, String> {
    let (held_seed, seed) = split(seed);
    let (held_others, others) = split(others);
    let model = learn(terms, &seed, &others)?;
    let mut held = [held_seed, held_others].concat();
    held.sort_unstable_by_key(|row| row.profile);
    let scored: Vec<_> = held.iter().map(|row| (model.score(row.entries), row.in_seed)).collect();
    let figures = [("auc", measure::auc(&scored)), ("lift_at_10", measure::lift_at_10(&scored))];
    Ok(figures.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

/// A quarter and the rest.
fn split<'a>(rows: &[Row<'a>]) -> (Vec<Row<'a>>, Vec<Row<'a>>) {
    let mut held = shuffled(rows, 1);
    let rest = held.split_off(rows.len().div_ceil(4));
    (held, rest)
}

/// In the order of a hash of the profile's number (SplitMix64's finaliser, Steele and others 2014).
fn shuffled<'a>(rows: &[Row<'a>], salt: u64) -> Vec<Row<'a>> {
    let hash = |row: &Row<'_>| {
        let mut z = (u64::from(row.profile) << 8 | salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut rows = rows.to_vec();
    rows.sort_by_cached_key(hash);
    rows
}

/// Rows that the regression sees, by profile, and the share of all that they are.
fn sample<'a>(rows: &[Row<'a>], most: usize) -> (Vec<Row<'a>>, f64) {
    let mut taken = shuffled(rows, 2);
    taken.truncate(most);
    taken.sort_unstable_by_key(|row| row.profile);
    let share = taken.len() as f64 / rows.len() as f64;
    (taken, share)
}

fn training<'a>(seed: &[Row<'a>], others: &[Row<'a>]) -> (Vec<Row<'a>>, f64) {
    let (seed, seed_share) = sample(seed, SEED_ROWS);
    let (others, others_share) = sample(others, OTHERS.max(OTHERS_PER_SEED * seed.len()));
    ([seed, others].concat(), (others_share / seed_share).ln())
}

fn learn(terms: &[Term], seed: &[Row<'_>], others: &[Row<'_>]) -> Result<Model, String> {
    let (rows, correction) = training(seed, others);
    let labels: Vec<u32> = rows.iter().map(|row| u32::from(row.in_seed)).collect();
    let values = standardised(terms, &rows);
    let failed = |error: smartcore::error::Failed| format!("the regression failed: {error}");
    let matrix = DenseMatrix::new(rows.len(), terms.len(), values, false).map_err(failed)?;
    let penalty = LogisticRegressionParameters::default().with_alpha(PENALTY);
    let fitted = LogisticRegression::fit(&matrix, &labels, penalty).map_err(failed)?;
    let weight = |i: usize| *fitted.coefficients().get((0, i));
    let intercept = *fitted.intercept().get((0, 0)) + correction;
    let weighted = |(i, term): (usize, &Term)| Term { weight: weight(i), ..term.clone() };
    let terms: Vec<Term> = terms.iter().enumerate().map(weighted).collect();
    if !intercept.is_finite() || terms.iter().any(|term| !term.weight.is_finite()) {
        return Err("the regression did not converge".into());
    }
    Ok(Model { terms, intercept, cut_off: CutOff { score: f64::INFINITY, profile: 0 } })
}

/// Row by row, all terms of each.
fn standardised(terms: &[Term], rows: &[Row<'_>]) -> Vec<f64> {
    let absent: Vec<f64> = terms.iter().map(Term::absent).collect();
    let mut values = absent.repeat(rows.len());
    for (row, values) in rows.iter().zip(values.chunks_exact_mut(terms.len())) {
        for &(number, value) in row.entries {
            values[number as usize] = terms[number as usize].standardise(value);
        }
    }
    values
}

/// The score and profile of the last of so many.
fn cut_off(model: &Model, others: &[Row<'_>], audience: usize) -> CutOff {
    let mut scored: Vec<_> =
        others.iter().map(|row| CutOff { score: model.score(row.entries), profile: row.profile }).collect();
    scored.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.profile.cmp(&b.profile)));
    let none = CutOff { score: f64::INFINITY, profile: 0 };
    audience.checked_sub(1).and_then(|last| scored.get(last).copied()).unwrap_or(none)
}

/// Features that alone tell the seed apart, as figures with a speaking name.
fn leaks(model: &Model, seed: &[Row<'_>], others: &[Row<'_>]) -> Vec<(String, f64)> {
    let (rows, _) = training(seed, others);
    let values = standardised(&model.terms, &rows);
    let alone = |i: usize| {
        let column = values.iter().skip(i).step_by(model.terms.len());
        let scored: Vec<_> = column.copied().zip(rows.iter().map(|row| row.in_seed)).collect();
        measure::auc(&scored).map(|auc| auc.max(1.0 - auc))
    };
    let leak = |(i, term): (usize, &Term)| {
        let auc = alone(i).filter(|&auc| auc > LEAK_AUC)?;
        Some((format!("leak? auc of `{}` alone", term.feature), auc))
    };
    model.terms.iter().enumerate().filter_map(leak).collect()
}

fn drivers(model: &Model) -> Vec<(String, f64)> {
    let mut terms: Vec<_> = model.terms.iter().filter(|term| term.weight != 0.0).collect();
    terms.sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()));
    terms.iter().take(DRIVERS).map(|term| (term.feature.to_string(), term.weight)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::probability;

    /// 60 of the seed and 240 others whose two attributes differ by one deviation, and a constant one.
    fn table() -> (Vec<Feature<String>>, Table) {
        let mut table = Table::default();
        let noise = |i: u32, salt: u32| ((i * 7919 + salt) % 101) as f32 / 25.0;
        for i in 0..300 {
            let in_seed = i % 5 == 0;
            let shift = f32::from(u8::from(in_seed));
            table.push(i, in_seed, &[(0, noise(i, 3) + shift), (1, noise(i * i, 60) - shift), (2, 4.5)]);
        }
        let names = ["a", "b", "constant"].map(|name| Feature::Attribute { name: name.to_owned() });
        (names.to_vec(), table)
    }

    #[test]
    fn the_regression_reaches_the_minimum_of_the_penalised_loss() {
        let (features, mut table) = table();
        let (terms, numbers) = scale(features, &table.rows());
        assert_eq!(numbers, [Some(0), Some(1), None]);
        table.renumber(&numbers);
        let rows = table.rows();
        let (seed, others): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.in_seed);
        let model = learn(&terms, &seed, &others).unwrap();
        let error = |row: &Row<'_>| probability(model.score(row.entries)) - f64::from(u8::from(row.in_seed));
        let by_intercept: f64 = rows.iter().map(error).sum();
        assert!(by_intercept.abs() < 1e-6, "{by_intercept}");
        for (i, term) in model.terms.iter().enumerate() {
            let by_loss: f64 = rows.iter().map(|r| error(r) * term.standardise(r.entries[i].1)).sum();
            let slope = by_loss + PENALTY * term.weight;
            assert!(slope.abs() < 1e-6, "{slope}");
        }
    }

    #[test]
    fn samples_are_stable_disjoint_and_of_the_right_size() {
        let (_, table) = table();
        let rows = table.rows();
        let (held, rest) = split(&rows);
        assert_eq!((held.len(), rest.len()), (75, 225));
        let mut all: Vec<u32> = held.iter().chain(&rest).map(|row| row.profile).collect();
        all.sort_unstable();
        assert_eq!(all, (0..300).collect::<Vec<_>>());
        let (taken, share) = sample(&rows, 60);
        assert_eq!((taken.len(), share), (60, 0.2));
        assert!(taken.is_sorted_by_key(|row| row.profile));
    }
}
