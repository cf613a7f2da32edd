//! The published tables, the ways to name a category, the enrichment on event batches.

use super::*;
use arrow::{array::DictionaryArray, datatypes::UInt32Type};
use kindred_plugin_api::arrow;
use serde_json::{Value, json};
use std::sync::Arc;

fn parsed(config: Value) -> Config {
    serde_json::from_value(config).unwrap()
}

fn added(config: Value, dir: &std::path::Path, categories: ArrayRef) -> Vec<Option<(String, String)>> {
    let mut plugin = ContentCategory::open(parsed(config), Context::detached(dir)).unwrap();
    let input = RecordBatch::try_from_iter_with_nullable([("category", categories, true)]).unwrap();
    let output = plugin.bind(input.schema()).unwrap();
    let made = plugin.process(input).unwrap().batch;
    assert_eq!(made.schema(), output);
    let column = |name| made.column_by_name(name).unwrap().as_string::<i32>();
    let pairs = column("content").iter().zip(column("content_path"));
    pairs.map(|(id, path)| Some((id?.to_owned(), path?.to_owned()))).collect()
}

fn found(config: Value, category: &str) -> Option<String> {
    let rows = Arc::new(StringArray::from(vec![category]));
    added(config, ".".as_ref(), rows)[0].clone().map(|(_, path)| path)
}

#[test]
fn the_committed_tables_are_whole() {
    for (version, nodes, roots) in [(Version::Content31, 704, 37), (Version::Content22, 1196, 37)] {
        let tree = version.ids().tree;
        assert_eq!(tree.nodes().len(), nodes);
        let found = tree.nodes().iter().filter(|node| node.parent.is_none()).count();
        assert_eq!(found, roots, "{version:?}");
        // Each node is found by its id, and by its title, too, where no other has it.
        for node in tree.nodes() {
            assert_eq!((version.ids().node)(tree, &node.id), Some(node));
            let named = version.named(&node.title.to_uppercase());
            assert!(named.is_none_or(|named| named.id == node.id || named.name == node.title), "{node:?}");
        }
    }
}

#[test]
fn the_tables_are_those_of_the_fixtures() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures/taxonomies");
    let pairs = [
        ("Content Taxonomy 3.1.tsv", include_bytes!("../data/content-3.1.tsv").as_slice()),
        ("Content Taxonomy 2.2.tsv", include_bytes!("../data/content-2.2.tsv")),
        ("Content 1.0 to Content 2.0.tsv", include_bytes!("../data/content-1.0-to-2.0.tsv")),
    ];
    for (name, committed) in pairs {
        let Ok(published) = std::fs::read(format!("{dir}/{name}")) else {
            eprintln!("SKIPPED: no {name} at {dir}");
            continue;
        };
        assert!(published == committed, "{name}");
    }
}

/// The table of 1.0 names the categories of 2.0 that it leads to; those names must be what the id means here.
#[test]
fn every_id_of_1_0_leads_to_the_category_that_it_names() {
    let (mut known, mut without) = (0, 0);
    for row in include_str!("../data/content-1.0-to-2.0.tsv").lines().skip(1) {
        let cells: Vec<&str> = row.split('\t').map(str::trim).collect();
        let ids = Version::Content22.ids();
        // One id lacks its first letter in print.
        let id = if cells[0] == "AB7" { "IAB7" } else { cells[0] };
        match (ids.node)(ids.tree, id) {
            Some(node) => {
                assert_eq!((node.id.as_str(), node.name.to_lowercase()), (cells[3], cells[5].to_lowercase()));
                known += 1;
            }
            None => without += 1,
        }
    }
    assert_eq!((known, without), (377, 15));
}

#[test]
fn a_category_can_be_written_in_many_ways() {
    let running = Some("/223/225/227/".to_owned());
    let ways = [
        "227",
        "IAB 227",
        " 227 ",
        "Running and Jogging",
        "running and jogging",
        "Healthy Living | Fitness and Exercise | Running and Jogging",
    ];
    for way in ways {
        assert_eq!(found(json!({}), way), running, "{way}");
    }
    // The number alone is of 3.1: Automotive; in 1.0 it is Arts & Entertainment, which 3.1 does not have any more.
    assert_eq!(found(json!({}), "IAB 1").as_deref(), Some("/1/"));
    assert_eq!(found(json!({}), "IAB1"), None);
    assert_eq!(found(json!({ "taxonomy": "content-2.2" }), "IAB1").as_deref(), Some("/1010/1014/"));
    assert_eq!(found(json!({}), "IAB17-3").as_deref(), Some("/483/492/"));
    // New in 3.1, gone since 2.2, not a number.
    assert_eq!(found(json!({}), "700").as_deref(), Some("/SPSHQ5/700/"));
    assert_eq!(found(json!({}), "379"), None);
    assert_eq!(found(json!({ "taxonomy": "content-2.2" }), "mm3UXx").as_deref(), Some("/v9i3On/mm3UXx/"));
    for nothing in ["", " ", "IAB", "IAB99-99", "227.0", "0227", "|"] {
        assert_eq!(found(json!({}), nothing), None, "{nothing}");
    }
    assert_eq!(found(json!({ "map": { "227": "IAB17-3" } }), "227").as_deref(), Some("/483/492/"));
}

#[test]
fn text_and_dictionaries_give_the_same() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("m.csv"), "category,id\r\nshoes,IAB 1\r\nbikes,IAB17-3\r\n").unwrap();
    let config = json!({ "map": { "shoes": "227" }, "map_file": "m.csv" });
    let rows = [Some("shoes"), None, Some("bikes"), Some("other")];
    let plain = added(config.clone(), dir.path(), Arc::new(StringArray::from(rows.to_vec())));
    let ids: Vec<Option<&str>> = plain.iter().map(|found| Some(found.as_ref()?.0.as_str())).collect();
    assert_eq!(ids, [Some("227"), None, Some("492"), None]);
    let coded: DictionaryArray<UInt32Type> = rows.into_iter().collect();
    assert_eq!(added(config, dir.path(), Arc::new(coded)), plain);
}

#[test]
fn options_and_schema_are_checked() {
    let problems =
        ContentCategory::validate(&parsed(json!({ "map": { "a": "Horse Rasing", "b": "IAB24" } })));
    assert_eq!(problems.iter().map(|p| p.path.as_str()).collect::<Vec<_>>(), ["/map/a", "/map/b"]);
    assert_eq!(
        problems[0].help.as_deref(),
        Some("did you mean `IAB 497` (Sports | Equine Sports | Horse Racing)?")
    );
    assert!(problems[1].help.as_ref().unwrap().starts_with("allowed: ids of the Content Taxonomy 3.1"));
    assert_eq!(ContentCategory::validate(&parsed(json!({ "output": "event" })))[0].path, "/output");
    let absent = parsed(json!({ "map_file": "absent.csv" }));
    assert_eq!(ContentCategory::check(&absent, &Context::detached(".")).unwrap_err().kind, FaultKind::Config);
    let schema = Schema::new(vec![Field::new("content", DataType::Utf8, true)]);
    let mut plugin =
        ContentCategory::open(parsed(json!({ "column": "content" })), Context::detached(".")).unwrap();
    assert_eq!(plugin.bind(Arc::new(schema)).unwrap_err().problems[0].path, "/output");
}
