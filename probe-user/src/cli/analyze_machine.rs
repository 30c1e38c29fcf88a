//! `analyze --state-machine`: one function's states.

use super::analyze_args::{AnalyzeArgs, Format};
use super::args::Common;
use super::output::{self, Quit};
use super::{Exit, Failure};
use crate::decode::{SourceLine, StaticModel};
use crate::export::{machine_dot, machine_json, machine_mermaid, machine_text};
use crate::outline::{self, Coroutine, Coroutines, Flow, Machine};
use crate::present::machine::MachineWords;
use crate::present::places::Places;
use crate::present::source::SourceFiles;
use std::io::IsTerminal;

/// Candidates of an ambiguous name that are listed.
const CANDIDATES: usize = 20;

pub fn run(
    wanted: &str,
    args: &AnalyzeArgs,
    common: &Common,
    model: &StaticModel,
    coroutines: &Coroutines,
) -> Result<Exit, Quit> {
    if args.format == Format::Html {
        return Err(no_page(wanted).into());
    }
    let places = Places::of(&model.recipes.frames);
    let one = choose(wanted, model, coroutines, &places)?;
    let mut machine = Machine::of(&model.recipes, one).ok_or_else(|| Failure {
        exit: Exit::NothingUsable,
        tried: format!("reading the states of {}", one.name),
        why: "its debug information is damaged".into(),
        next: format!("async-inspect check {}", args.target),
    })?;
    Flow::new(&model.recipes, coroutines, &model.files.main).follow(&mut machine, one);
    let built = std::fs::metadata(&model.files.main_path).and_then(|meta| meta.modified()).ok();
    let sources = SourceFiles::new(common.src_path.clone(), built);
    let words = MachineWords { machine: &machine, places: &places, sources: &sources };
    let to_terminal = args.output.is_none() && std::io::stdout().is_terminal();
    output::whole(args.output.as_deref(), |out| match args.format {
        // Refused above.
        Format::Html => Ok(()),
        Format::Text => machine_text::write(out, &words, output::paint(common, to_terminal)),
        Format::Json => machine_json::write(out, &machine, &sources),
        Format::Dot => machine_dot::write(out, &words),
        Format::Mermaid => machine_mermaid::write(out, &words),
    })?;
    Ok(Exit::Fine)
}

fn no_page(wanted: &str) -> Failure {
    Failure {
        exit: Exit::Usage,
        tried: format!("drawing the states of {wanted} as a page"),
        why: "html is a format of the call graph alone".into(),
        next: "-f text, json, dot or mermaid".into(),
    }
}

/// The one function that was meant.
fn choose<'c>(
    wanted: &str,
    model: &StaticModel,
    coroutines: &'c Coroutines,
    places: &Places,
) -> Result<&'c Coroutine, Failure> {
    let all = coroutines.list.iter();
    let found = outline::find(all.map(|one| (&*one.name, places_of(model, one))), wanted);
    let show = |i: &usize| {
        let one = &coroutines.list[*i];
        let place = one.place.as_ref().map_or(String::new(), |place| places.show(place));
        format!("    {}  {place}", one.name)
    };
    let (why, next) = match &*found {
        [one] => return Ok(&coroutines.list[*one]),
        [] => (
            "no async function, block or closure of the program has that in its path".to_owned(),
            "part of the path of one, or FILE:LINE of an await; --sizes lists them".to_owned(),
        ),
        several => {
            let mut list: Vec<String> = several.iter().take(CANDIDATES).map(show).collect();
            if several.len() > CANDIDATES {
                list.push(format!("    and {} more", several.len() - CANDIDATES));
            }
            let next = "the whole path of one of them, or its FILE:LINE".to_owned();
            (format!("{} can be meant:\n{}", several.len(), list.join("\n")), next)
        }
    };
    Err(Failure { exit: Exit::Usage, tried: format!("--state-machine {wanted}"), why, next })
}

/// Where it is declared, and where it awaits.
fn places_of(model: &StaticModel, one: &Coroutine) -> Vec<SourceLine> {
    let crate::decode::Recipe::Switch { arms, .. } = &*model.recipes.get(one.recipe) else {
        return Vec::new();
    };
    let frames = arms.iter().filter_map(|arm| arm.frame).map(|id| model.recipes.frames.get(id));
    frames.filter_map(|frame| frame.line.clone()).collect()
}
