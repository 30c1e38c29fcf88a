//! `replay`: a recording in the views of `attach`.

use super::args::Common;
use super::feed::Feed;
use super::output::{self, Quit, Say};
use super::recording_args::ReplayArgs;
use super::source::ProcessInfo;
use super::watch::Begun;
use super::{Exit, Failure, attach, replay_at};
use crate::model::{End, Update};
use crate::record::{Reader, Unreadable, time_of};
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

pub type Recording = Reader<File>;

pub fn run(args: &ReplayArgs, common: &Common, stop: Arc<AtomicBool>) -> Result<Exit, Quit> {
    let say = Say::new(common);
    let mut recording = open(&args.file, "replaying")?;
    if let Some(at) = args.at {
        return replay_at::run(recording, at, args, common);
    }
    let screen = !args.plain && !args.json && attach::is_screen();
    let begun = begin(&mut recording);
    attach::tell_unseen(&begun, &say);
    let end = if screen {
        let feed = &mut Paced {
            recording,
            stop,
            began: Instant::now(),
            first_ns: begun.t_ns,
            due_ns: begun.t_ns,
            next: None,
        };
        attach::on_screen(begun, feed, common)?
    } else {
        let feed = &mut AtOnce { recording, stop };
        if args.json {
            attach::json(output::stdout(), begun, feed, &say, true)?
        } else {
            let paint = output::paint(common, io::stdout().is_terminal());
            attach::plain(output::stdout(), begun, feed, paint)?
        }
    };
    // A recording that ends early was replayed all the same.
    if let End::Failed(why) = end {
        say.warn(&why);
    }
    Ok(Exit::Fine)
}

/// `doing`: what with, as `replaying`.
pub(super) fn open(path: &Path, doing: &str) -> Result<Recording, Failure> {
    let tried = format!("{doing} {}", path.display());
    // Opening a pipe would wait for whoever writes it, and a recording is not read from front to back alone.
    if std::fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir()) {
        return Err(Failure {
            exit: Exit::NothingUsable,
            tried,
            why: "it is no regular file".into(),
            next: "the recording in a file: async-inspect record TARGET -o FILE".into(),
        });
    }
    let file = File::open(path).map_err(Unreadable::Io);
    file.and_then(Reader::open).map_err(|error| unreadable(path, tried, &error))
}

/// Whether it is an executable, so that a process that runs it is meant.
pub(super) fn is_program(path: &Path) -> bool {
    let mut magic = [0; 4];
    // Opening a pipe would wait.
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file())
        && File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && magic == *b"\x7fELF"
}

fn unreadable(path: &Path, tried: String, error: &Unreadable) -> Failure {
    let exit = match error {
        Unreadable::Io(error) if error.kind() == ErrorKind::NotFound => Exit::NoTarget,
        Unreadable::Io(error) if error.kind() == ErrorKind::PermissionDenied => Exit::NotPermitted,
        Unreadable::Io(_) => Exit::Plain,
        Unreadable::NotOne | Unreadable::Newer(_) | Unreadable::NoHead => Exit::NothingUsable,
    };
    let next = match (exit, error) {
        (Exit::NotPermitted, _) => {
            format!("the same with sudo: {} is for who recorded it alone", path.display())
        }
        (_, Unreadable::Newer(_)) => "async-inspect --version, and a newer one".into(),
        _ => "async-inspect record TARGET -o FILE, which makes one".into(),
    };
    Failure { exit, tried, why: error.to_string(), next }
}

/// What was known when recording began.
pub(super) fn begin(recording: &mut Recording) -> Begun {
    let head = recording.head().clone();
    let built = head.built_ns.map(|ns| UNIX_EPOCH + Duration::from_nanos(ns));
    Begun {
        process: ProcessInfo { pid: head.pid, exe: head.exe, built },
        mode: head.mode,
        because: head.because,
        fallen_back: None,
        frames: recording.frames().clone(),
        t_ns: head.t_ns,
        first: if head.has_first { recording.next_snapshot() } else { None },
    }
}

/// All of it, as fast as it can be read.
pub(super) fn at_once(recording: Recording) -> impl Feed {
    AtOnce { recording, stop: Arc::default() }
}

/// As fast as it can be read.
struct AtOnce {
    recording: Recording,
    stop: Arc<AtomicBool>,
}

impl Feed for AtOnce {
    fn next(&mut self, _timeout: Duration) -> Option<Update> {
        if self.stop.load(Ordering::Relaxed) {
            return Some(Update::End { t_ns: self.recording.now_ns(), end: End::Interrupted });
        }
        self.recording.next()
    }
}

/// At the speed of the recording.
struct Paced {
    recording: Recording,
    stop: Arc<AtomicBool>,
    began: Instant,
    /// When the recording began, CLOCK_MONOTONIC of then, ns.
    first_ns: u64,
    /// The latest time that an update spoke of.
    due_ns: u64,
    next: Option<Update>,
}

impl Feed for Paced {
    fn next(&mut self, timeout: Duration) -> Option<Update> {
        if self.stop.load(Ordering::Relaxed) {
            return Some(Update::End { t_ns: self.due_ns, end: End::Interrupted });
        }
        if self.next.is_none() {
            self.next = self.recording.next();
        }
        self.due_ns = self.due_ns.max(self.next.as_ref().and_then(time_of).unwrap_or(0));
        let due = Duration::from_nanos(self.due_ns - self.first_ns);
        let wait = due.saturating_sub(self.began.elapsed());
        thread::sleep(wait.min(timeout));
        if wait > timeout {
            return None;
        }
        match self.next.take() {
            // The user may want to look at what is there; and quits when done.
            Some(Update::End { end, .. }) if !end.is_over() => {
                let why = end.reason();
                Some(Update::Note(format!("that was the recording ({why}); q quits")))
            }
            other => other,
        }
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
