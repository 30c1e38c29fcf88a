use super::*;
use crate::cli::args::{Cli, Command};
use crate::cli::source::{EventStream, ProcessInfo, TraceOptions};
use crate::cli::{Exit, Failure};
use crate::decode::{Frames, Snapshot};
use crate::model::sample::{SECOND, Shop};
use clap::Parser;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

struct Stuck(Shop);

impl Source for Stuck {
    fn process(&self) -> ProcessInfo {
        ProcessInfo { pid: 4242, exe: "/srv/shop".into(), built: None }
    }
    fn frames(&self) -> Arc<Frames> {
        self.0.frames.clone()
    }
    fn snapshot(&mut self) -> Result<Snapshot, Failure> {
        Ok(self.0.deadlock(SECOND))
    }
    fn start_trace(&mut self, _: TraceOptions) -> Result<Box<dyn EventStream>, Failure> {
        unreachable!("an export does not trace")
    }
    fn has_exited(&mut self) -> bool {
        false
    }
}

fn export(file: &Path, args: &[&str]) -> Result<Exit, Quit> {
    let all = ["async-inspect", "export", "4242", "-q", "-o", file.to_str().unwrap()];
    let cli = Cli::try_parse_from([&all, args].concat()).unwrap();
    let Command::Export(export_args) = cli.command else { unreachable!() };
    run(&mut Stuck(Shop::new()), &export_args, &cli.common)
}

#[test]
fn a_file_is_replaced_and_nothing_else_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("graph");
    std::fs::write(&file, "of yesterday").unwrap();
    let starts = [("dot", "digraph"), ("mermaid", "flowchart"), ("json", "{\"schema\":1")];
    for (format, start) in starts {
        assert_eq!(export(&file, &["-f", format]).unwrap(), Exit::Fine);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with(start), "{text}");
    }
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o600, 0o600);
    assert_eq!(mode & 0o111, 0);
}

#[test]
fn a_link_stays_a_link_and_a_device_a_device() {
    let directory = tempfile::tempdir().unwrap();
    let (file, link) = (directory.path().join("graph"), directory.path().join("link"));
    std::fs::write(&file, "").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    export(&link, &["-f", "dot"]).unwrap();
    assert!(link.is_symlink());
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("digraph"));
    export(Path::new("/dev/null"), &["-f", "dot"]).unwrap();
    assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn tasks_are_merged_unless_each_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("graph");
    let lines = |args: &[&str]| {
        export(&file, args).unwrap();
        std::fs::read_to_string(&file)
            .unwrap()
            .lines()
            .filter(|line| line.contains("shop::cart::total"))
            .count()
    };
    assert_eq!(lines(&["-f", "dot"]), 1);
    assert_eq!(lines(&["-f", "dot", "--all"]), 3);
    assert_eq!(lines(&["-f", "json"]), 3);
}

#[test]
fn a_directory_that_is_not_there_is_a_plain_failure() {
    let Err(Quit::Failure(failure)) = export(Path::new("/no/such/graph"), &["-f", "dot"]) else { panic!() };
    assert_eq!(failure.exit, Exit::Plain);
}
