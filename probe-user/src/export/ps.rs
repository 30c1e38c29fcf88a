//! `ps`: the processes of this host that look like async Rust programs.

use super::json::SCHEMA;
use crate::present::escape::escape;
use crate::present::units::or_dash;
use serde::Serialize;
use std::io::{self, Write};

#[derive(Clone, Debug, Serialize)]
pub struct ProcessRow {
    pub pid: u32,
    pub name: String,
    pub exe: String,
    /// The user's name or number.
    pub user: String,
    /// What made it look like one: `tokio`, `async-task`.
    pub runtime: Option<String>,
    /// `symbols` or `none`; None where there is DWARF, and `check` tells which.
    pub debuginfo: Option<String>,
    /// There is DWARF.
    pub dwarf: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    schema: u32,
    processes: &'a [ProcessRow],
}

pub fn write_json(out: &mut impl Write, rows: &[ProcessRow]) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &Json { schema: SCHEMA, processes: rows })?;
    writeln!(out)
}

pub fn write_text(out: &mut impl Write, rows: &[ProcessRow]) -> io::Result<()> {
    let cell = |text: &str| escape(text).into_owned();
    let titles = ["USER", "RUNTIME", "DEBUGINFO", "NAME"].map(str::to_owned);
    let cells = rows.iter().map(|row| {
        let debuginfo = match &row.debuginfo {
            Some(words) => cell(words),
            // Which kind takes an index to tell.
            None if row.dwarf => "dwarf".to_owned(),
            None => or_dash(None),
        };
        [cell(&row.user), or_dash(row.runtime.as_deref().map(cell)), debuginfo, cell(&row.name)]
    });
    let cells: Vec<[String; 4]> = std::iter::once(titles).chain(cells).collect();
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3].map(width);
    let last = rows.iter().map(|row| (row.pid.to_string(), cell(&row.exe)));
    let last = std::iter::once(("PID".to_owned(), "EXE".to_owned())).chain(last);
    for ((pid, exe), row) in last.zip(&cells) {
        write!(out, "{pid:>8}")?;
        for (text, width) in row.iter().zip(widths) {
            write!(out, "  {text:<width$}")?;
        }
        writeln!(out, "  {exe}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_line_up_and_unknown_is_a_dash() {
        let row = |pid, name: &str, runtime: Option<&str>| ProcessRow {
            pid,
            name: name.into(),
            exe: format!("/usr/bin/{name}"),
            user: "root".into(),
            runtime: runtime.map(str::to_owned),
            debuginfo: None,
            dwarf: true,
        };
        let rows = [row(7, "shop", Some("tokio+async-task")), row(123_456, "a\x1bb", None)];
        let mut out = vec![];
        write_text(&mut out, &rows).unwrap();
        write_json(&mut out, &rows[..1]).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
