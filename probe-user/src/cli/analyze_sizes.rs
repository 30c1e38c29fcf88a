//! `analyze --sizes`: how large futures are, and what changed between two builds.

use super::analyze_args::{AnalyzeArgs, Format};
use super::args::Common;
use super::output::{self, Quit, Say};
use super::{Exit, Failure};
use crate::decode::StaticModel;
use crate::export::sizes_json;
use crate::outline::{Coroutines, SizeChanges, Sizes};
use crate::present::places::Places;
use crate::present::{size_changes, sizes as text};
use std::io::IsTerminal;

/// `before`: the other program and its name.
pub fn run(
    args: &AnalyzeArgs,
    common: &Common,
    model: &StaticModel,
    coroutines: &Coroutines,
    before: Option<(&str, &StaticModel)>,
) -> Result<Exit, Quit> {
    let json = match args.format {
        Format::Text => false,
        Format::Json => true,
        Format::Dot | Format::Mermaid | Format::Html => return Err(no_drawing().into()),
    };
    let sizes = Sizes::of(&model.recipes, &model.sites, coroutines);
    let to_terminal = args.output.is_none() && std::io::stdout().is_terminal();
    let paint = output::paint(common, to_terminal);
    let Some((name, before)) = before else {
        let places = Places::of(&model.recipes.frames);
        output::whole(args.output.as_deref(), |out| match json {
            true => sizes_json::write(out, &sizes, args.deps),
            false => {
                text::write(out, &sizes, &places, text::Extent { deps: args.deps, all: args.all }, paint)
            }
        })?;
        return Ok(Exit::Fine);
    };
    let before = Sizes::of(&before.recipes, &before.sites, &Coroutines::of(&before.recipes));
    let changes = SizeChanges::of(&before, &sizes, args.deps);
    if changes.in_both == 0 && !changes.futures.is_empty() {
        let words = format!("{name} and {} have no future in common: are they two programs?", args.target);
        Say::new(common).warn(&words);
    }
    output::whole(args.output.as_deref(), |out| match json {
        true => sizes_json::write_changes(out, &changes, name, &args.target),
        false => size_changes::write(out, &changes, [name, &args.target], args.all, paint),
    })?;
    Ok(Exit::Fine)
}

fn no_drawing() -> Failure {
    Failure {
        exit: Exit::Usage,
        tried: "drawing sizes".into(),
        why: "sizes are a table: only text and json can be written".into(),
        next: "-f json".into(),
    }
}
