//! `analyze`: what a program's files say of its async functions.

use super::analyze_args::{AnalyzeArgs, Format};
use super::args::Common;
use super::live::inspect;
use super::output::{self, ProgressLine, Quit, Say};
use super::source::Progress;
use super::{Exit, Failure, binary};
use crate::decode::{DebugInfoLevel, StaticModel};
use crate::export::{outline_json, outline_text};
use crate::outline;
use std::path::Path;

pub fn run(args: &AnalyzeArgs, common: &Common, progress: &ProgressLine) -> Result<Exit, Quit> {
    let model = open(args, common, progress)?;
    progress.done();
    let graph = outline::call_graph(&model.recipes, &model.sites, &model.files.main);
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
    })?;
    Ok(Exit::Fine)
}

fn open(args: &AnalyzeArgs, common: &Common, progress: &dyn Progress) -> Result<StaticModel, Failure> {
    let options = common.open_options();
    let path = Path::new(&args.target);
    if args.target.parse::<u32>().is_err() && path.is_file() {
        return binary::open(path, &options, progress);
    }
    if args.target.contains('/') {
        let why = if path.exists() { "it is no file" } else { "there is no such file" };
        return Err(Failure {
            exit: Exit::NoTarget,
            tried: format!("analysing {}", args.target),
            why: why.into(),
            next: "async-inspect analyze FILE, a program; or the PID of a process: async-inspect ps".into(),
        });
    }
    Ok(inspect(&args.target, &options, progress)?.model)
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
