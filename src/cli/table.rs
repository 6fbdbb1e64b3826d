//! Aligned columns for people: a header, rows, numbers to the right.

use std::fmt;

/// A table; without rows it prints its header only.
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

struct Column {
    name: &'static str,
    right: bool,
}

impl Table {
    /// Columns whose names start with `>` are aligned to the right.
    pub(super) fn new(columns: &[&'static str]) -> Self {
        let column = |name: &&'static str| match name.strip_prefix('>') {
            Some(name) => Column { name, right: true },
            None => Column { name, right: false },
        };
        Self {
            columns: columns.iter().map(column).collect(),
            rows: Vec::new(),
        }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[column].chars().count());
        cells.chain([self.columns[column].name.len()]).max().unwrap_or(0)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<usize> = (0..self.columns.len()).map(|column| self.width(column)).collect();
        let header: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        let rows = self.rows.iter().map(|row| row.iter().map(String::as_str).collect());
        for row in std::iter::once(header).chain(rows) {
            let mut line = String::new();
            for ((cell, column), width) in row.into_iter().zip(&self.columns).zip(&widths) {
                match column.right {
                    true => line.push_str(&format!("{cell:>width$}  ")),
                    false => line.push_str(&format!("{cell:<width$}  ")),
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Names and values, one pair a line.
pub(super) struct Pairs<'a>(pub(super) &'a [(&'a str, String)]);

impl fmt::Display for Pairs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        self.0
            .iter()
            .try_for_each(|(name, value)| writeln!(f, "{name:<width$}  {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["NAME", ">EVENTS", "STATE"]);
        table.row(["orders".to_owned(), "7".to_owned(), "active".to_owned()]);
        table.row(["a".to_owned(), "12345678".to_owned(), String::new()]);
        let text = "NAME      EVENTS  STATE\norders         7  active\na       12345678\n";
        assert_eq!(table.to_string(), text);
    }

    #[test]
    fn pairs_are_aligned() {
        let pairs = [("name", "orders".to_owned()), ("partitions", "4".to_owned())];
        assert_eq!(Pairs(&pairs).to_string(), "name        orders\npartitions  4\n");
    }
}
