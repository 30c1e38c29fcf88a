use super::*;
use crate::cli::args::{Cli, Command};
use crate::cli::source::{EventStream, ProcessInfo, TraceOptions};
use crate::decode::Frames;
use crate::model::sample::{SECOND, Shop};
use clap::Parser;
use std::sync::Arc;

struct Busy(Shop);

impl Source for Busy {
    fn process(&self) -> ProcessInfo {
        ProcessInfo { pid: 4242, exe: "/srv/shop".into(), built: None }
    }
    fn frames(&self) -> Arc<Frames> {
        self.0.frames.clone()
    }
    fn snapshot(&mut self) -> Result<Snapshot, Failure> {
        Ok(self.0.busy_day(SECOND))
    }
    fn start_trace(&mut self, _: TraceOptions) -> Result<Box<dyn EventStream>, Failure> {
        unreachable!("a dump does not trace")
    }
    fn has_exited(&mut self) -> bool {
        false
    }
}

fn dump(args: &[&str]) -> Result<String, Quit> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dump");
    let all = ["async-inspect", "dump", "4242", "-q", "-o", file.to_str().unwrap()];
    let cli = Cli::try_parse_from([&all, args].concat()).unwrap();
    let Command::Dump(dump_args) = cli.command else { unreachable!() };
    let exit = run(&mut Busy(Shop::new()), &dump_args, &cli.common)?;
    assert_eq!(exit, Exit::Fine);
    Ok(std::fs::read_to_string(file).unwrap())
}

fn ids(text: &str) -> Vec<String> {
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    let tasks = value["tasks"].as_array().unwrap().iter();
    tasks.map(|task| task["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn filters_look_at_names_functions_and_places() {
    assert_eq!(ids(&dump(&["--json", "--filter", "cart"]).unwrap()), ["30"]);
    assert_eq!(ids(&dump(&["--json", "--filter", "api.rs:155$"]).unwrap()), ["20", "21"]);
    assert_eq!(ids(&dump(&["--json", "--filter", "reqwest"]).unwrap()).len(), 6);
    assert_eq!(ids(&dump(&["--json", "--filter", "nowhere"]).unwrap()), [""; 0]);
    assert!(dump(&["--filter", "nowhere"]).unwrap().contains("no task to show"));
}

#[test]
fn one_task_is_a_card_with_its_tree() {
    insta::assert_snapshot!(dump(&["--task", "#1", "--task", "30"]).unwrap());
    assert_eq!(ids(&dump(&["--task", "30", "--json"]).unwrap()), ["30"]);
}

#[test]
fn a_task_that_is_not_there_is_an_error() {
    let Err(Quit::Failure(failure)) = dump(&["--task", "30", "--task", "999"]) else { panic!("no error") };
    assert_eq!(failure.exit, Exit::Plain);
    assert!(failure.tried.contains("#999"), "{failure}");
}

#[test]
fn a_full_device_is_named_and_what_to_do() {
    let cli = Cli::try_parse_from(["async-inspect", "dump", "1", "-q", "-o", "/dev/full"]).unwrap();
    let Command::Dump(args) = cli.command else { unreachable!() };
    let Err(Quit::Failure(failure)) = run(&mut Busy(Shop::new()), &args, &cli.common) else {
        panic!("no error")
    };
    assert_eq!((failure.exit, &*failure.tried), (Exit::Plain, "writing /dev/full"));
    assert!(!failure.next.is_empty());
}

#[test]
fn an_output_that_cannot_be_written_is_an_io_error() {
    let cli = Cli::try_parse_from(["async-inspect", "dump", "1", "-o", "/nowhere/at/all"]).unwrap();
    let Command::Dump(args) = cli.command else { unreachable!() };
    let Err(Quit::Failure(failure)) = run(&mut Busy(Shop::new()), &args, &cli.common) else {
        panic!("no error")
    };
    assert_eq!(failure.exit, Exit::Plain);
}
