//! The contract of a delivery: once or twice, whole or not at all.

use super::*;

fn rows() -> Vec<Row> {
    vec![
        row("new", false, &["u1", "u2"]),
        row("new", true, &["u3"]),
        row("vip", false, &["u1"]),
        row("vip", true, &[]),
        row("vip", false, &["bad,id"]),
        row("vip", true, &["u2"]),
    ]
}

fn all_formats() -> Vec<Value> {
    vec![xandr(), adobe(), json!({ "format": "csv", "path": "." }), json!({ "format": "jsonl", "path": "." })]
}

#[test]
fn rows_without_a_usable_identifier_are_rejected_with_their_number() {
    let dir = tempfile::tempdir().unwrap();
    let flushed =
        deliver(&mut opened(dir.path(), xandr()), &delivery(1, Mode::Delta, &rows()), &rows()).unwrap();
    let rejects: Vec<(u64, &str)> = flushed.rejects.iter().map(|r| (r.row, r.code.as_str())).collect();
    assert_eq!((flushed.rows, rejects), (4, vec![(3, "no-identifier"), (4, "identifier")]));
    assert!(flushed.rejects.iter().all(|r| r.payload.is_empty() && !r.message.contains("bad")));
    assert_eq!(
        flushed.receipts,
        [
            "./00000001-delta-00000000000000000000000000000001.txt.gz",
            "./00000000000000000000000000000001.manifest.json",
        ]
    );
}

#[test]
fn the_manifest_says_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let options = with(xandr(), "gzip", json!(false));
    deliver(&mut opened(dir.path(), options), &delivery(7, Mode::Delta, &rows()), &rows()).unwrap();
    let listing = listing(dir.path());
    let manifest: Value =
        serde_json::from_slice(&listing["00000000000000000000000000000007.manifest.json"]).unwrap();
    let file = &listing["00000007-delta-00000000000000000000000000000007.txt"];
    assert_eq!(String::from_utf8_lossy(file), "u1,10001:0;10000:1440\nu2,10001:0;10000:-1\nu3,10001:-1\n");
    let hash: String = {
        use sha2::Digest;
        sha2::Sha256::digest(file).iter().map(|b| format!("{b:02x}")).collect()
    };
    let files = json!([{ "name": "00000007-delta-00000000000000000000000000000007.txt", "rows": 3,
        "bytes": file.len(), "sha256": hash }]);
    assert_eq!(
        manifest,
        json!({
            "delivery": "00000000000000000000000000000007", "sequence": 7, "destination": "test", "format": "xandr",
            "mode": "delta", "identifier": "cookie", "created": "2015-10-20T20:47:41.25Z",
            "segments": [{ "segment": "new", "adds": 1, "removes": 1 }, { "segment": "vip", "adds": 2, "removes": 2 }],
            "rows": 4, "rejected": 2, "files": files,
        })
    );
}

#[test]
fn redelivery_writes_nothing_and_answers_the_same() {
    for options in all_formats() {
        let dir = tempfile::tempdir().unwrap();
        let first = delivery(1, Mode::Delta, &rows());
        let once = deliver(&mut opened(dir.path(), options.clone()), &first, &rows()).unwrap();
        let before = listing(dir.path());
        let modified = |name: &String| fs::metadata(dir.path().join(name)).unwrap().modified().unwrap();
        let times: Vec<_> = before.keys().map(modified).collect();
        let twice = deliver(&mut opened(dir.path(), options), &first, &rows()).unwrap();
        assert_eq!(listing(dir.path()), before);
        assert_eq!(before.keys().map(modified).collect::<Vec<_>>(), times, "a file was written again");
        assert_eq!((once.rows, &once.rejects, &once.receipts), (twice.rows, &twice.rejects, &twice.receipts));
    }
}

#[test]
fn the_same_delivery_gives_the_same_bytes_elsewhere() {
    for options in all_formats().into_iter().flat_map(|o| [with(o.clone(), "gzip", json!(true)), o]) {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [here, there] = dirs.each_ref().map(|dir| {
            deliver(&mut opened(dir.path(), options.clone()), &delivery(1, Mode::Delta, &rows()), &rows())
                .unwrap();
            std::thread::sleep(std::time::Duration::from_millis(5));
            listing(dir.path())
        });
        assert_eq!(here, there);
    }
}

/// A kill between the temporary files and the renames, and between the renames and the manifest.
#[test]
fn a_killed_delivery_is_finished_by_the_next_start() {
    for options in all_formats() {
        let dir = tempfile::tempdir().unwrap();
        let first = delivery(1, Mode::Delta, &rows());
        deliver(&mut opened(dir.path(), options.clone()), &first, &rows()).unwrap();
        let whole = listing(dir.path());

        fs::remove_file(dir.path().join(manifest::name(&first.id))).unwrap();
        fs::write(dir.path().join(format!(".test.{}.1.tmp", first.id)), "half").unwrap();
        fs::write(dir.path().join(".test.00000000000000000000000000000009.12.tmp"), "of another").unwrap();
        let mut plugin = opened(dir.path(), options.clone());
        plugin.begin(&first).unwrap();
        assert!(listing(dir.path()).keys().all(|name| !name.ends_with(".tmp")));
        drop(plugin);
        deliver(&mut opened(dir.path(), options), &first, &rows()).unwrap();
        assert_eq!(listing(dir.path()), whole);
    }
}

#[test]
fn temporary_files_of_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let others =
        [".test.x.00ff.1.tmp", ".other.00ff.1.tmp", "notes.tmp", ".test.00ff.tmp", ".test.00ff.1.tmp.gz"];
    others.iter().for_each(|name| fs::write(dir.path().join(name), "").unwrap());
    opened(dir.path(), xandr()).begin(&delivery(1, Mode::Delta, &[])).unwrap();
    assert_eq!(listing(dir.path()).len(), others.len());
}

#[test]
fn nothing_is_seen_before_flush() {
    let dir = tempfile::tempdir().unwrap();
    let mut plugin = opened(dir.path(), json!({ "format": "csv", "path": "." }));
    plugin.begin(&delivery(1, Mode::Delta, &rows())).unwrap();
    plugin.write(batch(&rows())).unwrap();
    assert!(listing(dir.path()).keys().all(|name| name.starts_with('.')));
    // `begin` forgets it.
    plugin.begin(&delivery(2, Mode::Delta, &[])).unwrap();
    assert_eq!(plugin.flush().unwrap().rows, 0);
    assert_eq!(plugin.flush().unwrap_err().code, "order");
}

#[test]
fn two_deliveries_in_one_second_keep_their_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut plugin = opened(dir.path(), adobe());
    let (one, two) = ([row("vip", false, &["a"])], [row("vip", true, &["a"])]);
    let (first, second) = (delivery(1, Mode::Delta, &one), delivery(2, Mode::Delta, &two));
    deliver(&mut plugin, &first, &one).unwrap();
    deliver(&mut plugin, &second, &two).unwrap();
    assert_eq!(
        files(dir.path(), &first),
        [("ftp_dpm_1234_1445374061.sync".into(), vec!["a\td_sid=24".into()])]
    );
    assert_eq!(
        files(dir.path(), &second),
        [("ftp_dpm_1234_1445374062.sync".into(), vec!["a\td_unsid=24".into()])]
    );
    // Killed before its manifest, the second finds its own file again.
    fs::remove_file(dir.path().join(manifest::name(&second.id))).unwrap();
    let before = listing(dir.path()).len();
    deliver(&mut plugin, &second, &two).unwrap();
    assert_eq!(listing(dir.path()).len(), before + 1);
}

#[test]
fn adobe_writes_no_empty_file_and_no_removal_into_an_overwrite() {
    let dir = tempfile::tempdir().unwrap();
    let rows = [row("new", true, &["a"]), row("vip", true, &["a"])];
    let full = delivery(1, Mode::Full, &rows);
    let flushed = deliver(&mut opened(dir.path(), adobe()), &full, &rows).unwrap();
    assert_eq!((flushed.rows, flushed.receipts.len()), (2, 1));
    assert_eq!(files(dir.path(), &full), []);
    // An empty audience is a fact to those who read CSV.
    let empty = delivery(2, Mode::Full, &[]);
    deliver(&mut opened(dir.path(), json!({ "format": "csv", "path": "." })), &empty, &[]).unwrap();
    assert_eq!(files(dir.path(), &empty)[0].1, ["segment,operation,cookie"]);
}

#[test]
fn one_kind_of_device_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let (apple, android) = ("EA7583CD-A667-48BC-B806-42ECB2B48606", "cdda802e-fb9c-47ad-9866-0794d394c912");
    let maid = |ids: &[&str]| Row {
        identifiers: ids.iter().map(|id| ("maid".to_owned(), (*id).to_owned())).collect(),
        ..row("vip", false, &[])
    };
    let rows = [maid(&[apple, android]), maid(&[android]), maid(&["00000000-0000-0000-0000-000000000000"])];
    for (sequence, device, line) in [(1, "idfa", apple), (2, "aaid", android)] {
        let options = with(with(adobe(), "device", json!(device)), "identifier", json!("maid"));
        let delivery = delivery(sequence, Mode::Delta, &rows);
        let flushed = deliver(&mut opened(dir.path(), options), &delivery, &rows).unwrap();
        assert_eq!(files(dir.path(), &delivery)[0].1, [format!("{line}\td_sid=24")]);
        assert_eq!(flushed.rejects.len(), if device == "idfa" { 2 } else { 1 });
    }
    let options = with(with(xandr(), "device", json!("idfa")), "identifier", json!("maid"));
    let third = delivery(3, Mode::Delta, &rows);
    deliver(&mut opened(dir.path(), options), &third, &rows).unwrap();
    assert_eq!(files(dir.path(), &third)[0].1, [format!("{apple},10000:1440^3")]);
}

#[test]
fn a_segment_that_the_options_do_not_map_stops_the_delivery() {
    let dir = tempfile::tempdir().unwrap();
    let rows = [row("lost", false, &["a"])];
    for options in [xandr(), adobe()] {
        let fault =
            deliver(&mut opened(dir.path(), options), &delivery(1, Mode::Delta, &rows), &rows).unwrap_err();
        assert_eq!((fault.kind, fault.code.as_str()), (FaultKind::Permanent, "unmapped-segment"));
        assert!(fault.message.contains("/segments/lost/id"), "{fault}");
    }
    // Where the name can serve as the code, it does.
    let first = delivery(1, Mode::Delta, &rows);
    deliver(&mut opened(dir.path(), json!({ "format": "xandr", "path": "." })), &first, &rows).unwrap();
    assert_eq!(files(dir.path(), &first)[0].1, ["a,lost:0"]);
}

#[test]
fn a_disk_that_fails_is_transient_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut plugin = opened(dir.path(), with(xandr(), "path", json!("out")));
    plugin.begin(&delivery(1, Mode::Delta, &rows())).unwrap();
    plugin.write(batch(&rows())).unwrap();
    fs::remove_dir(dir.path().join("out")).unwrap();
    fs::write(dir.path().join("out"), "a file where the folder was").unwrap();
    let fault = plugin.flush().unwrap_err();
    assert_eq!((fault.kind, fault.code.as_str()), (FaultKind::Transient, "file"));
    assert!(fault.message.contains("out/.test.00000000000000000000000000000001.1.tmp"), "{fault}");

    let config = config(with(xandr(), "path", json!("out")));
    let fault = DspExport::check(&config, &Context::detached(dir.path())).unwrap_err();
    assert_eq!((fault.kind, fault.problems[0].path.as_str()), (FaultKind::Config, "/path"));
}

#[test]
fn ids_and_schemas_are_not_taken_on_trust() {
    let dir = tempfile::tempdir().unwrap();
    let mut plugin = opened(dir.path(), xandr());
    let evil = Delivery { id: "../../x".into(), ..delivery(1, Mode::Delta, &[]) };
    assert_eq!(plugin.begin(&evil).unwrap_err().code, "delivery-id");
    assert_eq!(plugin.bind(Arc::new(Schema::empty())).unwrap_err().problems.len(), 4);
}
