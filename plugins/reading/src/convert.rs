//! Columns of one type into columns of another. A value that does not fit becomes null and is reported.

use crate::{flaws::Flaws, number::NumberFormat, spec::Type, time::TimeFormat};
use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, PrimitiveArray, StringArray,
        TimestampMicrosecondArray, new_null_array,
    },
    compute::{cast, is_not_null, kernels::zip::zip},
    datatypes::{ArrowPrimitiveType, DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType},
};
use kindred_plugin_api::{Result, columns};
use std::sync::Arc;

/// What a value shall be and how it is written.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) kind: Type,
    pub(crate) number: NumberFormat,
    pub(crate) time: TimeFormat,
    /// The options name the type: text is then whatever is written, also where JSON has true, an object or a list.
    pub(crate) written: bool,
}

impl Target {
    pub(crate) fn data_type(&self) -> DataType {
        match self.kind {
            Type::String => DataType::Utf8,
            Type::Integer => DataType::Int64,
            Type::Decimal => DataType::Float64,
            Type::Boolean => DataType::Boolean,
            Type::Timestamp => columns::timestamp(),
        }
    }

    /// Converts a column.
    ///
    /// # Errors
    /// PERMANENT for a type that has no text.
    pub(crate) fn convert(&self, column: &ArrayRef, name: &str, flaws: &mut Flaws) -> Result<ArrayRef> {
        let raw = column;
        let column = &plain(raw)?;
        let made: ArrayRef = match (self.kind, column.data_type()) {
            (Type::String, _) => text(column)?,
            (Type::Boolean, DataType::Boolean) => Arc::clone(column),
            (Type::Boolean, _) => Arc::new(booleans(text(column)?.as_string())),
            (Type::Integer, DataType::Utf8) => {
                Arc::new(each::<Int64Type>(column, |v| self.number.integer(v)))
            }
            (Type::Integer, kind) if kind.is_floating() => {
                Arc::new(whole(&cast(column, &DataType::Float64)?))
            }
            (Type::Decimal, DataType::Utf8) => {
                Arc::new(each::<Float64Type>(column, |v| self.number.decimal(v)))
            }
            (Type::Timestamp, _) => timestamps(column, &self.time)?,
            (Type::Integer, kind) if kind.is_integer() => cast(column, &DataType::Int64)?,
            (Type::Decimal, kind) if kind.is_floating() => cast(column, &DataType::Float64)?,
            // What is left of numbers has digits, of which none may be lost.
            (Type::Integer, kind) if kind.is_numeric() => Arc::new(each::<Int64Type>(&text(column)?, |v| {
                let (whole, fraction) = v.split_once('.').unwrap_or((v, ""));
                whole.parse().ok().filter(|_| fraction.bytes().all(|b| b == b'0'))
            })),
            (Type::Decimal, kind) if kind.is_numeric() => {
                Arc::new(each::<Float64Type>(&text(column)?, |v| NumberFormat::default().decimal(v)))
            }
            // Yes is not 1, and a time is no number.
            (Type::Integer | Type::Decimal, _) => new_null_array(&self.data_type(), column.len()),
        };
        // Only bytes that are no text are lost before this.
        let before = if raw.data_type().is_binary() { raw } else { column };
        flaws.lost(name, before, &made, &self.expected());
        Ok(made)
    }

    fn expected(&self) -> String {
        match self.kind {
            Type::String => "text".to_owned(),
            Type::Integer => "a whole number of 64 bits".to_owned(),
            Type::Decimal => "a number".to_owned(),
            Type::Boolean => "true or false".to_owned(),
            Type::Timestamp => self.time.expected(),
        }
    }
}

/// The type that a column of a typed file has; none for nested ones.
pub(crate) fn natural(kind: &DataType) -> Option<Type> {
    match kind {
        DataType::Null => Some(Type::String),
        DataType::Boolean => Some(Type::Boolean),
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => Some(Type::Timestamp),
        DataType::Dictionary(_, values) => natural(values),
        kind if kind.is_integer() => Some(Type::Integer),
        kind if kind.is_numeric() => Some(Type::Decimal),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Type::String),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Some(Type::String),
        DataType::Time32(_) | DataType::Time64(_) => Some(Type::String),
        _ => None,
    }
}

/// The first value that is there, column by column.
pub(crate) fn first_of(mut candidates: Vec<ArrayRef>) -> Result<ArrayRef> {
    if candidates.len() > 1 && candidates.iter().any(|c| c.null_count() < c.len()) {
        candidates.retain(|candidate| candidate.null_count() < candidate.len());
    }
    let same = candidates.windows(2).all(|pair| pair[0].data_type() == pair[1].data_type());
    let mut rest = candidates.into_iter();
    let Some(mut made) = rest.next() else { return Ok(Arc::new(StringArray::new_null(0))) };
    for next in rest {
        let (left, right) = if same { (made, next) } else { (text(&made)?, text(&next)?) };
        made = zip(&is_not_null(&left)?, &left, &right)?;
    }
    Ok(made)
}

/// Any column as text. Whole floating-point numbers lose their `.0`, because they are integers that met a null.
pub(crate) fn text(column: &ArrayRef) -> Result<ArrayRef> {
    match column.data_type() {
        DataType::Utf8 => Ok(Arc::clone(column)),
        kind if kind.is_floating() => {
            let numbers = cast(column, &DataType::Float64)?;
            let written =
                |v: f64| if v.fract() == 0.0 && v.abs() < 1e15 { format!("{v:.0}") } else { v.to_string() };
            let texts: StringArray =
                numbers.as_primitive::<Float64Type>().iter().map(|v| v.map(written)).collect();
            Ok(Arc::new(texts))
        }
        _ => Ok(cast(column, &DataType::Utf8)?),
    }
}

/// Points in time. Naive ones are wall clocks of the zone in `format`.
pub(crate) fn timestamps(column: &ArrayRef, format: &TimeFormat) -> Result<ArrayRef> {
    let column = &plain(column)?;
    let micros: PrimitiveArray<Int64Type> = match column.data_type() {
        DataType::Timestamp(unit, zone) => {
            let raw = cast(column, &DataType::Int64)?;
            let raw = raw.as_primitive::<Int64Type>();
            let wall_clock = zone.is_none() && !format.is_utc();
            match (unit, wall_clock) {
                (TimeUnit::Microsecond, false) => raw.clone(),
                (TimeUnit::Nanosecond, false) => raw.unary(|v| v.div_euclid(1000)),
                (unit, wall_clock) => raw.unary_opt(|v| {
                    let micros = to_micros(v, *unit)?;
                    if wall_clock { format.wall_clock(micros) } else { Some(micros) }
                }),
            }
        }
        DataType::Date32 | DataType::Date64 => {
            let naive = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            return timestamps(&naive, format);
        }
        kind if kind.is_integer() => {
            let numbers = cast(column, &DataType::Int64)?;
            numbers.as_primitive::<Int64Type>().unary_opt(|v| format.number(v))
        }
        kind if kind.is_numeric() => {
            let numbers = cast(column, &DataType::Float64)?;
            numbers.as_primitive::<Float64Type>().unary_opt(|v| format.fraction(v))
        }
        _ => each::<Int64Type>(&text(column)?, |v| format.parse(v)),
    };
    Ok(Arc::new(micros.reinterpret_cast::<TimestampMicrosecondType>().with_timezone("+00:00")))
}

/// The same time in all rows, or none.
pub(crate) fn constant_time(micros: Option<i64>, rows: usize) -> ArrayRef {
    let times: TimestampMicrosecondArray = std::iter::repeat_n(micros, rows).collect();
    Arc::new(times.with_timezone("+00:00"))
}

fn to_micros(value: i64, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Second => value.checked_mul(1_000_000),
        TimeUnit::Millisecond => value.checked_mul(1000),
        TimeUnit::Microsecond => Some(value),
        TimeUnit::Nanosecond => Some(value.div_euclid(1000)),
    }
}

/// Strings in one layout.
fn plain(column: &ArrayRef) -> Result<ArrayRef> {
    match column.data_type() {
        DataType::LargeUtf8 | DataType::Utf8View => Ok(cast(column, &DataType::Utf8)?),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Ok(cast(column, &DataType::Utf8)?),
        DataType::Dictionary(_, values) => plain(&cast(column, values)?),
        _ => Ok(Arc::clone(column)),
    }
}

/// Parses texts; an empty one is null.
fn each<T: ArrowPrimitiveType>(
    column: &ArrayRef,
    parse: impl Fn(&str) -> Option<T::Native>,
) -> PrimitiveArray<T> {
    column.as_string::<i32>().iter().map(|text| text.and_then(&parse)).collect()
}

fn booleans(texts: &StringArray) -> BooleanArray {
    texts.iter().map(|text| text.and_then(boolean)).collect()
}

/// Yes or no, as files say it.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text.trim()));
    if is(&["true", "t", "yes", "y", "1"]) {
        return Some(true);
    }
    is(&["false", "f", "no", "n", "0"]).then_some(false)
}

fn whole(numbers: &ArrayRef) -> Int64Array {
    // 2^63 is the first float that does not fit.
    let fits =
        |v: f64| v.fract() == 0.0 && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&v);
    let numbers: &Float64Array = numbers.as_primitive();
    numbers.unary_opt(|v| fits(v).then_some(v as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{OnBadValue, TimeSpec};
    use arrow::array::{Date32Array, Decimal128Array, TimestampNanosecondArray, UInt64Array};

    fn target(kind: Type) -> Target {
        let time = TimeFormat::new(&TimeSpec::default()).unwrap();
        Target { kind, number: NumberFormat::default(), time, written: true }
    }

    fn convert(kind: Type, column: impl Array + 'static) -> (ArrayRef, usize) {
        let mut flaws = Flaws::new(OnBadValue::Reject, false);
        let made = target(kind).convert(&(Arc::new(column) as ArrayRef), "x", &mut flaws).unwrap();
        assert_eq!(made.data_type(), &target(kind).data_type());
        (made, flaws.len())
    }

    #[test]
    fn numbers_keep_their_value_or_are_flawed() {
        let (made, flaws) = convert(Type::Integer, UInt64Array::from(vec![7, u64::MAX]));
        assert_eq!((made.as_primitive::<Int64Type>().value(0), flaws), (7, 1));
        let (made, flaws) = convert(Type::Integer, Float64Array::from(vec![Some(2.0), Some(1.5), None]));
        assert_eq!((made.as_primitive::<Int64Type>().value(0), flaws), (2, 1));
        let large = Int64Array::from(vec![1 << 53, (1 << 53) + 1]);
        assert_eq!(convert(Type::Decimal, large).1, 1, "a decimal does not hold it");
        let cents = Decimal128Array::from(vec![1200, 1250]).with_precision_and_scale(10, 2).unwrap();
        let (made, flaws) = convert(Type::Integer, cents.clone());
        assert_eq!((made.as_primitive::<Int64Type>().value(0), flaws), (12, 1), "half a unit is not lost");
        assert_eq!(convert(Type::Decimal, cents).0.as_primitive::<Float64Type>().values(), &[12.0, 12.5]);
        for kind in [Type::Integer, Type::Decimal] {
            assert_eq!(convert(kind, BooleanArray::from(vec![Some(true), None])).1, 1);
            assert_eq!(convert(kind, Date32Array::from(vec![Some(1), None])).1, 1);
        }
        let (_, flaws) = convert(Type::Decimal, StringArray::from(vec!["1", "", "x"]));
        assert_eq!(flaws, 1, "an empty cell is no value");
    }

    #[test]
    fn integers_that_met_a_null_are_written_as_integers() {
        let (made, _) = convert(Type::String, Float64Array::from(vec![1364.0, 0.5]));
        assert_eq!(made.as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["1364", "0.5"]);
    }

    #[test]
    fn booleans_in_many_words() {
        let (made, flaws) = convert(Type::Boolean, StringArray::from(vec!["TRUE", "no", "1", "maybe"]));
        let made: Vec<_> = made.as_boolean().iter().collect();
        assert_eq!((made, flaws), (vec![Some(true), Some(false), Some(true), None], 1));
    }

    #[test]
    fn times_of_any_unit() {
        let (made, _) =
            convert(Type::Timestamp, TimestampNanosecondArray::from(vec![1_500_000_000_000_000_999, -1]));
        assert_eq!(made.as_primitive::<TimestampMicrosecondType>().values(), &[1_500_000_000_000_000, -1]);
        let (made, _) = convert(Type::Timestamp, Date32Array::from(vec![1]));
        assert_eq!(made.as_primitive::<TimestampMicrosecondType>().value(0), 86_400_000_000);
        let (made, _) = convert(Type::Timestamp, Int64Array::from(vec![1_500_000_000]));
        assert_eq!(made.as_primitive::<TimestampMicrosecondType>().value(0), 1_500_000_000_000_000);
    }

    #[test]
    fn the_first_value_counts() {
        let a: ArrayRef = Arc::new(StringArray::from(vec![None, Some("a"), None]));
        let b: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), None]));
        let made = first_of(vec![a, b]).unwrap();
        assert_eq!(made.as_string::<i32>().iter().collect::<Vec<_>>(), [Some("1"), Some("a"), None]);
    }
}
