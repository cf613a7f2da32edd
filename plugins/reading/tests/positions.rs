//! The law of positions: whatever the sizes of the polls and wherever it stops, a source gives each row once.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;
use arrow::array::RecordBatch;
use common::*;
use kindred_plugin_api::{Poll, Reject};
use kindred_reading::*;
use proptest::prelude::*;

/// What came out, as text: ids of the events and codes of the rejects, in order.
fn text(batch: &RecordBatch, rejects: &[Reject]) -> Vec<String> {
    let batches = std::slice::from_ref(batch);
    let mut out: Vec<String> = column(batches, "event_id")
        .into_iter()
        .zip(column(batches, "x"))
        .map(|(id, x)| format!("{id}={x}"))
        .collect();
    out.extend(rejects.iter().map(|reject| format!("{}:{}:{}", reject.origin, reject.row, reject.code)));
    out
}

fn events() -> Mapping {
    let mut mapping = mapping(None);
    mapping.event = Some(Field::new("event", "/event", ConstantOr::Constant("seen".into())));
    mapping.time = Some(Field::new("time", "/time", ConstantOr::Constant("2020-01-01".into())));
    mapping
}

/// Files of all kinds, with bad rows, blank lines, quotes over lines, an empty file and a last row without line end.
fn folder(rows: usize) -> Folder {
    let line = |i: usize| match i % 7 {
        _ if i % 23 == 22 => format!("{i},\"open\n"),
        3 => format!("{i}\n"),
        5 => format!("{i},\"a\n{i}\"\n\n"),
        6 => format!("{i},caf\u{e9}\r\n"),
        _ => format!("{i},x{i}\n"),
    };
    let csv: String = std::iter::once("id,x\n".to_owned()).chain((0..rows).map(line)).collect();
    let json: String = (0..rows)
        .map(|i| if i % 5 == 4 { "{\n".into() } else { format!("{{\"id\":{i},\"x\":\"j{i}\"}}\n") })
        .collect();
    let folder = Folder::with("a.csv", csv.trim_end());
    folder.put("b.csv.gz", gz(csv.as_bytes()));
    folder.put("c.csv", "");
    folder.put("d.jsonl", &json);
    folder.put("e.jsonl.zst", zstd::encode_all(json.as_bytes(), 1).unwrap());
    let packed = gz(csv.as_bytes());
    folder.put("f.csv.gz", &packed[..packed.len() - 9]);
    folder.put("g.parquet", parquet(rows));
    let wide: Vec<u8> = format!("\u{feff}{csv}").encode_utf16().flat_map(u16::to_be_bytes).collect();
    folder.put("h.csv", wide);
    folder
}

/// Row groups of ten rows.
fn parquet(rows: usize) -> Vec<u8> {
    use ::parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
    use arrow::array::{ArrayRef, Int32Array, StringArray};
    use std::sync::Arc;
    let ids: ArrayRef = Arc::new((0..rows as i32).collect::<Int32Array>());
    let texts: ArrayRef = Arc::new((0..rows).map(|i| Some(format!("p{i}"))).collect::<StringArray>());
    let batch = RecordBatch::try_from_iter([("x", texts), ("id", ids)]).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(10)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn read_all(folder: &Folder, path: &str, mut max: impl FnMut() -> (usize, bool)) -> Vec<String> {
    let mut out = Vec::new();
    let mut source = folder.open(&files(path), &events(), None).unwrap();
    loop {
        let (rows, reopen) = max();
        let Poll::Rows(polled) = source.poll(rows).unwrap() else { break };
        assert!(polled.batch.num_rows() + polled.rejects.len() <= rows.max(1) + 1);
        out.extend(text(&polled.batch, &polled.rejects));
        if reopen {
            source = folder.open(&files(path), &events(), Some(polled.position)).unwrap();
        }
    }
    assert!(matches!(source.poll(10).unwrap(), Poll::End));
    out
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_polls_and_any_restarts_give_the_same_rows(
        polls in prop::collection::vec((0_usize..40, any::<bool>()), 1..30),
        rows in 0_usize..60,
    ) {
        let folder = folder(rows);
        let whole = read_all(&folder, ".", || (10_000, false));
        let mut next = polls.iter().cycle();
        let parts = read_all(&folder, ".", || *next.next().unwrap());
        prop_assert_eq!(sorted(whole), sorted(parts));
    }

    #[test]
    fn a_replay_makes_the_same_batches(max in 1_usize..30) {
        let folder = folder(50);
        prop_assert_eq!(read_all(&folder, ".", || (max, false)), read_all(&folder, ".", || (max, true)));
    }
}

#[test]
fn polls_are_full_while_the_file_has_rows() {
    let folder = folder(50);
    let mut source = folder.open(&files("g.parquet"), &events(), None).unwrap();
    let mut sizes = Vec::new();
    while let Poll::Rows(rows) = source.poll(16).unwrap() {
        sizes.push((rows.batch.num_rows(), rows.backlog_rows));
    }
    assert_eq!(sizes, [(16, 34), (16, 18), (16, 2), (2, 0)]);
}

#[test]
fn the_backlog_of_text_is_an_estimate() {
    let folder = Folder::with("a.csv", "id,x\n".to_owned() + &"1000,some text\n".repeat(1000));
    folder.put("b.csv", "id,x\n".to_owned() + &"1000,some text\n".repeat(500));
    let mut source = folder.open(&files("*.csv"), &events(), None).unwrap();
    let backlog = rows(source.poll(100).unwrap()).unwrap().backlog_rows;
    assert!((1350..=1450).contains(&backlog), "{backlog} of 1400");
}

#[test]
fn finished_files_are_not_read_again_and_the_end_comes_at_once() {
    let folder = folder(20);
    let mut source = folder.open(&files("."), &events(), None).unwrap();
    let mut position = None;
    while let Poll::Rows(rows) = source.poll(7).unwrap() {
        position = Some(rows.position);
    }
    let mut again = folder.open(&files("."), &events(), position.clone()).unwrap();
    assert!(matches!(again.poll(7).unwrap(), Poll::End));
    folder.put("aa.csv", "id,x\n1,new\n");
    let mut again = folder.open(&files("."), &events(), position).unwrap();
    let new = rows(again.poll(7).unwrap()).unwrap();
    assert_eq!(column(&[new.batch], "x"), ["new"]);
    assert!(matches!(again.poll(7).unwrap(), Poll::End));
}

#[test]
fn a_file_that_grew_is_read_on_and_one_that_changed_anew() {
    let folder = Folder::with("a.csv", "id,x\n1,a\n2,b\n");
    let next = |state: Option<Vec<u8>>| {
        let mut source = folder.open(&files("a.csv"), &events(), state).unwrap();
        rows(source.poll(10).unwrap()).map(|r| {
            (column(std::slice::from_ref(&r.batch), "x"), column(&[r.batch], "event_id"), r.position)
        })
    };
    let (x, first_ids, position) = next(None).unwrap();
    assert_eq!(x, ["a", "b"]);
    folder.put("a.csv", "id,x\n1,a\n2,b\n3,c\n4,");
    let (x, ids, position) = next(Some(position)).unwrap();
    assert_eq!(x, ["c", "∅"]);
    assert!(ids[0].ends_with(":3") && ids[0][..16] == first_ids[0][..16], "{ids:?}");
    folder.put("a.csv", "id,x\n1,a\n2,b\n3,c\n4,dd\n");
    let (x, ids, position) = next(Some(position)).unwrap();
    assert_eq!(x, ["dd"], "a line that had no end is read once more");
    assert!(ids[0].ends_with(":4"));
    assert!(next(Some(position.clone())).is_none());
    folder.put("a.csv", "id,x\n9,z\n2,b\n3,c\n4,dd\n");
    assert_eq!(next(Some(position)).unwrap().0, ["z", "b", "c", "dd"]);
}

#[test]
fn files_that_begin_alike_keep_their_ids_apart() {
    let folder = Folder::with("a.csv", "id,x\n1,a\n");
    folder.put("b.csv", "id,x\n1,a\n");
    let ids = sorted(read_all(&folder, ".", || (10, false)));
    assert!(ids.len() == 2 && ids[0] != ids[1], "{ids:?}");
}

#[test]
fn a_gzip_that_arrives_whole_later_is_read_on() {
    let text: String = (0..5000).map(|i| format!("{i},{}\n", i * 7919 % 1009)).collect();
    let whole = gz(format!("id,x\n{text}").as_bytes());
    let folder = Folder::with("a.csv.gz", &whole[..whole.len() - 5000]);
    let mut source = folder.open(&files("*.gz"), &events(), None).unwrap();
    let first = rows(source.poll(10_000).unwrap()).unwrap();
    assert_eq!(codes(&first.rejects).len(), 1);
    let mut again = folder.open(&files("*.gz"), &events(), Some(first.position.clone())).unwrap();
    assert!(
        matches!(again.poll(10).unwrap(), Poll::End),
        "a broken file is not tried again while it stays as it is"
    );
    folder.put("a.csv.gz", &whole);
    let mut again = folder.open(&files("*.gz"), &events(), Some(first.position)).unwrap();
    let second = rows(again.poll(10_000).unwrap()).unwrap();
    assert_eq!(first.batch.num_rows() + second.batch.num_rows(), 5000);
}
