//! Rows under their heads, in columns that line up, and on a terminal within its width.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const BETWEEN: usize = 2;
/// No column is made narrower than this, unless all of it is.
const NARROWEST: usize = 8;

/// Each column as wide as its widest cell.
pub fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    table_within(None, 0, heads, rows)
}

/// Each column as wide as its widest cell. Where all together are wider than `width`, the widest give way, and what does
/// not fit is cut off with `…`; but the first `whole` of them, with names that are to be copied, stay as they are.
pub fn table_within<const N: usize>(
    width: Option<usize>,
    whole: usize,
    heads: [&str; N],
    rows: &[[String; N]],
) -> String {
    let mut widths: [usize; N] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].width());
        cells.chain([heads[column].width()]).max().unwrap_or_default()
    });
    if let Some(width) = width {
        narrow(&mut widths, whole, width);
    }
    let line = |cells: [&str; N]| {
        let cells = cells.into_iter().zip(widths).map(|(cell, width)| padded(cell, width));
        cells.collect::<Vec<_>>().join(&" ".repeat(BETWEEN)).trim_end().to_owned() + "\n"
    };
    let rows = rows.iter().map(|row| line(row.each_ref().map(String::as_str)));
    line(heads) + &rows.collect::<String>()
}

fn narrow<const N: usize>(widths: &mut [usize; N], whole: usize, width: usize) {
    let room = width.saturating_sub(BETWEEN * N.saturating_sub(1));
    while widths.iter().sum::<usize>() > room {
        match widths.iter_mut().skip(whole).max() {
            Some(widest) if *widest > NARROWEST => *widest -= 1,
            _ => return,
        }
    }
}

/// Exactly so wide. A Chinese character takes two columns.
pub fn padded(cell: &str, width: usize) -> String {
    let mut text = cell.to_owned();
    if text.width() > width {
        text.clear();
        for c in cell.chars() {
            if text.width() + c.width().unwrap_or(0) + 1 > width {
                break;
            }
            text.push(c);
        }
        text.push('…');
    }
    let pad = width.saturating_sub(text.width());
    text + &" ".repeat(pad)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: [&str; 2]) -> [String; 2] {
        cells.map(str::to_owned)
    }

    #[test]
    fn columns_line_up_and_lines_end_with_their_text() {
        let text = table(["ID", "REASON"], &[row(["a", "poison"]), row(["bcde", ""])]);
        assert_eq!(text, "ID    REASON\na     poison\nbcde\n");
        let chinese = table(["NAME", "X"], &[row(["李小明", "1"]), row(["Li", "2"])]);
        assert_eq!(chinese, "NAME    X\n李小明  1\nLi      2\n");
    }

    #[test]
    fn within_a_width_the_widest_column_gives_way() {
        let rows = [row(["short", "a text that is much too long for it"]), row(["李小明李小明李小明", "x"])];
        let text = table_within(Some(30), 0, ["A", "B"], &rows);
        assert_eq!(text, "A               B\nshort           a text that i…\n李小明李小明…   x\n");
        assert!(text.lines().all(|line| line.width() <= 30), "{text}");
        let text = table_within(Some(30), 1, ["A", "B"], &rows);
        assert!(text.ends_with("\n李小明李小明李小明  x\n"), "the first is whole: {text}");
        assert_eq!(table_within(Some(3), 0, ["A", "B"], &rows).lines().count(), 3, "however narrow");
    }
}
