//! Everything that files get wrong: each bad row goes to the dead letters once, the rows around it stay.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

mod common;
use common::*;
use kindred_plugin_api::{FaultKind, Reject};
use kindred_reading::*;

fn read(name: &str, bytes: impl AsRef<[u8]>) -> (Vec<String>, Vec<Reject>) {
    let folder = Folder::with(name, bytes);
    let (batches, rejects) = folder.read(&files(name), &mapping(None)).unwrap();
    (column(&batches, "x"), rejects)
}

#[test]
fn a_ragged_row_is_rejected_with_its_text() {
    let (x, rejects) = read("a.csv", "id,x\n1,a\n2,b,c\n3\n4,d\n");
    assert_eq!(x, ["a", "d"]);
    assert_eq!(codes(&rejects), [(2, "ragged-row"), (3, "ragged-row")]);
    assert_eq!((rejects[0].payload.as_str(), rejects[0].origin.as_str()), ("2,b,c", "a.csv"));
    assert_eq!(rejects[0].message, "3 fields, expected 2");
}

#[test]
fn an_unclosed_quote_costs_its_line_and_no_more() {
    let (x, rejects) = read("a.csv", "id,x\n1,\"a\n2,b\n3,c\n");
    assert_eq!(x, ["b", "c"]);
    assert_eq!(codes(&rejects), [(1, "unclosed-quote")]);
    assert_eq!(rejects[0].payload, "1,\"a");
    let (x, rejects) = read("a.csv", "id,x\n1,a\n2,\"b");
    assert_eq!((x, codes(&rejects)), (vec!["a".to_owned()], vec![(2, "unclosed-quote")]));
}

#[test]
fn quotes_line_ends_and_delimiters_inside_fields_are_text() {
    let (x, rejects) = read("a.csv", "id,x\r\n1,\"a,\"\"b\"\"\r\nc\"\r\n\r\n2,d\r\n");
    assert_eq!((x, rejects.len()), (vec!["a,\"b\"\r\nc".to_owned(), "d".to_owned()], 0));
}

#[test]
fn nul_bytes_are_rejected() {
    let (x, rejects) = read("a.csv", "id,x\n1,a\0b\n2,c\n");
    assert_eq!((x, codes(&rejects)), (vec!["c".to_owned()], vec![(1, "nul-byte")]));
    let (_, rejects) = read("a.jsonl", "{\"id\": 1, \"x\": \"\0\"}\n");
    assert_eq!(codes(&rejects), [(1, "nul-byte")]);
}

#[test]
fn a_field_of_ten_megabytes_is_too_long() {
    let long = "y".repeat(10 << 20);
    for (name, text) in [
        ("a.csv", format!("id,x\n1,a\n2,{long}\n3,b\n")),
        ("b.csv", format!("id,x\n1,a\n2,\"{long}\"\n3,b\n")),
        ("a.jsonl", format!("{{\"id\":1,\"x\":\"a\"}}\n{{\"x\":\"{long}\"}}\n{{\"id\":3,\"x\":\"b\"}}")),
    ] {
        let (x, rejects) = read(name, text);
        assert_eq!(x, ["a", "b"], "{name}");
        assert_eq!(codes(&rejects), [(2, "row-too-long")], "{name}");
        assert_eq!(rejects[0].payload.len(), 4096);
    }
}

#[test]
fn invalid_bytes_cost_their_row_and_the_right_encoding_none() {
    let latin = b"id,x\n1,caf\xe9\n2,b\n";
    let (x, rejects) = read("a.csv", latin);
    assert_eq!((x, codes(&rejects)), (vec!["b".to_owned()], vec![(1, "encoding")]));
    assert!(
        rejects[0].message.contains("byte 6 of the row (0xe9) is not valid UTF-8"),
        "{}",
        rejects[0].message
    );

    let folder = Folder::with("a.csv", latin);
    for name in ["latin-1", "windows-1252", "ISO-8859-1"] {
        let mut files = files("a.csv");
        files.text.encoding = Some(name.into());
        let (batches, rejects) = folder.read(&files, &mapping(None)).unwrap();
        assert_eq!(
            (column(&batches, "x"), rejects.len()),
            (vec!["café".to_owned(), "b".to_owned()], 0),
            "{name}"
        );
    }
}

#[test]
fn byte_order_marks_are_no_part_of_the_first_column() {
    assert_eq!(read("a.csv", "\u{feff}id,x\n1,é\n").0, ["é"]);
    let wide: Vec<u8> = "\u{feff}id,x\n1,é\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(read("a.csv", wide).0, ["é"]);
    assert_eq!(read("a.jsonl", "\u{feff}{\"id\":1,\"x\":\"é\"}").0, ["é"]);
}

#[test]
fn bad_json_is_rejected_once_a_line() {
    let text = "{\"id\":1,\"x\":{\"y\":[1]}}\n\n{\"id\":2,\n[1]\n\"s\"\n{\"id\":3,\"x\":\"\\ud800\"}\n{} {}\n{\"id\":4,\"x\":1.50}\n";
    let (x, rejects) = read("a.jsonl", text);
    assert_eq!(x, ["1.50"]);
    // An object is no text, unless it is told to be taken as one.
    assert_eq!(codes(&rejects)[0], (1, "value"));
    assert_eq!(codes(&rejects)[1..], [2, 3, 4, 5, 6].map(|row| (row, "json")));
    assert!(rejects[2].message.contains("one object a line"));
}

#[test]
fn deep_json_is_no_danger() {
    let deep = format!("{{\"id\":1,\"x\":{}{}}}\n", "[".repeat(10_000), "]".repeat(10_000));
    let (x, rejects) = read("a.jsonl", deep + "{\"id\":2,\"x\":1}\n");
    assert_eq!(x.len() + rejects.len(), 2);
    assert_eq!(x.last().unwrap(), "1");
}

#[test]
fn a_truncated_gzip_gives_its_rows_and_then_says_where_it_ends() {
    let text: String = (0..20_000).map(|i| format!("{i},{}\n", i * 7919 % 1009)).collect();
    let whole = gz(format!("id,x\n{text}").as_bytes());
    let (x, rejects) = read("a.csv.gz", &whole[..whole.len() / 2]);
    assert!(x.len() > 5_000 && x.len() < 15_000, "{}", x.len());
    assert_eq!(codes(&rejects), [(x.len() as u64 + 1, "truncated")]);
    assert!(rejects[0].message.contains(&format!("the {} rows before", x.len())), "{}", rejects[0].message);
    let (x, rejects) = read("a.csv.gz", &whole[..4]);
    assert_eq!((x.len(), codes(&rejects)), (0, vec![(1, "truncated")]));
    let zst = zstd::encode_all(format!("id,x\n{text}").as_bytes(), 1).unwrap();
    assert_eq!(read("a.csv.zst", &zst).0.len(), 20_000);
    assert_eq!(codes(&read("a.csv.zst", &zst[..zst.len() / 2]).1).len(), 1);
}

#[test]
fn a_parquet_file_cut_in_half_is_named() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures/retail/products.parquet");
    let Ok(bytes) = std::fs::read(path) else {
        println!("skipped: {path} is not there");
        return;
    };
    let folder = Folder::with("half.parquet", &bytes[..bytes.len() / 2]);
    let fault = folder.read(&files("half.parquet"), &mapping(None)).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Permanent);
    assert!(fault.message.starts_with("`half.parquet` is no complete Parquet file"), "{fault}");
    assert!(check(&files("half.parquet"), &mapping(None), &folder.context()).is_err());
}

#[test]
fn empty_files_have_no_rows() {
    for name in ["a.csv", "a.jsonl", "a.parquet", "a.csv.gz"] {
        assert_eq!(read(name, ""), (vec![], vec![]), "{name}");
    }
    assert_eq!(read("a.csv", "id,x\n"), (vec![], vec![]));
    assert_eq!(read("a.csv.gz", gz(b"")), (vec![], vec![]));
}

#[test]
fn a_missing_column_names_the_near_ones() {
    let folder = Folder::with("a.csv", "ID,x\n");
    let fault = check(&files("a.csv"), &mapping(None), &folder.context()).unwrap_err();
    assert_eq!((fault.kind, fault.problems[0].path.as_str()), (FaultKind::Config, "/identifiers/cookie"));
    assert_eq!(fault.problems[0].message, "no column `id` in `a.csv`");
    assert_eq!(fault.problems[0].help.as_deref(), Some("did you mean `ID`? columns: ID, x"));
}

#[test]
fn a_later_file_without_the_column_stops_and_names_itself() {
    let folder = Folder::with("a.csv", "id,x\n1,a\n");
    folder.put("b.csv", "id,y\n1,a\n");
    let mut source = folder.open(&files("*.csv"), &mapping(None), None).unwrap();
    assert_eq!(rows(source.poll(10).unwrap()).unwrap().batch.num_rows(), 1);
    for _ in 0..2 {
        let fault = source.poll(10).unwrap_err();
        assert_eq!(fault.problems[0].message, "no column `x` in `b.csv`");
    }
}

#[test]
fn no_match_names_pattern_and_folder() {
    let folder = Folder::new();
    let fault = check(&files("*.csv"), &mapping(None), &folder.context()).unwrap_err();
    assert_eq!((fault.kind, fault.problems[0].path.as_str()), (FaultKind::Config, "/path"));
    assert_eq!(fault.message, "no file matches `*.csv`");
}

#[test]
fn a_value_that_cannot_be_read_names_column_found_and_expected() {
    let folder = Folder::with("a.csv", "id,x\n1,5\n2,five\n3,\n4,6\n");
    let mut mapping = mapping(Some(Type::Integer));
    let (batches, rejects) = folder.read(&files("a.csv"), &mapping).unwrap();
    assert_eq!(column(&batches, "x"), ["5", "∅", "6"]);
    assert_eq!(codes(&rejects), [(2, "value")]);
    assert_eq!(rejects[0].message, "column `x`: found `five`, expected a whole number of 64 bits");
    assert_eq!(rejects[0].payload, "2,five");
    mapping.on_bad_value = OnBadValue::Null;
    let (batches, rejects) = folder.read(&files("a.csv"), &mapping).unwrap();
    assert_eq!((column(&batches, "x"), rejects.len()), (["5", "∅", "∅", "6"].map(str::to_owned).to_vec(), 0));
}

#[test]
fn a_row_without_identifier_is_rejected() {
    let (x, rejects) = read("a.csv", "id,x\n,a\n  ,b\n7,c\n");
    assert_eq!(x, ["c"]);
    assert_eq!(codes(&rejects), [(1, "no-identifier"), (2, "no-identifier")]);
}

#[test]
fn delimiter_and_header_are_found_out_or_told() {
    for text in ["id;x\n1;a\n", "id\tx\n1\ta\n", "id|x\n1|a\n", "\"a,b\";id;x\n0;1;a\n"] {
        assert_eq!(read("a.csv", text).0, ["a"], "{text:?}");
    }
    let folder = Folder::with("a.csv", "1,a\n2,b\n");
    let mut by_place = mapping(None);
    by_place.identifiers[0].spec.column = Some("#1".into());
    by_place.values[0].spec.column = Some("#2".into());
    let mut files = files("a.csv");
    let (batches, _) = folder.read(&files, &by_place).unwrap();
    assert_eq!(column(&batches, "x"), ["a", "b"]);
    files.text.header = HeaderRow::Yes;
    let (batches, _) = folder.read(&files, &by_place).unwrap();
    assert_eq!(column(&batches, "x"), ["b"]);
    files.text.header = HeaderRow::No;
    let fault = folder.read(&files, &mapping(None)).unwrap_err();
    assert_eq!(fault.problems[0].help.as_deref(), Some("columns: #1, #2"));
}

#[test]
fn wrong_options_are_all_named() {
    let mut mapping = mapping(None);
    mapping.values[0].spec.timezone = Some("Mars".into());
    mapping.values.push(Field::new("event_time", "/properties/event_time", ValueSpec::default()));
    let mut files = files("a.csv");
    files.text.encoding = Some("latin-7000".into());
    files.text.delimiter = Some('é');
    let paths: Vec<_> = problems(&files, &mapping).into_iter().map(|problem| problem.path).collect();
    for path in ["/text/delimiter", "/text/encoding", "/properties/x/timezone", "/properties/event_time"] {
        assert!(paths.iter().any(|found| found == path), "{path} in {paths:?}");
    }
}
