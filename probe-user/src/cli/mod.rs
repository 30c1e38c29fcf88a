//! The commands.

mod analyze;
mod analyze_args;
mod analyze_machine;
mod analyze_sizes;
mod args;
mod attach;
mod binary;
mod checkup;
mod child;
mod clock;
mod compare;
mod computing;
mod core;
mod diagnose;
mod diagnose_args;
mod dump;
mod exit;
mod export;
mod feed;
mod interpreter;
pub mod live;
mod long_polls;
mod manual;
mod output;
mod probe_args;
mod probes;
mod profiled;
mod record;
mod recording_args;
mod replay;
mod replay_at;
mod sampled;
mod signals;
mod source;
mod watch;

pub use exit::{Exit, Failure};
pub use source::{
    EventStream, LookStream, OpenOptions, ProbeMode, ProcessInfo, Progress, Source, TraceOptions,
};

use crate::export::{check, ps};
use crate::present::units::counted;
use crate::target;
use args::{Cli, Command, Common};
use clap::Parser;
use output::{ProgressLine, Quit, Say};
use std::io::{self, IsTerminal, Write};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

/// The whole program. Never panics: a panic of ours is told, and is exit code 70.
pub fn main() -> ExitCode {
    panic::set_hook(Box::new(|panic| {
        let _ = writeln!(
            io::stderr(),
            "async-inspect: a bug of async-inspect, not of your program: {panic}\n  \
             please report it with this text and the output of `async-inspect check TARGET`"
        );
    }));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version are "errors" to clap, too; a reader who went away does not matter here.
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Fine }.into();
        }
    };
    log(&cli.common);
    let say = Say::new(&cli.common);
    guarded(&say, || run(cli)).into()
}

/// Runs a command, and tells what became of it.
fn guarded(say: &Say, command: impl FnOnce() -> Result<Exit, Quit>) -> Exit {
    match panic::catch_unwind(AssertUnwindSafe(command)) {
        Ok(Ok(exit)) => exit,
        Ok(Err(Quit::PipeClosed)) => Exit::Fine,
        Ok(Err(Quit::Failure(failure))) => {
            say.failure(&failure);
            failure.exit
        }
        // The hook has told it.
        Err(_) => Exit::Bug,
    }
}

fn run(cli: Cli) -> Result<Exit, Quit> {
    let common = cli.common;
    let progress = ProgressLine::new(&common);
    match cli.command {
        Command::Attach(args) => {
            drop(progress);
            let stop = signals::install().map_err(|error| output::plain("handling signals", &error))?;
            attach::run(&args, &common, stop)
        }
        Command::Record(args) => {
            drop(progress);
            let stop = signals::install().map_err(|error| output::plain("handling signals", &error))?;
            record::run(&args, &common, stop)
        }
        Command::Replay(args) => {
            drop(progress);
            let stop = signals::install().map_err(|error| output::plain("handling signals", &error))?;
            replay::run(&args, &common, stop)
        }
        Command::Diagnose(args) => {
            drop(progress);
            let stop = signals::install().map_err(|error| output::plain("handling signals", &error))?;
            diagnose::run(&args, &common, stop)
        }
        Command::Compare(args) => {
            drop(progress);
            let stop = signals::install().map_err(|error| output::plain("handling signals", &error))?;
            compare::run(&args, &common, &stop)
        }
        Command::Dump(args) => {
            let options = common.open_options();
            let mut source = match &args.core {
                Some(core) => core::open(core, args.exe.as_deref(), &options, &progress)?,
                None => live::open(args.target.as_deref().unwrap_or_default(), &options, &progress)?,
            };
            progress.done();
            dump::run(&mut *source, &args, &common)
        }
        Command::Export(args) => {
            let mut source = live::open(&args.target, &common.open_options(), &progress)?;
            progress.done();
            export::run(&mut *source, &args, &common)
        }
        Command::Analyze(args) => analyze::run(&args, &common, &progress),
        Command::Check(args) => {
            let report = checkup::check(&args.target, &common.open_options(), &progress)?;
            progress.done();
            let mut out = output::stdout();
            if args.json {
                check::write_json(&mut out, &report)?;
            } else {
                let paint = output::paint(&common, io::stdout().is_terminal());
                check::write_text(&mut out, &report, paint)?;
            }
            out.flush()?;
            Ok(Exit::Fine)
        }
        Command::Ps(args) => {
            let (rows, closed) = checkup::processes()?;
            progress.done();
            tell_closed(&closed, &common);
            let mut out = output::stdout();
            if args.json { ps::write_json(&mut out, &rows) } else { ps::write_text(&mut out, &rows) }?;
            out.flush()?;
            Ok(Exit::Fine)
        }
        Command::Man { directory } => {
            let pages = manual::man(&directory)?;
            let many = counted(pages as u64, "page");
            Say::new(&common).note(&format!(
                "{many} in {}: man -l {}",
                directory.display(),
                directory.join("async-inspect.1").display()
            ));
            Ok(Exit::Fine)
        }
        Command::Completions { shell } => manual::completions(shell).map(|()| Exit::Fine),
    }
}

/// Of the processes that `ps` could not look into; `-v` names them.
fn tell_closed(closed: &[target::Listed], common: &Common) {
    let say = Say::new(common);
    if common.verbose > 0 {
        closed.iter().for_each(|one| say.note(&format!("not ours to look at: {} ({})", one.pid, one.name)));
        return;
    }
    let many = match closed.len() {
        0 => return,
        1 => "1 process is".to_owned(),
        n => format!("{n} processes are"),
    };
    let how = match rustix::process::geteuid().is_root() {
        true => "-v names them",
        false => "sudo async-inspect ps shows all",
    };
    say.note(&format!("{many} not ours to look at: {how}"));
}

/// What `-v` shows goes to stderr, never to stdout.
fn log(common: &Common) {
    use tracing::level_filters::LevelFilter;
    let level = match (common.quiet, common.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let ansi = output::paint(common, io::stderr().is_terminal()).color;
    tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).with_ansi(ansi).init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_exit_code() {
        let cli = Cli::try_parse_from(["async-inspect", "-q", "ps"]).unwrap();
        let say = Say::new(&cli.common);
        let (tried, why, next) = (String::new(), String::new(), String::new());
        let failure = Failure { exit: Exit::NotPermitted, tried, why, next };
        assert_eq!(guarded(&say, || Ok(Exit::Fine)), Exit::Fine);
        assert_eq!(guarded(&say, || Err(failure.into())), Exit::NotPermitted);
        assert_eq!(guarded(&say, || Err(io::Error::from(io::ErrorKind::BrokenPipe).into())), Exit::Fine);
        assert_eq!(guarded(&say, || Err(io::Error::from(io::ErrorKind::StorageFull).into())), Exit::Plain);
        assert_eq!(guarded(&say, || panic!("a bug, for this test")), Exit::Bug);
    }
}
