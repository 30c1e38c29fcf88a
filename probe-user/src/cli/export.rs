//! `export`: the relationship graph of one snapshot, for other programs to draw or to read.

use super::Exit;
use super::args::{Common, ExportArgs, ExportFormat};
use super::output::{self, Quit, Say};
use super::source::Source;
use crate::analysis::Relations;
use crate::decode::DebugInfoLevel;
use crate::export::{dot, graph_json, mermaid, text};
use crate::present::places::Places;

pub fn run(source: &mut dyn Source, args: &ExportArgs, common: &Common) -> Result<Exit, Quit> {
    let snapshot = source.snapshot()?;
    if snapshot.debuginfo != DebugInfoLevel::Full {
        let words = text::debuginfo_words(snapshot.debuginfo, text::tokio_version(&snapshot));
        Say::new(common).warn(&format!("debug info: {words}"));
    }
    // Who spawned whom is in no memory; a recording will tell it.
    let graph = Relations::of(&snapshot, &[]);
    let drawn = || if args.all { graph.clone() } else { graph.folded() };
    let places = Places::of(&snapshot.frames);
    output::whole(args.output.as_deref(), |out| match args.format {
        ExportFormat::Dot => dot::write(out, &drawn(), &places),
        ExportFormat::Mermaid => mermaid::write(out, &drawn(), &places),
        ExportFormat::Json => graph_json::write(out, &graph),
    })?;
    Ok(Exit::Fine)
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;
