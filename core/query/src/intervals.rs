//! Differences of times compared with intervals.
//!
//! The engine compares intervals field by field: months, then days, then the rest. A difference of two times has only a
//! rest, so `a - b <= INTERVAL '3 days'` holds for every difference, of 72 days, too. This rule makes such comparisons
//! what they say, by counting both sides in units of time; a day is 24 hours, as it is in UTC. An interval with months has
//! no length, and so a comparison with one is refused.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::{
    common::{
        DFSchema, Result, ScalarValue,
        config::ConfigOptions,
        plan_err,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        Between, BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, expr_rewriter::NamePreserver,
        utils::merge_schema,
    },
    optimizer::AnalyzerRule,
};

/// Runs after the types of both sides were made the same.
#[derive(Debug)]
pub(crate) struct CompareIntervals;

impl AnalyzerRule for CompareIntervals {
    fn name(&self) -> &str {
        "compare_intervals"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(node)?.data)
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut schema = merge_schema(&plan.inputs());
    if let LogicalPlan::TableScan(scan) = &plan {
        let source = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?;
        schema.merge(&source);
    }
    if let LogicalPlan::Join(join) = &plan {
        for (left, right) in &join.on {
            if is_interval(left, &schema)? || is_interval(right, &schema)? {
                return refuse();
            }
        }
    }
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(|expr| comparison(expr, &schema))?;
        Ok(rewritten.update_data(|expr| name.restore(expr)))
    })
}

fn comparison(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if is_order(op) && (is_interval(&left, schema)? || is_interval(&right, schema)?) =>
        {
            let [left, right] = measured([*left, *right], schema)?;
            Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(left.into(), op, right.into()))))
        }
        Expr::Between(Between { expr, negated, low, high }) if is_interval(&expr, schema)? => {
            let [expr, low, high] = measured([*expr, *low, *high], schema)?;
            let between = Between::new(expr.into(), negated, low.into(), high.into());
            Ok(Transformed::yes(Expr::Between(between)))
        }
        Expr::InList(list) if is_interval(&list.expr, schema)? => refuse(),
        other => Ok(Transformed::no(other)),
    }
}

fn is_order(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn is_interval(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    Ok(matches!(expr.get_type(schema)?, DataType::Interval(_)))
}

/// The same operands as lengths of time, all in the finest unit among them.
fn measured<const N: usize>(operands: [Expr; N], schema: &DFSchema) -> Result<[Expr; N]> {
    let mut lengths = Vec::with_capacity(N);
    for operand in operands {
        match length(operand, schema)? {
            Some(length) => lengths.push(length),
            None => return refuse(),
        }
    }
    let fine = |length: &Length| matches!(length, Length::Difference(_, TimeUnit::Nanosecond));
    let unit = if lengths.iter().any(fine) { TimeUnit::Nanosecond } else { TimeUnit::Microsecond };
    let exprs = lengths.into_iter().map(|length| length.counted(unit)).collect::<Result<Vec<_>>>()?;
    exprs.try_into().or_else(|_| refuse())
}

enum Length {
    /// A difference of times in this unit.
    Difference(Expr, TimeUnit),
    /// An interval written out; none for null.
    Nanoseconds(Option<i128>),
}

impl Length {
    /// As a number of microseconds or nanoseconds.
    fn counted(self, unit: TimeUnit) -> Result<Expr> {
        Ok(match self {
            Self::Difference(expr, of) if of == unit => expr,
            Self::Difference(expr, _) => Expr::Cast(Cast::new(expr.into(), DataType::Duration(unit))),
            Self::Nanoseconds(n) if unit == TimeUnit::Nanosecond => {
                Expr::Literal(ScalarValue::DurationNanosecond(n.map(clamp)), None)
            }
            Self::Nanoseconds(Some(n)) if n % 1_000 != 0 => return refuse(),
            Self::Nanoseconds(n) => {
                Expr::Literal(ScalarValue::DurationMicrosecond(n.map(|n| clamp(n / 1_000))), None)
            }
        })
    }
}

/// The length of an interval that has one.
fn length(expr: Expr, schema: &DFSchema) -> Result<Option<Length>> {
    Ok(match expr {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(None) | ScalarValue::Null, _) => {
            Some(Length::Nanoseconds(None))
        }
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(i)), _) if i.months == 0 => Some(
            Length::Nanoseconds(Some(i128::from(i.days) * 86_400_000_000_000 + i128::from(i.nanoseconds))),
        ),
        Expr::Literal(ScalarValue::IntervalDayTime(Some(i)), _) => Some(Length::Nanoseconds(Some(
            i128::from(i.days) * 86_400_000_000_000 + i128::from(i.milliseconds) * 1_000_000,
        ))),
        Expr::Cast(Cast { expr, field })
            if matches!(field.data_type(), DataType::Interval(IntervalUnit::MonthDayNano)) =>
        {
            match expr.get_type(schema)? {
                DataType::Duration(unit) => Some(Length::Difference(*expr, unit)),
                DataType::Interval(_) => length(*expr, schema)?,
                DataType::Null => Some(Length::Nanoseconds(None)),
                _ => None,
            }
        }
        Expr::Alias(alias) => length(*alias.expr, schema)?,
        other => match other.get_type(schema)? {
            DataType::Duration(unit) => Some(Length::Difference(other, unit)),
            _ => None,
        },
    })
}

/// Beyond what can be measured nothing lies behind.
fn clamp(n: i128) -> i64 {
    n.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

fn refuse<T>() -> Result<T> {
    plan_err!(
        "intervals of months, of parts of a microsecond, or that are computed cannot be compared: write `a <= b + INTERVAL '1 month'` for \
         `a - b <= INTERVAL '1 month'`"
    )
}
