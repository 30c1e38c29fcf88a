//! What becomes of a watch when the target becomes another program, or is stopped.

use anyhow::{Context as _, Result, ensure};
use e2e::schema::Line;
use e2e::tracer::Tracer;
use e2e::{Program, Tokio, Variant, rights};
use rustix::process::{Pid, Signal, kill_process};

fn start() -> Result<Program> {
    let executable = Variant::release(Tokio::Latest).build(&["shares"])?.program("shares");
    let mut program = Program::start(&executable, &[])?;
    program.truth()?;
    Ok(program)
}

#[test]
fn an_exec_is_the_end_of_what_was_watched() {
    if !rights::root_or_skip("exec while traced") {
        return;
    }
    let watched = || -> Result<()> {
        let mut program = start()?;
        let tracer = Tracer::attach(program.pid(), &[])?;
        program.say("exec")?;
        let traced = tracer.finish()?;
        ensure!(traced.code == Some(0), "{:?}: {}", traced.code, traced.stderr);
        let last = traced.lines.last().context("a last line")?;
        ensure!(matches!(last, Line::End { reason, .. } if reason == "exec"), "{last:?}");
        Ok(())
    };
    watched().expect("the end is told");
}

#[test]
fn a_target_that_is_stopped_is_told() {
    if !rights::root_or_skip("a stopped target") {
        return;
    }
    let watched = || -> Result<()> {
        let program = start()?;
        let pid = Pid::from_raw(program.pid() as i32).context("a PID")?;
        kill_process(pid, Signal::STOP)?;
        let traced = Tracer::attach(program.pid(), &["-d", "1"])?.finish();
        kill_process(pid, Signal::CONT)?;
        let traced = traced?;
        ensure!(traced.code == Some(0), "{:?}: {}", traced.code, traced.stderr);
        let told = traced.stderr.matches("the target is stopped").count();
        ensure!(told == 1, "told {told} times: {}", traced.stderr);
        Ok(())
    };
    watched().expect("it is told once");
}
