//! Which segments go together, before anything is opened: by plugin, level, and whether they are fitted.

use super::applied;
use crate::{
    Error, Result, config,
    plugin::{Plugin, Plugins, registry::Registry},
};
use std::collections::{BTreeMap, HashMap};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Which segments go together, before anything is opened.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) plugin: Plugin,
    pub(super) place: Place,
    pub(super) segments: Vec<config::Segment>,
}

/// Where a segment's group stands: above all that it refers to, and apart from segments that are fitted when it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) level: usize,
    pub(super) model: bool,
}

/// Also the definition of every segment.
pub(super) fn drafts(
    pipeline: &config::Pipeline,
    registry: &Registry,
) -> Result<(Vec<Draft>, HashMap<String, u64>)> {
    let mut plugins: BTreeMap<&str, Plugin> = BTreeMap::new();
    for segment in pipeline.segments.iter().filter(|segment| segment.sql.is_none()) {
        if !plugins.contains_key(segment.plugin.as_str()) {
            let found =
                registry.find(&segment.plugin, &pipeline.base_dir).map_err(|e| Error::NotFound(e.message))?;
            plugins.insert(&segment.plugin, found);
        }
    }
    let nests = |plugin: &str| plugins[plugin].manifest.can("nests");
    let order = order(&pipeline.segments)?;
    let places = places(&pipeline.segments, &order, nests);
    let definitions = definitions(&pipeline.segments, &order, |segment| match &segment.sql {
        Some(sql) => applied::with_ages(&sql.text, pipeline, segment),
        None => {
            let manifest = &plugins[segment.plugin.as_str()].manifest;
            let config = applied::with_ages(&segment.config.to_string(), pipeline, segment);
            format!("{} {} {config}", manifest.name, manifest.version)
        }
    });
    let mut drafts: BTreeMap<(Place, &str), Draft> = BTreeMap::new();
    // Those with a query have no plugin: they are answered at the end of a run.
    let placed = pipeline.segments.iter().zip(places).filter(|(segment, _)| segment.sql.is_none());
    for (segment, place) in placed {
        let plugin = &plugins[segment.plugin.as_str()];
        drafts
            .entry((place, &segment.plugin))
            .or_insert_with(|| Draft { plugin: plugin.clone(), place, segments: Vec::new() })
            .segments
            .push(segment.clone());
    }
    Ok((drafts.into_values().collect(), definitions))
}

/// Ordinals, each behind those of the segments that it refers to, with the ordinals of these.
type Order = Vec<(usize, Vec<usize>)>;

fn order(segments: &[config::Segment]) -> Result<Order> {
    let ordinals: HashMap<&str, usize> =
        segments.iter().enumerate().map(|(at, segment)| (segment.name.as_str(), at)).collect();
    let used = |segment: &config::Segment| -> Vec<usize> {
        segment.depends_on.iter().filter_map(|name| ordinals.get(name.as_str()).copied()).collect()
    };
    let mut uses: Vec<Vec<usize>> = segments.iter().map(used).collect();
    let mut users = vec![Vec::new(); segments.len()];
    for (user, uses) in uses.iter().enumerate() {
        uses.iter().for_each(|used| users[*used].push(user));
    }
    let mut waiting: Vec<usize> = uses.iter().map(Vec::len).collect();
    let mut ready: Vec<usize> = (0..segments.len()).filter(|&at| waiting[at] == 0).collect();
    let mut order = Vec::with_capacity(segments.len());
    while let Some(at) = ready.pop() {
        order.push((at, std::mem::take(&mut uses[at])));
        for &user in &users[at] {
            waiting[user] -= 1;
            if waiting[user] == 0 {
                ready.push(user);
            }
        }
    }
    if order.len() < segments.len() {
        return Err(Error::Column("segments refer to each other in a circle".into()));
    }
    Ok(order)
}

/// A segment's level is one above those it refers to, or the same where its plugin resolves references itself. A plugin
/// cannot do that for models: what they answer is known only once everybody was seen.
fn places(segments: &[config::Segment], order: &Order, nests: impl Fn(&str) -> bool) -> Vec<Place> {
    let mut places: Vec<Place> =
        segments.iter().map(|segment| Place { level: 0, model: segment.model }).collect();
    for (user, uses) in order {
        for used in uses {
            let (above, below) = (&segments[*user], &segments[*used]);
            let resolved = above.plugin == below.plugin
                && nests(&above.plugin)
                && below.sql.is_none()
                && !above.model
                && !below.model;
            places[*user].level = places[*user].level.max(places[*used].level + usize::from(!resolved));
        }
    }
    places
}

/// What each segment is and all that it builds on are.
fn definitions(
    segments: &[config::Segment],
    order: &Order,
    own: impl Fn(&config::Segment) -> String,
) -> HashMap<String, u64> {
    let mut found = vec![0; segments.len()];
    for (at, uses) in order {
        let below = uses.iter().map(|used| found[*used]);
        found[*at] = below.fold(xxh3_64(own(&segments[*at]).as_bytes()), |definition, below| {
            xxh3_64_with_seed(&u64::to_le_bytes(below), definition)
        });
    }
    segments.iter().map(|segment| segment.name.clone()).zip(found).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn segment(name: &str, plugin: &str, model: bool, depends_on: &[&str]) -> config::Segment {
        config::Segment {
            name: name.into(),
            title: name.into(),
            plugin: plugin.into(),
            config: json!({}),
            depends_on: depends_on.iter().map(|name| (*name).to_owned()).collect(),
            model,
            reads: None,
            sql: None,
        }
    }

    fn placed(segments: &[config::Segment]) -> Vec<(usize, bool)> {
        let places = places(segments, &order(segments).unwrap(), |plugin| plugin == "rules");
        places.into_iter().map(|place| (place.level, place.model)).collect()
    }

    #[test]
    fn rules_stand_together_and_models_apart() {
        let segments = [
            segment("after", "rules", false, &["top", "plain"]),
            segment("top", "rules", true, &["nested"]),
            segment("nested", "rules", false, &["plain"]),
            segment("plain", "rules", false, &[]),
            segment("best of top", "rules", true, &["top"]),
            segment("alike", "lookalike", false, &["top"]),
            segment("free", "rules", true, &[]),
        ];
        let expected = [(2, false), (1, true), (0, false), (0, false), (2, true), (2, false), (0, true)];
        assert_eq!(placed(&segments), expected);
    }

    #[test]
    fn many_segments_are_placed_at_once() {
        let names: Vec<String> = (0..20_000).map(|at| format!("s{at}")).collect();
        let chain: Vec<config::Segment> = names
            .iter()
            .enumerate()
            .map(|(at, name)| {
                let below = names.get(at + 1).map(String::as_str);
                segment(name, "other", false, below.as_slice())
            })
            .collect();
        let started = std::time::Instant::now();
        assert_eq!(placed(&chain)[0], (19_999, false));
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    }

    #[test]
    fn a_definition_is_that_of_what_it_builds_on_too() {
        let before = [
            segment("plain", "rules", false, &[]),
            segment("nested", "rules", false, &["plain"]),
            segment("other", "rules", false, &[]),
        ];
        let of = |segments: &[config::Segment]| {
            definitions(segments, &order(segments).unwrap(), |segment| segment.config.to_string())
        };
        let (was, mut after) = (of(&before), before.clone());
        after[0].config = json!({"rule": "TRUE"});
        let is = of(&after);
        assert!(was["plain"] != is["plain"] && was["nested"] != is["nested"]);
        assert_eq!(was["other"], is["other"]);
    }

    #[test]
    fn circles_have_no_place() {
        let circle = [segment("a", "x", false, &["b"]), segment("b", "x", false, &["a"])];
        assert!(order(&circle).is_err());
    }
}
