//! The tree against the published tables, the enrichment on event batches.

use super::*;
use arrow::{array::DictionaryArray, datatypes::UInt32Type};
use kindred_plugin_api::arrow;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

fn parsed(config: Value) -> Config {
    serde_json::from_value(config).unwrap()
}

fn opened(config: Value, dir: &std::path::Path) -> Taxonomy {
    Taxonomy::open(parsed(config), Context::detached(dir)).unwrap()
}

fn batch(categories: ArrayRef) -> RecordBatch {
    let field = Field::new("category", categories.data_type().clone(), true);
    RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![categories]).unwrap()
}

fn added(plugin: &mut Taxonomy, categories: ArrayRef) -> Vec<(Option<String>, Option<String>)> {
    let input = batch(categories);
    let output = plugin.bind(input.schema()).unwrap();
    let made = plugin.process(input).unwrap().batch;
    assert_eq!(made.schema(), output);
    let column = |name| made.column_by_name(name).unwrap().as_string::<i32>();
    let pairs = column("interest").iter().zip(column("interest_path"));
    pairs.map(|(id, path)| (id.map(str::to_owned), path.map(str::to_owned))).collect()
}

fn running() -> (Option<String>, Option<String>) {
    // Rows of the table: 410 is below 408 (Fitness and Exercise), that below 406, that below 206 (Interest).
    (Some("410".to_owned()), Some("/206/406/408/410/".to_owned()))
}

#[test]
fn the_committed_table_is_whole() {
    let tree = audience_1_1();
    assert_eq!(tree.nodes().len(), 1558);
    let roots: Vec<&str> =
        tree.nodes().iter().filter(|n| n.parent.is_none()).map(|n| n.name.as_str()).collect();
    assert_eq!(roots, ["Demographic", "Interest", "Purchase Intent*"]);
    let node = tree.node("IAB 410").unwrap();
    assert_eq!(node.title, "Interest | Healthy Living | Fitness and Exercise | Running and Jogging");
    assert_eq!(tree.parent(node).unwrap().name, "Fitness and Exercise");
    assert_eq!(tree.node("410"), tree.node("IAB410"));
    assert_eq!(tree.node("9999"), None);
}

#[test]
fn every_path_walks_the_parents() {
    let tree = audience_1_1();
    for node in tree.nodes() {
        let above = tree.parent(node).map_or("/".to_owned(), |parent| tree.path(parent));
        assert_eq!(tree.path(node), format!("{above}{}/", node.id));
    }
}

#[test]
fn every_published_table_parses() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures/taxonomies");
    let Ok(files) = std::fs::read_dir(dir) else {
        eprintln!("SKIPPED: no taxonomies at {dir}");
        return;
    };
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> = names.filter(|name| !name.contains(" to ")).collect();
    assert!(names.len() >= 6, "{names:?}");
    for name in names {
        let table = std::fs::read_to_string(format!("{dir}/{name}")).unwrap();
        let tree = Tree::parse(&table).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert!(tree.nodes().len() > 500, "{name}: {}", tree.nodes().len());
        if name == "Audience Taxonomy 1.1.tsv" {
            assert_eq!(tree.nodes(), audience_1_1().nodes());
        }
    }
}

#[test]
fn broken_tables_are_refused() {
    let table = |rows: &str| Tree::parse(&format!("\tUnique ID\tParent ID\tTier 1\r\n{rows}")).err();
    assert_eq!(table("\t1\t\tA\r\n\t1\t\tB"), Some("id `1` twice".to_owned()));
    assert_eq!(table("\t1\t7\tA"), Some("parent `7` of `1` is no node".to_owned()));
    assert_eq!(table("\t1\t2\tA\n\t2\t1\tB"), Some("the parents of `1` run in a circle".to_owned()));
    assert_eq!(table("\tx9\t\tA"), None);
    assert!(Tree::parse("a\tb").is_err());
}

#[test]
fn text_and_dictionaries_give_the_same() {
    let mut plugin = opened(json!({ "map": { "shoes": "IAB 410" } }), ".".as_ref());
    let rows = [Some("shoes"), None, Some("other"), Some("shoes")];
    let want = vec![running(), (None, None), (None, None), running()];
    assert_eq!(added(&mut plugin, Arc::new(StringArray::from(rows.to_vec()))), want);
    let coded: DictionaryArray<UInt32Type> = rows.into_iter().collect();
    assert_eq!(added(&mut plugin, Arc::new(coded.clone())), want);
    assert_eq!(added(&mut plugin, Arc::new(coded.slice(1, 3))), want[1..]);
    let empty: DictionaryArray<UInt32Type> = [None::<&str>; 2].into_iter().collect();
    assert_eq!(added(&mut plugin, Arc::new(empty)), vec![(None, None); 2]);
}

#[test]
fn a_file_maps_and_the_options_go_first() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("m.csv"), "id,category\r\nIAB 410,shoes\r\n483,\"rock, soft\"\r\n")
        .unwrap();
    let config = json!({ "map_file": "m.csv", "map": { "rock, soft": "410" } });
    assert_eq!(Taxonomy::check(&parsed(config.clone()), &Context::detached(dir.path())), Ok(()));
    let mut plugin = opened(config, dir.path());
    let rows = Arc::new(StringArray::from(vec!["shoes", "rock, soft"]));
    assert_eq!(added(&mut plugin, rows), vec![running(), running()]);
}

#[test]
fn unknown_ids_come_with_near_names() {
    let problems =
        Taxonomy::validate(&parsed(json!({ "map": { "a/b": "Runing and Joging", "x": "99999" } })));
    assert_eq!(problems.iter().map(|p| p.path.as_str()).collect::<Vec<_>>(), ["/map/a~1b", "/map/x"]);
    assert_eq!(problems[0].message, "no id `Runing and Joging` in the taxonomy");
    assert!(problems[0].help.as_ref().unwrap().contains("`IAB 410`"), "{problems:?}");
    assert!(problems[1].help.as_ref().unwrap().starts_with("allowed: "), "{problems:?}");
}

#[test]
fn a_bad_file_names_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let context = Context::detached(dir.path());
    let check = || Taxonomy::check(&parsed(json!({ "map_file": "m.csv" })), &context).unwrap_err();
    assert_eq!(check().kind, FaultKind::Config);
    std::fs::write(dir.path().join("m.csv"), "category,id\nok,410\nbad,nope\n").unwrap();
    assert!(check().message.contains("m.csv`, line 3: no id `nope`"), "{}", check().message);
    std::fs::write(dir.path().join("m.csv"), "category,number\n").unwrap();
    assert!(check().message.contains("no column `id`"), "{}", check().message);
}

#[test]
fn options_and_schema_are_checked() {
    assert_eq!(Taxonomy::validate(&parsed(json!({})))[0].message, "nothing to map");
    let reserved = parsed(json!({ "map": { "a": "1" }, "output": "event" }));
    assert_eq!(Taxonomy::validate(&reserved)[0].path, "/output");
    assert!(serde_json::from_value::<Config>(json!({ "colum": "x" })).is_err());

    let mut plugin = opened(json!({ "column": "kategory", "map": { "a": "1" } }), ".".as_ref());
    let fault = plugin.bind(batch(Arc::new(StringArray::from(vec!["x"]))).schema()).unwrap_err();
    assert_eq!(fault.problems[0].help.as_deref(), Some("columns with text: category"));
    let mut plugin = opened(json!({ "map": { "a": "1" }, "output": "category" }), ".".as_ref());
    let fault = plugin.bind(batch(Arc::new(StringArray::from(vec!["x"]))).schema()).unwrap_err();
    assert_eq!(fault.problems[0].path, "/output");
}

proptest! {
    #[test]
    fn a_subtree_is_a_like(node in 0..1558usize, above in 0..1558usize) {
        let tree = audience_1_1();
        let (node, above) = (&tree.nodes()[node], &tree.nodes()[above]);
        let like = tree.path(node).contains(&format!("/{}/", above.id));
        let walked = tree.ancestry(node).any(|n| n.id == above.id);
        prop_assert_eq!(like, walked);
    }
}
