//! `record`: what `attach` would show, into a file.

use super::args::Common;
use super::attach::{self, Wanted, Watch};
use super::child::Keep;
use super::feed::Feed;
use super::output::{self, Quit, Say};
use super::recording_args::RecordArgs;
use super::watch::{Begun, Updates};
use super::{Exit, Failure, clock};
use crate::model::{End, Update};
use crate::present::units::{count, counted, size, span};
use crate::record::{Head, Writer, Written};
use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What is held back in memory at most: a recorder that is killed loses this much.
const FLUSH: Duration = Duration::from_secs(1);
const WAIT: Duration = Duration::from_millis(100);

pub fn run(args: &RecordArgs, common: &Common, stop: Arc<AtomicBool>) -> Result<Exit, Quit> {
    let say = Say::new(common);
    if args.json && is_stdout(args.output.as_deref()) {
        return Err(Failure {
            exit: Exit::Usage,
            tried: "writing the recording to stdout".into(),
            why: "--json prints there".into(),
            next: "async-inspect record TARGET -o FILE --json".into(),
        }
        .into());
    }
    // A file that cannot be written is told before the target is opened, which may take a while.
    let named = args.output.as_deref().map(Place::named).transpose()?;
    let wanted = Wanted {
        target: args.target.as_deref(),
        command: &args.command,
        keep: if args.json || is_stdout(args.output.as_deref()) { Keep::Stderr } else { Keep::Stdout },
        trace: args.probes.options(),
        sample: args.probes.sample,
        interval: args.interval,
        duration: args.duration,
    };
    let Some(Watch { begun, updates, child }) = attach::begin(&wanted, common, stop, &say)? else {
        return Ok(Exit::Fine);
    };
    let mut place = match named {
        Some(place) => place,
        None => Place::of(begun.process.pid)?,
    };
    if place.empty()? {
        say.note(&format!("{} was there and is replaced", place.path.display()));
    }
    let path = std::mem::take(&mut place.path);
    let file = place.keep();
    say.note(&format!(
        "recording pid {} ({}) into {}; Ctrl-C ends it",
        begun.process.pid,
        begun.mode.as_str(),
        path.display()
    ));

    let (pid, began_ns) = (begun.process.pid, begun.t_ns);
    let mut recorder = Recorder::begin(file, &begun, updates).map_err(|error| failed(&path, &error))?;
    let shown = if args.json {
        attach::json(output::stdout(), begun, &mut recorder, &say, args.probes.each_wake())
    } else {
        Ok(until_the_end(&mut recorder, &say))
    };
    let ended_ns = clock::monotonic_ns();
    if shown.is_err() {
        // Who read our stdout has gone. What was recorded until then is whole.
        recorder.take(&Update::End { t_ns: ended_ns, end: End::Interrupted });
    }
    let written = recorder.finish().map_err(|error| failed(&path, &error))?;
    tell(&say, &path, written, pid, ended_ns.saturating_sub(began_ns));
    let end = shown?;
    if let Some(pid) = child.filter(|_| end == End::Duration) {
        say.note(&format!("process {pid} goes on running"));
    }
    attach::finish(end)
}

fn until_the_end(recorder: &mut Recorder, say: &Say) -> End {
    loop {
        match recorder.next(WAIT) {
            Some(Update::Note(text)) => say.warn(&text),
            Some(Update::End { end, .. }) => return end,
            _ => {}
        }
    }
}

fn tell(say: &Say, path: &Path, written: Written, pid: u32, watched_ns: u64) {
    let per_event = match written.events {
        // What every recording has would be most of it.
        0..100 => String::new(),
        events => format!(", {:.1} bytes per event", written.bytes as f64 / events as f64),
    };
    say.note(&format!("recorded {} of pid {pid} into {}", span(watched_ns), path.display()));
    say.note(&format!(
        "  {}, {}, {}{per_event}",
        counted(written.events, "event"),
        counted(written.snapshots, "snapshot"),
        size(written.bytes)
    ));
    match written.lost {
        0 => say.note("  lost nothing"),
        lost => say.warn(&format!("  lost {} records of the trace", count(lost))),
    }
    if written.left_out > 0 {
        say.warn(&format!(
            "  {} were larger than a recording takes, and are left out",
            counted(written.left_out, "part")
        ));
    }
    if !is_stdout(Some(path)) {
        say.note(&format!("  to see it: async-inspect replay {}", path.display()));
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    let exit = if error.kind() == ErrorKind::PermissionDenied { Exit::NotPermitted } else { Exit::Plain };
    Failure {
        exit,
        tried: format!("writing {}", path.display()),
        why: error.to_string(),
        next: "async-inspect record TARGET -o FILE, where there is room and FILE may be written".into(),
    }
}

/// What `-o` takes for our stdout.
const STDOUT: &str = "-";

fn is_stdout(path: Option<&Path>) -> bool {
    path == Some(Path::new(STDOUT))
}

/// So that two do not write into one another's recording. Until the file is closed, which the kernel does too.
fn lock(file: &File, path: &Path) -> Result<(), Failure> {
    match file.try_lock() {
        // A device, or a file system without locks, is nobody's.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Failure {
            exit: Exit::Plain,
            tried: format!("writing {}", path.display()),
            why: "another recording is being written to it".into(),
            next: "async-inspect record TARGET -o another FILE".into(),
        }),
    }
}

/// What is to become the recording. Removed again if nothing does, and we made it.
struct Place {
    path: PathBuf,
    file: Option<File>,
    made: bool,
}

impl Place {
    /// Our stdout: a pipe, or a file that somebody else opened.
    fn stdout() -> Result<Place, Failure> {
        let path = PathBuf::from(STDOUT);
        if io::stdout().is_terminal() {
            let next = "async-inspect record TARGET -o FILE".into();
            let why = "it is a terminal, and a recording is no text".into();
            return Err(Failure { exit: Exit::Usage, tried: "writing to stdout".into(), why, next });
        }
        let file = io::stdout().as_fd().try_clone_to_owned().map_err(|error| failed(&path, &error))?;
        Ok(Place { path, file: Some(file.into()), made: false })
    }

    /// The file that `-o` names. It keeps what is in it until watching has begun.
    fn named(path: &Path) -> Result<Place, Failure> {
        if is_stdout(Some(path)) {
            return Place::stdout();
        }
        let open = |new: bool| OpenOptions::new().write(true).create_new(new).mode(0o600).open(path);
        let (file, made) = match open(true) {
            Ok(file) => (Ok(file), true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => (open(false), false),
            Err(error) => (Err(error), false),
        };
        let file = file.map_err(|error| failed(path, &error))?;
        lock(&file, path)?;
        Ok(Place { path: path.to_owned(), file: Some(file), made })
    }

    /// `async-inspect-PID.rec` here, which must not be there.
    fn of(pid: u32) -> Result<Place, Failure> {
        let path = PathBuf::from(format!("async-inspect-{pid}.rec"));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => lock(&file, &path).map(|()| Place { path, file: Some(file), made: true }),
            Err(error) => {
                Err(Failure { next: "async-inspect record TARGET -o FILE".into(), ..failed(&path, &error) })
            }
        }
    }

    /// Whether anything was in it.
    fn empty(&self) -> Result<bool, Failure> {
        let Some(file) = self.file.as_ref().filter(|_| !is_stdout(Some(&self.path))) else {
            return Ok(false);
        };
        let failed = |error: io::Error| failed(&self.path, &error);
        let meta = file.metadata().map_err(failed)?;
        if !meta.is_file() {
            return Ok(false);
        }
        if meta.uid() != rustix::process::geteuid().as_raw() {
            return Err(Failure {
                exit: Exit::NotPermitted,
                tried: format!("writing {}", self.path.display()),
                why: format!(
                    "it is there and belongs to user {}, who could read what is recorded",
                    meta.uid()
                ),
                next: format!("rm {}, or another -o FILE", self.path.display()),
            });
        }
        file.set_len(0).map_err(failed)?;
        file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(meta.len() > 0)
    }

    fn keep(mut self) -> Option<File> {
        self.made = false;
        self.file.take()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.made {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Writes each update down, and passes it on.
struct Recorder {
    updates: Updates,
    writer: Writer<File>,
    flushed: Instant,
    failed: Option<io::Error>,
}

impl Recorder {
    fn begin(file: Option<File>, begun: &Begun, updates: Updates) -> io::Result<Recorder> {
        let file = file.ok_or(ErrorKind::NotFound)?;
        let mut writer = Writer::begin(file, &head(begun), begun.frames.clone())?;
        if let Some(first) = &begun.first {
            writer.snapshot(first)?;
        }
        Ok(Recorder { updates, writer, flushed: Instant::now(), failed: None })
    }

    fn take(&mut self, update: &Update) {
        let mut done = self.writer.update(update);
        if done.is_ok() && self.flushed.elapsed() >= FLUSH {
            self.flushed = Instant::now();
            done = self.writer.flush();
        }
        if let Err(error) = done {
            self.failed.get_or_insert(error);
        }
    }

    /// What is in it is on the disk when this returns.
    fn finish(self) -> io::Result<Written> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let (file, written) = self.writer.finish()?;
        match file.sync_all() {
            // A device or a pipe cannot.
            Err(error) if error.kind() != ErrorKind::InvalidInput => Err(error),
            _ => Ok(written),
        }
    }
}

impl Feed for Recorder {
    fn next(&mut self, timeout: Duration) -> Option<Update> {
        let update = self.updates.next(timeout)?;
        self.take(&update);
        match &self.failed {
            None => Some(update),
            Some(error) => {
                let end = End::Failed(format!("the recording cannot be written: {error}"));
                Some(Update::End { t_ns: clock::monotonic_ns(), end })
            }
        }
    }
}

fn head(begun: &Begun) -> Head {
    let since = |at: SystemTime| at.duration_since(UNIX_EPOCH).ok().map(|since| since.as_nanos() as u64);
    let ago = clock::monotonic_ns().saturating_sub(begun.t_ns);
    Head {
        tool: env!("CARGO_PKG_VERSION").into(),
        pid: begun.process.pid,
        exe: begun.process.exe.clone(),
        built_ns: begun.process.built.and_then(since),
        mode: begun.mode,
        because: begun.because.clone(),
        t_ns: begun.t_ns,
        began_at_ns: since(SystemTime::now()).unwrap_or(0).saturating_sub(ago),
        has_first: begun.first.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_do_not_write_one_recording() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.rec");
        let first = Place::named(&path).unwrap();
        let second = Place::named(&path).err().unwrap();
        assert!(second.exit == Exit::Plain && second.why.contains("another recording"), "{second:?}");
        let file = first.keep().unwrap();
        assert!(Place::named(&path).is_err(), "it is being written");
        drop(file);
        assert!(Place::named(&path).is_ok());
    }
}
