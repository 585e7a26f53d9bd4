//! Tables. Aligned columns without borders, so that they read well in a terminal, in a log and in a mail.

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Width, presets};

use crate::escape::escape;

/// Tables are fitted to terminals of at least so many columns.
const NARROWEST: u16 = 40;

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
        // A terminal that does not tell its width, or a very narrow one, is better left to break lines itself.
        let width = comfy_table::Table::new().width();
        self.fitted(width.filter(|width| terminal && *width >= NARROWEST))
    }

    /// The lines of the table, in so many columns if its words allow it.
    fn fitted(&self, width: Option<u16>) -> Vec<String> {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        match width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic);
                table.set_width(width);
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
                table.force_no_tty();
            }
        }
        table.set_header(self.columns.iter().map(|(name, align)| cell(name, *align)));
        for row in &self.rows {
            table.add_row((0..self.columns.len()).map(|index| {
                let text = row.get(index).map_or("", String::as_str);
                cell(&escape(text), self.columns[index].1)
            }));
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            // Lines break between words only: a broken number is no number any more, a broken path cannot be copied.
            let cells = self.rows.iter().filter_map(|row| row.get(index));
            let words = cells.flat_map(|text| text.split_whitespace());
            let longest = words.map(|word| word.chars().count()).max().unwrap_or(0);
            let header = self.columns[index].0.chars().count();
            let padding = (u16::from(index > 0), 1);
            let widest = u16::try_from(longest.max(header)).unwrap_or(u16::MAX - 2);
            let least = widest + padding.0 + padding.1;
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
            column.set_padding(padding);
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
    fn lines_break_between_words_and_nowhere_else() {
        let mut table = Table::new(&[
            ("workspace", Align::Left),
            ("started", Align::Left),
            ("because", Align::Left),
            ("size", Align::Right),
            ("archive", Align::Left),
        ]);
        let words = [
            "7405609123456789",
            "2026-11-30T03:46:42Z",
            "the newest of its day, and of its week",
            "12.5 MiB",
            "7405609123456789-20261130T034642Z.tar.zst",
        ];
        table.row(words);
        for width in [40, 60, 80, 100, 120, 140, 200] {
            let text = table.fitted(Some(width)).join("\n");
            for word in words.iter().flat_map(|cell| cell.split(' ')) {
                assert!(text.contains(word), "{width}: {word}\n{text}");
            }
        }
        assert_eq!(table.fitted(Some(200)).len(), 2);
        assert!(
            table.fitted(Some(80)).len() > 2,
            "sentences are still wrapped"
        );
    }

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
