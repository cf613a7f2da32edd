//! What a destination has that keeps every file of an export.

use std::{collections::BTreeSet, fs, path::Path};

/// Whom it has after each file, in their order, as CSV of one segment says it: the last row of an identifier counts.
pub fn after_each(folder: &Path) -> Vec<BTreeSet<String>> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "csv")).collect();
    files.sort();
    let (mut has, mut after) = (BTreeSet::new(), Vec::new());
    for file in files {
        let text = fs::read_to_string(&file).expect("an export");
        let (header, lines) = text.split_once('\n').expect("a header");
        assert!(header.starts_with("segment,operation,"), "{header}");
        for line in lines.lines() {
            let cells: Vec<&str> = line.split(',').collect();
            match cells[1] {
                "add" => has.insert(cells[2].to_owned()),
                "remove" => has.remove(cells[2]),
                other => panic!("neither `add` nor `remove`: {other}"),
            };
        }
        after.push(has.clone());
    }
    after
}

/// Whom it has after all of them.
pub fn now(folder: &Path) -> BTreeSet<String> {
    after_each(folder).pop().unwrap_or_default()
}
