use crate::programs::{PLACES, Running, compile};
use async_inspect::target::{Access, TargetError, list, resolve};
use std::process::Command;

#[test]
fn a_number_is_a_pid_and_a_name_must_be_exact_and_unambiguous() {
    let dir = tempfile::tempdir().expect("a directory");
    // Longer than the 15 bytes that the kernel keeps of a name.
    let name = format!("named-{}-and-then-some", std::process::id());
    let program = compile(dir.path(), &name, PLACES, &[]);
    assert_eq!(resolve("4123").expect("any number"), 4123);
    assert!(matches!(resolve(&name), Err(TargetError::NoSuchName { .. })));

    let first = Running::start(&mut Command::new(&program));
    assert_eq!(resolve(&name).expect("one process"), first.pid());
    assert_eq!(resolve(&name[..15]).expect("the kernel's name for it"), first.pid());
    assert!(matches!(resolve(&name[..14]), Err(TargetError::NoSuchName { .. })));

    let second = Running::start(Command::new(&program).arg("with arguments"));
    let Err(TargetError::Ambiguous { candidates, .. }) = resolve(&name) else { panic!("two processes") };
    let mut pids = [first.pid(), second.pid()];
    pids.sort_unstable();
    assert_eq!(candidates.iter().map(|c| c.pid).collect::<Vec<_>>(), pids);
    assert!(candidates.iter().any(|c| c.command_line.ends_with("with arguments")));
}

#[test]
fn never_ourselves() {
    let us = std::process::id();
    assert!(list().expect("procfs").iter().all(|l| l.pid != us));
    let exe = std::env::current_exe().expect("ourselves");
    let name = exe.file_name().and_then(|n| n.to_str()).expect("text");
    assert!(matches!(resolve(name), Err(TargetError::NoSuchName { .. })), "nobody else runs this very file");
}

#[test]
fn the_list_tells_what_can_be_read() {
    let running = Running::start(Command::new("sh").args(["-c", "echo ready; exec sleep 600"]));
    let listed = list().expect("procfs");
    let ours = listed.iter().find(|l| l.pid == running.pid()).expect("our child");
    assert_eq!(ours.access, Access::Readable);
    if let Some(kernel) = listed.iter().find(|l| l.name == "kthreadd") {
        assert_eq!((kernel.access, &kernel.exe), (Access::NoMemory, &None));
    }
}
