//! Reading the text that a simple query returns into values.
//!
//! Promise: an answer of an unexpected shape is an error that names the question and the column, never a guess.

use std::str::FromStr;

use tokio_postgres::SimpleQueryRow;

use super::connect::QueryError;

/// The rows of one answer.
#[derive(Debug)]
pub(crate) struct Answer {
    doing: &'static str,
    rows: Vec<SimpleQueryRow>,
}

impl Answer {
    pub(crate) fn new(doing: &'static str, rows: Vec<SimpleQueryRow>) -> Self {
        Self { doing, rows }
    }

    /// Each row in turn.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Fields<'_>> {
        self.rows.iter().map(|row| Fields { doing: self.doing, row })
    }

    /// The one row there must be.
    pub(crate) fn only(&self) -> Result<Fields<'_>, QueryError> {
        match self.rows.as_slice() {
            [row] => Ok(Fields { doing: self.doing, row }),
            rows => Err(QueryError::Unexpected {
                doing: self.doing,
                column: "the number of rows",
                found: Some(rows.len().to_string()),
            }),
        }
    }

    /// Turns each row into a value.
    pub(crate) fn collect<T>(
        &self,
        read: impl Fn(&Fields<'_>) -> Result<T, QueryError>,
    ) -> Result<Vec<T>, QueryError> {
        self.rows().map(|fields| read(&fields)).collect()
    }
}

/// Text as a literal of SQL, whatever `standard_conforming_strings` says.
///
/// Statements with parameters are not used: their preparation is taken back in the background, and a server's last
/// words, when it hangs up at that moment, would count as the answer to that and be lost.
pub(crate) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// The fields of one row.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    doing: &'static str,
    row: &'a SimpleQueryRow,
}

impl Fields<'_> {
    /// All fields in order, for answers whose columns have no names of their own.
    pub(crate) fn in_order(&self) -> Vec<Option<String>> {
        (0..self.row.len()).map(|index| self.row.get(index).map(str::to_owned)).collect()
    }

    /// Text, or `None` for NULL.
    pub(crate) fn optional_text(&self, column: &'static str) -> Result<Option<String>, QueryError> {
        let value = self.row.try_get(column).map_err(|_| self.unexpected(column, None))?;
        Ok(value.map(str::to_owned))
    }

    /// Text that must be there.
    pub(crate) fn text(&self, column: &'static str) -> Result<String, QueryError> {
        self.optional_text(column)?.ok_or_else(|| self.unexpected(column, None))
    }

    /// A value that must be there and be read by its own parser.
    pub(crate) fn parsed<T: FromStr>(&self, column: &'static str) -> Result<T, QueryError> {
        let text = self.text(column)?;
        text.parse().map_err(|_| self.unexpected(column, Some(text)))
    }

    /// A boolean that must be there.
    pub(crate) fn flag(&self, column: &'static str) -> Result<bool, QueryError> {
        match self.text(column)?.as_str() {
            "t" => Ok(true),
            "f" => Ok(false),
            other => Err(self.unexpected(column, Some(other.to_owned()))),
        }
    }

    /// The error for a field of this row.
    pub(crate) fn unexpected(&self, column: &'static str, found: Option<String>) -> QueryError {
        QueryError::Unexpected { doing: self.doing, column, found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_cannot_be_left() {
        assert_eq!(literal(r"a'; DROP --\"), r"E'a''; DROP --\\'");
    }
}
