//! `analyze`: what a program's files say of its async functions.

use super::analyze_args::{AnalyzeArgs, Format};
use super::args::Common;
use super::live::inspect;
use super::output::{self, ProgressLine, Quit, Say};
use super::profiled::{Profiled, profiled};
use super::source::Progress;
use super::{Exit, Failure, analyze_machine, analyze_sizes, binary, replay};
use crate::analysis::Bottlenecks;
use crate::decode::{DebugInfoLevel, StaticModel};
use crate::export::{
    outline_blocking, outline_dot, outline_html, outline_json, outline_mermaid, outline_text,
};
use crate::outline::{self, Bounds, CallGraph, Choice, Coroutines, Excerpt, Origin};
use crate::present::places::Places;
use crate::present::{self, call_graph_times};
use std::io::IsTerminal;
use std::path::Path;

pub fn run(args: &AnalyzeArgs, common: &Common, progress: &ProgressLine) -> Result<Exit, Quit> {
    let model = open(&args.target, common, progress)?;
    let open_named = |name| open(name, common, progress).map(|model| (name, model));
    let before = args.against.as_deref().map(open_named).transpose()?;
    progress.done();
    if args.sizes || args.state_machine.is_some() {
        return one_view(args, common, &model, before.as_ref().map(|(name, model)| (*name, model)));
    }
    if args.blocking {
        return blocking(&model, args, common);
    }
    let mut graph = outline::call_graph(&model.recipes, &model.sites, &model.files.main);
    model.keep_learned();
    if !graph.functions.iter().any(|function| function.size.is_some()) {
        return Err(nothing(&args.target, &model).into());
    }
    let say = Say::new(common);
    for issue in model.issues.iter().chain(&graph.issues) {
        say.warn(issue);
    }
    if let Some(recording) = &args.with {
        mark_times(&mut graph, recording, &say)?;
    }
    let excerpt = Excerpt::of(&graph, &choice(args, &graph)?);
    if matches!(args.format, Format::Dot | Format::Mermaid) {
        say_bounds(&excerpt.graph.bounds, &say);
    }
    let places = own_places(&graph);
    let name = args.target.rsplit('/').next().unwrap_or(&args.target);
    output::whole(args.output.as_deref(), |out| match args.format {
        Format::Text => outline_text::write(out, &excerpt, name, &places, text_options(args, common)),
        Format::Json => outline_json::write(out, &excerpt),
        Format::Dot => outline_dot::write(out, &excerpt, &places),
        Format::Mermaid => outline_mermaid::write(out, &excerpt, &places),
        Format::Html => outline_html::write(out, &excerpt, name, &places),
    })?;
    Ok(Exit::Fine)
}

/// What a diagram has no place for.
fn say_bounds(bounds: &Bounds, say: &Say) {
    present::bounds::notes(bounds).iter().for_each(|note| say.warn(&format!("left out: {note}")));
}

/// `--blocking`: what it found is no error of the command's.
fn blocking(model: &StaticModel, args: &AnalyzeArgs, common: &Common) -> Result<Exit, Quit> {
    if !matches!(args.format, Format::Text | Format::Json) {
        return Err(Failure {
            exit: Exit::Usage,
            tried: "analyze --blocking".into(),
            why: "findings are no graph: they are written as text or as JSON".into(),
            next: format!("async-inspect analyze --blocking -f json {}", args.target),
        }
        .into());
    }
    let found = outline::blocking(&model.recipes, &model.files.main, args.deps);
    model.keep_learned();
    if found.looked_at == 0 {
        return Err(nothing(&args.target, model).into());
    }
    let say = Say::new(common);
    for issue in model.issues.iter().chain(&found.issues) {
        say.warn(issue);
    }
    let own = found.paths.iter().flat_map(|path| path.steps.iter().filter_map(|step| step.place.as_ref()));
    let own = own.filter(|place| model.program().is_own_code(&place.file));
    let places = Places::of_own(own.map(|place| place.file.clone()));
    let paint = text_options(args, common).paint;
    output::whole(args.output.as_deref(), |out| match args.format {
        Format::Json => outline_blocking::write_json(out, &found),
        _ => outline_blocking::write_text(out, &found, &places, paint),
    })?;
    Ok(Exit::Fine)
}

fn choice(args: &AnalyzeArgs, graph: &CallGraph) -> Result<Choice, Failure> {
    let roots = match &args.root {
        Some(name) => outline::named(graph, name),
        None => Vec::new(),
    };
    match &args.root {
        Some(name) if roots.is_empty() => Err(no_function(name, args, graph)),
        _ => Ok(Choice { deps: args.deps, roots, depth: args.depth }),
    }
}

/// Makes yellow what took most of the time in a recording.
fn mark_times(graph: &mut CallGraph, path: &Path, say: &Say) -> Result<(), Failure> {
    let mut recording = replay::open(path, "taking the times of")?;
    let mut begun = replay::begin(&mut recording);
    let of_it = &say.about(&path.display().to_string());
    let Profiled { model, profile, .. } =
        profiled(&mut begun, &mut replay::at_once(recording), of_it, |_| {});
    let times = Bottlenecks::of(&profile, &model);
    if call_graph_times::mark(graph, &times, &own_places(graph)) == 0 {
        say.warn(&format!(
            "nothing of {} has a place in this program: it is of another one, or too short",
            path.display()
        ));
    }
    Ok(())
}

/// How many names are told of those like the one that was not found.
const CANDIDATES: usize = 8;

fn no_function(name: &str, args: &AnalyzeArgs, graph: &CallGraph) -> Failure {
    let wanted = name.rsplit("::").next().unwrap_or(name).to_lowercase();
    let mut why = "it has no function of that name".to_owned();
    let own = graph.functions.iter().filter(|function| function.origin == Origin::Own);
    let mut like: Vec<_> =
        own.filter(|f| f.name.to_lowercase().contains(&wanted)).map(|f| &*f.name).collect();
    like.dedup();
    like.iter().take(CANDIDATES).for_each(|name| why.push_str(&format!("\n  there is {name}")));
    Failure {
        exit: Exit::Usage,
        tried: format!("looking for {name} in {}", args.target),
        why,
        next: format!("async-inspect analyze {} -f json | jq -r '.functions[].function'", args.target),
    }
}

fn own_places(graph: &CallGraph) -> Places {
    let own = graph.functions.iter().filter(|function| function.origin == Origin::Own);
    Places::of_own(own.filter_map(|function| function.place.as_ref().map(|line| line.file.clone())))
}

/// Columns where there is no terminal to ask.
const WIDTH: usize = 100;

fn text_options(args: &AnalyzeArgs, common: &Common) -> outline_text::Options {
    let to_file = args.output.as_deref().is_some_and(|path| path != Path::new("-"));
    let terminal = !to_file && std::io::stdout().is_terminal();
    let size = if terminal { crossterm::terminal::size().ok() } else { None };
    outline_text::Options {
        paint: output::paint(common, terminal),
        width: size.map_or(WIDTH, |(columns, _)| columns.into()),
    }
}

/// The views that look at functions one by one.
fn one_view(
    args: &AnalyzeArgs,
    common: &Common,
    model: &StaticModel,
    before: Option<(&str, &StaticModel)>,
) -> Result<Exit, Quit> {
    let coroutines = Coroutines::of(&model.recipes);
    if coroutines.list.is_empty() {
        return Err(nothing(&args.target, model).into());
    }
    model.keep_learned();
    let say = Say::new(common);
    model.issues.iter().for_each(|issue| say.warn(issue));
    if args.state_machine.is_some() || before.is_some() {
        say_bounds(&coroutines.bounds, &say);
    }
    match &args.state_machine {
        Some(wanted) => analyze_machine::run(wanted, args, common, model, &coroutines),
        None => analyze_sizes::run(args, common, model, &coroutines, before),
    }
}

fn open(target: &str, common: &Common, progress: &dyn Progress) -> Result<StaticModel, Failure> {
    let options = common.open_options();
    let path = Path::new(target);
    if target.parse::<u32>().is_err() && path.is_file() {
        return binary::open(path, &options, progress);
    }
    if target.contains('/') {
        let why = if path.exists() { "it is no file" } else { "there is no such file" };
        return Err(Failure {
            exit: Exit::NoTarget,
            tried: format!("analysing {target}"),
            why: why.into(),
            next: "async-inspect analyze FILE, a program; or the PID of a process: async-inspect ps".into(),
        });
    }
    Ok(inspect(target, &options, progress)?.model)
}

/// Why there are no coroutines to tell of.
fn nothing(target: &str, model: &StaticModel) -> Failure {
    let runtime = model.has_runtime();
    let (why, next) = match model.level {
        DebugInfoLevel::Full | DebugInfoLevel::UnknownLayout => (
            "its debug information describes no async function",
            format!("async-inspect check {target}"),
        ),
        _ if !runtime => ("no async runtime was found in it", format!("async-inspect check {target}")),
        _ => (
            "its debug information has no types, and only types tell what a function awaits",
            "build it with `[profile.release] debug = 2`, or name its debug information with --debuginfo FILE".into(),
        ),
    };
    Failure { exit: Exit::NothingUsable, tried: format!("analysing {target}"), why: why.into(), next }
}
