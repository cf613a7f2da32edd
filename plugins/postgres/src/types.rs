//! The types of a database as columns: in which form a column is asked for, and how it is read.
//!
//! Numbers of any precision (`numeric`) come as floating-point numbers of 64 bits, which hold 15 digits; as text, with
//! all digits, where they are keys or where the options say so. What has no column type of its own (uuid, enums, json,
//! arrays, intervals …) comes as the text that the database writes.

use arrow::{
    array::{
        ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, StringBuilder,
        TimestampMicrosecondBuilder,
    },
    datatypes::{DataType, TimeUnit},
};
use postgres::{
    Row,
    types::{FromSql, Type},
};
use std::sync::Arc;

/// Days and microseconds from 1970 to 2000, where the database counts from.
const DAYS: i32 = 10_957;
const MICROS: i64 = DAYS as i64 * 86_400_000_000;

/// The column type of a database type.
pub(crate) fn natural(kind: &Type, exact: bool) -> DataType {
    match *kind {
        Type::BOOL => DataType::Boolean,
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => DataType::Int64,
        Type::FLOAT4 | Type::FLOAT8 => DataType::Float64,
        Type::NUMERIC if !exact => DataType::Float64,
        Type::DATE => DataType::Date32,
        Type::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
        _ => DataType::Utf8,
    }
}

/// The expression that gives a column in the form that is read.
pub(crate) fn expression(column: &str, kind: &DataType) -> String {
    let cast = match kind {
        DataType::Int64 => "::int8",
        DataType::Float64 => "::float8",
        DataType::Utf8 => "::text",
        _ => "",
    };
    format!("{}{cast}", quoted(column))
}

/// A name as the database takes it, whatever is in it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A type as the database takes it.
pub(crate) fn type_name(kind: &Type) -> String {
    format!("{}.{}", quoted(kind.schema()), quoted(kind.name()))
}

/// A column under construction.
pub(crate) enum Builder {
    Boolean(BooleanBuilder),
    Integer(Int64Builder),
    Decimal(Float64Builder),
    Text(StringBuilder),
    Date(Date32Builder),
    Time(TimestampMicrosecondBuilder, DataType),
}

impl Builder {
    pub(crate) fn new(kind: &DataType) -> Self {
        match kind {
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Int64 => Self::Integer(Int64Builder::new()),
            DataType::Float64 => Self::Decimal(Float64Builder::new()),
            DataType::Date32 => Self::Date(Date32Builder::new()),
            DataType::Timestamp(..) => {
                let builder = TimestampMicrosecondBuilder::new().with_data_type(kind.clone());
                Self::Time(builder, kind.clone())
            }
            _ => Self::Text(StringBuilder::new()),
        }
    }

    /// Adds the value at a place of a row; answers about how many bytes it has.
    pub(crate) fn push(&mut self, row: &Row, at: usize) -> Result<usize, postgres::Error> {
        match self {
            Self::Boolean(builder) => builder.append_option(row.try_get(at)?),
            Self::Integer(builder) => builder.append_option(row.try_get(at)?),
            Self::Decimal(builder) => builder.append_option(row.try_get(at)?),
            Self::Date(builder) => {
                builder.append_option(row.try_get::<_, Option<Day>>(at)?.and_then(|day| day.0))
            }
            Self::Time(builder, _) => {
                builder.append_option(row.try_get::<_, Option<Moment>>(at)?.and_then(|moment| moment.0));
            }
            Self::Text(builder) => {
                let text: Option<&str> = row.try_get(at)?;
                builder.append_option(text);
                return Ok(text.map_or(0, str::len));
            }
        }
        Ok(8)
    }

    pub(crate) fn finish(self) -> ArrayRef {
        match self {
            Self::Boolean(mut builder) => Arc::new(builder.finish()),
            Self::Integer(mut builder) => Arc::new(builder.finish()),
            Self::Decimal(mut builder) => Arc::new(builder.finish()),
            Self::Date(mut builder) => Arc::new(builder.finish()),
            Self::Time(mut builder, kind) => Arc::new(builder.finish().with_data_type(kind)),
            Self::Text(mut builder) => Arc::new(builder.finish()),
        }
    }
}

type Unreadable = Box<dyn std::error::Error + Sync + Send>;

/// Days since 1970; none for `infinity`.
struct Day(Option<i32>);

/// Microseconds since 1970; none for `infinity`.
struct Moment(Option<i64>);

impl<'a> FromSql<'a> for Day {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Unreadable> {
        let days = i32::from_be_bytes(raw.try_into()?);
        let finite = days != i32::MAX && days != i32::MIN;
        Ok(Self(days.checked_add(DAYS).filter(|_| finite)))
    }
    fn accepts(kind: &Type) -> bool {
        *kind == Type::DATE
    }
}

impl<'a> FromSql<'a> for Moment {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Unreadable> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        let finite = micros != i64::MAX && micros != i64::MIN;
        Ok(Self(micros.checked_add(MICROS).filter(|_| finite)))
    }
    fn accepts(kind: &Type) -> bool {
        *kind == Type::TIMESTAMP || *kind == Type::TIMESTAMPTZ
    }
}
