//! Row: carries values to the database and back, whichever engine runs.

use crate::clock;
use crate::store::db::Error;
use crate::store::db::Result;
use chrono::DateTime;
use chrono::Utc;
use sqlx::Row as _;
use sqlx::error::UnexpectedNullError;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use std::str::FromStr;

/// A value bound to a placeholder; the type stays known when it is NULL, which PostgreSQL needs.
#[derive(Debug, Clone)]
pub enum Value {
    /// A whole number, a time in microseconds, or a truth value.
    Int(Option<i64>),
    /// Text, also JSON.
    Text(Option<String>),
}

macro_rules! value_from {
    ($($kind:ty => |$it:ident| $value:expr;)*) => {
        $(impl From<$kind> for Value { fn from($it: $kind) -> Value { $value } })*
    };
}

value_from! {
    i64 => |it| Value::Int(Some(it));
    Option<i64> => |it| Value::Int(it);
    bool => |it| Value::Int(Some(i64::from(it)));
    &str => |it| Value::Text(Some(it.to_owned()));
    &String => |it| Value::Text(Some(it.clone()));
    String => |it| Value::Text(Some(it));
    Option<String> => |it| Value::Text(it);
    Option<&str> => |it| Value::Text(it.map(str::to_owned));
    &Option<String> => |it| Value::Text(it.clone());
    DateTime<Utc> => |it| Value::Int(Some(clock::micros(it)));
    Option<DateTime<Utc>> => |it| Value::Int(it.map(clock::micros));
}

/// Values for the placeholders `$1`, `$2` … in order.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::row::Value::from($value)),*] };
}
pub(crate) use args;

/// So many placeholders, `$1, $2`, from `$first` on.
pub(crate) fn numbers(first: usize, count: usize) -> String {
    (first..first + count).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
}

/// The placeholders of so many rows of so many values, `($1, $2), ($3, $4)`, from `$first` on.
pub(crate) fn placeholders(first: usize, rows: usize, columns: usize) -> String {
    let row = |row: usize| format!("({})", numbers(first + row * columns, columns));
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

/// One row of either engine.
#[derive(Debug)]
pub enum Row {
    /// From SQLite.
    Sqlite(SqliteRow),
    /// From PostgreSQL.
    Postgres(PgRow),
}

macro_rules! get {
    ($row:expr, $column:expr) => {
        match $row {
            Row::Sqlite(row) => Ok(row.try_get($column)?),
            Row::Postgres(row) => Ok(row.try_get($column)?),
        }
    };
}

impl Row {
    /// A whole number that is not NULL.
    ///
    /// # Errors
    /// When the column is missing, NULL or of another type.
    pub fn int(&self, column: &str) -> Result<i64> {
        self.maybe_int(column)?.ok_or_else(|| null(column))
    }

    /// A whole number or NULL.
    ///
    /// # Errors
    /// When the column is missing or of another type.
    pub fn maybe_int(&self, column: &str) -> Result<Option<i64>> {
        get!(self, column)
    }

    /// Text that is not NULL.
    ///
    /// # Errors
    /// When the column is missing, NULL or of another type.
    pub fn text(&self, column: &str) -> Result<String> {
        self.maybe_text(column)?.ok_or_else(|| null(column))
    }

    /// Text or NULL.
    ///
    /// # Errors
    /// When the column is missing or of another type.
    pub fn maybe_text(&self, column: &str) -> Result<Option<String>> {
        get!(self, column)
    }

    /// A moment.
    ///
    /// # Errors
    /// When the column is missing, NULL or of another type.
    pub fn time(&self, column: &str) -> Result<DateTime<Utc>> {
        Ok(clock::from_micros(self.int(column)?))
    }

    /// A moment or NULL.
    ///
    /// # Errors
    /// When the column is missing or of another type.
    pub fn maybe_time(&self, column: &str) -> Result<Option<DateTime<Utc>>> {
        Ok(self.maybe_int(column)?.map(clock::from_micros))
    }

    /// A truth value kept as 0 or 1.
    ///
    /// # Errors
    /// When the column is missing, NULL or of another type.
    pub fn truth(&self, column: &str) -> Result<bool> {
        Ok(self.int(column)? != 0)
    }

    /// Text that one of our names parses from.
    ///
    /// # Errors
    /// [`Error::BadValue`] for a name this version does not know.
    pub fn parsed<T: FromStr>(&self, column: &'static str) -> Result<T> {
        let value = self.text(column)?;
        value.parse().map_err(|_| Error::BadValue { column, value })
    }

    /// JSON kept as text.
    ///
    /// # Errors
    /// [`Error::BadValue`] when it does not fit the type.
    pub fn json<T: serde::de::DeserializeOwned>(&self, column: &'static str) -> Result<T> {
        let value = self.text(column)?;
        serde_json::from_str(&value).map_err(|_| Error::BadValue { column, value })
    }
}

/// A NULL where there must be a value. Asked for one directly, SQLite would answer 0 or an empty text.
fn null(column: &str) -> Error {
    let source = Box::new(UnexpectedNullError);
    Error::Engine(sqlx::Error::ColumnDecode { index: format!("{column:?}"), source })
}
