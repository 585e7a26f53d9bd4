//! Tables. Aligned columns without borders, so that they read well in a terminal, in a log and in a mail.

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, presets};

use crate::escape::escape;

/// Tables are fitted to terminals of at least so many columns.
const NARROWEST: u16 = 40;

/// Names up to so many characters are never broken into lines.
const SHORT_NAME: usize = 24;

/// Where the text of a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Names and words.
    Left,
    /// Numbers.
    Right,
}

/// Rows under a header.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    pub fn new(columns: &[(&str, Align)]) -> Self {
        Self {
            columns: columns
                .iter()
                .map(|(name, align)| ((*name).to_owned(), *align))
                .collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; missing cells stay empty.
    pub fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// There is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines of the table; on a terminal long cells are wrapped to its width.
    pub(crate) fn lines(&self, terminal: bool) -> Vec<String> {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        // A terminal that does not tell its width, or a very narrow one, is better left to break lines itself.
        let fits = terminal && table.width().is_some_and(|width| width >= NARROWEST);
        table.set_content_arrangement(if fits {
            ContentArrangement::Dynamic
        } else {
            ContentArrangement::Disabled
        });
        if !terminal {
            table.force_no_tty();
        }
        table.set_header(self.columns.iter().map(|(name, align)| cell(name, *align)));
        for row in &self.rows {
            table.add_row((0..self.columns.len()).map(|index| {
                let text = row.get(index).map_or("", String::as_str);
                cell(&escape(text), self.columns[index].1)
            }));
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            // A number that is broken into lines is no number any more, a short name hardly a name.
            let short = self.rows.iter().all(|row| {
                row.get(index)
                    .is_none_or(|text| text.chars().count() <= SHORT_NAME)
            });
            if self.columns[index].1 == Align::Right || short {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
            column.set_padding((if index == 0 { 0 } else { 1 }, 1));
        }
        table
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect()
    }
}

fn cell(text: &str, align: Align) -> Cell {
    Cell::new(text).set_alignment(match align {
        Align::Left => CellAlignment::Left,
        Align::Right => CellAlignment::Right,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_cells_escaped() {
        let mut table = Table::new(&[("kind", Align::Left), ("stored", Align::Right)]);
        table.row(["jobs", "60"]);
        table.row(["a\u{1b}b", "1"]);
        table.row(["short"]);
        assert_eq!(
            table.lines(false),
            [
                "kind      stored",
                "jobs          60",
                "a\\u{1b}b       1",
                "short"
            ]
        );
    }
}
