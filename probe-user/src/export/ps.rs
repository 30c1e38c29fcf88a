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
    writeln!(out, "{:>8}  {:<10} {:<12} {:<10} {:<20} EXE", "PID", "USER", "RUNTIME", "DEBUGINFO", "NAME")?;
    for row in rows {
        let cell = |text: &Option<String>| or_dash(text.as_ref().map(|text| escape(text).into_owned()));
        writeln!(
            out,
            "{:>8}  {:<10} {:<12} {:<10} {:<20} {}",
            row.pid,
            escape(&row.user),
            cell(&row.runtime),
            // There is some; which kind takes an index to tell.
            escape(row.debuginfo.as_deref().unwrap_or("dwarf")),
            escape(&row.name),
            escape(&row.exe)
        )?;
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
        };
        let rows = [row(7, "shop", Some("tokio")), row(123_456, "a\x1bb", None)];
        let mut out = vec![];
        write_text(&mut out, &rows).unwrap();
        write_json(&mut out, &rows[..1]).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
