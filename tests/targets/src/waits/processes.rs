//! Signals and child processes.

use std::process::Stdio;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use truth::resources::{Wait, start};

/// A child that ends with us: its stdin is closed then.
fn child() -> Child {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().expect("everybody has cat")
}

pub fn start_all() {
    start("Signal::recv", |case| async move {
        let mut signals = signal(SignalKind::user_defined1()).expect("a handler");
        case.waits(Wait::of("io").channel("USR1").words(&[&"waits for SIGUSR1"]));
        case.stands();
        signals.recv().await;
    });
    start("Signal::recv, a second one", |case| async move {
        let mut signals = signal(SignalKind::user_defined1()).expect("a handler");
        case.waits(Wait::of("io").channel("USR1").words(&[&"waits for SIGUSR1"]));
        case.stands();
        signals.recv().await;
    });
    start("Signal::recv, a signal without a name", |case| async move {
        let mut signals = signal(SignalKind::from_raw(40)).expect("a handler");
        case.waits(Wait::of("io").channel("40").words(&[&"waits for signal 40"]));
        case.stands();
        signals.recv().await;
    });
    start("ctrl_c", |case| async move {
        case.waits(Wait::of("io").channel("INT").words(&[&"waits for SIGINT"]));
        case.stands();
        let _ = tokio::signal::ctrl_c().await;
    });
    start("Child::wait", |case| async move {
        let mut child = child();
        // What waits closes it first, which would end the child.
        let stdin = child.stdin.take();
        let pid = child.id().expect("it runs");
        case.waits(Wait::of("io").words(&[&"process", &pid]));
        case.stands();
        let _ = child.wait().await;
        drop(stdin);
    });
    start("ChildStdout::read", |case| async move {
        let mut child = child();
        let mut stdout = child.stdout.take().expect("it was asked for");
        let mut buffer = [0; 16];
        case.waits(Wait::of("io").fd(&stdout).words(&[&"reads", &"pipe"]));
        case.stands();
        let _ = stdout.read(&mut buffer).await;
    });
}
