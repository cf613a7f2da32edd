//! On real households: The Complete Journey's year, seeded by those who redeemed coupons.

use super::{config, figure};
use crate::Lookalike;
use arrow::{
    array::{BooleanArray, ListArray, StringArray, StructArray, TimestampMicrosecondArray, UInt32Array},
    buffer::OffsetBuffer,
    compute::{cast, concat_batches, sort_to_indices, take, take_record_batch},
    datatypes::{Fields, Int64Type},
};
use kindred_plugin_api::{columns::profile, prelude::*};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

#[test]
fn redeemers_are_told_apart_by_how_they_shop() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/retail");
    if !folder.exists() {
        eprintln!("skipped: {} is not there", folder.display());
        return;
    }
    let households = households(&folder);
    let options = r#"{"seed": "redeemers", "top": "5 %", "exclude_features": ["events.coupon_disc"]}"#;
    let segments = vec![Segment { name: "like-redeemers".into(), config: config(options) }];
    let mut plugin = Lookalike::open(segments, Context::detached(".")).unwrap();
    plugin.plan(&households.schema()).unwrap();
    plugin.bind(households.schema()).unwrap();
    plugin.observe(&households).unwrap();
    let report = plugin.fit().unwrap().reports.remove(0);
    eprintln!("{report:#?}");
    assert_eq!(["seed", "candidates", "audience"].map(|name| figure(&report, name)), [153.0, 2316.0, 116.0]);
    // 38 of the seed are held out, so the standard error is about 0.035.
    assert!(figure(&report, "auc") > 0.8);
    assert!(figure(&report, "lift_at_10") > 3.0);
    let answer = plugin.evaluate(&households).unwrap();
    assert_eq!((0..answer.rows()).filter(|&row| !answer.row(row).0.is_empty()).count(), 116);
}

/// One profile batch of all households.
fn households(folder: &Path) -> RecordBatch {
    let lines = read(&folder.join("transactions.parquet"));
    let order = sort_to_indices(lines.column_by_name("household_id").unwrap(), None, None).unwrap();
    // The file is in the order of time, but the sort need not be stable.
    let lines = take_record_batch(&lines, &order).unwrap();
    let numbers = lines.column_by_name("household_id").unwrap().as_primitive::<Int64Type>().values().to_vec();
    let mut starts: Vec<usize> = (1..numbers.len()).filter(|&i| numbers[i] != numbers[i - 1]).collect();
    starts.insert(0, 0);
    let ends = starts.iter().skip(1).copied().chain([numbers.len()]);
    let lengths: Vec<usize> = starts.iter().zip(ends).map(|(start, end)| end - start).collect();
    let ids: Vec<u32> = starts.iter().map(|&i| numbers[i] as u32).collect();

    let events = purchases(&lines, &lengths, &read(&folder.join("products.parquet")));
    let latest = events.column(0).as_primitive::<arrow::datatypes::TimestampMicrosecondType>().values();
    let as_of = vec![*latest.iter().max().unwrap(); ids.len()];
    let seed = redeemers(folder);
    let fields = events.fields().clone();
    let item = Arc::new(Field::new("item", DataType::Struct(fields), false));
    let list = ListArray::new(item, OffsetBuffer::from_lengths(lengths), Arc::new(events), None);
    let columns: Vec<(&str, ArrayRef)> = vec![
        (profile::AS_OF, Arc::new(TimestampMicrosecondArray::from(as_of).with_timezone("+00:00"))),
        ("in.redeemers", Arc::new(ids.iter().map(|id| Some(seed.contains(id))).collect::<BooleanArray>())),
        (profile::PROFILE, Arc::new(UInt32Array::from(ids))),
        (profile::EVENTS, Arc::new(list)),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn purchases(lines: &RecordBatch, lengths: &[usize], products: &RecordBatch) -> StructArray {
    let column = |name: &str| lines.column_by_name(name).unwrap();
    let time = cast(column("transaction_timestamp"), &columns::timestamp()).unwrap();
    let names = products.column_by_name("product_category").unwrap().as_string::<i32>();
    let ids = products.column_by_name("product_id").unwrap().as_primitive::<Int64Type>();
    let of: HashMap<i64, &str> =
        ids.values().iter().zip(names).filter_map(|(id, name)| Some((*id, name?))).collect();
    let bought = column("product_id").as_primitive::<Int64Type>().values();
    let category: StringArray = bought.iter().map(|id| of.get(id).copied()).collect();
    let event: StringArray = bought.iter().map(|_| Some("purchase")).collect();
    let arrays: Vec<(&str, ArrayRef)> = vec![
        (columns::EVENT_TIME, time.clone()),
        (columns::EVENT, cast(&event, &columns::coded()).unwrap()),
        ("category", cast(&category, &columns::coded()).unwrap()),
        ("amount", column("sales_value").clone()),
        ("retail_disc", column("retail_disc").clone()),
        ("coupon_disc", column("coupon_disc").clone()),
    ];
    let mut order: Vec<u32> = (0..lines.num_rows() as u32).collect();
    let times = time.as_primitive::<arrow::datatypes::TimestampMicrosecondType>().values();
    let mut start = 0;
    for length in lengths {
        order[start..start + length].sort_by_key(|&i| times[i as usize]);
        start += length;
    }
    let order = UInt32Array::from(order);
    let fields: Fields =
        arrays.iter().map(|(name, a)| Field::new(*name, a.data_type().clone(), true)).collect();
    let arrays = arrays.iter().map(|(_, array)| take(array, &order, None).unwrap()).collect();
    StructArray::new(fields, arrays, None)
}

fn redeemers(folder: &Path) -> BTreeSet<u32> {
    let text = std::fs::read_to_string(folder.join("coupon_redemptions.csv")).unwrap();
    text.lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect()
}

fn read(path: &Path) -> RecordBatch {
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    let batch = concat_batches(&batches[0].schema(), &batches).unwrap();
    let plain = |(field, column): (&Arc<Field>, &ArrayRef)| match field.data_type() {
        DataType::LargeUtf8 | DataType::Utf8View => cast(column, &DataType::Utf8).unwrap(),
        _ => column.clone(),
    };
    let columns = batch.schema().fields().iter().zip(batch.columns()).map(plain).collect::<Vec<_>>();
    let names = batch.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    RecordBatch::try_from_iter(names.iter().zip(columns)).unwrap()
}
