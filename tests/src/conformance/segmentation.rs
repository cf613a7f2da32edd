//! Duties of a segmentation.

use super::{Duty, Subject, in_parallel, opening, rows, same};
use arrow::{
    array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray},
    datatypes::{DataType, Field, Fields, Schema, TimestampMicrosecondType},
};
use kindred_core::plugin::SegmentationHandle;
use kindred_plugin_api::{
    Evaluated, FaultKind, Needs,
    columns::{
        EVENT_TIME,
        profile::{AS_OF, EVENTS, PROFILE},
    },
};
use std::sync::Arc;

pub(super) const DUTIES: &[Duty] = &[
    ("asks only for columns that there are", needs),
    ("takes batches of every shape", shapes),
    ("answers each profile by itself", by_row),
    ("gives the same answer again", again),
    ("answers with its own segments and a later change", answers),
    ("gives reasons that agree with its answer", reasons),
    ("answers after a restart as before", restarted),
    ("works twice at once", parallel),
];

pub(super) fn output(subject: &Subject<'_>) -> Result<Vec<String>, String> {
    let (mut segmentation, batch) = ready(subject)?;
    evaluate(&mut segmentation, &batch)
}

pub(super) fn life(subject: &Subject<'_>, close: bool) -> Result<(), String> {
    let (mut segmentation, batch) = bound(subject, None)?;
    evaluate(&mut segmentation, &batch)?;
    if close { segmentation.close().map_err(|f| format!("close: {f:?}")) } else { Ok(()) }
}

/// An open instance and the columns that it asked for.
fn bound(subject: &Subject<'_>, state: Option<Vec<u8>>) -> Result<(SegmentationHandle, RecordBatch), String> {
    let (folder, config) = (subject.folder(), subject.config());
    let opening = opening(&config, folder.path(), state);
    let mut segmentation = subject.plugin.open_segmentation(&opening).map_err(|f| format!("open: {f:?}"))?;
    let profiles = subject.input();
    let needs = segmentation.plan(&profiles.schema()).map_err(|f| format!("plan: {f:?}"))?;
    let batch = project(&profiles, &needs);
    segmentation.bind(batch.schema_ref()).map_err(|f| format!("bind: {f:?}"))?;
    Ok((segmentation, batch))
}

/// The same, and a model has learned.
fn ready(subject: &Subject<'_>) -> Result<(SegmentationHandle, RecordBatch), String> {
    let (mut segmentation, batch) = bound(subject, None)?;
    fit(subject, &mut segmentation, &batch)?;
    Ok((segmentation, batch))
}

fn fit(
    subject: &Subject<'_>,
    model: &mut SegmentationHandle,
    batch: &RecordBatch,
) -> Result<Vec<u8>, String> {
    if !subject.plugin.manifest.can("model") {
        return Ok(Vec::new());
    }
    let half = batch.num_rows() / 2;
    for part in [batch.slice(0, half), batch.slice(half, batch.num_rows() - half)] {
        model.observe(&part).map_err(|f| format!("observe: {f:?}"))?;
    }
    let (reports, state) = model.fit().map_err(|f| format!("fit: {f:?}"))?;
    match reports.as_slice() {
        [report] if report.problem.is_none() => Ok(state),
        _ => Err(format!("one segment that learns, but {reports:?}")),
    }
}

/// `profile`, `as_of` and what was asked for, as the host cuts it.
fn project(profiles: &RecordBatch, needs: &Needs) -> RecordBatch {
    let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = Default::default();
    for (field, column) in profiles.schema_ref().fields().iter().zip(profiles.columns()) {
        let name = field.name();
        if name == EVENTS {
            if let Some(events) = project_events(column.as_list(), needs) {
                fields.push(Field::new(EVENTS, events.data_type().clone(), false));
                columns.push(Arc::new(events));
            }
        } else if [PROFILE, AS_OF].contains(&name.as_str()) || needs.columns.contains(name) {
            fields.push(field.as_ref().clone());
            columns.push(column.clone());
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("columns of one batch")
}

fn project_events(events: &ListArray, needs: &Needs) -> Option<ListArray> {
    let asked = |name: &str| needs.columns.iter().any(|c| c.strip_prefix("events.") == Some(name));
    let all: &StructArray = events.values().as_struct();
    if !all.fields().iter().any(|f| asked(f.name())) {
        return None;
    }
    let kept =
        all.fields().iter().zip(all.columns()).filter(|(f, _)| f.name() == EVENT_TIME || asked(f.name()));
    let (fields, columns): (Vec<_>, Vec<_>) = kept.map(|(f, c)| (f.clone(), c.clone())).unzip();
    let events_kept = StructArray::new(Fields::from(fields), columns, None);
    let item = Arc::new(Field::new("item", events_kept.data_type().clone(), false));
    Some(ListArray::new(item, events.offsets().clone(), Arc::new(events_kept), None))
}

fn evaluate(segmentation: &mut SegmentationHandle, batch: &RecordBatch) -> Result<Vec<String>, String> {
    let answer = segmentation.evaluate(batch).map_err(|f| format!("evaluate: {f:?}"))?;
    Ok(text(&answer))
}

fn text(answer: &Evaluated) -> Vec<String> {
    (0..answer.rows()).map(|row| format!("{:?}", answer.row(row))).collect()
}

fn needs(subject: &Subject<'_>) -> Result<(), String> {
    let (folder, config) = (subject.folder(), subject.config());
    let opening = opening(&config, folder.path(), None);
    let mut segmentation = subject.plugin.open_segmentation(&opening).map_err(|f| format!("open: {f:?}"))?;
    let schema = subject.input().schema();
    let needs = segmentation.plan(&schema).map_err(|f| format!("plan: {f:?}"))?;
    let event = |name: &str| match schema.field_with_name(EVENTS).map(Field::data_type) {
        Ok(DataType::List(item)) => match item.data_type() {
            DataType::Struct(fields) => fields.iter().any(|f| f.name() == name),
            _ => false,
        },
        _ => false,
    };
    let there = |name: &String| match name.strip_prefix("events.") {
        Some(name) => event(name),
        None => schema.field_with_name(name).is_ok(),
    };
    match needs.columns.iter().find(|name| !there(name)) {
        Some(other) => Err(format!("`{other}` is not in the catalogue")),
        None => Ok(()),
    }
}

fn shapes(subject: &Subject<'_>) -> Result<(), String> {
    let (mut segmentation, batch) = ready(subject)?;
    for (name, batch) in rows::shapes(&batch) {
        evaluate(&mut segmentation, &batch).map_err(|found| format!("{name}: {found}"))?;
    }
    Ok(())
}

fn by_row(subject: &Subject<'_>) -> Result<(), String> {
    let (mut segmentation, batch) = ready(subject)?;
    let whole = evaluate(&mut segmentation, &batch)?;
    let mut singly = Vec::new();
    for row in 0..batch.num_rows() {
        singly.extend(evaluate(&mut segmentation, &batch.slice(row, 1))?);
    }
    same("profile by profile", &whole, &singly)?;
    let sliced = evaluate(&mut segmentation, &batch.slice(3, batch.num_rows() - 5))?;
    same("a slice", &whole[3..batch.num_rows() - 2], &sliced)
}

fn again(subject: &Subject<'_>) -> Result<(), String> {
    let (mut segmentation, batch) = ready(subject)?;
    let first = evaluate(&mut segmentation, &batch)?;
    evaluate(&mut segmentation, &rows::shuffled(&batch))?;
    same("after other batches", &first, &evaluate(&mut segmentation, &batch)?)
}

fn answers(subject: &Subject<'_>) -> Result<(), String> {
    let (mut segmentation, batch) = ready(subject)?;
    let answer = segmentation.evaluate(&batch).map_err(|f| format!("{f:?}"))?;
    let as_of = batch.column_by_name(AS_OF).expect("always there").as_primitive::<TimestampMicrosecondType>();
    let mut members = 0;
    for row in 0..answer.rows() {
        let (ordinals, next_change_us) = answer.row(row);
        if !matches!(ordinals, [] | [0]) {
            return Err(format!("row {row} is in segments {ordinals:?} of one"));
        }
        if next_change_us.is_some_and(|next| next <= as_of.value(row)) {
            return Err(format!("row {row} changes at {next_change_us:?}, not after {}", as_of.value(row)));
        }
        members += ordinals.len();
    }
    // A scenario in which nobody or everybody is a member would show nothing.
    if members == 0 || members == batch.num_rows() {
        return Err(format!("{members} of {} profiles are members", batch.num_rows()));
    }
    Ok(())
}

fn reasons(subject: &Subject<'_>) -> Result<(), String> {
    let (mut segmentation, batch) = ready(subject)?;
    let answer = segmentation.evaluate(&batch).map_err(|f| format!("{f:?}"))?;
    for row in 0..batch.num_rows() {
        match segmentation.explain(&batch.slice(row, 1), 0) {
            Ok(reason) if (reason.holds == Some(true)) != answer.row(row).0.is_empty() => {}
            Ok(reason) => return Err(format!("row {row} is {:?}, because {reason:?}", answer.row(row))),
            Err(fault) if fault.kind == FaultKind::Unsupported => return Ok(()),
            Err(fault) => return Err(format!("{fault:?}")),
        }
    }
    Ok(())
}

fn restarted(subject: &Subject<'_>) -> Result<(), String> {
    let (mut segmentation, batch) = bound(subject, None)?;
    let state = fit(subject, &mut segmentation, &batch)?;
    let before = evaluate(&mut segmentation, &batch)?;
    let (mut after, batch) = bound(subject, (!state.is_empty()).then_some(state))?;
    same("after a restart", &before, &evaluate(&mut after, &batch)?)
}

fn parallel(subject: &Subject<'_>) -> Result<(), String> {
    let alone = output(subject)?;
    in_parallel(&alone, || output(subject))
}
