//! `compare --json`.

use super::bottlenecks::{PointJson, TimesJson};
use super::json::SCHEMA;
use crate::analysis::{Change, Comparison};
use crate::present::compare::{Side, metric_word, verdict_word};
use serde::Serialize;
use std::io::{self, Write};

#[derive(Serialize)]
struct ComparisonJson<'a> {
    schema: u32,
    before: SideJson<'a>,
    after: SideJson<'a>,
    changes: Vec<ChangeJson<'a>>,
    only_before: Vec<PointJson<'a>>,
    only_after: Vec<PointJson<'a>>,
    median_ratio: Option<f64>,
}

#[derive(Serialize)]
struct SideJson<'a> {
    what: &'a str,
    mode: &'static str,
    watched_ns: u64,
    not_kept: u64,
}

#[derive(Serialize)]
struct ChangeJson<'a> {
    #[serde(flatten)]
    point: PointJson<'a>,
    line_before: u32,
    metric: &'static str,
    verdict: &'static str,
    ratio: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    before: TimesJson,
    after: TimesJson,
}

impl<'a> From<&'a Change> for ChangeJson<'a> {
    fn from(change: &'a Change) -> ChangeJson<'a> {
        ChangeJson {
            point: PointJson::from(&change.point),
            line_before: change.line_before,
            metric: metric_word(change.metric),
            verdict: verdict_word(change.verdict),
            ratio: change.ratio.map(|(ratio, ..)| ratio),
            low: change.ratio.map(|(_, low, _)| low),
            high: change.ratio.map(|(.., high)| high),
            before: TimesJson::from(&change.before),
            after: TimesJson::from(&change.after),
        }
    }
}

impl<'a> From<&'a Side> for SideJson<'a> {
    fn from(side: &'a Side) -> SideJson<'a> {
        let (mode, not_kept) = (side.mode.as_str(), side.not_kept);
        SideJson { what: &side.what, mode, watched_ns: side.watched_ns, not_kept }
    }
}

/// One object.
pub fn write(out: &mut impl Write, comparison: &Comparison, [before, after]: &[Side; 2]) -> io::Result<()> {
    let json = ComparisonJson {
        schema: SCHEMA,
        before: before.into(),
        after: after.into(),
        changes: comparison.changes.iter().map(ChangeJson::from).collect(),
        only_before: comparison.only_before.iter().map(PointJson::from).collect(),
        only_after: comparison.only_after.iter().map(PointJson::from).collect(),
        median_ratio: comparison.median_ratio,
    };
    serde_json::to_writer_pretty(&mut *out, &json)?;
    out.write_all(b"\n")
}
