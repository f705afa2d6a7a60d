//! Tables as CSV (RFC 4180) that a spreadsheet may open: a header, CRLF, quotes where they are needed.
//!
//! A cell that begins like a formula gets an apostrophe before it: names and notes come from other people. Numbers do
//! not, since they are ours.

/// A table, with its header.
pub fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let header = header.iter().map(ToString::to_string).collect();
    let line = |cells: Vec<String>| cells.iter().map(|text| cell(text)).collect::<Vec<_>>().join(",") + "\r\n";
    std::iter::once(header).chain(rows).map(line).collect()
}

fn cell(text: &str) -> String {
    let is_number = text.parse::<i64>().is_ok() && !text.starts_with('+');
    let is_formula = !is_number && text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be_and_formulas_are_defused() {
        for (text, written) in [
            ("", ""),
            ("plain text", "plain text"),
            ("-5", "-5"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\r\nlines", "\"two\r\nlines\""),
            ("=1+2", "'=1+2"),
            ("+49", "'+49"),
            ("-1-2", "'-1-2"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("=HYPERLINK(\"x\",\"y\")", "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\""),
        ] {
            assert_eq!(cell(text), written, "{text:?}");
        }
        let rows = [vec!["1".to_owned(), "x,y".to_owned()]];
        assert_eq!(table(&["a", "b"], rows.into_iter()), "a,b\r\n1,\"x,y\"\r\n");
    }
}
