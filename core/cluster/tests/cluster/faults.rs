//! Workers that are late, read something else, or find damage.

use crate::processes::{House, Process, copy, manifest};
use arrow::array::RecordBatch;
use kindred_core::publish::MANIFEST;
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use rustix::process::Signal;
use std::{
    fs::{self, File},
    path::Path,
    time::Duration,
};
use xxhash_rust::xxh3::xxh3_64;

fn small() -> House {
    House::generated(2_000, 20_000)
}

/// A worker with a copy of its own in which each bucket of a table lacks a row, and whose manifest agrees with that.
fn stale(shared: &Path, own: &Path, table: &str) {
    copy(shared, own);
    let mut manifest = manifest(own);
    for file in manifest["tables"][table].as_array_mut().unwrap() {
        let path = own.join(file["path"].as_str().unwrap());
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
        let schema = reader.schema().clone();
        let batches: Vec<RecordBatch> = reader.build().unwrap().collect::<Result<_, _>>().unwrap();
        let whole = arrow::compute::concat_batches(&schema, &batches).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), schema, None).unwrap();
        writer.write(&whole.slice(0, whole.num_rows() - 1)).unwrap();
        let bytes = writer.into_inner().unwrap();
        file["rows"] = (whole.num_rows() - 1).into();
        file["bytes"] = bytes.len().into();
        file["xxh3"] = format!("{:016x}", xxh3_64(&bytes)).into();
        fs::write(&path, bytes).unwrap();
    }
    fs::write(own.join(MANIFEST), manifest.to_string()).unwrap();
}

#[test]
fn a_wrong_number_of_rows_is_found_and_the_job_goes_to_another() {
    for table in ["profiles", "events"] {
        let mut house = small();
        let own = house.dir.path().join("own");
        let (good, bad) = (Process::start(&house.shared()), Process::start(&own));
        let mut cluster = house.cluster(&[&good, &bad], 60_000, 5);
        // The bad one has nothing at all yet.
        let (passed, _) = house.pass(&mut cluster).unwrap();
        house.assert_right(&passed);
        stale(&house.shared(), &own, table);
        for _ in 0..3 {
            let (passed, _) = house.pass(&mut cluster).unwrap();
            house.assert_right(&passed);
        }
        // With nobody else there is no answer.
        drop(good);
        let failed = house.pass(&mut cluster).unwrap_err().to_string();
        assert!(failed.contains("published were"), "{failed}");
    }
}

#[test]
fn damage_is_told_and_nothing_is_answered() {
    let mut house = small();
    let workers = [Process::start(&house.shared()), Process::start(&house.shared())];
    let mut cluster = house.cluster(&[&workers[0], &workers[1]], 60_000, 2);
    let (passed, _) = house.pass(&mut cluster).unwrap();
    house.assert_right(&passed);
    let manifest = manifest(&house.shared());
    let path = house.shared().join(manifest["tables"]["events"][1]["path"].as_str().unwrap());
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let failed = house.pass(&mut cluster).unwrap_err();
    assert!(failed.to_string().contains("bytes, published were"), "{failed}");
    assert!(failed.help().unwrap().starts_with("nothing was changed"));
    fs::write(&path, whole).unwrap();
    let (passed, _) = house.pass(&mut cluster).unwrap();
    house.assert_right(&passed);
}

#[test]
fn a_worker_that_stands_still_is_survived() {
    let mut house = small();
    let workers = [Process::start(&house.shared()), Process::start(&house.shared())];
    let mut cluster = house.cluster(&[&workers[0], &workers[1]], 1_500, 5);
    let (passed, takes) = house.pass(&mut cluster).unwrap();
    house.assert_right(&passed);
    for part in [0.0, 0.2, 0.4, 0.6] {
        let stopped = &workers[1];
        let (passed, _) = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(takes.mul_f64(part));
                stopped.signal(Signal::STOP);
            });
            house.pass(&mut cluster)
        })
        .unwrap();
        house.assert_right(&passed);
        stopped.signal(Signal::CONT);
    }
    // All of them: there is an end.
    workers.iter().for_each(|worker| worker.signal(Signal::STOP));
    let mut cluster = house.cluster(&[&workers[0], &workers[1]], 500, 0);
    let failed = house.pass(&mut cluster).unwrap_err().to_string();
    assert!(failed.contains("no worker is left") || failed.contains("no answer within 500 ms"), "{failed}");
    workers.iter().for_each(|worker| worker.signal(Signal::CONT));
    std::thread::sleep(Duration::from_millis(100));
    let mut cluster = house.cluster(&[&workers[0], &workers[1]], 60_000, 2);
    let (passed, _) = house.pass(&mut cluster).unwrap();
    house.assert_right(&passed);
}
