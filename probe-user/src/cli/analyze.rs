//! `analyze`: what a program's files say of its async functions.

use super::analyze_args::{AnalyzeArgs, Format};
use super::args::Common;
use super::live::inspect;
use super::output::{self, ProgressLine, Quit, Say};
use super::source::Progress;
use super::{Exit, Failure, analyze_machine, analyze_sizes, binary};
use crate::decode::{DebugInfoLevel, StaticModel};
use crate::export::{outline_json, outline_text};
use crate::outline::{self, Coroutines};
use std::path::Path;

pub fn run(args: &AnalyzeArgs, common: &Common, progress: &ProgressLine) -> Result<Exit, Quit> {
    let model = open(&args.target, common, progress)?;
    let open_named = |name| open(name, common, progress).map(|model| (name, model));
    let before = args.against.as_deref().map(open_named).transpose()?;
    progress.done();
    if args.sizes || args.state_machine.is_some() {
        return one_view(args, common, &model, before.as_ref().map(|(name, model)| (*name, model)));
    }
    let graph = outline::call_graph(&model.recipes, &model.sites);
    if !graph.functions.iter().any(|function| function.size.is_some()) {
        return Err(nothing(&args.target, &model).into());
    }
    let say = Say::new(common);
    for issue in model.issues.iter().chain(&graph.issues) {
        say.warn(issue);
    }
    output::whole(args.output.as_deref(), |out| match args.format {
        Format::Text => outline_text::write(out, &graph),
        Format::Json => outline_json::write(out, &graph),
        Format::Dot | Format::Mermaid => outline_text::write(out, &graph),
    })?;
    Ok(Exit::Fine)
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
    let say = Say::new(common);
    model.issues.iter().chain(&coroutines.issues).for_each(|issue| say.warn(issue));
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
        DebugInfoLevel::Full => (
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
