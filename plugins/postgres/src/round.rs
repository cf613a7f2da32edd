//! One look at the table: which rows, in which order, and how they are fetched.

use crate::{
    connect::fault,
    options::Config,
    place::{Key, Phase},
    types::{Builder, expression, natural, quoted, type_name},
};
use arrow::{array::ArrayRef, datatypes::DataType};
use kindred_plugin_api::{Fault, Problem, Result};
use kindred_reading::Table;
use postgres::{
    Client, Row,
    types::{ToSql, Type},
};

/// Rows that are fetched at once.
const FETCH: usize = 4096;
/// A poll ends early once its rows hold this much text.
const FETCH_BYTES: usize = 64 << 20;

/// What is read, and in which order.
pub(crate) struct Shape {
    /// Columns of the table and what becomes of them.
    pub(crate) fields: Vec<(String, DataType)>,
    from: String,
    keys: Vec<(String, Type)>,
    cursor: Option<(String, Type)>,
    overlap: Option<u32>,
}

/// Rows of a fetch.
pub(crate) struct Fetched {
    pub(crate) columns: Vec<ArrayRef>,
    pub(crate) rows: usize,
    /// Cursor and key of the last row.
    pub(crate) last: Option<(Option<String>, Key)>,
    /// There may be more.
    pub(crate) full: bool,
}

impl Shape {
    /// Asks for the columns, without reading rows.
    ///
    /// # Errors
    /// CONFIG for tables, queries and columns that are not there.
    pub(crate) fn new(client: &mut Client, config: &Config) -> Result<Self> {
        let (from, at) = match (&config.table, &config.query) {
            (Some(table), _) => (name(table), "/table"),
            (None, query) => (format!("(\n{}\n)", query.as_deref().unwrap_or_default()), "/query"),
        };
        let statement =
            client.prepare(&format!("SELECT * FROM {from} AS t")).map_err(|error| fault(at, &error))?;
        let found: Vec<(String, Type)> = statement
            .columns()
            .iter()
            .map(|column| (column.name().to_owned(), column.type_().clone()))
            .collect();
        let keys = match (&config.primary_key, &config.table) {
            (Some(names), _) => names.0.clone(),
            (None, table) => primary_key(client, table.as_deref().unwrap_or_default())?,
        };
        let typed = |at: &str, name: &String| -> Result<(String, Type)> {
            let column = found.iter().find(|(column, _)| column == name).cloned();
            let missing = || Fault::config(vec![Problem::new(at, format!("no column `{name}`"))]);
            column.ok_or_else(missing)
        };
        let keys = keys.iter().map(|key| typed("/primary_key", key)).collect::<Result<Vec<_>>>()?;
        let cursor = config.cursor.as_ref().map(|cursor| typed("/cursor", cursor)).transpose()?;
        let exact = config.exact();
        let field = |(name, kind): (String, Type)| {
            let kind = natural(&kind, exact.contains(&name));
            (name, kind)
        };
        let fields = found.into_iter().map(field).collect();
        Ok(Self { fields, from, keys, cursor, overlap: config.overlap })
    }

    /// Begins a transaction that sees one moment; of a table that is read from its start, the highest cursor there.
    ///
    /// # Errors
    /// As the connection says.
    pub(crate) fn begin(&self, client: &mut Client, phase: &mut Phase, table: &Table) -> Result<()> {
        let told = |error| fault("", &error);
        client.batch_execute("ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").map_err(told)?;
        if let (Phase::Whole { since, key: None }, Some((cursor, _))) = (&mut *phase, &self.cursor) {
            let highest = format!("SELECT max(t.{})::text FROM {} AS t", quoted(cursor), self.from);
            *since = client.query_one(&highest, &[]).and_then(|row| row.try_get(0)).map_err(told)?;
        }
        let (condition, values) = self.condition(phase);
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
        let query = self.query(phase, &condition, table);
        client
            .execute(&format!("DECLARE kindred NO SCROLL CURSOR FOR {query}"), &values)
            .map(drop)
            .map_err(told)
    }

    fn query(&self, phase: &Phase, condition: &str, table: &Table) -> String {
        let kind =
            |column: &String| self.fields.iter().find(|(name, _)| name == column).map(|(_, kind)| kind);
        let text = DataType::Utf8;
        let value = |column: &String| format!("t.{}", expression(column, kind(column).unwrap_or(&text)));
        let mut columns: Vec<String> = table.columns().iter().map(value).collect();
        let keys = || self.keys.iter().map(|(key, _)| format!("t.{}", quoted(key)));
        columns.extend(keys().map(|key| format!("{key}::text")));
        let cursor = self.cursor.as_ref().map(|(cursor, _)| format!("t.{}", quoted(cursor)));
        columns.extend(cursor.iter().map(|cursor| format!("{cursor}::text")));
        let in_order = cursor.filter(|_| matches!(phase, Phase::Changes { .. }));
        let order: Vec<String> = in_order.into_iter().chain(keys()).collect();
        format!(
            "SELECT {} FROM {} AS t {condition} ORDER BY {}",
            columns.join(", "),
            self.from,
            order.join(", ")
        )
    }

    /// Which rows are still to be read, and the values that it compares with.
    fn condition(&self, phase: &Phase) -> (String, Vec<String>) {
        let behind = |columns: Vec<&(String, Type)>, values: Vec<String>| {
            let names: Vec<String> = columns.iter().map(|(name, _)| format!("t.{}", quoted(name))).collect();
            let typed = |(at, (_, kind)): (usize, &&(String, Type))| {
                format!("${}::text::{}", at + 1, type_name(kind))
            };
            let typed: Vec<String> = columns.iter().enumerate().map(typed).collect();
            (format!("WHERE ({}) > ({})", names.join(", "), typed.join(", ")), values)
        };
        match (phase, &self.cursor) {
            (Phase::Whole { key: Some(key), .. }, _) => behind(self.keys.iter().collect(), key.clone()),
            (Phase::Changes { cursor: value, key: Some(key) }, Some(cursor)) => {
                let columns = std::iter::once(cursor).chain(&self.keys).collect();
                behind(columns, std::iter::once(value).chain(key).cloned().collect())
            }
            (Phase::Changes { cursor: value, key: None }, Some((name, kind))) => {
                let from = format!("$1::text::{}", self.back(kind));
                (format!("WHERE t.{} >= {from}", quoted(name)), vec![value.clone()])
            }
            _ => (String::new(), Vec::new()),
        }
    }

    /// The type of the cursor's last value and how far behind it a look begins, so that an index still serves.
    fn back(&self, kind: &Type) -> String {
        let name = type_name(kind);
        match *kind {
            Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::DATE => {
                format!("{name} - make_interval(secs => {})", self.overlap.unwrap_or(60))
            }
            Type::INT2 | Type::INT4 | Type::INT8 => format!("int8 - {}", self.overlap.unwrap_or(1000)),
            Type::NUMERIC | Type::FLOAT4 | Type::FLOAT8 => {
                format!("{name} - {}", self.overlap.unwrap_or(1000))
            }
            _ => name,
        }
    }

    /// Whether a look begins before the last row of the one before.
    pub(crate) fn looks_back(&self) -> bool {
        self.overlap != Some(0)
    }

    /// The next rows of the transaction.
    ///
    /// # Errors
    /// As the connection says.
    pub(crate) fn fetch(
        &self,
        client: &mut Client,
        table: &Table,
        most: usize,
        stop: impl Fn() -> bool,
    ) -> Result<Fetched> {
        let kind =
            |column: &String| self.fields.iter().find(|(name, _)| name == column).map(|(_, kind)| kind);
        let mut builders: Vec<Builder> = table
            .columns()
            .iter()
            .map(|column| Builder::new(kind(column).unwrap_or(&DataType::Utf8)))
            .collect();
        let (mut rows, mut bytes, mut last, mut full) = (0, 0, None, true);
        while full && rows < most && bytes < FETCH_BYTES && !stop() {
            let asked = (most - rows).min(FETCH);
            let told = |error| fault("", &error);
            let found = client.query(&format!("FETCH FORWARD {asked} FROM kindred"), &[]).map_err(told)?;
            for row in &found {
                for (at, builder) in builders.iter_mut().enumerate() {
                    bytes += builder.push(row, at).map_err(told)?;
                }
            }
            last = match found.last() {
                Some(row) => Some(self.place_of(row, builders.len())?),
                None => last,
            };
            rows += found.len();
            full = found.len() == asked;
        }
        Ok(Fetched { columns: builders.into_iter().map(Builder::finish).collect(), rows, last, full })
    }

    /// Cursor and key of a row, whose values stand before them.
    fn place_of(&self, row: &Row, values: usize) -> Result<(Option<String>, Key)> {
        let key = |at: usize| -> Result<String> {
            let value: Option<String> = row.try_get(values + at).map_err(|error| fault("", &error))?;
            let null = || {
                let message = format!("column `{}` is null in a row; a key never is", self.keys[at].0);
                Fault::config(vec![Problem::new("/primary_key", message)])
            };
            value.ok_or_else(null)
        };
        let keys = (0..self.keys.len()).map(key).collect::<Result<Key>>()?;
        let cursor = match &self.cursor {
            Some(_) => row.try_get(values + self.keys.len()).map_err(|error| fault("", &error))?,
            None => None,
        };
        Ok((cursor, keys))
    }
}

/// A table's name, with its schema in front or not.
fn name(table: &str) -> String {
    table.split('.').map(quoted).collect::<Vec<_>>().join(".")
}

fn primary_key(client: &mut Client, table: &str) -> Result<Vec<String>> {
    let query = "SELECT a.attname::text FROM pg_catalog.pg_index AS i \
        CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place) \
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number \
        WHERE i.indisprimary AND i.indrelid = $1::text::regclass ORDER BY k.place";
    let rows = client.query(query, &[&name(table)]).map_err(|error| fault("/table", &error))?;
    let keys = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>();
    let keys = keys.map_err(|error| fault("/table", &error))?;
    if keys.is_empty() {
        let problem = Problem::new("/primary_key", format!("`{table}` has no primary key"));
        return Err(Fault::config(vec![problem.help("list columns that are unique and never null")]));
    }
    Ok(keys)
}
