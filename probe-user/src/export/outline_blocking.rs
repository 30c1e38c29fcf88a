//! `analyze --blocking`: async functions that may block their thread, for people and as JSON.

use super::outline_json::bounds;
use crate::outline::{Blocking, BlockingPath, Certainty, Step};
use crate::present::bounds::notes;
use crate::present::escape::escape;
use crate::present::names;
use crate::present::paint::Paint;
use crate::present::places::Places;
use crate::present::units::counted;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};

pub fn write_text(out: &mut impl Write, found: &Blocking, places: &Places, paint: Paint) -> io::Result<()> {
    for path in &found.paths {
        write_path(out, path, places, paint)?;
        writeln!(out)?;
    }
    let looked_at = counted(found.looked_at as u64, "async function");
    match found.paths.len() {
        0 => writeln!(out, "No blocking call is reached from the {looked_at} without spawn_blocking.")?,
        n => writeln!(out, "{} in {looked_at}.", counted(n as u64, "finding"))?,
    }
    for note in notes(&found.bounds) {
        writeln!(out, "Left out: {note}.")?;
    }
    Ok(())
}

fn write_path(out: &mut impl Write, path: &BlockingPath, places: &Places, paint: Paint) -> io::Result<()> {
    let Some(first) = path.steps.first() else { return Ok(()) };
    let name = paint.name(shown(&first.function)).to_string();
    let what = path.call.what;
    match (&path.kept, path.certainty) {
        (None, _) => writeln!(out, "{name} blocks its thread in {}", paint.warn(what))?,
        (Some(_), Certainty::Proven) => writeln!(out, "{name} awaits while it keeps {}", paint.warn(what))?,
        (Some(_), _) => writeln!(out, "{name} awaits, and may keep {} meanwhile", paint.warn(what))?,
    }
    let wheres: Vec<String> = path.steps.iter().map(|step| place(step, places)).collect();
    let width = wheres.iter().map(|place| place.chars().count()).max().unwrap_or(0);
    for (i, (step, place)) in path.steps.iter().zip(&wheres).enumerate() {
        let does = match (path.steps.get(i + 1), &path.kept) {
            (Some(next), _) => format!("calls {}", shown(&next.function)),
            (None, Some(guard)) => format!("awaits, with `{}` alive", escape(guard)),
            (None, None) => match &path.by {
                Some(by) => format!("calls {} through {}", shown(&path.function), shown(by)),
                None => format!("calls {}", shown(&path.function)),
            },
        };
        let who = if i == 0 { String::new() } else { format!("{} ", shown(&step.function)) };
        writeln!(out, "  {place:width$}  {who}{does}")?;
    }
    writeln!(out, "  {}", paint.dim(format!("→ {}", path.call.remedy)))
}

fn shown(function: &str) -> String {
    escape(&names::without_parameters(function)).to_string()
}

fn place(step: &Step, places: &Places) -> String {
    step.place.as_ref().map_or_else(|| "?".to_owned(), |line| places.show(line))
}

#[derive(Serialize)]
struct Whole<'a> {
    schema: u32,
    functions_looked_at: usize,
    findings: Vec<Finding<'a>>,
    issues: &'a [String],
    bounds: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct Finding<'a> {
    function: &'a str,
    what: &'a str,
    calls: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<&'a str>,
    certainty: &'static str,
    path: Vec<PathStep<'a>>,
    remedy: &'a str,
}

#[derive(Serialize)]
struct PathStep<'a> {
    function: &'a str,
    is_async: bool,
    file: Option<&'a str>,
    line: Option<u32>,
}

pub fn write_json(out: &mut impl Write, found: &Blocking) -> io::Result<()> {
    let findings = found.paths.iter().map(|path| Finding {
        function: path.steps.first().map_or("", |step| &step.function),
        what: path.call.what,
        calls: &path.function,
        by: path.by.as_deref(),
        kept: path.kept.as_deref(),
        certainty: match path.certainty {
            Certainty::Proven => "proven",
            Certainty::Possible => "possible",
        },
        path: path
            .steps
            .iter()
            .map(|step| PathStep {
                function: &step.function,
                is_async: step.is_async,
                file: step.place.as_ref().map(|place| &*place.file),
                line: step.place.as_ref().map(|place| place.line),
            })
            .collect(),
        remedy: path.call.remedy,
    });
    let whole = Whole {
        schema: 1,
        functions_looked_at: found.looked_at,
        findings: findings.collect(),
        issues: &found.issues,
        bounds: bounds(&found.bounds),
    };
    serde_json::to_writer(&mut *out, &whole)?;
    writeln!(out)
}
