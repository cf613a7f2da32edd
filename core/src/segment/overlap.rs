//! How many profiles each two segments have in common.

use roaring::RoaringBitmap;

/// Up to so many segments each pair is intersected. Of more, each profile is counted for all pairs that it is in: that
/// costs the sizes and the answers, and not pairs times profiles.
const FEW: usize = 64;
/// Profiles whose segments are listed at a time.
const LISTED: u32 = 8_192;

/// The sizes of all pairwise intersections: of the first segment and the second, of the first two and the third, and so on.
/// Pair `(a, b)` with `b < a` stands at `a * (a - 1) / 2 + b`.
pub fn overlaps(segments: &[&RoaringBitmap]) -> Vec<u64> {
    if segments.len() > FEW {
        return by_profile(segments);
    }
    let pairs = (0..segments.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
    pairs.map(|(a, b)| segments[a].intersection_len(segments[b])).collect()
}

fn by_profile(segments: &[&RoaringBitmap]) -> Vec<u64> {
    let mut common = vec![0_u64; segments.len() * segments.len().saturating_sub(1) / 2];
    let mut members: Vec<_> = segments.iter().map(|segment| segment.iter().peekable()).collect();
    let mut listed: Vec<Vec<u32>> = vec![Vec::new(); LISTED as usize];
    let end = segments.iter().filter_map(|segment| segment.max()).max().map_or(0, |last| u64::from(last) + 1);
    for start in (0..end).step_by(LISTED as usize) {
        for (number, rest) in members.iter_mut().enumerate() {
            let inside = |profile: &u32| u64::from(*profile) < start + u64::from(LISTED);
            while let Some(profile) = rest.next_if(inside) {
                listed[(u64::from(profile) - start) as usize].push(number as u32);
            }
        }
        for of_one in &mut listed {
            for (position, &a) in of_one.iter().enumerate() {
                let a = a as usize;
                let row = &mut common[a * a.saturating_sub(1) / 2..][..a];
                of_one[..position].iter().for_each(|&b| row[b as usize] += 1);
            }
            of_one.clear();
        }
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counting_profiles_and_intersecting_pairs_agree(
            segments in prop::collection::vec(prop::collection::btree_set(0..20_000_u32, 0..200), 0..FEW),
            edge in prop::collection::vec(any::<u32>(), 0..3),
        ) {
            let segments: Vec<RoaringBitmap> =
                segments.into_iter().map(|profiles| profiles.into_iter().chain(edge.iter().map(|p| p % 70_000)).collect()).collect();
            let segments: Vec<&RoaringBitmap> = segments.iter().collect();
            prop_assert_eq!(by_profile(&segments), overlaps(&segments));
        }
    }
}
